import inspect
import itertools
import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vidops_cli.functional import attend, deformable, reference, sample
from vidops_cli.profiling.counter import count_forward

TAPS = [(1, 1), (3, 1), (3, 2), (5, 1)]
MAPS = [(2, 4, 3, 5, 6), (1, 3, 1, 6, 3), (2, 1, 2, 1, 5), (1, 2, 1, 1, 1)]

LAYOUTS = {
    "contiguous": lambda x: x,
    "channels_last_3d": lambda x: x.contiguous(memory_format=torch.channels_last_3d),
    "transposed": lambda x: x.transpose(1, 4).contiguous().transpose(1, 4),
    "strided": lambda x: x.repeat_interleave(2, dim=3)[:, :, :, ::2],
    "expanded": lambda x: x[:, :, :, :, :1].expand_as(x),
}


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def offsets_for(shape, kernel):
    """Some far outside the map."""
    return 2 * randn(shape[0], 2 * kernel**2, *shape[2:])


def with_gradients(function, inputs, weigh):
    leaves = [x.detach().requires_grad_() for x in inputs]
    y = function(*leaves)
    return [y.detach(), *torch.autograd.grad((y * weigh).sum(), leaves)]


def check_against_reference(v, offset, kernel, dilation):
    weigh = randn(*v.shape[:2], kernel**2, *v.shape[2:])
    ours = with_gradients(lambda v, o: sample(v, o, kernel, dilation), (v, offset), weigh)
    true = with_gradients(lambda v, o: reference.sample(v, o, kernel, dilation), (v, offset), weigh)
    torch.testing.assert_close(ours, true)


@pytest.mark.parametrize("kernel, dilation", TAPS)
@pytest.mark.parametrize("shape", MAPS)
def test_equals_reference(shape, kernel, dilation):
    torch.manual_seed(0)
    check_against_reference(randn(*shape), offsets_for(shape, kernel), kernel, dilation)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_equals_reference_in_any_memory_layout(layout):
    torch.manual_seed(0)
    shape = (2, 4, 3, 4, 5)
    check_against_reference(LAYOUTS[layout](randn(*shape)), LAYOUTS[layout](offsets_for(shape, 3)), 3, 1)


@pytest.mark.parametrize("shape", MAPS)
def test_equals_reference_at_whole_pixels(shape):
    """Gradients too, of which there are two at a kink: all of them points -1 and H of the border among them."""
    torch.manual_seed(0)
    offset = torch.randint(-3, 4, (shape[0], 18, *shape[2:])).double()
    check_against_reference(randn(*shape), offset, 3, 1)


# --- the reference itself, and the primitive, one read at a time ----------------------------------------------------


def read(frame, y, x):
    """(value, d / dy, d / dx) at a point, by the four pixels around it."""
    H, W = frame.shape
    if not (-1 < y < H and -1 < x < W):
        return 0.0, 0.0, 0.0
    top, left = math.floor(y), math.floor(x)

    def pixel(row, column):
        return frame[row, column].item() if 0 <= row < H and 0 <= column < W else 0.0

    a, b = y - top, x - left
    upper = (1 - b) * pixel(top, left) + b * pixel(top, left + 1)
    lower = (1 - b) * pixel(top + 1, left) + b * pixel(top + 1, left + 1)
    west = (1 - a) * pixel(top, left) + a * pixel(top + 1, left)
    east = (1 - a) * pixel(top, left + 1) + a * pixel(top + 1, left + 1)
    return (1 - a) * upper + a * lower, lower - upper, east - west


@pytest.mark.parametrize("form", [sample, reference.sample])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("kernel, dilation", [(1, 1), (3, 1), (3, 2)])
def test_equals_loops_over_single_reads(kernel, dilation, whole, form):
    torch.manual_seed(0)
    shape = (2, 2, 2, 3, 4)
    v, offset = randn(*shape), offsets_for(shape, kernel)
    offset = offset.round() if whole else offset
    leaf = offset.clone().requires_grad_()
    ours = form(v, leaf, kernel, dilation)
    weigh = randn(*ours.shape)
    (gradient,) = torch.autograd.grad((ours * weigh).sum(), leaf)
    true, slopes = torch.zeros_like(ours), torch.zeros_like(offset)
    inside = 0
    for b, c, k, t, row, column in itertools.product(*map(range, ours.shape)):
        y = row + (k // kernel - kernel // 2) * dilation + offset[b, 2 * k, t, row, column].item()
        x = column + (k % kernel - kernel // 2) * dilation + offset[b, 2 * k + 1, t, row, column].item()
        value, by_y, by_x = read(v[b, c, t], y, x)
        true[b, c, k, t, row, column] = value
        slopes[b, 2 * k, t, row, column] += by_y * weigh[b, c, k, t, row, column]
        slopes[b, 2 * k + 1, t, row, column] += by_x * weigh[b, c, k, t, row, column]
        inside += value != 0
    assert ours.numel() * 0.1 < inside < ours.numel()
    torch.testing.assert_close(ours.detach(), true)
    torch.testing.assert_close(gradient, slopes)


def test_the_first_channel_is_down_and_the_second_to_the_right():
    v = torch.zeros(1, 1, 1, 5, 6)
    v[..., 3, 1] = 1.0  # row 3, column 1
    offset = torch.zeros(1, 2, 1, 5, 6)
    offset[0, :, 0, 1, 4] = torch.tensor([2.0, -3.0])
    offset[0, :, 0, 2, 2] = torch.tensor([0.75, -1.0])
    y = sample(v, offset, 1)[0, 0, 0, 0]
    assert y[1, 4] == 1.0
    assert y[2, 2] == 0.75
    assert y.sum() == 1.0 + 0.75 + 1.0  # and the pixel itself


@pytest.mark.parametrize("dilation", [1, 2])
def test_without_offsets_taps_are_the_pixels_around(dilation):
    v = randn(1, 2, 2, 5, 6)
    y = sample(v, torch.zeros(1, 18, 2, 5, 6, dtype=torch.float64), 3, dilation)
    for k, (i, j) in enumerate(itertools.product((-1, 0, 1), repeat=2)):
        assert torch.equal(y[:, :, k], reference.shifted(v, 0, i * dilation, j * dilation))


@pytest.mark.parametrize("point", [(-1.0, 1.0), (3.0, 1.0), (1.0, -1.0), (1.0, 4.0), (-9.0, 2.5), (float("nan"), 1.0)])
def test_points_that_are_not_strictly_inside_give_nothing(point):
    v = torch.ones(1, 1, 1, 3, 4, requires_grad=True)
    offset = torch.zeros(1, 2, 1, 3, 4)
    offset[0, :, 0, 1, 1] = torch.tensor(point) - 1  # read from position (1, 1)
    offset.requires_grad_()
    y = sample(v, offset, 1)[0, 0, 0, 0, 1, 1]
    dv, d_offset = torch.autograd.grad(y, (v, offset))
    assert y == 0
    assert not dv.any()
    assert not d_offset.any()


def test_offsets_of_any_size_are_safe():
    v, offset = torch.randn(1, 2, 1, 3, 4), torch.tensor([1e30, -1e30, float("inf"), float("-inf"), 3e9, -3e9])
    offset = offset.view(1, 1, 1, 1, 6).expand(1, 18, 1, 3, 6)[..., :4]
    assert not sample(v, offset, 3).any()


# --- calculus and the dispatcher ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel, dilation", [(1, 1), (3, 2)])
def test_first_and_second_derivatives(kernel, dilation):
    torch.manual_seed(0)
    v = randn(1, 2, 2, 2, 3).requires_grad_()
    offset = (0.7 * randn(1, 2 * kernel**2, 2, 2, 3)).requires_grad_()
    assert torch.autograd.gradcheck(lambda v, o: sample(v, o, kernel, dilation), (v, offset))
    assert torch.autograd.gradgradcheck(lambda v, o: sample(v, o, kernel, dilation), (v, offset))


def test_custom_op_is_registered_well():
    v, offset = torch.randn(2, 4, 3, 4, 5, requires_grad=True), torch.randn(2, 18, 3, 4, 5, requires_grad=True)
    results = torch.library.opcheck(deformable._sample, (v, offset, 3, 1))
    assert len(results) >= 4
    assert set(results.values()) == {"SUCCESS"}


def test_four_weighted_corners_for_each_read_are_counted():
    v, offset = torch.randn(2, 32, 3, 4, 5), torch.randn(2, 18, 3, 4, 5)
    with FlopCounterMode(display=False) as told:
        reads = sample(v, offset, 3)
    assert told.get_total_flops() == 2 * 4 * reads.numel()
    found = count_forward(lambda v, offset: sample(v, offset, 3), v, offset, opened=True).cost.flops
    assert 2 * 4 * reads.numel() < found < 4 * 4 * reads.numel()  # and where the corners lie


def test_autocast_computes_in_float32():
    v, offset = torch.randn(1, 4, 1, 4, 4), torch.randn(1, 18, 1, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        y = sample(v.bfloat16(), offset.bfloat16(), 3)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, sample(v.bfloat16().float(), offset.bfloat16().float(), 3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_counts_pixels_exactly(dtype):
    """bfloat16 knows no 257: columns of a wide map must not be counted in it."""
    v = torch.arange(300.0).expand(1, 1, 1, 1, 300).to(dtype)
    y = sample(v, torch.zeros(1, 2, 1, 1, 300, dtype=dtype), 1)
    assert y.dtype == dtype
    assert torch.equal(y[:, :, 0], v)


def test_empty_batch():
    v = torch.randn(0, 4, 2, 3, 3, requires_grad=True)
    offset = torch.randn(0, 18, 2, 3, 3, requires_grad=True)
    y = sample(v, offset, 3)
    assert y.shape == (0, 4, 9, 2, 3, 3)
    assert [grad.shape for grad in torch.autograd.grad(y.sum(), (v, offset))] == [v.shape, offset.shape]


@pytest.mark.parametrize("wanted", [0, 1])
def test_only_the_gradients_that_are_wanted(wanted):
    inputs = [randn(1, 2, 1, 3, 4), 0.3 * randn(1, 18, 1, 3, 4)]
    both = with_gradients(lambda v, o: sample(v, o, 3), inputs, 1.0)
    inputs[wanted].requires_grad_()
    (alone,) = torch.autograd.grad(sample(*inputs, 3).sum(), inputs[wanted])
    assert torch.equal(alone, both[1 + wanted])


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kernel, dilation, told", [(2, 1, "kernel"), (0, 1, "kernel"), (-1, 1, "kernel"), (3, 0, "dilation")]
)
def test_refuses_taps_that_are_none(kernel, dilation, told):
    with pytest.raises(ValueError, match=told):
        sample(torch.randn(1, 4, 2, 4, 4), torch.randn(1, 2 * kernel**2, 2, 4, 4), kernel, dilation)


@pytest.mark.parametrize(
    "shape", [(1, 9, 2, 4, 4), (2, 18, 2, 4, 4), (1, 18, 1, 4, 4), (1, 18, 2, 5, 4), (1, 18, 2, 4, 3)]
)
def test_refuses_offsets_that_do_not_fit(shape):
    # the shape annotations are enforced in tests only: the check that users meet is the body's
    with pytest.raises(ValueError, match="offsets"):
        inspect.unwrap(sample)(torch.randn(1, 4, 2, 4, 4), torch.randn(shape), 3)


# --- attention over the reads, which are not formed -------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel, dilation", TAPS)
@pytest.mark.parametrize("shape", [(2, 4, 3, 5, 6), (1, 2, 1, 1, 1), (2, 2, 2, 1, 5)])
def test_attention_equals_that_over_the_reads(shape, kernel, dilation, groups):
    torch.manual_seed(0)

    def read(q, v, offset):
        s = reference.sample(v, offset, kernel, dilation).unflatten(1, (groups, -1))
        a = torch.einsum("bgcthw,bgcnthw->bgnthw", q.unflatten(1, (groups, -1)), s)
        return torch.einsum("bgnthw,bgcnthw->bgcthw", a, s).flatten(1, 2)

    inputs, weigh = [randn(*shape), randn(*shape), offsets_for(shape, kernel)], randn(*shape)
    ours = with_gradients(lambda q, v, o: attend(q, v, o, kernel, dilation, groups=groups), inputs, weigh)
    for a, b in zip(ours, with_gradients(read, inputs, weigh), strict=True):
        torch.testing.assert_close(a, b)
