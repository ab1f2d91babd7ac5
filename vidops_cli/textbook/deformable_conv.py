"""Deformable convolution: each tap is read at its four neighbours, as SIFA's are, then one matrix product."""

import torch
import torch.nn.functional as F

from .sifa import summed, taps


def offsets(op, x):
    """dp (B, 2 N, T, H, W), and dm or nothing."""
    images = x.transpose(1, 2).flatten(0, 1)
    conv, half = op.conv_offset, op.kernel // 2 * op.dilation
    told = F.conv2d(images, conv.weight, conv.bias, padding=half, dilation=op.dilation)
    told = told.unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2)
    moved, modulation = told.split([2 * op.kernel**2, told.shape[1] - 2 * op.kernel**2], dim=1)
    return moved, torch.sigmoid(modulation) if op.modulated else None


def forward(op, x, contract=summed):
    moved, modulation = offsets(op, x)
    read = taps(op, x, moved, contract)  # B N C T H W
    read = read if modulation is None else read * modulation.unsqueeze(2)
    rows = read.permute(0, 3, 4, 5, 1, 2)  # B T H W N C
    y = F.linear(rows.flatten(0, 3).flatten(1), op.weight.flatten(2).transpose(1, 2).flatten(1), op.bias)
    return y.unflatten(0, rows.shape[:4]).movedim(-1, 1)


def published(op, x):
    return forward(op, x, contract=torch.einsum)


def reach(op, x):
    """Rows and columns around a position that its output depends on: the farthest tap and the pixel behind it."""
    return op.kernel // 2 * op.dilation + int(offsets(op, x)[0].abs().max()) + 1
