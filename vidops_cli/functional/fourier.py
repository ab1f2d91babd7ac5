"""Convolution with a relative-position table over the whole grid, by FFT."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import full_precision


def relative_conv(x: Tensor, table: Tensor, *, padding: str = "zero") -> Tensor:
    """y[n] = sum over m of table[m - n] x[m], in O(N log N).

    x is (..., T, H, W); table is (..., 2T-1, 2H-1, 2W-1), offset 0 at its centre; leading axes broadcast.
    `padding="zero"` equals the dense Toeplitz product; `"circular"` wraps around the map, at an eighth of the length on
    three axes. Computed in float32 or better, whatever autocast says. ValueError if the table does not fit the grid.
    """
    grid = tuple(int(size) for size in x.shape[-3:])  # plain numbers, under torch.jit.trace too
    if tuple(table.shape[-3:]) != tuple(2 * size - 1 for size in grid):
        raise ValueError(
            f"a {grid} grid needs a table of {tuple(2 * s - 1 for s in grid)}, got {tuple(table.shape[-3:])}"
        )
    if padding not in ("zero", "circular"):
        raise ValueError(f"padding is zero or circular, got {padding!r}")
    if 0 in map(int, (*x.shape, *table.shape)):  # an empty batch: FFT libraries refuse it
        return x * table[..., : grid[0], : grid[1], : grid[2]].to(x.dtype)
    with full_precision(x):
        return _spectral(_float(x), _float(table), grid, padding).to(x.dtype)


def _spectral(x: Tensor, table: Tensor, grid: tuple[int, ...], padding: str) -> Tensor:
    dims = (-3, -2, -1)
    if padding == "circular":
        for dim, size in zip(dims, grid, strict=True):
            table = table.narrow(dim, size - 1 - size // 2, size)
        lengths = grid
        centre = tuple(size // 2 for size in grid)
    else:
        lengths = tuple(fast_length(2 * size - 1) for size in grid)
        t, h, w = (length - (2 * size - 1) for length, size in zip(lengths, grid, strict=True))
        table = F.pad(table, (0, w, 0, h, 0, t))
        centre = tuple(size - 1 for size in grid)
    table = torch.roll(table, [-c for c in centre], dims)
    spectrum = torch.fft.rfftn(x, lengths, dim=dims) * torch.fft.rfftn(table, dim=dims).conj()
    y = torch.fft.irfftn(spectrum, lengths, dim=dims)
    return y[..., : grid[0], : grid[1], : grid[2]]


def fast_length(n: int) -> int:
    """The smallest product of 2, 3 and 5 that is at least n."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest = rest // prime
        if rest == 1:
            return n
        n += 1


def _float(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
