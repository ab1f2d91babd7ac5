"""MotionSqueeze: the correlation is one matrix product over all pairs, of which the window is gathered."""

import torch
import torch.nn.functional as F


def features(op, x):
    """B T c H W"""
    B, C, T, H, W = x.shape
    f = op.reduction(x.transpose(1, 2).reshape(B * T, C, H, W))
    return (f / torch.sqrt((f * f).sum(1, keepdim=True) + 1e-6)).reshape(B, T, -1, H, W)


def correlation(op, f1, f2):
    """B T c H W, twice -> B N T H W"""
    B, T, _, H, W = f1.shape
    r, P = op.max_displacement, op.size
    now, then = f1.flatten(0, 1), F.pad(f2.flatten(0, 1), (r, r, r, r))
    pairs = (now.flatten(2).transpose(1, 2) @ then.flatten(2)).reshape(-1, H, W, H + 2 * r, W + 2 * r)
    y = torch.arange(H, device=f1.device)[:, None, None, None]
    c = torch.arange(W, device=f1.device)[None, :, None, None]
    d = torch.arange(P, device=f1.device)
    volume = pairs[:, y, c, y + d[:, None], c + d[None, :]].clamp(min=0)  # n, H, W, P, P
    return volume.reshape(B, T, H, W, P * P).permute(0, 4, 1, 2, 3)


def motion(op, volume):
    """What is refined, of the scores of one direction: B M T H W"""
    r, P = op.max_displacement, op.size
    best, index = volume.max(dim=1, keepdim=True)
    if op.reading == "correlation":
        read = [volume]
    else:
        dy = (torch.arange(P, device=volume.device) - r).repeat_interleave(P).to(volume.dtype)
        dx = (torch.arange(P, device=volume.device) - r).repeat(P).to(volume.dtype)
        view = (1, -1, 1, 1, 1)
        scores = volume
        if op.reading == "kernel_soft_argmax":
            squared = (dx.view(view) - dx[index]) ** 2 + (dy.view(view) - dy[index]) ** 2
            scores = scores * torch.exp(squared / (-2 * op.sigma**2))
        weights = torch.softmax(scores / op.temperature, dim=1)
        read = [(weights * d.view(view)).sum(1, keepdim=True) / r for d in (dx, dy)]
    return torch.cat([*read, best] if op.confidence else read, dim=1)


def forward(op, x):
    B, C, T, H, W = x.shape
    f = features(op, x)
    now, then = f[:, :-1], f[:, 1:]
    t = torch.arange(T, device=x.device)
    fed = motion(op, correlation(op, now, then))[:, :, t.clamp(max=T - 2)]
    if op.directions == 2:
        back = motion(op, correlation(op, then, now))[:, :, (t - 1).clamp(min=0)]
        fed = torch.cat([fed, back], dim=1)
    y = op.refine(fed.transpose(1, 2).reshape(B * T, -1, H, W))
    return x + y.reshape(B, T, C, H, W).transpose(1, 2)
