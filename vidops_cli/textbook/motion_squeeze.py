"""MotionSqueeze: the correlation is one matrix product over all pairs, of which the window is gathered."""

import torch
import torch.nn.functional as F


def correlation(op, x):
    B, C, T, H, W = x.shape
    f = op.reduction(x.transpose(1, 2).reshape(B * T, C, H, W))
    f = (f / torch.sqrt((f * f).sum(1, keepdim=True) + 1e-6)).reshape(B, T, -1, H, W)
    r, P = op.max_displacement, op.size
    now, then = f[:, :-1].flatten(0, 1), F.pad(f[:, 1:].flatten(0, 1), (r, r, r, r))
    pairs = (now.flatten(2).transpose(1, 2) @ then.flatten(2)).reshape(-1, H, W, H + 2 * r, W + 2 * r)
    y = torch.arange(H, device=x.device)[:, None, None, None]
    c = torch.arange(W, device=x.device)[None, :, None, None]
    d = torch.arange(P, device=x.device)
    volume = pairs[:, y, c, y + d[:, None], c + d[None, :]].clamp(min=0)  # n, H, W, P, P
    return volume.reshape(B, T - 1, H, W, P * P).permute(0, 4, 1, 2, 3)


def forward(op, x):
    B, C, T, H, W = x.shape
    r, P = op.max_displacement, op.size
    volume = correlation(op, x)
    dy = (torch.arange(P, device=x.device) - r).repeat_interleave(P).to(x.dtype)
    dx = (torch.arange(P, device=x.device) - r).repeat(P).to(x.dtype)
    best, index = volume.max(dim=1, keepdim=True)
    scores = volume
    if op.sigma is not None:
        view = (1, -1, 1, 1, 1)
        squared = (dx.view(view) - dx[index]) ** 2 + (dy.view(view) - dy[index]) ** 2
        scores = scores * torch.exp(squared / (-2 * op.sigma**2))
    weights = torch.softmax(scores / op.temperature, dim=1)
    u = (weights * dx.view(1, -1, 1, 1, 1)).sum(1, keepdim=True) / r
    v = (weights * dy.view(1, -1, 1, 1, 1)).sum(1, keepdim=True) / r
    motion = torch.cat([u, v, best] if op.confidence else [u, v], dim=1)
    motion = torch.cat([motion, motion[:, :, -1:]], dim=2)
    y = op.refine(motion.transpose(1, 2).reshape(B * T, -1, H, W))
    return x + y.reshape(B, T, C, H, W).transpose(1, 2)
