"""LiSA with the N x N matrices of relative weights formed (it is a reconstruction: no code was published)."""

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


def forward(op, x):
    B, C, T, H, W = x.shape
    grid = (T, H, W)
    q, k, v = (
        part.reshape(B, -1, op.heads, C // op.heads).transpose(1, 2)
        for part in op.qkv(x.reshape(B, C, -1).transpose(1, 2)).chunk(3, dim=-1)
    )  # B, heads, N, c
    P, R = op.tables(grid)
    if op.padding == "circular":
        P, R = wrapped(P, grid), wrapped(R, grid)
    P, R = dense(P, grid), dense(R, grid)
    s = (torch.einsum("hdnm,bhnm->bhnd", P, q @ k.transpose(-1, -2))) / (C // op.heads) ** 0.5
    if op.phi == "softmax":
        s = torch.softmax(s, dim=-1)
    elif op.phi == "l2":
        s = s / torch.sqrt((s * s).sum(-1, keepdim=True) + 1e-6)
    elif op.phi == "gelu":
        s = F.gelu(s)
    y = torch.einsum("bhnd,hdnm,bhmc->bhnc", s, R, v)
    return op.proj(y.transpose(1, 2).reshape(B, -1, C)).transpose(1, 2).reshape(B, C, T, H, W)
