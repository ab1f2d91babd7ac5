"""SCR: neighbours are unfolded, the products formed with all channels, the window shrunk by 3-D convolutions."""

import torch
import torch.nn.functional as F


def self_correlation(z, window):
    """(n, C, H, W) -> (n, C, H, W, U, V)"""
    n, C, H, W = z.shape
    near = F.unfold(z, window, padding=window // 2).reshape(n, C, window, window, H, W)
    return (near * z[:, :, None, None]).permute(0, 1, 4, 5, 2, 3)


def bn(norm, x):
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training)


def forward(op, x):
    B, C, T, H, W = x.shape
    images = x.transpose(1, 2).reshape(B * T, C, H, W)
    z = torch.relu(images)
    z = z / torch.sqrt((z * z).sum(1, keepdim=True)).clamp(min=1e-12)
    y = self_correlation(z, op.window).reshape(B * T, C, H * W, -1)
    y = torch.relu(bn(op.g.reduce[1], F.conv2d(y, op.g.reduce[0].weight)))
    y = y.reshape(B * T, -1, H * W, op.window, op.window)
    for conv, norm, _ in op.g.shrink:
        y = torch.relu(bn(norm, F.conv3d(y, conv.weight)))
    y = bn(op.g.expand[1], F.conv2d(y.reshape(B * T, -1, H, W), op.g.expand[0].weight))
    if op.skip != "none":
        y = y + (torch.relu(images) if op.skip == "relu" else images)
    return y.reshape(B, T, C, H, W).transpose(1, 2)


def reach(op, x):
    return op.window // 2
