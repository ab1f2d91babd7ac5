"""SCE, as RENet compares with it. Huang et al., Dynamic Context Correspondence Network, ICCV 2019, arXiv 1909.03444.

A spatial context encoder: each position is described by its dot products with the positions around it, one number for
each offset, beside its own feature. The result replaces the feature map.

    z = relu(bn(W_in x));   s[n, d] = <z[n], z[n + d]>,  |d| <= (window - 1) / 2
    y = bn(W_out relu(bn(W [z, s / |s|])))

Deviations: none known from the released code of RENet (arXiv 2108.09666), whose norm |s| over the window has its
epsilon 1e-6 inside the root. Clips are taken frame by frame.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import correlate, l2norm
from vidops_cli.functional.frames import per_frame

from . import cost
from .checks import at_least, made_for, odd
from .layers import ConvNorm, conv_bn_relu


class SCE(nn.Module):
    """(B, C, T, H, W) -> the same shape."""

    def __init__(self, channels: int, *, planes: Sequence[int] = (64, 64), window: int = 5):
        super().__init__()
        if len(planes) != 2:
            raise ValueError(f"planes has two widths, of W_in and of W, got {list(planes)}")
        at_least(1, planes=planes)
        odd(window=window)
        first, second = planes
        self.window = window
        self.conv_in = conv_bn_relu(channels, first)
        self.embed = conv_bn_relu(first + window**2, second)
        self.conv_out = ConvNorm(nn.Conv2d(second, channels, 1, bias=False))

    def self_similarity(self, z: Float[Tensor, "B P T H W"]) -> Float[Tensor, "B N T H W"]:
        """s / |s|, for N = window^2 offsets."""
        z = z.to(torch.promote_types(z.dtype, torch.float32))  # squares of halves overflow
        s = correlate(z, z, (1, self.window, self.window)).squeeze(1)
        return l2norm(s)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("SCE", self.conv_in[0].in_channels, x)
        z = per_frame(self.conv_in, x)
        context = torch.cat([z, self.self_similarity(z).to(z.dtype)], dim=1)
        return per_frame(lambda image: self.conv_out(self.embed(image)), context)

    def cost(self, x: tuple[int, ...]) -> cost.Cost:
        B, _, T, H, W = x
        n, N = B * T * H * W, self.window**2
        total = cost.conv_bn_relu(self.conv_in[0].weight.shape, n)
        total += cost.correlation(n * N, self.conv_in[0].out_channels) + cost.l2norm(n * N, n)
        total += cost.conv_bn_relu(self.embed[0].weight.shape, n)
        return total + cost.conv_bn(self.conv_out[0].weight.shape, n)

    def extra_repr(self) -> str:
        return f"window={self.window}"
