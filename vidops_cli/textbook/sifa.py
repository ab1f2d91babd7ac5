"""SIFA: one tap and one pair of frames at a time, read at its four neighbours."""

import torch
import torch.nn.functional as F


def offsets(op, x, t):
    """Of the taps from frame t to t + 1, (B, 2 K^2, H, W)."""
    f, g = x[:, :, t], x[:, :, t + 1]
    if op.offsets in ("regular", "colocated"):
        return None
    weight = op.conv_offset.weight
    if op.offsets == "conv3d":
        frames = F.pad(x, (0, 0, 0, 0, 0, 1))[:, :, t : t + 3]
        return sum(F.conv2d(frames[:, :, i], weight[:, :, i], padding=1) for i in range(3))
    released = 1.0 if op.modulation == "released" else 0.0
    read = {"next": g, "difference": g - f, "motion": g * (released + 1 / (1 + torch.exp(f - g)))}[op.offsets]
    return F.conv2d(read, weight[:, :, 0], padding=1)


def bilinear(f, y, x):
    """f at (y, x), each (B, H, W): by pixels, as the kernels count them, so that whole positions stay whole."""
    B, C, H, W = f.shape
    inside = (y > -1) & (y < H) & (x > -1) & (x < W)
    top, left = torch.floor(y.detach()), torch.floor(x.detach())
    found = torch.zeros_like(f)
    for i in (0, 1):
        for j in (0, 1):
            row, column = top + i, left + j
            there = inside & (row >= 0) & (row < H) & (column >= 0) & (column < W)
            share = (y - top if i else top + 1 - y) * (x - left if j else left + 1 - x)
            index = row.clamp(0, H - 1).long() * W + column.clamp(0, W - 1).long()
            value = f.flatten(2).gather(2, index.flatten(1)[:, None].expand(B, C, H * W)).reshape(f.shape)
            found = found + torch.where(there, share, torch.zeros_like(share))[:, None] * value
    return found


def forward(op, x):
    B, C, T, H, W = x.shape
    K, G = op.kernel, op.groups
    rows = torch.arange(H, device=x.device, dtype=x.dtype)[:, None].expand(H, W)
    columns = torch.arange(W, device=x.device, dtype=x.dtype)[None, :].expand(H, W)
    added = []
    for t in range(T - 1):
        moved = offsets(op, x, t)
        total = torch.zeros_like(x[:, :, t])
        for k in range(K * K):
            y = rows + (k // K - K // 2) * op.dilation
            c = columns + (k % K - K // 2) * op.dilation
            y, c = y.expand(B, H, W), c.expand(B, H, W)
            if moved is not None:
                y, c = y + moved[:, 2 * k], c + moved[:, 2 * k + 1]
            s = bilinear(x[:, :, t + 1], y, c)
            a = (x[:, :, t] * s).reshape(B, G, C // G, H, W).sum(2, keepdim=True) / C
            total = total + (a * s.reshape(B, G, C // G, H, W)).reshape(B, C, H, W)
        added.append(total)
    added = torch.stack([*added, torch.zeros_like(x[:, :, 0])], dim=2)
    if op.norm is not None:
        centred = added - added.mean(1, keepdim=True)
        view = (1, C, 1, 1, 1)
        added = centred / torch.sqrt(centred.square().mean(1, keepdim=True) + op.norm.eps)
        added = added * op.norm.weight.view(view) + op.norm.bias.view(view)
    return x + added
