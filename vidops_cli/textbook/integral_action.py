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


def linear(layer, x):
    return torch.einsum("nc,fc->nf", x, layer.weight) + layer.bias


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
    a = torch.relu(batch_norm(op.rgb_block[1], linear(op.rgb_block[0], rgb)))
    p = torch.relu(batch_norm(op.pose_block[1], linear(op.pose_block[0], pose)))
    if op.source != "none":
        a, p = layer_norm(op.rgb_norm, a), layer_norm(op.pose_norm, p)
        weight, bias = op.gate_fc.weight, op.gate_fc.bias
        if op.source == "both":
            C = rgb.shape[1]
            score = torch.einsum("nc,fc->nf", rgb, weight[:, :C]) + torch.einsum("nc,fc->nf", pose, weight[:, C:])
        else:
            score = torch.einsum("nc,fc->nf", pose if op.source == "pose" else rgb, weight)
        g = 1 / (1 + torch.exp(-(score + bias)))
        a, p = a - g * a, g * p
    return (a + p).reshape(B, T, -1).permute(0, 2, 1)[..., None, None]
