"""SCR: neighbours are unfolded, the products formed one by one, the window shrunk by 2-D convolutions."""

import torch
import torch.nn.functional as F


def self_correlation(z, window):
    """(n, C, H, W) -> (n, C, H, W, U, V)"""
    n, C, H, W = z.shape
    near = F.unfold(z, window, padding=window // 2).reshape(n, C, window, window, H, W)
    return torch.einsum("nchw,ncuvhw->nchwuv", z, near)


def layer(x, conv, norm):
    """A convolution over the last two axes of (n, C, H, W, U, V), and its norm."""
    n, C, H, W, U, V = x.shape
    weight = conv.weight.reshape(*conv.weight.shape[:2], *conv.weight.shape[-2:])
    y = F.conv2d(x.permute(0, 2, 3, 1, 4, 5).reshape(n * H * W, C, U, V), weight)
    y = F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training)
    return y.reshape(n, H, W, *y.shape[1:]).permute(0, 3, 1, 2, 4, 5)


def forward(op, x):
    B, C, T, H, W = x.shape
    images = x.transpose(1, 2).reshape(B * T, C, H, W)
    z = torch.relu(images)
    z = z / torch.sqrt((z * z).sum(1, keepdim=True)).clamp(min=1e-12)
    y = torch.relu(layer(self_correlation(z, op.window), op.g.reduce[0], op.g.reduce[1]))
    for conv, norm, _ in op.g.shrink:
        y = torch.relu(layer(y, conv, norm))
    y = layer(y, op.g.expand[0], op.g.expand[1]).reshape(B * T, C, H, W)
    if op.skip != "none":
        y = y + (torch.relu(images) if op.skip == "relu" else images)
    return y.reshape(B, T, C, H, W).transpose(1, 2)


def reach(op, x):
    return op.window // 2
