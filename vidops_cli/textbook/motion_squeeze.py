"""MotionSqueeze: neighbouring frames are correlated one displacement after the other.

`published` multiplies the same pairs as matrices, so that their gradients are counted as such too.
"""

import torch
import torch.nn.functional as F

from . import in_turn


def features(op, x):
    """B T c H W"""
    B, C, T, H, W = x.shape
    f = in_turn(op.reduction, x.transpose(1, 2).reshape(B * T, C, H, W))
    return (f / torch.sqrt((f * f).sum(1, keepdim=True) + 1e-6)).reshape(B, T, -1, H, W)


def shifted(op, f1, f2):
    """Scores of B T c H W, twice -> B N T H W"""
    H, W = f1.shape[-2:]
    then = F.pad(f2, [op.max_displacement] * 4)
    starts = [(y, x) for y in range(op.size) for x in range(op.size)]
    return torch.stack([(f1 * then[..., y : y + H, x : x + W]).sum(2) for y, x in starts], dim=1)


def window(op, f1, f2):
    """The same, of neighbours that are laid out for each position."""
    B, T, C, H, W = f1.shape
    around = F.unfold(f2.flatten(0, 1), op.size, padding=op.max_displacement).reshape(B, T, C, -1, H, W)
    return torch.einsum("btchw,btcnhw->bnthw", f1, around)


def motion(op, volume):
    """What is refined, of the scores of one direction: B M T H W"""
    r, P = op.max_displacement, op.size
    gaussian = op.reading == "kernel_soft_argmax"
    if gaussian or op.confidence:
        best, index = volume.max(dim=1, keepdim=True)
    read = volume
    if op.reading != "correlation":
        grid = torch.arange(-r, r + 1, device=volume.device, dtype=volume.dtype)
        dy, dx = grid.repeat_interleave(P), grid.repeat(P)
        view = (1, -1, 1, 1, 1)
        scores = volume
        if gaussian:
            squared = (dx.view(view) - dx[index]) ** 2 + (dy.view(view) - dy[index]) ** 2
            scores = scores * torch.exp(-squared / (2 * op.sigma**2))
        weights = torch.softmax(scores / op.temperature, dim=1)
        read = (weights.movedim(1, -1) @ torch.stack([dx, dy], dim=1)).movedim(-1, 1) / r
    return torch.cat([read, best], dim=1) if op.confidence else read


def forward(op, x, correlation=shifted):
    B, C, T, H, W = x.shape
    f = features(op, x)
    now, then = f[:, :-1], f[:, 1:]
    fed = motion(op, correlation(op, now, then).clamp(min=0))[:, :, [*range(T - 1), T - 2]]
    if op.directions == 2:
        back = motion(op, correlation(op, then, now).clamp(min=0))[:, :, [0, *range(T - 1)]]
        fed = torch.cat([fed, back], dim=1)
    y = fed.transpose(1, 2).reshape(B * T, -1, H, W)
    for stage in op.refine:
        y = in_turn(stage, y)
    return x + y.reshape(B, T, C, H, W).transpose(1, 2)


def published(op, x):
    return forward(op, x, correlation=window)


def reach(op, x):
    """Rows and columns around a position that its output depends on: the window, and the convolutions' kernels."""
    kernels = [layer[0].kernel_size[0] for layer in op.refine]
    return op.max_displacement + sum(kernel // 2 for kernel in kernels)
