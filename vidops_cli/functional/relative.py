"""Tables of relative positions: one number for each offset (time, height, width) between two positions of a grid.

A table is (..., 2T-1, 2H-1, 2W-1) for a T x H x W grid, offset 0 at its centre; leading axes are heads and the like.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def table_shape(grid: Sequence[int]) -> tuple[int, int, int]:
    """(2T-1, 2H-1, 2W-1). ValueError if the grid is not three sizes from 1."""
    if len(grid) != 3 or min(grid) < 1:
        raise ValueError(f"grid must be three sizes from 1, got {tuple(grid)}")
    t, h, w = (2 * int(size) - 1 for size in grid)  # plain numbers, under torch.jit.trace too
    return t, h, w


def fit_table(table: Tensor, grid: Sequence[int]) -> Tensor:
    """The table of another grid, interpolated linearly about offset 0; itself where it fits."""
    sizes = table_shape(grid)
    if tuple(table.shape[-3:]) == sizes:
        return table
    for dim, size in zip((-3, -2, -1), sizes, strict=True):
        if size == 1:  # interpolation to one entry would read the first
            table = table.narrow(dim, table.shape[dim] // 2, 1)
    maps = F.interpolate(table.flatten(0, -4)[None], sizes, mode="trilinear", align_corners=True)
    return maps[0].unflatten(0, table.shape[:-3])


def pair_matrix(table: Tensor, grid: Sequence[int]) -> Tensor:
    """(..., N, N) from the table of this grid, N = T H W: entry [n, m] is table[m - n]."""
    for size in grid:
        table = table.unfold(-3, int(size), 1)  # from a size - 1 - n on, each window lists the offsets of all m to n
    return table.flip(-6, -5, -4).flatten(-3).flatten(-4, -2)
