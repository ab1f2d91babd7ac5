"""Linear attention. Katharopoulos et al., Transformers are RNNs: Fast Autoregressive Transformers with Linear
Attention, ICML 2020, arXiv 2006.16236.

The softmax's exp(q k) is replaced by a product of features phi(q) phi(k), so that the keys can be summed up with their
values once for all queries: linear in the number of positions N, and no N x N map.

    y_n = phi(q_n)^T sum_m phi(k_m) v_m^T / ( phi(q_n)^T sum_m phi(k_m) ),   phi(x) = elu(x) + 1    per head of width c

Deviations: the form that is not causal, over all positions of a clip. As in the released code, q is not scaled and the
divisor has an epsilon, 1e-6. Sums run in float32 or better. The linear layers before and after are those of
self_attention, of the same names. No numbers of released code hold it.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional.precision import full_precision

from .checks import heads_divide, made_for
from .cost import ACTIVATION, Cost, each, products

EPSILON = 1e-6


class LinearAttention(nn.Module):
    """(B, C, T, H, W) -> the same shape; a token mixer."""

    def __init__(self, channels: int, *, heads: int = 8, bias: bool = True):
        super().__init__()
        heads_divide(heads, channels)
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels, bias=bias)
        self.proj = nn.Linear(channels, channels, bias=bias)

    def phi(self, x: Tensor) -> Tensor:
        """Features above zero."""
        return F.elu(x) + 1

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("LinearAttention", self.qkv.in_features, x)
        qkv = self.qkv(x.flatten(2).transpose(1, 2))
        full = qkv.to(torch.promote_types(qkv.dtype, torch.float32))
        q, k, v = full.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # B, h, N, c
        with full_precision(x):
            q, k = self.phi(q), self.phi(k)
            total = k.sum(2).unsqueeze(-1)  # B, h, c, 1
            y = q @ (k.transpose(-1, -2) @ v) / (q @ total + EPSILON)
        return self.proj(y.transpose(1, 2).flatten(2).to(qkv.dtype)).transpose(1, 2).unflatten(2, x.shape[2:])

    def cost(self, x: tuple[int, ...]) -> Cost:
        B, C, *grid = x
        values, queries = math.prod(x), B * self.heads * math.prod(grid)
        features = each(2 * values, ACTIVATION + 1)
        sums = products(values, 2 * C // self.heads) + each(values)
        divided = products(queries, C // self.heads) + each(queries) + each(values)
        return products(values, 4 * C) + features + sums + divided

    def extra_repr(self) -> str:
        return f"heads={self.heads}"
