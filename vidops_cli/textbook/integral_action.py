"""IntegralAction, frame by frame on vectors, with every product written as an einsum."""

import torch


def batch_norm(norm, x):
    """(N, C), running statistics in evaluation"""
    if norm.training:
        mean, variance = x.mean(0), x.var(0, unbiased=False)
    else:
        mean, variance = norm.running_mean, norm.running_var
    return (x - mean) / torch.sqrt(variance + norm.eps) * norm.weight + norm.bias


def layer_norm(norm, x):
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + norm.eps) * norm.weight + norm.bias


def block(layer, x, frames):
    """(B T, C) -> (B T, F), each frame with those around it."""
    x = x.reshape(-1, frames, x.shape[1])
    y = layer.bias.expand(*x.shape[:2], -1)
    for i in range(layer.weight.shape[2]):
        shift = i - layer.weight.shape[2] // 2
        near = torch.zeros_like(x)
        kept = slice(max(0, shift), max(0, frames + min(0, shift)))
        near[:, max(0, -shift) : max(0, frames - max(0, shift))] = x[:, kept]
        y = y + torch.einsum("btc,fc->btf", near, layer.weight[:, :, i])
    return y.reshape(-1, y.shape[2])


def fused(op, pose):
    """(B, T', C) -> (B, T, C): each frame of the clip reads five frames of the pose around its own."""
    conv, norm, _ = op.pose_fusion
    B, frames, C = pose.shape
    f, found = op.pose_frame_factor, []
    for t in range((frames - 1) // f + 1):
        y = conv.bias.expand(B, -1)
        for i in range(5):
            at = f * t + i - 2
            if 0 <= at < frames:
                y = y + torch.einsum("bc,oc->bo", pose[:, at], conv.weight[:, :, i])
        found.append(y)
    y = torch.stack(found, dim=1)
    return torch.relu(batch_norm(norm, y.reshape(-1, C))).reshape(B, -1, C)


def forward(op, rgb, pose):
    B, _, T, H, W = rgb.shape
    rgb = torch.einsum("bcthw->btc", rgb) / (H * W)
    pose = torch.einsum("bcthw->btc", pose) / (pose.shape[3] * pose.shape[4])
    if op.pose_frame_factor > 1:
        pose = fused(op, pose)
    rgb, pose = rgb.reshape(B * T, -1), pose.reshape(B * T, -1)
    a = torch.relu(batch_norm(op.rgb_block[1], block(op.rgb_block[0], rgb, T)))
    p = torch.relu(batch_norm(op.pose_block[1], block(op.pose_block[0], pose, T)))
    if op.source != "none":
        a, p = layer_norm(op.rgb_norm, a), layer_norm(op.pose_norm, p)
        seen = {"pose": pose, "appearance": rgb, "both": torch.cat([rgb, pose], dim=1)}[op.source]
        g = 1 / (1 + torch.exp(-block(op.gate_conv, seen, T)))
        a, p = a - g * a, g * p
    return (a + p).reshape(B, T, -1).permute(0, 2, 1)[..., None, None]
