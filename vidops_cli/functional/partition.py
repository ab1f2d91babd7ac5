"""Windows that do not overlap: a grid of any number of axes cut into them, and which of its pairs they bring together.

Positions of a grid and windows of it are listed row by row, the last axis running fastest.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor


def windows(x: Tensor, window: Sequence[int]) -> Float[Tensor, "b k n C"]:
    """The k windows of n positions each of (b, *grid, C), whose axes the window divides."""
    axes = len(window)
    for axis, side in enumerate(window):
        x = x.unflatten(2 * axis + 1, (-1, side))
    x = x.permute(0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2), 2 * axes + 1)
    return x.flatten(axes + 1, 2 * axes).flatten(1, axes)


def joined(y: Float[Tensor, "b k n C"], grid: Sequence[int], window: Sequence[int]) -> Tensor:
    """What `windows` was made of."""
    axes = len(window)
    y = y.unflatten(2, tuple(window)).unflatten(1, [size // side for size, side in zip(grid, window, strict=True)])
    y = y.permute(0, *(axis + half for axis in range(1, axes + 1) for half in (0, axes)), 2 * axes + 1)
    for axis in range(1, axes + 1):
        y = y.flatten(axis, axis + 1)
    return y


def relative_index(
    sizes: Sequence[int], window: Sequence[int], device: torch.device | None = None
) -> Int[Tensor, "n n"]:
    """Row of the table of a `window`, of 2 side - 1 offsets on each axis, for each pair of a window no larger."""
    axes = [torch.arange(size, device=device) for size in sizes]
    index = torch.zeros((), dtype=torch.long, device=device)
    for place, side in zip(torch.meshgrid(*axes, indexing="ij"), window, strict=True):
        place = place.flatten()
        index = index * (2 * side - 1) + place[:, None] - place[None, :] + side - 1
    return index


def shift_mask(
    grid: Sequence[int],
    window: Sequence[int],
    shift: Sequence[int],
    *,
    true: Sequence[int] | None = None,
    device: torch.device | None = None,
) -> Float[Tensor, "k n n"]:
    """0 for pairs of one region, -100 for pairs that only the shift brought into one window; k windows of a grid.

    `true`: sizes of the map before it was padded to the grid; what was padded is a region of its own.
    """
    region = torch.zeros((), device=device)
    for size, side, by, inside in zip(grid, window, shift, true or grid, strict=True):
        place = torch.arange(size, device=device)
        part = (place >= size - side).long() + (place >= size - by).long() + 3 * ((place + by) % size >= inside).long()
        region = 6 * region[..., None] + part
    regions = windows(region[None, ..., None], window).squeeze(-1).squeeze(0)
    return (regions[:, :, None] != regions[:, None, :]) * -100.0
