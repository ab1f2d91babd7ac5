import math
from functools import partial

import pytest
import torch

from vidops_cli.ops import OPS
from vidops_cli.profiling.cost import count
from vidops_cli.profiling.counter import count_backward, count_forward, on_meta
from vidops_cli.textbook import module_of, published, textbook

OPTIONS = {
    "conv2d": [
        {},
        {"kernel": 1, "bias": True},
        {"kernel": 5, "stride": 2},
        {"kernel": 7, "stride": 3, "out_channels": 6, "bias": True},
        {"stride": 4},
    ],
    "conv3d": [
        {},
        {"kernel": (1, 3, 5), "bias": True},
        {"kernel": (3, 1, 1), "out_channels": 6},
        {"kernel": (5, 7, 3), "stride": 2, "bias": True},
        {"stride": 3},
    ],
    "tsm": [{}, {"fold_div": 4, "first": "previous"}, {"padding": "circular"}, {"fold_div": 2}],
    "temporal_conv": [{}, {"kernel": 1}, {"kernel": 5, "bias": True}, {"residual": False}, {"kernel": 9}],
    "global_context": [{}, {"ratio": 1}, {"ratio": 4}],
    "self_attention": [
        {},
        {"heads": 1, "bias": False},
        {"heads": 16},
        *(
            {"rpe": rpe, "grid": grid}
            for rpe in ("bias", "multiplicative")
            for grid in ((1, 14, 14), (3, 5, 6), (2, 1, 4))
        ),
        {"rpe": "multiplicative", "heads": 2},
    ],
    "structsa": [
        {},
        {"heads": 2, "patterns": 3, "bias": False},
        {"window": (3, 3, 5), "patterns": 1},
        {"window": (1, 1, 1), "heads": 1},
        {"window": (3, 7, 9), "heads": 4, "patterns": 2},
    ],
    "non_local": [
        {},
        {"reduced": 3},
        {"subsample": True},
        {"norm": False},
        {"space_time": False},
        {"subsample": True, "space_time": False, "norm": False, "reduced": 5},
    ],
    "lisa": [
        {},
        *({"phi": phi} for phi in ("softmax", "l2", "gelu")),
        *({"rpe": rpe, "patterns": 3} for rpe in ("dense", "fourier", "separable")),
        *({"rpe": rpe, "grid": (3, 5, 6), "shared": True} for rpe in ("dense", "fourier", "separable")),
        *({"rpe": rpe, "window": (3, 3, 5), "heads": 2} for rpe in ("dense", "fourier", "separable")),
        {"padding": "circular"},
        {"padding": "circular", "window": (1, 5, 3), "phi": "l2", "rpe": "separable"},
        {"padding": "circular", "rpe": "fourier", "patterns": 1, "heads": 4, "phi": "softmax"},
        {"heads": 1, "patterns": 1, "shared": True},
    ],
}
GRIDS = ((3, 5, 6), (1, 7, 4), (2, 1, 4))
CASES = [(name, 16, grid, options) for name, choices in OPTIONS.items() for grid in GRIDS for options in choices]


def made(name, channels, grid, options):
    """The operator in evaluation mode, no parameter or statistic zero, and a batch of two."""
    torch.manual_seed(0)
    op = OPS[name].load()(channels, **options).eval()
    for value in (*op.parameters(), *(buffer for buffer in op.buffers() if buffer.is_floating_point())):
        torch.nn.init.uniform_(value, 0.1, 0.5)
    return op, OPS[name].example(2, channels, grid)


def counts(name, channels, grid, options):
    """(macs, other FLOPs) by the formula, by fvcore, and by aten's counter on the published form."""
    op, inputs = made(name, channels, grid, options)
    formula, found = op.cost(*(tuple(x.shape) for x in inputs)), count(op, *inputs)
    meta, shapes = on_meta(op, inputs)
    ran = count_forward(partial(published(name), meta), *shapes)
    assert found.uncounted == ran.uncounted == ()
    return [(told.macs, told.other_flops) for told in (formula, found, ran.cost)]


def agree(a, b):
    """Within 1 % in both, and nothing only where there is nothing."""
    return all(abs(x - y) <= 0.01 * y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_three_counts_agree(case):
    formula, found, ran = counts(*case)
    assert agree(formula, found)
    assert agree(formula, ran)
    assert agree(found, ran)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_formula_that_is_five_percent_off_agrees_with_neither(case):
    (macs, other), found, ran = counts(*case)
    for tampered in ((1.05 * macs, other), (macs, 1.05 * other)):
        if tampered != (macs, other):
            assert not agree(tampered, found)
            assert not agree(tampered, ran)
    assert (macs, other) != (0, 0) or case[0] == "tsm"


@pytest.mark.parametrize("case", [case for case in CASES if case[0] != "lisa"], ids=str)
def test_backward_multiplies_twice_as_much(case):
    op, inputs = on_meta(*made(*case))
    form = partial(published(case[0]), op)
    forward, backward = count_forward(form, *inputs), count_backward(form, list(op.parameters()), *inputs)
    assert backward.uncounted == ()
    multiplied = case[3].get("rpe") == "multiplicative"  # the gradient of R is a sum of products over the batch
    table = 2 * op.heads * math.prod(case[2]) ** 2 if multiplied else 0
    assert backward.cost.macs == 2 * forward.cost.macs + table


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("options", [{}, {"phi": "gelu", "patterns": 3}, {"padding": "circular", "heads": 2}], ids=str)
def test_backward_of_lisa(options, grid):
    """Its products with the query are summed forward only, those with the code backward only."""
    op, (x,) = on_meta(*made("lisa", 16, grid, options))
    backward = count_backward(partial(published("lisa"), op), list(op.parameters()), x)
    assert backward.uncounted == ()
    assert backward.cost.macs == (2 * 4 * 16 + op.patterns) * x.numel()


def exact(case):
    op, inputs = made(*case)
    return op.double(), [x.double() for x in inputs]


@pytest.mark.parametrize("case", [case for case in CASES if case[0] in ("lisa", "structsa")], ids=str)
def test_the_published_form_is_the_textbook_form(case):
    op, inputs = exact(case)
    assert published(case[0]) is not textbook(case[0])
    true = textbook(case[0])(op, *inputs)
    assert torch.allclose(published(case[0])(op, *inputs), true, rtol=1e-11, atol=1e-11)
    assert torch.allclose(op(*inputs), true, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("case", [case for case in CASES if hasattr(module_of(case[0]), "at")], ids=str)
def test_single_positions(case):
    op, inputs = exact(case)
    book, (T, H, W) = module_of(case[0]), case[2]
    positions = torch.tensor([0, T * H * W - 1, W, *torch.randint(T * H * W, (5,)).tolist()])
    found = book.at(op, *inputs, positions=positions)
    assert torch.allclose(found, book.forward(op, *inputs).flatten(2)[:, :, positions], rtol=1e-12, atol=1e-12)


NEAR = [
    (name, 16, (3, 19, 22), {**options, **({"stride": stride} if stride > 1 else {})})
    for name in ("conv2d", "conv3d", "tsm", "temporal_conv")
    for stride in ((1, 2) if "stride" in OPS[name].options else (1,))
    for options in OPTIONS[name]
    if options.get("stride", stride) == stride
]


@pytest.mark.parametrize("case", NEAR, ids=str)
def test_a_crop_within_reach(case):
    op, (x,) = exact(case)
    book = module_of(case[0])
    reach, true, stride = book.reach(op, x), book.forward(op, x), case[3].get("stride", 1)
    last = [size - 1 for size in true.shape[3:]]
    for h, w in ((0, 0), last, (0, last[1]), *torch.randint(min(last), (3, 2)).tolist()):
        top, left = (max(0, stride * place - reach) // 2 * 2 for place in (h, w))
        crop = x[..., top : stride * h + reach + 1, left : stride * w + reach + 1]
        found = book.forward(op, crop)[..., h - top // stride, w - left // stride]
        assert torch.allclose(found, true[..., h, w], rtol=1e-12, atol=1e-12)


def test_all_operators_have_been_seen():
    assert len(CASES) == 3 * sum(map(len, OPTIONS.values())) >= 150
    assert {case[0] for case in NEAR} == {name for name in OPTIONS if hasattr(module_of(name), "reach")}
    assert len(NEAR) >= 18
    assert {name for name in OPTIONS if hasattr(module_of(name), "at")} == {
        *("self_attention", "structsa", "non_local", "lisa"),
    }


if __name__ == "__main__":
    for case in CASES:
        print(*case, *counts(*case))
