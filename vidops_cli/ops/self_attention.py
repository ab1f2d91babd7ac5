"""Multi-head self-attention over all positions of a clip. Vaswani et al., Attention Is All You Need, arXiv 1706.03762.

    y = softmax(q k^T / sqrt(c)) v, per head of width c, followed by a linear projection

Quadratic in the number of positions N = T H W. Deviations: none; no position term is added here.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """(B, C, T, H, W) -> the same shape."""

    def __init__(self, channels: int, *, heads: int = 8, bias: bool = True):
        super().__init__()
        if heads < 1 or channels % heads:
            raise ValueError(f"{heads} heads do not divide {channels} channels")
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels, bias=bias)
        self.proj = nn.Linear(channels, channels, bias=bias)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        grid = x.shape[2:]
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.proj(y).transpose(1, 2).unflatten(2, grid)

    def extra_repr(self) -> str:
        return f"heads={self.heads}"
