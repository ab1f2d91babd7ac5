"""Involution. Li et al., Involution: Inverting the Inherence of Convolution for Visual Recognition, CVPR 2021,
arXiv 2103.06255.

A convolution has one kernel for all positions and another for each channel; an involution has another for each position
and one for the channels of a group. The kernel of a position is made from its own features alone.

    H[n] = W_1 relu(bn(W_0 x[n])) + b          N weights for each of G groups, N = frames x K x K
    y[c, n] = sum_d H[n, g(c), d] x[c, n + d]          g(c) the group of channel c; x is zero outside the map

Deviations: written from the paper's equations; no numbers of released code hold it. The paper is about images:
frames > 1 is ours, in the evident form. Where `group_channels` do not divide the map's, groups are of their greatest
common divisor. It has no stride here.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import aggregate
from vidops_cli.functional.frames import per_frame

from . import cost
from .checks import at_least, made_for, odd
from .layers import conv_bn_relu


class Involution(nn.Module):
    """(B, C, T, H, W) -> the same shape."""

    def __init__(
        self, channels: int, *, window: int = 7, frames: int = 1, group_channels: int = 16, reduction: int = 4
    ):
        super().__init__()
        odd(window=window, frames=frames)
        at_least(1, group_channels=group_channels)
        if not 1 <= reduction <= channels:
            raise ValueError(f"reduction must be from 1 to the {channels} channels, got {reduction}")
        self.channels, self.window = channels, (frames, window, window)
        self.groups = channels // math.gcd(channels, group_channels)
        self.reduce = conv_bn_relu(channels, channels // reduction)
        self.span = nn.Conv2d(channels // reduction, self.groups * math.prod(self.window), 1)

    def kernel(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B G N T H W"]:
        """H, the offsets' last axis running fastest."""
        return per_frame(lambda images: self.span(self.reduce(images)), x).unflatten(1, (self.groups, -1))

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("Involution", self.channels, x)
        return aggregate(self.kernel(x), x, self.window)

    def cost(self, x: tuple[int, ...]) -> cost.Cost:
        B, C, T, H, W = x
        n, (hidden, *_) = B * T * H * W, self.reduce[0].weight.shape
        total = cost.conv_bn_relu(self.reduce[0].weight.shape, n)
        return (
            total + cost.products(n * self.span.out_channels, hidden) + cost.correlation(n * C, math.prod(self.window))
        )

    def extra_repr(self) -> str:
        return f"window={self.window}, groups={self.groups}"
