"""IntegralAction on vectors of frames: what a convolution over time reads is unfolded, and multiplied as a matrix."""

import torch
import torch.nn.functional as F


def over_time(layer, x, step=1):
    """(B, T, C) -> (B T', F): every step-th frame, with those around it; zeros beyond the ends."""
    frames = layer.weight.shape[2]
    near = F.pad(x, (0, 0, frames // 2, frames // 2)).unfold(1, frames, step)  # B, T', C, frames
    return F.linear(near.flatten(2).flatten(0, 1), layer.weight.flatten(1), layer.bias)


def batch_norm(norm, x):
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training, eps=norm.eps)


def block(layers, x, step=1):
    return torch.relu(batch_norm(layers[1], over_time(layers[0], x, step)))


def layer_norm(norm, x):
    return F.layer_norm(x, x.shape[1:], norm.weight, norm.bias, norm.eps)


def forward(op, rgb, pose):
    B, _, T, _, _ = rgb.shape
    rgb, pose = (x.mean((3, 4)).transpose(1, 2) for x in (rgb, pose))
    if op.pose_frame_factor > 1:
        pose = block(op.pose_fusion, pose, op.pose_frame_factor).reshape(B, T, -1)
    a, p = block(op.rgb_block, rgb), block(op.pose_block, pose)
    if op.source != "none":
        a, p = layer_norm(op.rgb_norm, a), layer_norm(op.pose_norm, p)
        seen = {"pose": pose, "appearance": rgb, "both": torch.cat([rgb, pose], dim=2)}[op.source]
        g = torch.sigmoid(over_time(op.gate_conv, seen))
        a, p = (1 - g) * a, g * p
    return (a + p).reshape(B, T, -1).transpose(1, 2)[..., None, None]
