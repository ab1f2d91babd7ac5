"""Involution: the map is unfolded, and each window summed with the kernel of its position."""

import torch
import torch.nn.functional as F

from . import in_turn
from .local_attention import unfolded


def reach(op, x):
    return op.window[1] // 2


def forward(op, x):
    B, C, T, H, W = x.shape
    images = x.transpose(1, 2).reshape(B * T, C, H, W)
    kernel = F.conv2d(in_turn(op.reduce, images), op.span.weight, op.span.bias)
    kernel = kernel.reshape(B * T, op.groups, -1, H, W)
    windows = unfolded(x.transpose(1, 2), *op.window[:2]).unflatten(1, (op.groups, -1))
    y = torch.einsum("ngdhw,ngcdhw->ngchw", kernel, windows)
    return y.reshape(B, T, C, H, W).transpose(1, 2)
