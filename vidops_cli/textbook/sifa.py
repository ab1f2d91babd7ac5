"""SIFA: each tap is read at its four neighbours.

Sums of products are taken elementwise, which is fast; `published` takes them as matrix products, so that their
gradients are counted as such too.
"""

from itertools import product

import torch
import torch.nn.functional as F


def offsets(op, x):
    """Of the taps from each frame to the next, (B, 2 K^2, T - 1, H, W)."""
    now, then, weight = x[:, :, :-1], x[:, :, 1:], op.conv_offset.weight
    if op.offsets == "conv3d":
        return F.conv3d(x, weight, padding=1)[:, :, 1:]
    read = then
    if op.offsets == "difference":
        read = then - now
    elif op.offsets == "motion":
        gate = torch.sigmoid(then - now)
        read = then * (1 + gate if op.modulation == "released" else gate)
    return F.conv3d(read, weight, padding=(0, 1, 1))


def summed(equation, a, b):
    """einsum, where b has all letters, and a some in the same order."""
    of_a, of_b, result = equation.replace("->", ",").split(",")
    for axis, letter in enumerate(of_b):
        a = a if letter in of_a else a.unsqueeze(axis)
    return (a * b).sum([axis for axis, letter in enumerate(of_b) if letter not in result])


def bilinear(f, y, x, contract):
    """f (B, C, T, H, W) at (y, x), each (B, N, T, H, W): B N C T H W, by pixels, so that whole positions stay whole."""
    B, C, T, H, W = f.shape
    N = y.shape[1]
    pixel = torch.arange(H * W, device=f.device).view(H, W)
    inside = (y > -1) & (y < H) & (x > -1) & (x < W)
    top, left = torch.floor(y.detach()), torch.floor(x.detach())
    down, right = y - top, x - left
    rows, columns = [(top, 1 - down), (top + 1, down)], [(left, 1 - right), (left + 1, right)]
    weights, values = [], []  # of the four corners
    for (row, high), (column, wide) in product(rows, columns):
        there = inside & (row >= 0) & (row < H) & (column >= 0) & (column < W)
        weights.append(torch.where(there, high * wide, 0.0))
        index = pixel[torch.where(there, row, 0.0).long(), torch.where(there, column, 0.0).long()]
        index = index.flatten(3)[:, :, None].expand(B, N, C, T, H * W)
        values.append(f.flatten(3)[:, None].expand(B, N, C, T, H * W).gather(4, index).unflatten(4, (H, W)))
    return contract("bknthw,bkncthw->bncthw", torch.stack(weights, dim=1), torch.stack(values, dim=1))


def taps(op, then, moved, contract):
    """What each tap reads in frames (B, C, T, H, W), moved by (B, 2 K^2, T, H, W) or by nothing: B N C T H W."""
    H, W = then.shape[-2:]
    K, d = op.kernel, op.dilation
    r = K // 2 * d
    starts = range(0, K * d, d)
    if moved is None:
        padded = F.pad(then, (r, r, r, r))
        return torch.stack([padded[..., i : i + H, j : j + W] for i, j in product(starts, repeat=2)], dim=1)
    rows, columns = (
        torch.stack([torch.arange(i - r, i - r + size, device=then.device, dtype=then.dtype) for i in starts])
        for size in (H, W)
    )
    y, x = rows.repeat_interleave(K, dim=0)[:, None, :, None], columns.repeat(K, 1)[:, None, None]
    by_y, by_x = moved.unflatten(1, (-1, 2)).unbind(2)
    return bilinear(then, y + by_y, x + by_x, contract)


def forward(op, x, contract=summed):
    C = x.shape[1]
    moved = None if op.offsets in ("regular", "colocated") else offsets(op, x)
    f = x[:, :, :-1].unflatten(1, (op.groups, -1))
    s = taps(op, x[:, :, 1:], moved, contract).unflatten(2, (op.groups, -1))
    a = contract("bgcthw,bngcthw->bngthw", f, s) / C
    y = F.pad(contract("bngthw,bngcthw->bgcthw", a, s).flatten(1, 2), (0, 0, 0, 0, 0, 1))
    if op.norm is not None:
        y = F.layer_norm(y.movedim(1, -1), (C,), op.norm.weight, op.norm.bias, op.norm.eps).movedim(-1, 1)
    return x + y


def published(op, x):
    return forward(op, x, contract=torch.einsum)


def reach(op, x):
    """Rows and columns around a position that its output depends on: the farthest tap and the pixel behind it."""
    farthest = op.kernel // 2 * op.dilation
    if op.offsets in ("regular", "colocated"):
        return farthest
    return farthest + int(offsets(op, x).abs().max()) + 1
