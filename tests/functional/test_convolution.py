import itertools

import pytest
import torch
import torch.nn.functional as F

from vidops_cli.functional import conv2d, conv3d, planewise_conv3d

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


@pytest.mark.parametrize("kernel, stride", [(3, 2), (3, 4), (5, 2)])
@pytest.mark.parametrize("convolve", [conv2d, conv3d])
def test_bfloat16_gradients_on_maps_narrower_than_the_stride(convolve, kernel, stride):
    torch.manual_seed(0)
    ahead = [1] if convolve is conv3d else []
    strides, padding = (*ahead, stride, stride), (*[0 for _ in ahead], kernel // 2, kernel // 2)
    for width in range(1, stride + 1):
        x, weight = torch.randn(2, 16, *ahead, 5, width), torch.randn(16, 16, *ahead, kernel, kernel)
        found = []
        for dtype in (torch.float64, torch.bfloat16):
            leaves = [value.to(dtype).requires_grad_() for value in (x, weight)]
            y = convolve(*leaves, stride=strides, padding=padding)
            found.append([y, *torch.autograd.grad(y, leaves, torch.ones_like(y))])
        for true, near in zip(*found, strict=True):
            assert (near - true).norm() <= 0.05 * true.norm(), width


# --- plane by plane -------------------------------------------------------------------------------------------------


def grouped(x, weight, padding):
    """The same by one grouped convolution of torch: B T H W G O."""
    G = x.shape[1]
    own = weight if len(weight) == G else weight.expand(G, *weight.shape[1:])
    y = F.conv3d(x, own.flatten(0, 1)[:, None], padding=padding, groups=G)
    return y.unflatten(1, (G, -1)).permute(0, 3, 4, 5, 1, 2)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("batch", [1, 2])
def test_planes_by_kernels_of_their_own_or_the_same(shared, batch):
    torch.manual_seed(0)
    for T, k, H, s in SIZES:
        x = torch.randn(batch, 3, T, H, 5, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(1 if shared else 3, 4, k, s, 3, dtype=torch.float64, requires_grad=True)
        padding = (k // 2, s // 2, 1)
        ours, true = planewise_conv3d(x, weight, padding), grouped(x, weight, padding)
        torch.testing.assert_close(ours, true)
        along = torch.randn_like(true)
        for a, b in zip(*(torch.autograd.grad(y, [x, weight], along) for y in (ours, true)), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("shared", [True, False])
def test_planes_can_be_differentiated_twice(shared):
    x = torch.randn(1, 2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(1 if shared else 2, 2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: planewise_conv3d(x, w, (1, 1, 1)), (x, weight))
    assert torch.autograd.gradgradcheck(lambda x, w: planewise_conv3d(x, w, (1, 1, 1)), (x, weight))
