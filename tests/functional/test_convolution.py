import itertools

import pytest
import torch
import torch.nn.functional as F

from vidops_cli.functional import conv3d

SIZES = list(itertools.product((1, 2, 3, 4), (1, 3, 5), (1, 3, 6), (1, 3, 7)))  # frames, over them, height, over it


@pytest.mark.parametrize("groups, channels, out", [(1, 4, 6), (4, 4, 8)])
@pytest.mark.parametrize("stride", [1, 2])
def test_it_is_torchs(groups, channels, out, stride):
    torch.manual_seed(0)
    for T, k, H, s in SIZES:
        x, weight = torch.randn(2, channels, T, H, 5), torch.randn(out, channels // groups, k, s, 3)
        given = {"stride": (1, stride, stride), "padding": (k // 2, s // 2, 1), "groups": groups}
        torch.testing.assert_close(
            conv3d(x, weight, torch.ones(out), **given), F.conv3d(x, weight, torch.ones(out), **given)
        )


@pytest.mark.parametrize("groups, channels, out", [(1, 8, 8), (1, 1, 8), (8, 8, 32)])
def test_bfloat16_gradients_are_near_the_true_ones(groups, channels, out):
    torch.manual_seed(0)
    for T, k, H, s in SIZES:
        x, weight = torch.randn(2, channels, T, H, 6), torch.randn(out, channels // groups, k, s, 3)
        found = []
        for dtype in (torch.float64, torch.bfloat16):
            leaves = [value.to(dtype).requires_grad_() for value in (x, weight)]
            y = conv3d(*leaves, padding=(k // 2, s // 2, 1), groups=groups)
            found.append([y, *torch.autograd.grad(y, leaves, torch.ones_like(y))])
        for true, near in zip(*found, strict=True):
            assert (near - true).norm() <= 0.05 * true.norm(), (T, k, H, s)
