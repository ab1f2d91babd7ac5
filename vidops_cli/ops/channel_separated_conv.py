"""Channel-separated convolution. Tran et al., Video Classification with Channel-Separated Convolutional Networks,
ICCV 2019, arXiv 1904.02811.

A convolution either brings channels together, at one position, or positions together, in one channel. Depthwise kernels
see no other channel: a 1 x 1 x 1 convolution before them preserves what a full one has of that; without it, it is left
to the 1 x 1 x 1 layers of the bottleneck around, which reduces it.

    preserved   y[c, n] = sum_d D[c, d] sum_c' W[c, c'] x[c', n + d]       d in L x K x K, zero outside the map
    reduced     y[c, n] = sum_d D[c, d] x[c, n + d]

Deviations: none known; written from the paper's text, and no numbers of released code hold it. No norm stands between
the two convolutions, as the paper's figure shows none. A stride is in space alone, as that of conv3d here.
"""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional.frames import per_position

from .checks import at_least, made_for, odd
from .cost import Cost, products
from .layers import SafeConv3d

INTERACTIONS = ("preserved", "reduced")


class ChannelSeparatedConv(nn.Module):
    """(B, C, T, H, W) -> (B, out_channels, T, H / stride, W / stride), zero padded."""

    def __init__(
        self,
        channels: int,
        *,
        out_channels: int | None = None,
        interaction: str = "preserved",
        kernel: Sequence[int] = (3, 3, 3),
        stride: int = 1,
    ):
        super().__init__()
        if interaction not in INTERACTIONS:
            raise ValueError(f"interaction is preserved or reduced, got {interaction!r}")
        if len(kernel) != 3:
            raise ValueError(f"kernel must be three odd sizes, got {tuple(kernel)}")
        odd(kernel=kernel)
        at_least(1, stride=stride, out_channels=out_channels)
        out = out_channels or channels
        if interaction == "reduced" and out != channels:
            raise ValueError(f"out_channels must be the {channels} channels where interaction is reduced, got {out}")
        self.channels, self.interaction, self.stride = channels, interaction, stride
        self.pointwise = nn.Conv2d(channels, out, 1, bias=False) if interaction == "preserved" else None
        padding = tuple(size // 2 for size in kernel)
        self.depthwise = SafeConv3d(
            out, out, tuple(kernel), stride=(1, stride, stride), padding=padding, groups=out, bias=False
        )

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C2 T H2 W2"]:
        made_for("ChannelSeparatedConv", self.channels, x)
        return self.depthwise(x if self.pointwise is None else per_position(self.pointwise, x))

    def cost(self, x: tuple[int, ...]) -> Cost:
        B, C, T, H, W = x
        out = self.depthwise.out_channels
        outputs = B * T * -(-H // self.stride) * -(-W // self.stride) * out
        depthwise = products(outputs, math.prod(self.depthwise.kernel_size))
        return depthwise + products(B * T * H * W * out, C if self.pointwise is not None else 0)

    def extra_repr(self) -> str:
        return f"interaction={self.interaction}, stride={self.stride}"
