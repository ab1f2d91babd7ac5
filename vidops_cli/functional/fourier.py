"""Convolution with a relative-position table over the whole grid, by FFT."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import full_precision

AXES = (-3, -2, -1)


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
        spectra = spectrum(x, padding), table_spectrum(table, grid, padding)
        return filtered(*spectra, grid, padding).to(x.dtype)


def spectrum(x: Tensor, padding: str) -> Tensor:
    """Of maps (..., T, H, W); float32 or better."""
    return torch.fft.rfftn(_float(x), fourier_lengths([int(size) for size in x.shape[-3:]], padding), dim=AXES)


def table_spectrum(table: Tensor, grid: Sequence[int], padding: str) -> Tensor:
    """Of tables (..., 2T-1, 2H-1, 2W-1), as `filtered` multiplies maps by it."""
    lengths, table = fourier_lengths(grid, padding), _float(table)
    if padding == "circular":
        for dim, size in zip(AXES, grid, strict=True):
            table = table.narrow(dim, size - 1 - size // 2, size)
        centre = [size // 2 for size in grid]
    else:
        t, h, w = (length - (2 * size - 1) for length, size in zip(lengths, grid, strict=True))
        table = F.pad(table, (0, w, 0, h, 0, t))
        centre = [size - 1 for size in grid]
    return torch.fft.rfftn(torch.roll(table, [-c for c in centre], AXES), dim=AXES).conj()


def filtered(maps: Tensor, table: Tensor, grid: Sequence[int], padding: str) -> Tensor:
    """The convolution (..., T, H, W) of what two spectra are of. Lines that are not kept are not transformed."""
    product = maps * table
    for dim, size, length in zip(AXES[:2], grid, fourier_lengths(grid, padding), strict=False):
        if length > 1:
            product = torch.fft.ifft(product, dim=dim).narrow(dim, 0, size)
    return torch.fft.irfft(product, fourier_lengths(grid, padding)[2], dim=-1)[..., : grid[2]]


def fourier_lengths(grid: Sequence[int], padding: str) -> tuple[int, ...]:
    """Of the transforms: the grid's, or of a good length at which it does not meet itself."""
    return tuple(size if padding == "circular" else fast_length(2 * size - 1) for size in grid)


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


def fit_spectrum(half: Tensor, learned: Sequence[int], grid: Sequence[int]) -> Tensor:
    """The half spectrum (..., T, H, W // 2 + 1) of a real map on another grid than that on which it was learned.

    Between its frequencies, in turns for each position and of period 1, it is interpolated linearly: that of a larger
    grid is sampled more finely. Itself where it fits.
    """
    if tuple(learned) == tuple(grid):
        return half
    mirrored = half[..., 1 : (learned[2] + 1) // 2].flip(AXES).roll((1, 1), AXES[:2]).conj()  # frequencies below zero
    period = torch.cat([half, mirrored], dim=-1)
    for dim in AXES:
        period = torch.cat([period, period.narrow(dim, 0, 1)], dim)
    parts = torch.view_as_real(period).movedim(-1, 0).flatten(1, -4)
    real, imaginary = F.interpolate(parts, [size + 1 for size in grid], mode="trilinear", align_corners=True)
    found = torch.complex(real, imaginary).unflatten(0, half.shape[:-3])
    return found[..., : grid[0], : grid[1], : grid[2] // 2 + 1]
