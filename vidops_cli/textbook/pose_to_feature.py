"""Pose to feature: persons, joints and limbs are drawn one after the other, then convolved tap by tap."""

import torch


def drawn(op, coords, scores, size):
    """(B, T, J + 2 S, H, W)"""
    H, W = size
    y = torch.arange(H, device=coords.device, dtype=coords.dtype)[:, None].expand(H, W)
    x = torch.arange(W, device=coords.device, dtype=coords.dtype)[None, :].expand(H, W)
    persons, joints = coords.shape[2:4]

    def joint(p, j):
        """x, y and score of one joint, each (B, T, 1, 1)"""
        return (*(coords[:, :, p, j, axis, None, None] for axis in (0, 1)), scores[:, :, p, j, None, None])

    maps = []
    for j in range(joints):
        total = torch.zeros_like(coords[:, :, 0, 0, 0, None, None] * x)
        for p in range(persons):
            px, py, score = joint(p, j)
            distance = (x - px) ** 2 + (y - py) ** 2
            total = total + torch.where(score > op.threshold, torch.exp(-distance / (2 * op.heatmap_sigma**2)), 0)
        maps.append(torch.where(total > 1, 1, total))
    for a, b in op.limbs:
        sums, count = [torch.zeros_like(maps[0]), torch.zeros_like(maps[0])], torch.zeros_like(maps[0])
        for p in range(persons):
            (ax, ay, score), (bx, by, other) = joint(p, a), joint(p, b)
            dx, dy = bx - ax, by - ay
            drawable = (score >= op.threshold) & (other >= op.threshold) & ((dx != 0) | (dy != 0))
            length = torch.sqrt(torch.where(drawable, dx**2 + dy**2, 1))
            ux, uy = dx / length, dy / length
            along, across = ux * (x - ax) + uy * (y - ay), ux * (y - ay) - uy * (x - ax)
            inside = drawable & (along >= 0) & (along <= length) & (across <= op.field_sigma)
            inside = inside & (across >= -op.field_sigma)
            sums = [total + torch.where(inside, part, 0) for total, part in zip(sums, (ux, uy), strict=True)]
            count = count + inside
        maps += [total / torch.where(count > 0, count, 1) for total in sums]
    return torch.stack(maps, dim=2)


def forward(op, coords, scores, size=(56, 56)):
    maps, (H, W) = drawn(op, coords, scores, size), size
    conv, norm, _ = op.conv
    padded = torch.nn.functional.pad(maps, (1, 1, 1, 1))
    y = 0
    for row in range(3):
        for column in range(3):
            part = padded[..., row : row + H, column : column + W]
            y = y + torch.einsum("btmhw,cm->bcthw", part, conv.weight[:, :, row, column])
    y = y + conv.bias[:, None, None, None]
    mean, variance = norm.running_mean, norm.running_var
    if norm.training:
        mean, variance = y.mean((0, 2, 3, 4)), y.var((0, 2, 3, 4), unbiased=False)
    view = (slice(None), None, None, None)
    y = (y - mean[view]) / torch.sqrt(variance[view] + norm.eps) * norm.weight[view] + norm.bias[view]
    return torch.relu(y)
