"""Multi-head self-attention over all positions of a clip. Vaswani et al., Attention Is All You Need, arXiv 1706.03762.

    A = softmax(q k^T / sqrt(c)),  y = A v        per head of width c, followed by a linear projection

Quadratic in the number of positions N = T H W. With R a learned table of relative offsets, one for each head,
    rpe="bias"              A = softmax(q k^T / sqrt(c) + R[m - n])
    rpe="multiplicative"    A = softmax(q k^T / sqrt(c)) R[m - n]      the quadratic structure-aware form; forms N x N

Deviations: none; by default no position term is added. The rows of the multiplicative form are not brought back to a
sum of 1, so that R, which starts near 1, can also take away. On other grids than `grid` the table is interpolated.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional.relative import fit_table, pair_matrix, table_shape

from .checks import heads_divide, made_for
from .cost import SOFTMAX, Cost, each, fitting, products


class SelfAttention(nn.Module):
    """(B, C, T, H, W) -> the same shape."""

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 8,
        bias: bool = True,
        rpe: str = "none",
        grid: Sequence[int] = (1, 14, 14),
    ):
        super().__init__()
        heads_divide(heads, channels)
        if rpe not in ("none", "bias", "multiplicative"):
            raise ValueError(f"rpe is none, bias or multiplicative, got {rpe!r}")
        sizes = table_shape(grid)
        self.heads, self.rpe = heads, rpe
        self.qkv = nn.Linear(channels, 3 * channels, bias=bias)
        self.proj = nn.Linear(channels, channels, bias=bias)
        if rpe != "none":
            self.R = nn.Parameter(torch.empty(heads, *sizes))
            nn.init.normal_(self.R, mean=1.0 if rpe == "multiplicative" else 0.0, std=0.02)

    def relative(self, grid: Sequence[int]) -> Float[Tensor, "h N N"]:
        """R[m - n] for all pairs of positions n, m of a grid."""
        return pair_matrix(fit_table(self.R, grid), grid)

    def projected(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "three B h N c"]:
        """q, k and v."""
        tokens = x.flatten(2).transpose(1, 2)
        return self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def attention(
        self, q: Float[Tensor, "B h M c"], k: Float[Tensor, "B h N c"], R: Float[Tensor, "h M N"] | None
    ) -> Float[Tensor, "B h M N"]:
        """A of M queries; only the multiplicative form has to form it."""
        scores = q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)
        if self.rpe == "multiplicative":
            return scores.softmax(-1) * R
        return (scores if R is None else scores + R).softmax(-1)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("SelfAttention", self.qkv.in_features, x)
        grid = x.shape[2:]
        q, k, v = self.projected(x)
        R = None if self.rpe == "none" else self.relative([int(size) for size in grid])
        if self.rpe == "multiplicative":
            y = self.attention(q, k, R) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=R)
        return self.proj(y.transpose(1, 2).flatten(2)).transpose(1, 2).unflatten(2, grid)

    def cost(self, x: tuple[int, ...]) -> Cost:
        B, C, *grid = x
        N, scaling = math.prod(grid), each(math.prod(x))
        pairs = B * self.heads * N * N
        attention = products(B * N * N, 2 * C) + scaling + each(pairs, SOFTMAX)
        position = Cost() if self.rpe == "none" else fitting(self.R.shape, grid) + each(pairs)
        return products(B * N * C, 4 * C) + attention + position

    def extra_repr(self) -> str:
        return f"heads={self.heads}, rpe={self.rpe}"
