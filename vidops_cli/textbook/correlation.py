"""CorrNet's correlation block: the frame before is moved one offset after the other.

`published` multiplies the same pairs as matrices, so that their gradients are counted as such too.
"""

import torch
import torch.nn.functional as F

from . import in_turn


def features(op, x):
    """Of each frame and of the one before it, the first before itself: B T c H W each."""
    B, C, T, H, W = x.shape
    f = in_turn(op.reduce, x.transpose(1, 2).reshape(B * T, C, H, W)).reshape(B, T, -1, H, W)
    return f, f[:, [0, *range(T - 1)]]


def shifted(op, f, before):
    """B T G N H W"""
    c, (H, W), r = f.shape[2], f.shape[-2:], op.window // 2 * op.dilation
    padded = F.pad(before, [r] * 4)
    sums = []
    for n in range(op.window**2):
        y, x = (op.dilation * place for place in divmod(n, op.window))
        near = padded[..., y : y + H, x : x + W]
        near = near if op.filter is None else op.filter[:, n].reshape(1, 1, c, 1, 1) * near
        sums.append((f * near).unflatten(2, (op.groups, -1)).sum(3))
    return torch.stack(sums, dim=3)


def window(op, f, before):
    B, T, c, H, W = f.shape
    near = F.unfold(before.flatten(0, 1), op.window, dilation=op.dilation, padding=op.window // 2 * op.dilation)
    near = near.reshape(B, T, c, -1, H, W)
    near = near if op.filter is None else near * op.filter[:, :, None, None]
    f, near = f.unflatten(2, (op.groups, -1)), near.unflatten(2, (op.groups, -1))
    return torch.einsum("btgchw,btgcnhw->btgnhw", f, near)


def forward(op, x, correlation=shifted):
    B, C, T, H, W = x.shape
    f, before = features(op, x)
    s = correlation(op, f, before) / (f.shape[2] // op.groups)
    y = in_turn(op.expand, s.reshape(B * T, -1, H, W))
    return x + y.reshape(B, T, C, H, W).transpose(1, 2)


def published(op, x):
    return forward(op, x, correlation=window)


def reach(op, x):
    return op.window // 2 * op.dilation
