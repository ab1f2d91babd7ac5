"""Single positions of a textbook form, from crops around them or from rows of the N x N map; its published form."""

import pytest
import torch
from formulas import CASES, OPTIONS, WIDTHS, exact, made

from vidops_cli.ops import OPS
from vidops_cli.textbook import module_of, published, textbook

PUBLISHED = [case for case in CASES if hasattr(module_of(case[0]), "published")]
AT = [case for case in CASES if hasattr(module_of(case[0]), "at")]


@pytest.mark.parametrize("case", PUBLISHED, ids=str)
def test_the_published_form_is_the_textbook_form(case):
    op, inputs = exact(*case)
    assert published(case[0]) is not textbook(case[0])
    true = textbook(case[0])(op, *inputs)
    assert torch.allclose(published(case[0])(op, *inputs), true, rtol=1e-10, atol=1e-10)
    assert torch.allclose(op(*inputs), true, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", AT, ids=str)
def test_single_positions(case):
    op, inputs = exact(*case)
    book, (T, H, W) = module_of(case[0]), case[1]
    positions = torch.tensor([0, T * H * W - 1, W, *torch.randint(T * H * W, (5,)).tolist()])
    found = book.at(op, *inputs, positions=positions)
    assert torch.allclose(found, book.forward(op, *inputs).flatten(2)[:, :, positions], rtol=1e-12, atol=1e-12)


NEAR = [
    (name, (3, 19, 22), {**options, **({"stride": stride} if stride > 1 else {})})
    for name in ("conv2d", "conv3d", "conv2plus1d", "channel_separated_conv", "tsm", "temporal_conv")
    for stride in ((1, 2) if "stride" in OPS[name].options else (1,))
    for options in OPTIONS[name]
    if options.get("stride", stride) == stride
]


@pytest.mark.parametrize("case", NEAR, ids=str)
def test_a_crop_of_convolutions(case):
    op, (x,) = exact(*case)
    book = module_of(case[0])
    reach, true, stride = book.reach(op, x), book.forward(op, x), case[2].get("stride", 1)
    last = [size - 1 for size in true.shape[3:]]
    for h, w in ((0, 0), last, (0, last[1]), *torch.randint(min(last), (3, 2)).tolist()):
        top, left = (max(0, stride * place - reach) // 2 * 2 for place in (h, w))
        crop = x[..., top : stride * h + reach + 1, left : stride * w + reach + 1]
        found = book.forward(op, crop)[..., h - top // stride, w - left // stride]
        assert torch.allclose(found, true[..., h, w], rtol=1e-12, atol=1e-12)


NEAR_MOTION = [
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
    ("deformable_conv", (2, 25, 22), {}),
    ("deformable_conv", (2, 33, 34), {"kernel": 5, "dilation": 2, "modulated": False}),
    ("correlation", (2, 25, 22), {}),
    ("correlation", (2, 16, 15), {"window": 3, "dilation": 3, "groups": 4}),
    ("temporal_difference", (3, 27, 24), {"reduction": 4}),
    ("temporal_difference", (3, 22, 25), {"reduction": 2, "bidirectional": False}),
]


@pytest.mark.parametrize("name, grid, options", NEAR_MOTION)
def test_a_crop_of_motion_operators(name, grid, options):
    op, (x,) = made(name, grid, options)
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


LOCAL = ("scr", "sce", "local_attention", "involution")


@pytest.mark.parametrize("name, options", [(name, options) for name in LOCAL for options in OPTIONS[name]])
def test_a_crop_of_windows(name, options):
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


def test_all_that_have_positions_have_been_seen():
    both = {"lisa", "structsa", "window_attention", "linear_attention", "global_filter"}
    moved = {"motion_squeeze", "selfy", "sifa", "deformable_conv", "correlation", "temporal_difference"}
    assert {name for name, *_ in PUBLISHED} == {*both, *moved, "afno"}
    assert {name for name, *_ in AT} == {*both, "self_attention", "non_local", "lambda_layer", "divided_attention"}
    seen = {name for name, *_ in (*NEAR, *NEAR_MOTION)} | set(LOCAL)
    assert seen == {name for name in OPS if hasattr(module_of(name), "reach")}
