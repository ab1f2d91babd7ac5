"""SELFY: similarities from one product over all pairs of two frames, layers as 3-D convolutions over (L, U, V)."""

import torch
import torch.nn.functional as F


def layer(block, x, stride=1, padding=0):
    """Convolution over the last two axes of (n, c, L, h, w), batch norm, ReLU."""
    conv, norm = block[0], block[1]
    x = F.conv3d(x, conv.weight.unsqueeze(2), stride=(1, stride, stride), padding=(0, padding, padding))
    statistics = norm.running_mean, norm.running_var
    x = F.batch_norm(x, *statistics, norm.weight, norm.bias, norm.training, norm.momentum, norm.eps)
    return x.clamp(min=0)


def similarity(op, x):
    """B T h w L U V"""
    B, C, T, H, W = x.shape
    U, V = op.window
    f = op.downsample(x.transpose(1, 2).reshape(B * T, C, H, W))
    f = (f / torch.sqrt((f * f).sum(1, keepdim=True) + 1e-6)).unflatten(0, (B, T))
    h, w = f.shape[-2:]
    y = torch.arange(h, device=x.device)[:, None, None, None] + torch.arange(U, device=x.device)[:, None]
    c = torch.arange(w, device=x.device)[None, :, None, None] + torch.arange(V, device=x.device)
    rows, columns = torch.arange(h, device=x.device), torch.arange(w, device=x.device)
    found = []
    for offset in op.offsets:
        frames = []
        for t in range(T):
            inside = 0 <= t + offset < T
            other = f[:, t + offset] if inside else torch.zeros_like(f[:, t])
            other = F.pad(other, (V // 2, V // 2, U // 2, U // 2))
            pairs = torch.einsum("bchw,bcij->bhwij", f[:, t], other)
            frames.append(pairs[:, rows[:, None, None, None], columns[:, None, None], y, c])
        found.append(torch.stack(frames, dim=1))
    return torch.stack(found, dim=4)


def extract(op, stss):
    """B T h w L U V -> B T h w L c"""
    B, T, h, w, L, U, V = stss.shape
    if op.extracting == "conv":
        features = stss.reshape(-1, 1, L, U, V)
        for block, (stride, padding) in zip(op.extraction, ((1, 1), (2, 1), (2, 1), (1, 0)), strict=True):
            features = layer(block, features, stride, padding)
        return features[..., 0, 0].transpose(1, 2).reshape(B, T, h, w, L, -1)
    if op.extracting == "mlp":
        features = stss.reshape(-1, L, U * V, 1, 1).transpose(1, 2)
        for block in op.extraction:
            features = layer(block, features)
        return features[..., 0, 0].transpose(1, 2).reshape(B, T, h, w, L, -1)
    dy, dx = (torch.arange(size, device=stss.device) - size // 2 for size in (U, V))
    weights = torch.softmax(stss.flatten(5) / 0.01, dim=-1).unflatten(5, (U, V))
    down, right = (weights.sum(6) * dy).sum(5), (weights.sum(5) * dx).sum(5)
    return torch.stack([right / max(1, V // 2), down / max(1, U // 2), stss.flatten(5).max(dim=-1).values], dim=-1)


def integrate(op, features, H, W):
    """B T h w L c -> B C T H W"""
    B, T, h, w, L, c = features.shape
    y = features.permute(0, 4, 5, 1, 2, 3).reshape(B * L, c, T, h, w)
    if op.integrating == "conv":
        for block in op.integration:
            y = layer(block, y, padding=1)
        y = layer(op.fuse, y.reshape(B, -1, T, h, w), padding=1)
    else:
        y = y.reshape(B, L * c, T, h, w)
        for block in op.fuse:
            y = layer(block, y)
    sparse = y.new_zeros(B, op.norm.num_features, T, H, W)
    sparse[..., ::2, ::2] = torch.einsum("bcthw,cd->bdthw", y, op.upsample.weight[:, :, 0, 0])
    return op.norm(sparse.transpose(1, 2).flatten(0, 1)).unflatten(0, (B, T)).transpose(1, 2)


def forward(op, x):
    H, W = x.shape[-2:]
    return (x + integrate(op, extract(op, similarity(op, x)), H, W)).clamp(min=0)
