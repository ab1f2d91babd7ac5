"""(2+1)D convolution: frame by frame in space, then a 1 x 1 convolution over the channels of all frames it reads."""

import torch
import torch.nn.functional as F


def reach(op, x):
    return max(op.spatial.kernel_size) // 2


def forward(op, x):
    taps, weight = op.temporal.kernel_size[0], op.spatial.weight[:, :, 0]
    B, _, T = x.shape[:3]
    padding = [size // 2 for size in weight.shape[2:]]
    images = F.conv2d(x.transpose(1, 2).flatten(0, 1), weight, stride=op.stride, padding=padding)
    images = torch.relu(op.norm(images.unflatten(0, (B, T)).transpose(1, 2)))
    padded = F.pad(images, (0, 0, 0, 0, taps // 2, taps // 2))
    mixing = op.temporal.weight.flatten(1)[:, :, None, None]
    return torch.stack([F.conv2d(padded[:, :, t : t + taps].flatten(1, 2), mixing) for t in range(T)], dim=2)
