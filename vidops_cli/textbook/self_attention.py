"""Self-attention with its N x N map formed, and each pair's relative weight read off the table by its offset."""

import torch
import torch.nn.functional as F


def fitted(table, grid):
    """(heads, 2T-1, 2H-1, 2W-1) of the grid, from the table of whatever grid it was learned on."""
    sizes = [2 * size - 1 for size in grid]
    for axis, size in enumerate(sizes, start=1):
        if size == 1:  # the centre, offset 0
            table = table.index_select(axis, torch.tensor([table.shape[axis] // 2], device=table.device))
    if list(table.shape[1:]) == sizes:
        return table
    return F.interpolate(table[None], sizes, mode="trilinear", align_corners=True)[0]


def relative(table, grid, positions):
    """(heads, P, N): the table's entries for the offsets of all positions from those told."""
    table, index = fitted(table, grid), 0
    axes = [torch.arange(size, device=table.device) for size in grid]
    for places, size in zip(torch.meshgrid(*axes, indexing="ij"), grid, strict=True):
        places = places.reshape(-1)
        index = index * (2 * size - 1) + places[None, :] - places[positions, None] + size - 1
    return table.flatten(1)[:, index]


def at(op, x, positions):
    """(B, C, P): the output at flat positions (t H + h) W + w."""
    B, C, T, H, W = x.shape
    tokens = x.flatten(2).transpose(1, 2).contiguous()
    q, k, v = (part.reshape(B, -1, op.heads, C // op.heads).transpose(1, 2) for part in op.qkv(tokens).chunk(3, dim=-1))
    scores = q[:, :, positions] / (C // op.heads) ** 0.5 @ k.transpose(-1, -2)
    if op.rpe == "bias":
        scores = scores + relative(op.R, (T, H, W), positions)
    weights = torch.softmax(scores, dim=-1)
    if op.rpe == "multiplicative":
        weights = weights * relative(op.R, (T, H, W), positions)
    return op.proj(torch.cat((weights @ v).unbind(1), dim=-1)).transpose(1, 2)


def forward(op, x):
    return at(op, x, slice(None)).reshape(x.shape)
