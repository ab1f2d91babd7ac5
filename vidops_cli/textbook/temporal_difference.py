"""TDN's long-term module, frame by frame and direction by direction; half the size by sums of four neighbours."""

import torch
import torch.nn.functional as F

from . import in_turn


def halved(m):
    """Means over 2x2 positions, of those that are there."""
    H, W = m.shape[2:]
    there = F.pad(torch.ones_like(m[:1, :1]), (0, W % 2, 0, H % 2))
    sums, counts = (
        F.conv2d(part, part.new_ones(part.shape[1], 1, 2, 2), stride=2, groups=part.shape[1])
        for part in (F.pad(m, (0, W % 2, 0, H % 2)), there)
    )
    return sums / counts


def doubled(m, axis):
    """Twice the positions along an axis, each a quarter of the nearest neighbour and three quarters of its own."""
    size = m.shape[axis]
    place = torch.arange(size, device=m.device)
    before, after = (
        m.index_select(axis, (place - 1).clamp(min=0)),
        m.index_select(axis, (place + 1).clamp(max=size - 1)),
    )
    both = torch.stack([0.25 * before + 0.75 * m, 0.75 * m + 0.25 * after], dim=axis + 1)
    return both.flatten(axis, axis + 1)


def half_size(op, m):
    return doubled(doubled(in_turn(op.far, halved(m)), 2), 3)


def pooled(op, m):
    """The same by torch's own layers."""
    return F.interpolate(in_turn(op.far, F.avg_pool2d(m, 2, 2, ceil_mode=True)), scale_factor=2.0, mode="bilinear")


def direction(op, now, other, far):
    """M of a frame; other is None where the clip ends."""
    m = torch.zeros_like(now)
    if other is not None:
        m = F.conv2d(other, op.smooth.weight, padding=1, groups=now.shape[1]) - now
    m = m + in_turn(op.near, m) + far(op, m)[..., : m.shape[2], : m.shape[3]]
    return torch.sigmoid(in_turn(op.expand, m))


def forward(op, x, far=half_size):
    f = [None, *(in_turn(op.squeeze, frame) for frame in x.unbind(2)), None]
    gates = []
    for before, now, then in zip(f[:-2], f[1:-1], f[2:], strict=True):
        M = direction(op, now, then, far)
        if op.bidirectional:
            M = (M + direction(op, now, before, far)) / 2
        gates.append(M if op.gate == "paper" else M - 0.5)
    M = torch.stack(gates, dim=2)
    return x + x * M


def published(op, x):
    return forward(op, x, far=pooled)


def reach(op, x):
    """Two cells of half the size to either side at most, and a position for the smoothing."""
    return 5
