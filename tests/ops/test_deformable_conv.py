import itertools
import math

import pytest
import torch

from vidops_cli.ops.conv2d import Conv2d
from vidops_cli.ops.deformable_conv import DeformableConv


def make(channels=3, *, awake=True, **options):
    torch.manual_seed(0)
    op = DeformableConv(channels, **options).double()
    if awake:
        for value in op.conv_offset.parameters():
            torch.nn.init.normal_(value, std=0.4)
    return op


def read(image, y, x):
    """Bilinear: (C, H, W) at one place, zero outside."""
    top, left = math.floor(y), math.floor(x)
    total = torch.zeros(len(image), dtype=image.dtype)
    for row, column in itertools.product((top, top + 1), (left, left + 1)):
        if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
            total += (1 - abs(y - row)) * (1 - abs(x - column)) * image[:, row, column]
    return total


@pytest.mark.parametrize(
    "options", [{}, {"modulated": False}, {"kernel": 5, "dilation": 2, "bias": True}, {"kernel": 1, "out_channels": 2}]
)
@torch.no_grad()
def test_equation_as_loops(options):
    op, x = make(**options), torch.randn(1, 3, 2, 4, 5, dtype=torch.float64)
    K, d = op.kernel, op.dilation
    found = op(x)
    for t in range(2):
        image = x[0, :, t]
        told = torch.nn.functional.conv2d(
            image[None], op.conv_offset.weight, op.conv_offset.bias, padding=K // 2 * d, dilation=d
        )[0]
        for i, j in itertools.product(range(4), range(5)):
            y = torch.zeros(len(op.weight), dtype=torch.float64) if op.bias is None else op.bias.clone()
            for k, (a, b) in enumerate(itertools.product(range(K), repeat=2)):
                dy, dx = told[2 * k, i, j].item(), told[2 * k + 1, i, j].item()
                m = torch.sigmoid(told[2 * K * K + k, i, j]) if op.modulated else 1
                value = read(image, i + (a - K // 2) * d + dy, j + (b - K // 2) * d + dx)
                y += op.weight[:, :, a, b] @ value * m
            torch.testing.assert_close(found[0, :, t, i, j], y)


@torch.no_grad()
def test_starts_as_a_convolution_of_half_its_weights():
    x = torch.randn(2, 3, 2, 5, 6, dtype=torch.float64)
    for modulated, share in ((True, 0.5), (False, 1.0)):
        op, plain = make(awake=False, modulated=modulated), Conv2d(3).double()
        plain.weight.copy_(op.weight)
        torch.testing.assert_close(op(x), share * plain(x))


@torch.no_grad()
def test_taps_that_are_all_moved_alike_move_the_map():
    op, x = make(awake=False, modulated=False), torch.randn(1, 3, 1, 6, 7, dtype=torch.float64)
    before = op(x)
    op.conv_offset.bias[0::2] = 1  # one row down
    op.conv_offset.bias[1::2] = -2  # two columns to the left
    torch.testing.assert_close(op(x)[..., :-2, 3:], before[..., 1:-1, 1:-2])


def test_offsets_are_learned_from_the_start():
    op, x = make(awake=False), torch.randn(1, 3, 2, 5, 6, dtype=torch.float64)
    op(x).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in op.parameters())


def test_weights_of_a_2d_convolution_load():
    plain, op = torch.nn.Conv2d(4, 8, 3, bias=False), DeformableConv(4, out_channels=8)
    told = op.load_state_dict(plain.state_dict(), strict=False)
    assert not told.unexpected_keys and set(told.missing_keys) == {"conv_offset.weight", "conv_offset.bias"}


@pytest.mark.parametrize("options", [{"kernel": 2}, {"dilation": 0}, {"out_channels": 0}])
def test_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        DeformableConv(4, **options)
