"""An operator's formula, fvcore on the operator and the count of its textbook form agree."""

import itertools
from functools import partial

import pytest
import torch

from vidops_cli.ops import OPS
from vidops_cli.ops.cost import Cost
from vidops_cli.ops.pose_maps import SKELETONS
from vidops_cli.profiling.cost import count
from vidops_cli.profiling.counter import count_forward, on_meta
from vidops_cli.textbook import module_of, published

GRIDS = [(1, 5, 5), (3, 6, 4)]
IMAGES = [(1, 5, 5), (1, 6, 3)]

OPTIONS = {
    "scr": [
        {"planes": planes, "window": 2 * len(planes) - 1, "skip": skip}
        for planes in ((7,), (8, 4), (6, 5, 9), (3, 4, 5, 6))
        for skip in ("relu", "identity", "none")
    ],
    "cca": [
        {"reduced": 8},
        {"reduced": 1, "planes": (1,), "kernels": (5,), "temperature": 1.0},
        {"planes": (4, 4, 1), "kernels": (3, 1, 5), "attention_temperature": 2.0},
        {"planes": (3, 5, 1), "kernels": (1, 3, 3)},
    ],
    "se": [{"planes": None}, {"planes": None, "reduction": 3}, {"planes": 24, "reduction": 5}],
    "sce": [{"planes": planes, "window": window} for planes in ((8, 12), (1, 5)) for window in (1, 3, 7)],
    "local_attention": [{"heads": heads, "window": window} for heads in (None, 1, 4, 16) for window in (1, 3, 5, 7)]
    + [{"attention": False}],
    "integral_action": [
        {"features": 20, "pose_channels": pose, "gate": gate, "pose_frame_factor": factor, "block_frames": frames}
        for gate in ("pose", "appearance", "both", "none")
        for pose, factor, frames in ((None, 1, 1), (7, 2, 3), (5, 3, 1), (16, 1, 5))
    ],
    "score_average": [{"classes": 3}, {"pose_channels": 7, "classes": 100}],
    "pose_to_feature": [
        {"skeleton": "ntu25"},
        {"heatmap_sigma": 1.5, "field_sigma": 2.0, "threshold": 0.5},
    ],
}
CASES = [
    (name, 16, grid, options)
    for name in OPTIONS
    for grid in (IMAGES if name == "cca" else GRIDS)
    for options in [{}, *OPTIONS[name]]
]


def made(name, channels, grid, options):
    """The operator in evaluation mode, and inputs of two clips."""
    torch.manual_seed(0)
    card = OPS[name]
    op = card.load()(channels, **options).eval()
    if card.draws:
        op.size = grid[1:]
    return op, card.example(2, channels, grid, options=options)


def counts(name, channels, grid, options):
    """(macs, other FLOPs) by the formula, by fvcore on the operator, by the dispatcher on the published algorithm."""
    op, inputs = made(name, channels, grid, options)
    formula, traced = op.cost(*(tuple(x.shape) for x in inputs)), count(op, *inputs)
    meta, shapes = on_meta(op, inputs)
    told = count_forward(partial(published(name), meta), *shapes)
    assert traced.uncounted == told.uncounted == ()
    return [(found.macs, found.other_flops) for found in (formula, traced, told.cost)]


def agree(a, b):
    return all(abs(x - y) <= 0.01 * y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name, channels, grid, options", CASES)
def test_three_counts_are_one(name, channels, grid, options):
    formula, traced, told = counts(name, channels, grid, options)
    assert formula == traced == told
    assert formula[1] > 0


def test_every_choice_is_a_case():
    assert len(CASES) >= 100
    for name in OPTIONS:
        card = OPS[name]
        tried = [options for case, _, _, options in CASES if case == name]
        for key, option in card.options.items():
            values = {options.get(key, option.default) for options in tried}
            assert values >= set(option.choices)
            assert len(values) >= 2, (name, key)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("tampered", [Cost(1.05, 1), Cost(1, 1.05)])
def test_five_percent_more_is_seen(monkeypatch, name, tampered):
    kind, grid = OPS[name].load(), (1, 5, 5)
    true = kind.cost

    def cost(self, *shapes):
        found = true(self, *shapes)
        return Cost(found.macs * tampered.macs, found.other_flops * tampered.other_flops)

    assert all(agree(*pair) for pair in itertools.combinations(counts(name, 16, grid, {}), 2))
    monkeypatch.setattr(kind, "cost", cost)
    formula, traced, told = counts(name, 16, grid, {})
    assert not agree(formula, traced)
    assert not agree(formula, told)
    assert agree(traced, told)


@pytest.mark.parametrize("shots", [1, 2])
def test_shots_of_cross_correlational_attention(shots):
    class Shots(torch.nn.Module):
        def __init__(self, op):
            super().__init__()
            self.op = op

        def forward(self, support, query):
            return self.op(support, query, shots=shots)

    op = OPS["cca"].load()(16, reduced=8).eval()
    support, query = torch.randn(4, 16, 1, 3, 5), torch.randn(3, 16, 1, 6, 4)
    formula, traced = op.cost(support.shape, query.shape, shots=shots), count(Shots(op), support, query)
    meta, shapes = on_meta(op, [support, query])
    told = count_forward(partial(published("cca"), meta, shots=shots), *shapes).cost
    assert formula == Cost(traced.macs, traced.other_flops) == told


@pytest.mark.parametrize("persons", [1, 3])
def test_persons_of_pose_to_feature(persons):
    op = OPS["pose_to_feature"].load()(6).eval()
    op.size = (9, 7)
    inputs = [torch.rand(2, 3, persons, 18, 2), torch.rand(2, 3, persons, 18)]
    formula, traced = op.cost(*(x.shape for x in inputs)), count(op, *inputs)
    meta, shapes = on_meta(op, inputs)
    assert (
        formula
        == Cost(traced.macs, traced.other_flops)
        == count_forward(partial(published("pose_to_feature"), meta), *shapes).cost
    )


# --- single positions ------------------------------------------------------------------------------------------------

LOCAL = ("scr", "sce", "local_attention")


@pytest.mark.parametrize("name, options", [(name, options) for name in LOCAL for options in [{}, *OPTIONS[name]]])
def test_a_crop_gives_the_value_of_the_map(name, options):
    torch.manual_seed(0)
    op, book = OPS[name].load()(16, **options).double().eval(), module_of(name)
    x = torch.randn(2, 16, 2, 11, 13, dtype=torch.float64)
    whole, reach = book.forward(op, x), book.reach(op, x)
    assert torch.allclose(whole, op(x), rtol=0, atol=1e-9)
    sites = [(0, 0), (10, 12), (0, 6), (10, 3), *torch.randint(11, (6, 2)).tolist()]
    for h, w in sites:
        top, left = (max(0, place - reach) // 2 * 2 for place in (h, w))
        crop = x[..., top : h + reach + 1, left : w + reach + 1]
        found = book.forward(op, crop)[..., h - top, w - left]
        torch.testing.assert_close(found, whole[..., h, w], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", LOCAL)
def test_no_smaller_crop_would_do(name):
    torch.manual_seed(0)
    op, book = OPS[name].load()(16).double().eval(), module_of(name)
    x = torch.randn(1, 16, 1, 9, 9, dtype=torch.float64)
    reach = book.reach(op, x)
    moved = x.clone()
    moved[..., 4 + reach, 4] += 1
    assert not torch.allclose(book.forward(op, x)[..., 4, 4], book.forward(op, moved)[..., 4, 4])


# --- inputs that follow options ---------------------------------------------------------------------------------------


def shapes(name, **options):
    return OPS[name].shapes(2, 8, (3, 5, 6), options)


def test_shapes_follow_options():
    rgb = (2, 8, 3, 5, 6)
    assert shapes("tsm") == [rgb]
    assert shapes("cca") == [(5, *rgb[1:]), rgb]
    assert shapes("integral_action") == shapes("score_average") == [rgb, rgb]
    assert shapes("integral_action", pose_frame_factor=4, pose_channels=7) == [rgb, (2, 7, 9, 5, 6)]
    assert shapes("score_average", pose_channels=7) == [rgb, (2, 7, 3, 5, 6)]
    assert shapes("pose_to_feature") == [(2, 3, 1, 18, 2), (2, 3, 1, 18)]
    for name, skeleton in SKELETONS.items():
        assert shapes("pose_to_feature", skeleton=name)[1][-1] == skeleton.joints
    assert OPS["tsm"].shapes(0, 8, (3, 5, 6)) == [(0, *rgb[1:])]


@pytest.mark.parametrize("name, options", [(name, options) for name in OPTIONS for options in OPTIONS[name]])
def test_an_example_has_these_shapes_and_is_taken(name, options):
    grid = (1 if name == "cca" else 3, 6, 4)
    op, inputs = made(name, 16, grid, options)
    assert [tuple(x.shape) for x in inputs] == OPS[name].shapes(2, 16, grid, options)
    assert op(*inputs).isfinite().all()


def test_a_drawn_map_has_the_size_that_is_told():
    op, inputs = made("pose_to_feature", 4, (2, 9, 7), {})
    assert op(*inputs).shape == (2, 4, 2, 9, 7)
    assert op(*inputs, (5, 6)).shape == (2, 4, 2, 5, 6)
    assert torch.allclose(op(*inputs), module_of("pose_to_feature").forward(op, *inputs), atol=1e-6)
    assert OPS["pose_to_feature"].load()(4).size == OPS["pose_to_feature"].layer[2:]
    assert all(card.draws != any("H" in told.shape for told in card.inputs) for card in OPS.values())
