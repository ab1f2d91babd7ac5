"""Temporal convolution as one 1 x 1 convolution for each frame, over the channels of all frames that it reads."""

import torch
import torch.nn.functional as F


def reach(op, x):
    return 0


def forward(op, x):
    taps = op.conv.kernel_size[0]
    padded, weight = F.pad(x, (0, 0, 0, 0, taps // 2, taps // 2)), op.conv.weight.flatten(1)[:, :, None, None]
    frames = [F.conv2d(padded[:, :, t : t + taps].flatten(1, 2), weight, op.conv.bias) for t in range(x.shape[2])]
    y = torch.stack(frames, dim=2)
    return x + y if op.residual else y
