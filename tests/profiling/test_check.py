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


GLOBAL = [
    "self_attention",
    "lisa",
    "structsa",
    "non_local",
    "window_attention",
    "linear_attention",
    "global_filter",
    "lambda_layer",
    "divided_attention",
]
LOCAL = [
    "conv2d",
    "conv3d",
    "conv2plus1d",
    "channel_separated_conv",
    "involution",
    "deformable_conv",
    "tsm",
    "temporal_conv",
    "sifa",
    "rsa",
    "motion_squeeze",
    "selfy",
    "scr",
    "sce",
    "local_attention",
    "correlation",
    "temporal_difference",
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
    for name in (
        "se",
        "global_context",
        "dynamic_conv",
        "cca",
        "integral_action",
        "score_average",
        "cross_covariance",
        "afno",
    ):
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


@pytest.mark.parametrize(
    "name, grid, options",
    [
        ("sifa", (4, 28, 28), {}),
        ("sifa", (3, 20, 20), {"kernel": 5, "offsets": "next"}),
        ("selfy", (4, 14, 14), {"extraction": "soft_argmax"}),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_rounding_over_a_jump_is_no_error(monkeypatch, name, grid, options, whole):
    """A place that float32 puts into the next pixel, a maximum that it finds elsewhere."""
    monkeypatch.setattr(module, "SECONDS", 1e9 if whole else 0.0)
    card, op, inputs = made(name, grid, options, channels=64)
    found = check(card, op, op, inputs)
    assert found.passed, found


def test_the_form_without_gradients_is_checked_too():
    """It is the one that is timed forward; compiled, it is a graph of its own."""
    card, op, inputs = made("conv3d", (3, 6, 6))
    assert not check(card, op, lambda x: op(x) if torch.is_grad_enabled() else op(x) * 1.01, inputs).passed


@pytest.mark.parametrize("whole", [True, False])
def test_no_gradient_or_another_shape_is_red(monkeypatch, whole):
    if not whole:
        monkeypatch.setattr(module, "SECONDS", 0.0)
    card, op, inputs = made("self_attention", (1, 7, 6))
    assert not check(card, op, lambda x: op(x).detach(), inputs).passed
    assert not check(card, op, lambda x: op(x)[..., :1], inputs).passed


def test_a_corner_that_is_wrong_is_seen_in_part(in_part):
    card, op, inputs = made("self_attention", (2, 12, 12))

    def wrong(x):
        y = op(x).clone()
        y[:, :, 0, :2, :2] += 1
        return y

    assert not check(card, op, wrong, inputs).passed


def test_a_gradient_that_is_missing_is_seen_in_half_precision():
    card, op, inputs = made("se", (2, 6, 6))
    op, inputs = op.bfloat16(), [x.bfloat16() for x in inputs]
    assert check(card, op, op, inputs).passed
    weight = op.conv_out[0].weight

    def wrong(x):
        weight.requires_grad_(False)
        y = op(x)
        weight.requires_grad_(True)
        return y

    assert not check(card, op, wrong, inputs).passed
