"""Local self-attention, as RENet compares with it. Ramachandran et al., Stand-Alone Self-Attention in Vision Models,
NeurIPS 2019, arXiv 1906.05909.

Each position attends to the window around it. Half of the channels know the row of a neighbour, half its column; in
a window over frames all know its frame too. The result replaces the feature map.

    w[c, n, d] = softmax_d( q[c, n] (k[c, n + d] + r[c, d]) ), r[c, d] = rel_h[c, d_y] or rel_w[c, d_x], + rel_t[c, d_t]
    y          = bn(W relu(bn( sum_d w[c, n, d] v[c, n + d] )))   W 1x1; keys and values are zero outside the map

Deviations: in the released code of RENet (arXiv 2108.09666) each channel has its own softmax and a pointwise layer
follows, as above. With `heads=M`, which sums q k over the channels of each head first, and `pointwise=False`, it is the
layer of Ramachandran et al., which stands for a convolution. RENet builds the module with no padding, so that on its
5x5 maps one window is read as 25 maps of one offset, and the softmax is 1 everywhere: `attention=False` is this module,
y = bn(W relu(bn(v))), and leaves out the weights of q, k and r, which do nothing. Neither is of clips: `frames` and
rel_t are ours, in the evident form.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import aggregate, correlate
from vidops_cli.functional.frames import per_frame

from . import cost
from .checks import heads_divide, made_for, odd


class LocalSelfAttention(nn.Module):
    """(B, C, T, H, W) -> the same shape."""

    def __init__(
        self,
        channels: int,
        *,
        window: int = 5,
        frames: int = 1,
        heads: int | None = None,
        attention: bool = True,
        pointwise: bool = True,
    ):
        super().__init__()
        odd(window=window, frames=frames)
        if channels % 2:
            raise ValueError(f"channels must be even, half for rows and half for columns, got {channels}")
        if heads is not None:
            heads_divide(heads, channels)
        self.window = frames, window, window
        self.heads = heads
        self.attends = attention
        if attention:
            self.query = nn.Conv2d(channels, channels, 1, bias=False)
            self.key = nn.Conv2d(channels, channels, 1, bias=False)
            self.rel_h = nn.Parameter(torch.randn(channels // 2, window))
            self.rel_w = nn.Parameter(torch.randn(channels // 2, window))
            if frames > 1:
                self.rel_t = nn.Parameter(torch.randn(channels, frames))
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.output = nn.Sequential()
        if pointwise:
            self.output.extend([nn.BatchNorm2d(channels), nn.ReLU()])
            self.output.extend([nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels)])

    def relative(self) -> Float[Tensor, "C N"]:
        """r, for N = frames x window^2 offsets, d_x running fastest."""
        frames, *size = self.window
        rows, columns = (rel.expand(-1, *size) for rel in (self.rel_h[:, :, None], self.rel_w[:, None, :]))
        space = torch.cat([rows, columns])[:, None]
        return (space if frames == 1 else space + self.rel_t[:, :, None, None]).flatten(1)

    def attention(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B M N T H W"]:
        """w: M = channels, or heads."""
        q, k = per_frame(self.query, x), per_frame(self.key, x)
        M = self.heads or self.value.out_channels
        content = correlate(q, k, self.window, groups=M)
        position = torch.einsum("bmcthw,mcn->bmnthw", q.unflatten(1, (M, -1)), self.relative().unflatten(0, (M, -1)))
        return torch.softmax(content + position, dim=2)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("LocalSelfAttention", self.value.in_channels, x)
        v = per_frame(self.value, x)
        if self.attends:
            v = aggregate(self.attention(x), v, self.window)
        return per_frame(self.output, v) if len(self.output) else v

    def cost(self, x: tuple[int, ...]) -> cost.Cost:
        B, C, T, H, W = x
        n, N, M = B * T * H * W, math.prod(self.window), self.heads or C
        total = cost.products(n * C, C)  # v
        if len(self.output):
            total += cost.products(n * C, C) + cost.each(n * C, 2 * cost.BATCH_NORM + 1)
        if self.attends:
            weights = n * M * N
            total += 2 * cost.products(n * C, C)  # q, k
            total += 2 * cost.correlation(weights, C // M) + cost.each(weights, 1 + cost.SOFTMAX)  # q k + q r
            total += cost.correlation(n * C, N)
            total += cost.each(C * N if self.window[0] > 1 else 0)  # r
        return total

    def extra_repr(self) -> str:
        return f"window={self.window}, heads={self.heads}, attention={self.attends}, pointwise={len(self.output) > 0}"
