"""StructSA. Kim et al., Learning Correlation Structures for Vision Transformers, CVPR 2024, arXiv 2404.03924.

Attention that reads the structure of the query-key correlation: D convolution kernels U_K look at the correlation map
of a query, the softmax runs over all N D responses, and each response brings not one value but a local window of
values, weighed by the aggregator U_V of its pattern. Quadratic in the number of positions N = T H W.

    A_i = softmax( conv(q_i K^T / sqrt(c); U_K) )      (N, D), M = L U V taps of a window, per head of width c
    y_i = sum_j (A_ij U_V^T) V_j                       V_j (M, c): the values of the window around j, zero outside

Both are linear in K and V: conv(q_i K^T; U_K)[j, d] = <q_i, (U_K[d] * K)_j> and U_V[d]^T V_j = (U_V[d] * V)_j, so the
form below is D convolutions of K and of V, and plain attention over N D keys; neither map nor windows are formed.

Deviations: written from the paper's equation, no released code at hand. The scale 1/sqrt(c), kernels for each head,
and the start (U_K and U_V near a delta at the centre: plain attention) are ours.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import conv3d

from .checks import at_least, heads_divide, made_for
from .cost import SOFTMAX, Cost, each, products


class StructSA(nn.Module):
    """(B, C, T, H, W) -> the same shape; a token mixer."""

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 8,
        patterns: int = 8,
        window: Sequence[int] = (1, 3, 3),
        bias: bool = True,
    ):
        super().__init__()
        heads_divide(heads, channels)
        at_least(1, patterns=patterns)
        if len(window) != 3 or any(size < 1 or size % 2 == 0 for size in window):
            raise ValueError(f"window must be three odd sizes, got {tuple(window)}")
        self.heads, self.patterns, self.window = heads, patterns, tuple(window)
        self.qkv = nn.Linear(channels, 3 * channels, bias=bias)
        self.proj = nn.Linear(channels, channels, bias=bias)
        self.U_K = nn.Parameter(torch.empty(heads, patterns, *window))
        self.U_V = nn.Parameter(torch.empty(heads, patterns, *window))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """A delta at the centre, with noise that tells the patterns apart."""
        centre = tuple(size // 2 for size in self.window)
        with torch.no_grad():
            for kernels in (self.U_K, self.U_V):
                nn.init.normal_(kernels, std=0.1 / kernels[0, 0].numel() ** 0.5)
                kernels[(..., *centre)] += 1

    def structures(
        self, maps: Float[Tensor, "B h c T H W"], U: Float[Tensor, "h D L U V"]
    ) -> Float[Tensor, "B h DN c"]:
        """(U[d] * maps)_j for all patterns d and positions j, zero outside the map: the keys or the values attended."""
        padding = [size // 2 for size in self.window]
        found = conv3d(maps.transpose(1, 2).flatten(0, 1), U.flatten(0, 1)[:, None], padding=padding, groups=self.heads)
        found = found.unflatten(1, (self.heads, -1)).flatten(3)  # B c, h, D, N
        return found.unflatten(0, (maps.shape[0], maps.shape[2])).permute(0, 2, 3, 4, 1).flatten(2, 3)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("StructSA", self.qkv.in_features, x)
        q, k, v = self.qkv(x.movedim(1, -1)).movedim(-1, 1).unflatten(1, (3, self.heads, -1)).unbind(1)  # B h c T H W
        q = q.flatten(3).transpose(2, 3)
        y = F.scaled_dot_product_attention(q, self.structures(k, self.U_K), self.structures(v, self.U_V))
        y = y.transpose(1, 2).flatten(2)  # B N C
        return self.proj(y).transpose(1, 2).unflatten(2, x.shape[2:])

    def cost(self, x: tuple[int, ...]) -> Cost:
        """With the kernels taken to K and V, as above: no map of N x N windows is formed."""
        B, C, *grid = x
        N, keys = math.prod(grid), self.patterns * math.prod(grid)
        structures = products(2 * B * C * keys, math.prod(self.window))
        attention = products(B * N * keys, 2 * C) + each(B * C * N) + each(B * self.heads * N * keys, SOFTMAX)
        return products(B * N * C, 4 * C) + structures + attention

    def extra_repr(self) -> str:
        return f"heads={self.heads}, patterns={self.patterns}, window={self.window}"
