"""Pose to feature: persons, joints and limbs are drawn one after the other, then convolved."""

import torch
import torch.nn.functional as F


def axes(point, size):
    """How far each column (B, T, 1, W) and each row (B, T, H, 1) lies from a point (B, T, 2)."""
    x, y = (torch.arange(n, device=point.device, dtype=point.dtype) for n in reversed(size))
    return x - point[..., 0, None, None], y[:, None] - point[..., 1, None, None]


def joint_map(op, points, scores, size):
    """Points (B, T, P, 2) of one joint -> (B, T, H, W)"""
    total = torch.zeros((), dtype=points.dtype, device=points.device)
    for p in range(points.shape[2]):
        x, y = (torch.exp(d**2 / (-2 * op.heatmap_sigma**2)) for d in axes(points[:, :, p], size))
        total = total + torch.where((scores[:, :, p] > op.threshold)[..., None, None], x * y, 0)
    return total.clamp(max=1)


def limb_maps(op, starts, ends, seen, size):
    """Points (B, T, P, 2) of both ends of one limb, and whose limb is seen -> x and y, each (B, T, H, W)"""
    insides, directions = [], []
    for p in range(starts.shape[2]):
        limb = ends[:, :, p] - starts[:, :, p]
        squared = (limb**2).sum(-1)
        drawable = seen[:, :, p] & (squared > 0)
        length = torch.sqrt(torch.where(squared > 0, squared, 1))
        x, y = axes(starts[:, :, p], size)
        ux, uy = (u[..., None, None] for u in (limb / length[..., None]).unbind(-1))
        along, across = ux * x + uy * y, ux * y - uy * x
        edges = (along, length[..., None, None] - along, op.field_sigma - across.abs())  # distances from the band's
        inside = drawable[..., None, None] & (torch.minimum(torch.minimum(*edges[:2]), edges[2]) >= 0)
        insides.append(inside)
        directions.append([torch.where(inside, part, 0) for part in (ux, uy)])
    count = torch.stack(insides).sum(0).clamp(min=1)
    return [torch.stack(parts).sum(0) / count for parts in zip(*directions, strict=True)]


def forward(op, coords, scores, size=None):
    size, maps = size or op.size, []
    for j in range(coords.shape[3]):
        maps.append(joint_map(op, coords[:, :, :, j], scores[:, :, :, j], size))
    for a, b in op.limbs:
        seen = (scores[:, :, :, a] >= op.threshold) & (scores[:, :, :, b] >= op.threshold)
        maps += limb_maps(op, coords[:, :, :, a], coords[:, :, :, b], seen, size)
    conv, norm, _ = op.conv
    images = torch.stack(maps, dim=2).flatten(0, 1)
    y = F.conv2d(images, conv.weight, conv.bias, padding=1)
    y = F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training, eps=norm.eps)
    return torch.relu(y).unflatten(0, coords.shape[:2]).transpose(1, 2)
