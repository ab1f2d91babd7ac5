"""Window attention. Liu et al., Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, ICCV 2021,
arXiv 2103.14030; over clips: Liu et al., Video Swin Transformer, CVPR 2022, arXiv 2106.13230.

The map is cut into windows of P x M x M positions that do not overlap, and each position attends to its own window:
linear in the number of positions. In every second block the windows are shifted by half of their size; a mask keeps
apart what only the cyclic shift brought together.

    Attention(Q, K, V) = softmax(Q K^T / sqrt(d) + B) V        per window and head of width d
    B[n, m] = B^[n - m]                                        a learned table of (2P-1)(2M-1)(2M-1) offsets

Deviations: a window longer than the map is cut to it, and an axis that is no longer than the window is not shifted, as
in the released code of Video Swin. Maps that windows do not divide are padded; what was padded is masked here, while
padding="zero" lets the zeros take part, as both released codes do. Dropout is left out. No numbers of released code
hold the operator over clips; that of frames (vidops_cli/models/swin.py) is held by those of SIFA-Swin.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional.partition import joined, relative_index, shift_mask, windows

from .checks import heads_divide, made_for
from .cost import SOFTMAX, Cost, each, products


class WindowAttention(nn.Module):
    """(B, C, T, H, W) -> the same shape; a token mixer."""

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 8,
        window: Sequence[int] = (8, 7, 7),
        shift: bool = False,
        padding: str = "masked",
    ):
        super().__init__()
        heads_divide(heads, channels)
        if len(window) != 3 or min(window) < 1:
            raise ValueError(f"window must be three sizes from 1, got {tuple(window)}")
        if padding not in ("masked", "zero"):
            raise ValueError(f"padding is masked or zero, got {padding!r}")
        self.heads, self.sides, self.shifted, self.padding = heads, tuple(window), shift, padding
        self.scale = (channels // heads) ** -0.5
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        offsets = math.prod(2 * side - 1 for side in window)
        self.relative_position_bias_table = nn.Parameter(torch.empty(offsets, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def fitted(self, grid: Sequence[int]) -> tuple[int, ...]:
        """P, M, M, no larger than the map."""
        return tuple(min(side, size) for side, size in zip(self.sides, grid, strict=True))

    def shifts(self, grid: Sequence[int]) -> tuple[int, ...]:
        """By how much the windows of a map are shifted on each axis."""
        return tuple(self.shifted * (size > side) * (side // 2) for side, size in zip(self.sides, grid, strict=True))

    def relative(self, window: Sequence[int]) -> Float[Tensor, "h n n"]:
        """B, for all pairs of positions of a window."""
        index = relative_index(window, self.sides, self.relative_position_bias_table.device)
        return self.relative_position_bias_table[index].permute(2, 0, 1)

    def mask(
        self, grid: Sequence[int], true: Sequence[int], device: torch.device | None = None
    ) -> Float[Tensor, "k n n"] | None:
        """Which pairs of a map of `true` sizes, padded to `grid`, do not belong together; None if all do."""
        shift, true = self.shifts(true), true if self.padding == "masked" else grid
        if not any(shift) and tuple(true) == tuple(grid):
            return None
        return shift_mask(grid, self.fitted(true), shift, true=true, device=device)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("WindowAttention", self.qkv.in_features, x)
        true = tuple(int(size) for size in x.shape[2:])  # plain numbers, under torch.jit.trace too
        window, shift = self.fitted(true), self.shifts(true)
        t, h, w = (-size % side for size, side in zip(true, window, strict=True))
        x = F.pad(x.movedim(1, -1), (0, 0, 0, w, 0, h, 0, t))
        grid = (true[0] + t, true[1] + h, true[2] + w)
        if any(shift):
            x = x.roll([-by for by in shift], dims=(1, 2, 3))
        q, k, v = self.qkv(windows(x, window)).unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)
        logits = q * self.scale @ k.transpose(-1, -2) + self.relative(window)  # B, k, heads, n, n
        mask = self.mask(grid, true, x.device)
        if mask is not None:
            logits = logits + mask.to(logits.dtype)[:, None]
        y = self.proj((logits.softmax(-1) @ v).transpose(2, 3).flatten(3))
        y = joined(y, grid, window)
        if any(shift):
            y = y.roll(shift, dims=(1, 2, 3))
        return y[:, : true[0], : true[1], : true[2]].movedim(-1, 1)

    def cost(self, x: tuple[int, ...]) -> Cost:
        """Of all positions of the padded map."""
        B, C, *grid = x
        window = self.fitted(grid)
        N = B * math.prod(size + -size % side for size, side in zip(grid, window, strict=True))
        pairs = N * math.prod(window)
        attention = products(pairs, 2 * C) + each(N * C) + each(self.heads * pairs, 1 + SOFTMAX)
        return products(N * C, 4 * C) + attention

    def extra_repr(self) -> str:
        return f"heads={self.heads}, window={self.sides}, shift={self.shifted}, padding={self.padding}"
