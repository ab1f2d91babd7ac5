"""Convolution of each frame, one frame at a time."""

import torch
import torch.nn.functional as F


def reach(op, x):
    return op.kernel_size[0] // 2


def forward(op, x):
    frames = [F.conv2d(frame, op.weight, op.bias, stride=op.stride, padding=op.padding) for frame in x.unbind(2)]
    return torch.stack(frames, dim=2)
