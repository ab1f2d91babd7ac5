"""Self-attention with its N x N map formed, and each pair's relative weight read off the table by its offset."""

import torch
import torch.nn.functional as F


def relative(table, grid):
    """(heads, 2T-1, 2H-1, 2W-1), of whatever grid it was learned on -> (heads, N, N)."""
    sizes = [2 * size - 1 for size in grid]
    for axis, size in enumerate(sizes, start=1):
        if size == 1:  # the centre, offset 0
            table = table.index_select(axis, torch.tensor([table.shape[axis] // 2], device=table.device))
    table = F.interpolate(table[None], sizes, mode="trilinear", align_corners=True)[0]
    index = 0
    for places, size in zip(torch.meshgrid(*map(torch.arange, grid), indexing="ij"), sizes, strict=True):
        places = places.reshape(-1).to(table.device)
        index = index * size + places[None, :] - places[:, None] + size // 2
    return table.flatten(1)[:, index]


def forward(op, x):
    B, C, T, H, W = x.shape
    tokens = x.reshape(B, C, -1).transpose(1, 2)
    q, k, v = (part.reshape(B, -1, op.heads, C // op.heads).transpose(1, 2) for part in op.qkv(tokens).chunk(3, dim=-1))
    scores = q @ k.transpose(-1, -2) / (C // op.heads) ** 0.5
    if op.rpe == "bias":
        scores = scores + relative(op.R, (T, H, W))
    weights = torch.softmax(scores, dim=-1)
    if op.rpe == "multiplicative":
        weights = weights * relative(op.R, (T, H, W))
    y = (weights @ v).transpose(1, 2).reshape(B, -1, C)
    return op.proj(y).transpose(1, 2).reshape(B, C, T, H, W)
