import pytest
import torch
from torch import nn

from vidops_cli.ops import OPS
from vidops_cli.profiling import check as module
from vidops_cli.profiling.cases import Case, Shape
from vidops_cli.profiling.check import check
from vidops_cli.profiling.profile import build


@pytest.fixture
def in_part(monkeypatch):
    """As if no reference could be computed whole."""
    monkeypatch.setattr(module, "SECONDS", 0.0)


def made(name, grid, options=None, channels=16, batch=2):
    card = OPS[name]
    op, inputs = build(Case(card, Shape(batch, channels, grid), options or {}))
    return card, op, inputs


GLOBAL = ["self_attention", "lisa", "structsa", "non_local"]
LOCAL = [
    "conv2d",
    "conv3d",
    "tsm",
    "temporal_conv",
    "sifa",
    "rsa",
    "motion_squeeze",
    "selfy",
    "scr",
    "sce",
    "local_attention",
]


@pytest.mark.parametrize("name", [*GLOBAL, *LOCAL])
def test_a_right_operator_passes_in_part(in_part, name):
    grid = {"motion_squeeze": (3, 65, 60), "selfy": (3, 62, 60)}.get(name, (3, 31, 28) if name in LOCAL else (3, 7, 6))
    card, op, inputs = made(name, grid, batch=1)
    found = check(card, op, op, inputs)
    assert found.how == "64 positions, 3 directions"
    assert found.passed and found.error < 1e-5, found.error


class Wrong(nn.Module):
    """An operator with one thing wrong with it."""

    def __init__(self, op, how):
        super().__init__()
        self.op, self.how = op, how

    def forward(self, x):
        y = self.op(x)
        if self.how == "output":
            return y + 1e-3
        if self.how == "gradient of the input":
            return y + 1e-2 * (x - x.detach())
        if self.how == "gradient of a parameter":
            weight = next(self.op.parameters())
            return y + 1e-2 * (weight - weight.detach()).sum()
        return y + (y - y) / (y - y)


@pytest.mark.parametrize("how", ["output", "gradient of the input", "gradient of a parameter", "nan"])
@pytest.mark.parametrize("name", ["self_attention", "conv3d"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_wrong_one_does_not(monkeypatch, name, how, whole):
    if not whole:
        monkeypatch.setattr(module, "SECONDS", 0.0)
    card, op, inputs = made(name, (3, 31, 28) if name == "conv3d" else (3, 7, 6))
    found = check(card, op, Wrong(op, how), inputs)
    assert not found.passed
    assert found.how == ("all positions" if whole else "64 positions, 3 directions")


def test_what_has_no_positions_is_checked_whole(in_part):
    for name in ("se", "global_context", "cca", "integral_action", "score_average"):
        card, op, inputs = made(name, (1, 6, 6))
        assert check(card, op, op, inputs).how == "all positions"
    card, op, inputs = made("conv2d", (2, 40, 40), {"stride": 2})
    assert check(card, op, op, inputs).how == "all positions"


def test_crops_no_less_than_the_map_are_not_taken(in_part):
    card, op, inputs = made("rsa", (3, 8, 8))
    assert check(card, op, op, inputs).how == "all positions"


@pytest.mark.parametrize(
    "name, grid, most", [("self_attention", (1, 64, 64), True), ("self_attention", (1, 14, 14), False)]
)
def test_what_is_too_large(name, grid, most):
    """8 heads x 4096 x 4096 numbers of float64 are 1 GiB for each step of the softmax."""
    _, op, inputs = made(name, grid, batch=1)
    exact = op.double()
    assert module._too_large(module.module_of(name), exact, [x.double() for x in inputs]) is most


def test_half_precision_is_judged_by_its_norm():
    true = [torch.ones(4, dtype=torch.float64), torch.ones(100, dtype=torch.float64)]
    flipped = torch.ones(100, dtype=torch.bfloat16)
    flipped[0] = 0
    errors = module._errors([true[0].bfloat16(), flipped], true)
    assert errors.tolist() == [0.0, pytest.approx(0.1)]
    assert module._errors([true[0].float(), flipped.float()], true).tolist() == [0.0, 1.0]
