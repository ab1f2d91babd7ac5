"""Lambda layer. Bello, LambdaNetworks: Modeling Long-Range Interactions without Attention, ICLR 2021, arXiv 2102.08602.

A context is summed up in a small matrix, a lambda, which is applied to the query: no weight of a single position is
formed. One lambda tells what is anywhere in the clip, another what is where around the position; heads share both.

    q_h = bn(W_Q x), v = bn(W_V x), K = softmax over m of (W_K x)[m]          k channels of q and K, C / heads of v
    lambda[n] = sum_m K[m]^T v[m] + sum_d E[d]^T v[n + d]          content + position; v is zero outside the map
    y_h[n] = lambda[n]^T q_h[n]

The position lambdas are a convolution of each value's plane by E (the paper's lambda convolution), as RSA's basic
context is. They are made for a block of values at a time, and made anew for the backward pass.

Deviations: written from the paper's equations; no numbers of released code hold it. The intra-depth |u| is 1; the
normal start of E, of size N^-1/2, is ours. The paper is about images: on clips m runs over all frames, and frames > 1,
a window in time too, is ours. It has no stride here.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import planewise_conv3d
from vidops_cli.functional.blocks import blockwise
from vidops_cli.functional.frames import per_frame

from . import cost
from .checks import at_least, heads_divide, made_for, odd
from .layers import ConvNorm
from .rsa import product


class LambdaLayer(nn.Module):
    """(B, C, T, H, W) -> (B, out_channels, T, H, W)."""

    def __init__(
        self,
        channels: int,
        *,
        out_channels: int | None = None,
        heads: int = 4,
        key_channels: int = 16,
        window: int = 23,
        frames: int = 1,
    ):
        super().__init__()
        odd(window=window, frames=frames)
        at_least(1, out_channels=out_channels, key_channels=key_channels)
        out = out_channels or channels
        heads_divide(heads, out)
        self.channels, self.heads, self.key_channels = channels, heads, key_channels
        self.window = frames, window, window
        self.query = ConvNorm(nn.Conv2d(channels, heads * key_channels, 1, bias=False))
        self.key = nn.Conv2d(channels, key_channels, 1, bias=False)
        self.value = ConvNorm(nn.Conv2d(channels, out // heads, 1, bias=False))
        self.E = nn.Parameter(torch.randn(key_channels, *self.window) * math.prod(self.window) ** -0.5)

    def content(self, x: Float[Tensor, "B C T H W"], v: Float[Tensor, "B V T H W"]) -> Float[Tensor, "B V k"]:
        """The lambda of all positions, transposed."""
        keys = torch.softmax(per_frame(self.key, x).flatten(2), dim=2)
        return v.flatten(2) @ keys.mT.to(v.dtype)

    def lambdas(self, v: Float[Tensor, "B M T H W"], content: Float[Tensor, "B M k"]) -> Float[Tensor, "B T H W M k"]:
        """Content and position, transposed, of M values."""
        position = planewise_conv3d(v.contiguous(), self.E[None], [size // 2 for size in self.window])
        return position + content[:, None, None, None].to(position.dtype)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C2 T H W"]:
        made_for("LambdaLayer", self.channels, x)
        q, v = per_frame(self.query, x), per_frame(self.value, x)
        q = q.movedim(1, -1).unflatten(-1, (self.heads, self.key_channels))

        def applied(v: Tensor, content: Tensor) -> Float[Tensor, "B M T H W h"]:
            return product(self.lambdas(v, content), q.mT).movedim(-2, 1)

        each = v[:, :1].numel() * self.key_channels * v.element_size()
        y = blockwise(applied, v, self.content(x, v), bytes_each=each, dim=1, again=True)
        return y.movedim(-1, 1).flatten(1, 2).contiguous()

    def cost(self, x: tuple[int, ...]) -> cost.Cost:
        B, C, T, H, W = x
        n, k, (v, *_) = B * T * H * W, self.key_channels, self.value[0].weight.shape
        total = cost.conv_bn(self.query[0].weight.shape, n) + cost.conv_bn(self.value[0].weight.shape, n)
        total += cost.products(n * k, C) + cost.each(n * k, cost.SOFTMAX)
        total += cost.products(n * k * v) + cost.products(n * k * v, math.prod(self.window))  # content, position
        return total + cost.each(n * k * v) + cost.correlation(n * self.heads * v, k)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, key_channels={self.key_channels}, window={self.window}"
