"""The plain layers against their equations, as loops."""

import itertools

import torch

from vidops_cli.ops.conv2d import Conv2d
from vidops_cli.ops.conv3d import Conv3d


def as_loops(op, kernel, stride, x):
    """W (out, in, L, U, V) of the layer, at each position it keeps."""
    weight = op.weight.reshape(op.weight.shape[0], x.shape[1], *kernel)
    reach = [size // 2 for size in kernel]
    T, H, W = x.shape[2:]
    places = list(itertools.product(range(T), range(0, H, stride), range(0, W, stride)))
    y = torch.zeros(x.shape[0], len(weight), T, -(-H // stride), -(-W // stride), dtype=x.dtype)
    for (t, i, j), d in itertools.product(places, itertools.product(*map(range, kernel))):
        at = [place + step - r for place, step, r in zip((t, i, j), d, reach, strict=True)]
        if all(0 <= place < size for place, size in zip(at, (T, H, W), strict=True)):
            y[:, :, t, i // stride, j // stride] += x[(..., *at)] @ weight[(..., *d)].T
    return y + (0 if op.bias is None else op.bias[:, None, None, None])


def test_conv2d():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 2, 4, 5, dtype=torch.float64)
    for kernel, stride, bias in ((1, 1, False), (3, 1, True), (5, 2, False)):
        op = Conv2d(3, out_channels=4, kernel=kernel, stride=stride, bias=bias).double()
        torch.testing.assert_close(op(x), as_loops(op, (1, kernel, kernel), stride, x))


def test_conv3d():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 3, 4, 5, dtype=torch.float64)
    for kernel, stride, bias in (((3, 3, 3), 1, False), ((1, 3, 5), 2, True), ((5, 1, 3), 1, False)):
        op = Conv3d(3, out_channels=4, kernel=kernel, stride=stride, bias=bias).double()
        torch.testing.assert_close(op(x), as_loops(op, kernel, stride, x))
