"""SELFY: similarities of two frames one displacement after the other, layers as 3-D convolutions over (L, U, V).

`published` multiplies the same pairs as matrices, so that their gradients are counted as such too.
"""

import torch
import torch.nn.functional as F

from . import in_turn


def layer(block, x, stride=1, padding=0):
    """Convolution over the last two axes of (n, c, L, h, w), batch norm, ReLU."""
    conv, norm = block[0], block[1]
    x = F.conv3d(x, conv.weight.unsqueeze(2), stride=(1, stride, stride), padding=(0, padding, padding))
    statistics = norm.running_mean, norm.running_var
    x = F.batch_norm(x, *statistics, norm.weight, norm.bias, norm.training, norm.momentum, norm.eps)
    return x.clamp(min=0)


def shifted(now, other, U, V):
    """Products of two frames (B, c, h, w): B h w U V."""
    h, w = now.shape[-2:]
    padded = F.pad(other, (V // 2, V // 2, U // 2, U // 2))
    scores = [(now * padded[..., y : y + h, x : x + w]).sum(1) for y in range(U) for x in range(V)]
    return torch.stack(scores, dim=-1).unflatten(-1, (U, V))


def window(now, other, U, V):
    """The same, of neighbours that are laid out for each position."""
    B, C, h, w = now.shape
    around = F.unfold(other, (U, V), padding=(U // 2, V // 2)).reshape(B, C, U, V, h, w)
    return torch.einsum("bchw,bcuvhw->bhwuv", now, around)


def similarity(op, x, correlation):
    """B T h w L U V"""
    B, C, T, H, W = x.shape
    U, V = op.window
    f = in_turn(op.downsample, x.transpose(1, 2).reshape(B * T, C, H, W))
    f = (f / torch.sqrt((f * f).sum(1, keepdim=True) + 1e-6)).unflatten(0, (B, T))
    found = []
    for offset in op.offsets:
        frames = []
        for t in range(T):
            inside = 0 <= t + offset < T
            other = f[:, t + offset] if inside else torch.zeros_like(f[:, t])
            frames.append(correlation(f[:, t], other, U, V))
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
    scores, r = stss.flatten(5), U // 2
    grid = torch.arange(-r, r + 1, device=stss.device, dtype=stss.dtype)
    places = torch.stack([grid.repeat(U), grid.repeat_interleave(U)], dim=1)  # x, y
    displacement = torch.softmax(scores / 0.01, dim=-1) @ places / max(1, r)
    return torch.cat([displacement, scores.max(dim=-1, keepdim=True).values], dim=-1)


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


def forward(op, x, correlation=shifted):
    H, W = x.shape[-2:]
    return (x + integrate(op, extract(op, similarity(op, x, correlation)), H, W)).clamp(min=0)


def published(op, x):
    return forward(op, x, correlation=window)


def reach(op, x):
    """Rows and columns around a position that its output depends on: those at half the size, and the first kernel."""
    convolutions = 4 if op.integrating == "conv" else 0
    return 2 * (op.window[0] // 2 + convolutions) + 1
