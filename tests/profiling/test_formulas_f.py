from functools import partial
from itertools import permutations

import pytest
import torch

from vidops_cli.ops import OPS
from vidops_cli.profiling.cost import count
from vidops_cli.profiling.counter import count_forward, on_meta
from vidops_cli.textbook import module_of, published, textbook

WIDTHS = {"ext_channels": (2, 4, 8, 8), "int_channels": (8, 8, 8, 8), "hidden": 8}
SQUEEZES = [
    {},
    *(
        {"displacement": reading, "confidence": fed}
        for reading in ("soft_argmax", "correlation")
        for fed in (True, False)
    ),
    {"confidence": False},
    {"backward": True, "max_displacement": 2},
    {"backward": True, "displacement": "correlation", "refinement": "conv"},
    {"refinement": "conv", "reduced": 1},
    {"refinement": "pointwise", "max_displacement": 1, "sigma": 2.0, "temperature": 0.1},
]
SELVES = [
    {},
    {"hidden": 24},
    {"window": 11, **WIDTHS},
    {"offsets": (0,), **WIDTHS, "hidden": 1},
    {"offsets": (-3, 0, 1, 2), "integration": "mlp", **WIDTHS},
    {"extraction": "soft_argmax", "window": 5, **WIDTHS},
    {"extraction": "soft_argmax", "integration": "mlp", "window": 3, **WIDTHS},
    {"extraction": "mlp", "window": 7, **WIDTHS},
    {"extraction": "mlp", "integration": "mlp", "window": 1, **WIDTHS},
    {"extraction": "soft_argmax", "window": 1, **WIDTHS},
]
KINDS = [
    {"kernel": kernel, "context": context, "window": (3, 5, 5)}
    for kernel in ("basic", "projected", "relational", "both")
    for context in ("basic", "relational", "both")
]
RELATIONS = [
    {},
    *KINDS,
    {"heads": 2, "latent": 3, "window": (3, 3, 5)},
    {"heads": 1, "key_channels": 5, "value_channels": 6, "out_channels": 6, "window": (1, 3, 1)},
    {"heads": 16, "latent": 1, "window": (1, 3, 3)},
    {"heads": 16, "kernel": "projected", "context": "relational", "window": (1, 3, 3)},
    {"stride": 2, "out_channels": 32, "window": (1, 7, 7)},
    {"stride": 3, "kernel": "relational", "context": "basic", "window": (5, 3, 3)},
]
FRAMES = [
    {},
    *({"offsets": name} for name in ("next", "difference", "conv3d", "regular", "colocated")),
    {"modulation": "paper"},
    {"kernel": 5, "dilation": 2, "groups": 4},
    {"kernel": 1, "groups": 16},
    {"kernel": 3, "groups": 2, "norm": True, "offsets": "regular", "dilation": 2},
    {"norm": True},
]
CASES = [
    (name, 16, grid, options)
    for name, variants in (("motion_squeeze", SQUEEZES), ("selfy", SELVES), ("rsa", RELATIONS), ("sifa", FRAMES))
    for grid in ((2, 5, 8), (3, 9, 7))
    for options in variants
]


def made(name, channels, grid, options):
    torch.manual_seed(0)
    card = OPS[name]
    op = card.load()(channels, **options).eval()
    for parameter in op.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # what starts at zero would hide errors
    return op, card.example(2, channels, grid)


def counts(name, channels, grid, options):
    """(macs, other FLOPs) by the formula, by fvcore and by running the published form on shapes."""
    op, inputs = made(name, channels, grid, options)
    formula, told = op.cost(*(tuple(x.shape) for x in inputs)), count(op, *inputs)
    meta, shapes = on_meta(op, inputs)
    ran = count_forward(partial(published(name), meta), *shapes)
    assert told.uncounted == ran.uncounted == ()
    return [(found.macs, found.other_flops) for found in (formula, told, ran.cost)]


def agree(found):
    return all(abs(a - b) <= 0.01 * b for x, y in permutations(found, 2) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("name, channels, grid, options", CASES)
def test_formula_fvcore_and_the_published_form_agree(name, channels, grid, options):
    formula, told, ran = counts(name, channels, grid, options)
    assert agree([formula, told, ran])
    assert formula == ran
    assert formula[0] > 0 and formula[1] > 0
    for wrong in ((1.05 * formula[0], formula[1]), (formula[0], 1.05 * formula[1])):
        assert not agree([wrong, told]) and not agree([wrong, ran])


@pytest.mark.parametrize("name, channels, grid, options", [case for case in CASES if case[0] != "rsa"])
def test_published_forms_are_equal(name, channels, grid, options):
    op, inputs = made(name, channels, grid, options)
    op, inputs = op.double(), [x.double() for x in inputs]
    true = op(*inputs)
    torch.testing.assert_close(published(name)(op, *inputs), true)
    torch.testing.assert_close(textbook(name)(op, *inputs), true)


NEAR = [
    ("motion_squeeze", (2, 31, 36), {"max_displacement": 2}),
    ("motion_squeeze", (3, 24, 23), {"max_displacement": 3, "refinement": "pointwise", "backward": True}),
    ("selfy", (2, 45, 42), {"offsets": (0, 1), **WIDTHS}),
    ("selfy", (2, 23, 27), {"extraction": "soft_argmax", "integration": "mlp", "window": 5, **WIDTHS}),
    ("rsa", (2, 15, 18), {}),
    ("rsa", (2, 15, 18), {"window": (1, 3, 7), "stride": 2}),
    ("sifa", (3, 25, 22), {}),
    ("sifa", (3, 25, 22), {"kernel": 5, "dilation": 2, "offsets": "conv3d", "norm": True}),
    ("sifa", (2, 15, 12), {"kernel": 5, "offsets": "regular"}),
    ("sifa", (2, 5, 6), {"offsets": "colocated"}),
]


@pytest.mark.parametrize("name, grid, options", NEAR)
def test_a_crop_within_reach_is_exact(name, grid, options):
    op, (x,) = made(name, 16, grid, options)
    if hasattr(op, "conv_offset"):
        torch.nn.init.normal_(op.conv_offset.weight, std=0.02)
    op, x, book = op.double(), x.double(), module_of(name)
    true, reach, stride = book.forward(op, x), book.reach(op, x), getattr(op, "stride", 1)
    H, W = grid[1:]
    draw = torch.Generator().manual_seed(0)
    inside = [[torch.randint(size, (), generator=draw).item() for size in true.shape[3:]] for _ in range(6)]
    smallest = H * W
    for h, w in [(0, 0), (true.shape[3] - 1, true.shape[4] - 1), (0, true.shape[4] // 2), *inside]:
        starts = [max(0, stride * place - reach) // 2 * 2 for place in (h, w)]
        rows, columns = (slice(start, stride * place + reach + 1) for start, place in zip(starts, (h, w), strict=True))
        crop = x[..., rows, columns]
        found = book.forward(op, crop)[..., h - starts[0] // stride, w - starts[1] // stride]
        torch.testing.assert_close(found, true[..., h, w], rtol=0, atol=1e-12)
        smallest = min(smallest, crop.shape[3] * crop.shape[4])
    assert smallest < H * W / 2
