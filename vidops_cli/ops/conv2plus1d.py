"""(2+1)D convolution. Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, CVPR 2018,
arXiv 1711.11248.

A convolution over space and time is taken apart: one in space to M channels, a norm, a ReLU, and one in time. M is such
that the two have as many weights as the one, so that what differs is the order and the ReLU between.

    y = W_t * relu(bn(W_s * x))            W_s 1 x d x d to M channels, W_t t x 1 x 1, zero padded
    M = floor( t d^2 C1 C2 / (d^2 C1 + t C2) )          of C1 channels to C2

Deviations: for kernels that are not square, d^2 is height x width. A stride is in space alone, as that of conv3d here;
the paper's networks stride in time too, in places of their own (`models/r2plus1d.py`).
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from .checks import at_least, made_for, odd
from .cost import Cost, conv_bn_relu, products
from .layers import SafeConv3d


class Conv2Plus1D(nn.Module):
    """(B, C, T, H, W) -> (B, out_channels, T, H / stride, W / stride), zero padded."""

    def __init__(
        self,
        channels: int,
        *,
        out_channels: int | None = None,
        kernel: Sequence[int] = (3, 3, 3),
        mid: int | None = None,
        stride: int = 1,
    ):
        super().__init__()
        if len(kernel) != 3:
            raise ValueError(f"kernel must be three odd sizes, got {tuple(kernel)}")
        odd(kernel=kernel)
        at_least(1, stride=stride, out_channels=out_channels, mid=mid)
        (frames, *size), out = kernel, out_channels or channels
        area = size[0] * size[1]
        self.in_channels, self.out_channels, self.stride = channels, out, stride
        self.mid = mid or max(1, frames * area * channels * out // (area * channels + frames * out))
        padding = (0, size[0] // 2, size[1] // 2)
        self.spatial = SafeConv3d(
            channels, self.mid, (1, *size), stride=(1, stride, stride), padding=padding, bias=False
        )
        self.norm = nn.BatchNorm3d(self.mid)
        self.temporal = SafeConv3d(self.mid, out, (frames, 1, 1), padding=(frames // 2, 0, 0), bias=False)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C2 T2 H2 W2"]:
        made_for("Conv2Plus1D", self.in_channels, x)
        return self.temporal(self.norm(self.spatial(x)).relu())

    def cost(self, x: tuple[int, ...]) -> Cost:
        B, _, T, H, W = x
        positions = B * T * -(-H // self.stride) * -(-W // self.stride)
        in_time = products(positions * self.out_channels, self.mid * self.temporal.kernel_size[0])
        return conv_bn_relu(self.spatial.weight.shape, positions) + in_time

    def extra_repr(self) -> str:
        return f"mid={self.mid}, stride={self.stride}"
