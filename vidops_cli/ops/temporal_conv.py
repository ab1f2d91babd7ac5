"""Temporal convolution. Tran et al., A Closer Look at Spatiotemporal Convolutions, CVPR 2018, arXiv 1711.11248.

Each position looks at itself in the frames around its own.

    y[t] = x[t] + sum over |d| <= K // 2 of W[d] x[t + d]        zero outside the clip; W starts at zero

Deviations: the residual form is that of SIFA's shifted Swin blocks (SIFA/model/c2d_sifa_swin.py), where W starts at
zero when weights of an image network are taken over; R(2+1)D's plain one, with a usual start, is residual=False.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn

from .checks import made_for, odd
from .cost import Cost, each, products


class TemporalConv(nn.Module):
    """(B, C, T, H, W) -> the same shape."""

    def __init__(self, channels: int, *, kernel: int = 3, residual: bool = True, bias: bool = False):
        super().__init__()
        odd(kernel=kernel)
        self.residual = residual
        # over (T, H W): in bfloat16 on a CPU, Conv3d's weight gradient is wrong on clips that are short for the kernel
        self.conv = nn.Conv2d(channels, channels, (kernel, 1), padding=(kernel // 2, 0), bias=bias)
        if residual:
            for parameter in self.conv.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("TemporalConv", self.conv.in_channels, x)
        y = self.conv(x.flatten(3)).unflatten(3, x.shape[3:])
        return x + y if self.residual else y

    def cost(self, x: tuple[int, ...]) -> Cost:
        values = math.prod(x)
        return products(values, x[1] * self.conv.kernel_size[0]) + each(values if self.residual else 0)

    def extra_repr(self) -> str:
        return f"residual={self.residual}"
