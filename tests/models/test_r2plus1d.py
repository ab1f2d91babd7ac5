"""R(2+1)D: its convolutions in plain loops, its shapes, and its size."""

import pytest
import torch

from vidops_cli.models import MODELS
from vidops_cli.models.r2plus1d import Factored, FactoredBlock


@pytest.mark.parametrize("stride, step", [(1, 1), (2, 2), (2, 1)])
@torch.no_grad()
def test_plain_loops(stride, step):
    torch.manual_seed(0)
    layer = Factored(2, out_channels=3, mid=4, stride=stride, step=step).double().eval()
    x = torch.randn(1, 2, 4, 5, 6, dtype=torch.float64)
    y = layer(x)
    height, width = -(-5 // stride), -(-6 // stride)
    middle = torch.zeros(4, 4, height, width, dtype=torch.float64)
    for t in range(4):
        for i in range(height):
            for j in range(width):
                for a in range(3):
                    for b in range(3):
                        row, column = stride * i + a - 1, stride * j + b - 1
                        if 0 <= row < 5 and 0 <= column < 6:
                            middle[:, t, i, j] += layer.spatial.weight[:, :, 0, a, b] @ x[0, :, t, row, column]
    middle = (middle / (1 + layer.norm.eps) ** 0.5).clamp_min(0)
    assert y.shape == (1, 3, 4 // step, height, width)
    for t in range(4 // step):
        wanted = sum(
            torch.einsum("om,mhw->ohw", layer.temporal.weight[:, :, d, 0, 0], middle[:, step * t + d - 1])
            for d in range(3)
            if 0 <= step * t + d - 1 < 4
        )
        torch.testing.assert_close(y[0, :, t], wanted)


def test_a_pair_has_as_many_weights_as_the_convolution_that_it_stands_for():
    block = FactoredBlock(64, 64, 1)
    pair = block.conv1.spatial.weight.numel() + block.conv1.temporal.weight.numel()
    assert block.conv1.spatial.out_channels == 144 and pair == 27 * 64 * 64
    assert FactoredBlock(64, 128, 2).conv2.spatial.out_channels == 230  # as the first one's


def test_time_is_halved_with_space():
    torch.manual_seed(0)
    network = MODELS["r2plus1d_18"].build(classes=5).eval()
    x, seen = torch.randn(1, 3, 8, 32, 32), []
    for i in range(1, 5):
        getattr(network, f"layer{i}").register_forward_hook(lambda _, x, y: seen.append(tuple(y.shape[2:])))
    with torch.no_grad():
        assert network(x).shape == (1, 5)
    assert seen == [(8, 16, 16), (4, 8, 8), (2, 4, 4), (1, 2, 2)]


def test_its_size_is_that_of_the_published_weights():
    with torch.device("meta"):
        network = MODELS["r2plus1d_18"].build(classes=400)
    assert (
        sum(p.numel() for p in network.parameters()) == 31_505_325
    )  # torchvision's R2Plus1D_18_Weights.KINETICS400_V1
