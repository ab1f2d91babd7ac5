"""SE, one frame after the other."""

import torch

from . import in_turn


def forward(op, x):
    B, C, T, H, W = x.shape
    z = in_turn(op.conv_in, x.transpose(1, 2).reshape(B * T, C, H, W))
    first, second = op.excitation[0].weight, op.excitation[2].weight
    s = torch.sigmoid(torch.relu(z.mean((2, 3)) @ first.T) @ second.T)
    y = in_turn(op.conv_out, z * s[:, :, None, None])
    return y.reshape(B, T, C, H, W).transpose(1, 2)
