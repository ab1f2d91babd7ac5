import itertools

import pytest
import torch

from vidops_cli.ops.conv2plus1d import Conv2Plus1D
from vidops_cli.ops.conv3d import Conv3d


def stirred(op):
    """In evaluation, with statistics that are not the initial ones."""
    for value in (op.norm.weight, op.norm.bias, op.norm.running_mean, op.norm.running_var):
        torch.nn.init.uniform_(value, 0.2, 0.9)
    return op.double().eval()


@pytest.mark.parametrize("kernel, stride", [((3, 3, 3), 1), ((5, 1, 3), 2)])
@torch.no_grad()
def test_equation_as_loops(kernel, stride):
    torch.manual_seed(0)
    op, x = stirred(Conv2Plus1D(2, out_channels=3, kernel=kernel, mid=4, stride=stride)), torch.randn(1, 2, 3, 4, 5)
    x = x.double()
    (L, U, V), (T, H, W), norm = kernel, x.shape[2:], op.norm
    y = torch.zeros(3, T, -(-H // stride), -(-W // stride), dtype=torch.float64)
    middle = torch.zeros(4, *y.shape[1:], dtype=torch.float64)
    places = list(itertools.product(*map(range, y.shape[1:])))
    for t, i, j in places:
        for a, b in itertools.product(range(U), range(V)):
            row, column = stride * i + a - U // 2, stride * j + b - V // 2
            if 0 <= row < H and 0 <= column < W:
                middle[:, t, i, j] += op.spatial.weight[:, :, 0, a, b] @ x[0, :, t, row, column]
        centred = (middle[:, t, i, j] - norm.running_mean) / (norm.running_var + norm.eps) ** 0.5
        middle[:, t, i, j] = (norm.weight * centred + norm.bias).clamp_min(0)
    for (t, i, j), d in itertools.product(places, range(L)):
        if 0 <= t + d - L // 2 < T:
            y[:, t, i, j] += op.temporal.weight[:, :, d, 0, 0] @ middle[:, t + d - L // 2, i, j]
    torch.testing.assert_close(op(x)[0], y)


@pytest.mark.parametrize("channels, out, kernel", [(64, 64, (3, 3, 3)), (64, 128, (3, 3, 3)), (16, 8, (5, 7, 7))])
def test_as_many_weights_as_the_whole_kernel(channels, out, kernel):
    """Rounded down, by less than one channel's."""
    op, whole = (
        Conv2Plus1D(channels, out_channels=out, kernel=kernel),
        Conv3d(channels, out_channels=out, kernel=kernel),
    )
    ours = op.spatial.weight.numel() + op.temporal.weight.numel()
    assert 0 <= whole.weight.numel() - ours < ours / op.mid
    assert Conv2Plus1D(64).mid == 144  # of the paper's second stage


@torch.no_grad()
def test_what_tells_it_from_a_kernel_of_products():
    """The ReLU between: twice and minus the input are not twice and minus the output."""
    torch.manual_seed(0)
    op, x = stirred(Conv2Plus1D(4)), torch.randn(1, 4, 3, 5, 5, dtype=torch.float64)
    op.norm.bias.zero_(), op.norm.running_mean.zero_()
    torch.testing.assert_close(op(2 * x), 2 * op(x))
    assert (op(-x) + op(x)).abs().max() > 0.1


@pytest.mark.parametrize("options", [{"kernel": (3, 3)}, {"kernel": (2, 3, 3)}, {"mid": 0}, {"stride": 0}])
def test_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Conv2Plus1D(4, **options)
