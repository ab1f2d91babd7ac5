"""XCA. El-Nouby et al., XCiT: Cross-Covariance Image Transformers, NeurIPS 2021, arXiv 2106.09681.

Attention between channels, not between positions: the c x c covariance of keys and queries, summed over all positions,
says how the channels of a head are mixed. Linear in the number of positions, and the same at each of them.

    XCA(Q, K, V) = V softmax( K^^T Q^ / tau )      per head of width c; Q^, K^: each channel of length 1 over positions

so that output channel i is a sum of the value's channels j, weighed by softmax_j( <k^_j, q^_i> / tau ).

Deviations: `temperature` is 1 / tau, one for each head, as in the released code; it starts at 1. Lengths have an
epsilon of 1e-6 inside the root. All positions of a clip are summed over. XCA moves nothing between positions but these
sums: the local patch interaction (LPI), two depthwise convolutions, is another layer of the paper's block and no part
of this one. No numbers of released code hold it.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import l2norm

from .checks import heads_divide, made_for
from .cost import SOFTMAX, Cost, each, products
from .cost import l2norm as l2norm_cost


class CrossCovariance(nn.Module):
    """(B, C, T, H, W) -> the same shape; a token mixer."""

    def __init__(self, channels: int, *, heads: int = 8, bias: bool = True):
        super().__init__()
        heads_divide(heads, channels)
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels, bias=bias)
        self.proj = nn.Linear(channels, channels)
        self.temperature = nn.Parameter(torch.ones(heads))

    def attention(self, q: Float[Tensor, "B h c N"], k: Float[Tensor, "B h c N"]) -> Float[Tensor, "B h c c"]:
        """The weight of each value channel (last) in each channel of the output."""
        covariance = l2norm(q, dim=-1) @ l2norm(k, dim=-1).transpose(-1, -2)
        return (covariance * self.temperature[:, None, None]).softmax(-1)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("CrossCovariance", self.qkv.in_features, x)
        qkv = self.qkv(x.flatten(2).transpose(1, 2)).transpose(1, 2)  # B, 3 C, N
        q, k, v = qkv.unflatten(1, (3, self.heads, -1)).unbind(1)
        y = self.attention(q, k).to(v.dtype) @ v
        return self.proj(y.flatten(1, 2).transpose(1, 2)).transpose(1, 2).unflatten(2, x.shape[2:])

    def cost(self, x: tuple[int, ...]) -> Cost:
        B, C = x[:2]
        values, entries = math.prod(x), B * C * C // self.heads
        attention = products(values, 2 * C // self.heads) + each(entries, 1 + SOFTMAX)
        return products(values, 4 * C) + 2 * l2norm_cost(values, B * C) + attention

    def extra_repr(self) -> str:
        return f"heads={self.heads}"
