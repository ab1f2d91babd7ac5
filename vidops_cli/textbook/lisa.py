"""LiSA with the N x N matrices of relative weights formed (it is a reconstruction: no code was published).

`published` is the form whose operations count: the same sums as products of spectra.
"""

from functools import cache

import torch
import torch.nn.functional as F


def dense(table, grid):
    """(heads, D, 2T-1, 2H-1, 2W-1) -> (heads, D, N, N): entry [n, m] is table[m - n]."""
    T, H, W = grid
    t, h, w = (torch.arange(size, device=table.device) for size in grid)
    t, h, w = (axis[None, :] - axis[:, None] + len(axis) - 1 for axis in (t, h, w))
    index = t[:, None, None, :, None, None], h[None, :, None, None, :, None], w[None, None, :, None, None, :]
    return table[..., index[0], index[1], index[2]].reshape(*table.shape[:2], T * H * W, T * H * W)


def wrapped(table, grid):
    """The table of a circular convolution: each offset stands for its nearest copy on the torus."""
    axes = []
    for size in grid:
        offset = torch.arange(-(size - 1), size, device=table.device)
        axes.append((offset + size // 2) % size - size // 2 + size - 1)
    t, h, w = axes
    return table[..., t[:, None, None], h[None, :, None], w[None, None, :]]


def projected(op, x):
    """q, k, v: (B, heads, N, c) each."""
    B, C = x.shape[:2]
    tokens = x.flatten(2).transpose(1, 2).contiguous()
    return [part.reshape(B, -1, op.heads, C // op.heads).transpose(1, 2) for part in op.qkv(tokens).chunk(3, dim=-1)]


def tables(op, grid):
    """P and R: (heads or 1, D, 2T-1, 2H-1, 2W-1)."""
    return [wrapped(table, grid) if op.padding == "circular" else table for table in op.tables(grid)]


def code(op, s):
    """phi of (..., D), unscaled."""
    s = s / (op.qkv.in_features // op.heads) ** 0.5
    if op.phi == "softmax":
        return torch.softmax(s, dim=-1)
    if op.phi == "l2":
        return s / torch.sqrt((s * s).sum(-1, keepdim=True) + 1e-6)
    return F.gelu(s) if op.phi == "gelu" else s


def forward(op, x):
    grid = tuple(x.shape[2:])
    q, k, v = projected(op, x)
    P, R = (dense(table, grid) for table in tables(op, grid))
    s = torch.einsum("hdnm,bhnm->bhnd", P, q @ k.transpose(-1, -2))
    y = torch.einsum("bhnd,hdnm,bhmc->bhnc", code(op, s), R, v)
    return op.proj(y.transpose(1, 2).flatten(2)).transpose(1, 2).reshape(x.shape)


@cache
def fast(n):
    """The smallest product of 2, 3 and 5 from n on."""
    return min(a for i in range(20) for j in range(13) for k in range(9) if (a := 2**i * 3**j * 5**k) >= n)


def lengths(op, grid):
    return list(grid) if op.padding == "circular" else [fast(2 * int(size) - 1) for size in grid]


def spectrum(op, maps):
    return torch.fft.rfftn(maps, lengths(op, maps.shape[-3:]), dim=(-3, -2, -1))


def spectral(op, maps, table, grid):
    """sum over m of table[m - n] maps[m], of the spectrum of (B, heads, c, T, H, W) and (heads or 1, 1, 2T-1, ...)."""
    kernel, first = table.flip(-3, -2, -1), [size - 1 for size in grid]  # entry o: the offset m - n = size - 1 - o
    if op.padding == "circular":
        kernel, first = kernel[..., grid[0] - 1 :, grid[1] - 1 :, grid[2] - 1 :], [0, 0, 0]
    long = lengths(op, grid)
    y = torch.fft.irfftn(maps * torch.fft.rfftn(kernel, long, dim=(-3, -2, -1)), long, dim=(-3, -2, -1))
    for dim, start, size in zip((-3, -2, -1), first, grid, strict=True):
        y = y.narrow(dim, start, size)
    return y


def published(op, x):
    grid = tuple(int(size) for size in x.shape[2:])
    q, k, v = (part.transpose(2, 3).unflatten(3, grid) for part in projected(op, x))  # B, heads, c, T, H, W
    (P, R), keys, values = tables(op, grid), spectrum(op, k), spectrum(op, v)
    s = torch.stack([(q * spectral(op, keys, P[:, d, None], grid)).sum(2) for d in range(op.patterns)], dim=-1)
    weights, y = code(op, s), 0
    for d in range(op.patterns):
        y = y + weights[:, :, None, ..., d] * spectral(op, values, R[:, d, None], grid)
    return op.proj(y.flatten(3).flatten(1, 2).transpose(1, 2).contiguous()).transpose(1, 2).reshape(x.shape)


def at(op, x, positions):
    """(B, C, P): the output at flat positions (t H + h) W + w, one row of each pattern's matrix after another."""
    T, H, W = x.shape[2:]
    q, k, v = projected(op, x)
    P, R = tables(op, (T, H, W))
    rows = []
    for n in positions.tolist():
        t, h, w = T - 1 - n // (H * W), H - 1 - n // W % H, W - 1 - n % W  # entries of the first position, m = 0
        to_keys, to_values = (table[..., t : t + T, h : h + H, w : w + W].flatten(2) for table in (P, R))
        correlation = torch.einsum("bhc,bhmc->bhm", q[:, :, n], k)
        weights = code(op, torch.einsum("hdm,bhm->bhd", to_keys, correlation))
        weights = torch.einsum("bhd,hdm->bhm", weights, to_values)
        rows.append(torch.einsum("bhm,bhmc->bhc", weights, v).flatten(1))
    return op.proj(torch.stack(rows, dim=1)).transpose(1, 2)
