"""Attention within windows, one box of the map after another: what lies between two cuts on each axis.

`published`: all windows at once, of a map that is padded and shifted around, with what does not belong together masked.
"""

import itertools

import torch
import torch.nn.functional as F


def axes(op, grid):
    """(size, side, shift, padding) of each axis."""
    for size, full in zip(grid, op.sides, strict=True):
        side = min(size, full)
        yield size, side, full // 2 if op.shifted and size > full else 0, -size % side


def padded(op, x):
    around = [pair for *_, more in axes(op, x.shape[2:]) for pair in (more, 0)]
    return F.pad(x, around[::-1])


def boxes(op, grid):
    """Slices (t, h, w) of each window."""
    found = []
    for size, side, shift, more in axes(op, grid):
        end = size + more if op.padding == "zero" else size
        edges = sorted({0, *range(shift, end, side), end})
        found.append([slice(a, b) for a, b in itertools.pairwise(edges)])
    return itertools.product(*found)


def bias(op, sizes):
    """(heads, n, n): the table's entry for the offset of each pair."""
    places = list(itertools.product(*map(range, sizes)))
    t, h, w = (2 * side - 1 for side in op.sides)
    table = op.relative_position_bias_table.reshape(t, h, w, op.heads)
    away = torch.tensor(places)[:, None] - torch.tensor(places)[None] + torch.tensor(op.sides) - 1
    away = away.to(table.device)
    return table[away[..., 0], away[..., 1], away[..., 2]].permute(2, 0, 1)


def attended(op, x):
    """One box (B, C, t, h, w)."""
    tokens = x.flatten(2).transpose(1, 2)
    y = []
    parts = (part.chunk(op.heads, dim=-1) for part in op.qkv(tokens).chunk(3, dim=-1))
    for q, k, v, B in zip(*parts, bias(op, x.shape[2:]), strict=True):
        y.append(torch.softmax(q @ k.transpose(1, 2) / q.shape[-1] ** 0.5 + B, dim=-1) @ v)
    return op.proj(torch.cat(y, dim=-1)).transpose(1, 2).reshape(x.shape)


def forward(op, x):
    T, H, W = x.shape[2:]
    whole = padded(op, x) if op.padding == "zero" else x
    y = torch.zeros_like(whole)
    for box in boxes(op, (T, H, W)):
        y[(..., *box)] = attended(op, whole[(..., *box)])
    return y[:, :, :T, :H, :W]


def at(op, x, positions):
    """(B, C, P): the output at flat positions (t H + h) W + w."""
    grid, rows = tuple(x.shape[2:]), []
    whole, all_boxes = padded(op, x) if op.padding == "zero" else x, list(boxes(op, grid))
    for n in positions.tolist():
        place = n // (grid[1] * grid[2]), n // grid[2] % grid[1], n % grid[2]
        box = next(b for b in all_boxes if all(s.start <= p < s.stop for s, p in zip(b, place, strict=True)))
        inside = [p - s.start for s, p in zip(box, place, strict=True)]
        rows.append(attended(op, whole[(..., *box)])[(..., *inside)])
    return torch.stack(rows, dim=-1)


def cut(x, sides):
    """(B, T, H, W, C) -> (B, k, n, C)."""
    B, T, H, W, C = x.shape
    t, h, w = sides
    x = x.reshape(B, T // t, t, H // h, h, W // w, w, C).permute(0, 1, 3, 5, 2, 4, 6, 7)
    return x.reshape(B, -1, t * h * w, C)


def uncut(y, grid, sides):
    """The other way."""
    counts = [size // side for size, side in zip(grid, sides, strict=True)]
    return y.reshape(len(y), *counts, *sides, y.shape[-1]).permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(len(y), *grid, -1)


def labels(op, grid, device):
    """Numbers of the boxes of all positions, other ones of what was padded; in windows (1, k, n)."""
    number = torch.zeros((), dtype=torch.long, device=device)
    for size, side, shift, more in axes(op, grid):
        place = torch.arange(size + more, device=device)
        part = (place - shift) // side + 1
        if op.padding == "masked":
            part[size:] = -1
        number = 10_000 * number[..., None] + part
    _, sides, shifts, _ = zip(*axes(op, grid), strict=True)
    return cut(number.roll([-shift for shift in shifts], (0, 1, 2))[None, ..., None], sides)[..., 0]


def published(op, x):
    grid = [int(size) for size in x.shape[2:]]
    _, sides, shifts, _ = zip(*axes(op, grid), strict=True)
    whole = padded(op, x).movedim(1, -1)
    tokens = cut(whole.roll([-shift for shift in shifts], (1, 2, 3)), sides)
    q, k, v = op.qkv(tokens).unflatten(-1, (3, op.heads, -1)).permute(3, 0, 1, 4, 2, 5)
    where = labels(op, grid, x.device)
    apart = where[..., :, None] != where[..., None, :]
    scores = q / q.shape[-1] ** 0.5 @ k.transpose(-1, -2) + bias(op, sides)
    weights = torch.softmax(scores.masked_fill(apart[:, :, None], -torch.inf), dim=-1)
    y = op.proj((weights @ v).transpose(2, 3).flatten(3))
    y = uncut(y, whole.shape[1:4], sides).roll(shifts, (1, 2, 3)).movedim(-1, 1)
    return y[:, :, : grid[0], : grid[1], : grid[2]]
