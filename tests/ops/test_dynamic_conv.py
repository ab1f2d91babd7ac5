import math

import pytest
import torch

from vidops_cli.ops.conv3d import Conv3d
from vidops_cli.ops.dynamic_conv import DynamicConv


def make(channels=4, **options):
    torch.manual_seed(0)
    op = DynamicConv(channels, **{"kernels": 3, "reduction": 2, "temperature": 2.0, **options}).double()
    return op, torch.randn(2, channels, 3, 4, 5, dtype=torch.float64)


def plain(op, weight, bias):
    """A 3-D convolution by a kernel of the operator's size."""
    conv = Conv3d(4, out_channels=len(weight), kernel=tuple(weight.shape[2:]), stride=op.stride, bias=bias is not None)
    conv.weight.data = weight
    if bias is not None:
        conv.bias.data = bias
    return conv.double()


@pytest.mark.parametrize("per_frame, kernel", [(False, (3, 3, 1)), (False, (1, 3, 3)), (True, (1, 3, 3))])
@pytest.mark.parametrize("stride, bias", [(1, False), (2, True)])
@torch.no_grad()
def test_equation_as_loops(per_frame, kernel, stride, bias):
    """A weight after the other, by hand; the convolution by them is that of conv3d."""
    op, x = make(kernel=kernel, stride=stride, bias=bias, per_frame=per_frame)
    first, _, second = op.squeeze
    for b in range(2):
        for t in range(3) if per_frame else [slice(None)]:
            part = x[b, :, t : t + 1] if per_frame else x[b]
            mean = [part[c].sum().item() / part[c].numel() for c in range(4)]
            hidden = [max(0.0, sum(w * m for w, m in zip(row, mean, strict=True)) + a) for row, a in pairs(first)]
            logits = [sum(w * h for w, h in zip(row, hidden, strict=True)) + a for row, a in pairs(second)]
            e = [math.exp(logit / 2.0) for logit in logits]
            weight = sum(pi / sum(e) * kernel for pi, kernel in zip(e, op.weight, strict=True))
            shift = sum(pi / sum(e) * value for pi, value in zip(e, op.bias, strict=True)) if bias else None
            found = op(x)[b, :, t : t + 1] if per_frame else op(x)[b]
            torch.testing.assert_close(found, plain(op, weight, shift)(part[None])[0])


def pairs(linear):
    return list(zip(linear.weight.tolist(), linear.bias.tolist(), strict=True))


@torch.no_grad()
def test_attention_sums_to_one_and_evens_out_as_the_temperature_rises():
    op, x = make(temperature=1.0)
    cold = op.attention(10 * x)
    op.temperature = 30.0
    warm = op.attention(10 * x)
    torch.testing.assert_close(warm.sum(1), torch.ones(2, dtype=torch.float64))
    assert (warm - 1 / 3).abs().max() < (cold - 1 / 3).abs().max() / 5


@torch.no_grad()
def test_clips_of_one_average_have_one_kernel():
    """It is a convolution within a clip, and none over clips."""
    op, x = make()
    moved = x.roll((1, 2), (3, 4))
    torch.testing.assert_close(op.attention(moved), op.attention(x))
    torch.testing.assert_close(op(moved)[..., 2:-1, 3:-1], op(x).roll((1, 2), (3, 4))[..., 2:-1, 3:-1])
    assert (op(2 * x) - 2 * op(x)).abs().max() > 1e-3


@torch.no_grad()
def test_one_kernel_is_a_convolution():
    op, x = make(kernels=1, kernel=(3, 3, 3))
    torch.testing.assert_close(op(x), plain(op, op.weight[0], None)(x))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel": (3, 3)},
        {"kernel": (1, 2, 3)},
        {"kernels": 0},
        {"reduction": 5},
        {"temperature": 0.0},
        {"stride": 0},
        {"per_frame": True, "kernel": (3, 3, 3)},
    ],
)
def test_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        DynamicConv(4, **options)
