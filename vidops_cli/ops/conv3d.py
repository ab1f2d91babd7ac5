"""3-D convolution. Tran et al., Learning Spatiotemporal Features with 3D Convolutional Networks, arXiv 1412.0767.

y[n] = sum over d in L x K x K of W[d] x[n + d]
"""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from .checks import at_least, made_for, odd
from .cost import Cost, products
from .layers import SafeConv3d


class Conv3d(SafeConv3d):
    """(B, C, T, H, W) -> (B, out_channels, T, H / stride, W / stride), zero padded."""

    def __init__(
        self,
        channels: int,
        *,
        out_channels: int | None = None,
        kernel: Sequence[int] = (3, 3, 3),
        stride: int = 1,
        bias: bool = False,
    ):
        kernel = tuple(kernel)
        if len(kernel) != 3:
            raise ValueError(f"kernel must be three odd sizes, got {kernel}")
        odd(kernel=kernel)
        at_least(1, stride=stride, out_channels=out_channels)
        padding = tuple(size // 2 for size in kernel)
        super().__init__(
            channels, out_channels or channels, kernel, stride=(1, stride, stride), padding=padding, bias=bias
        )

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C2 T H2 W2"]:
        made_for("Conv3d", self.in_channels, x)
        return super().forward(x)

    def cost(self, x: tuple[int, ...]) -> Cost:
        B, C, T, H, W = x
        stride = self.stride[-1]
        outputs = B * self.out_channels * T * -(-H // stride) * -(-W // stride)
        return products(outputs, C * math.prod(self.kernel_size))
