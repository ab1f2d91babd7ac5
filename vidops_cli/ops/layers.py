"""Layers that operators share."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vidops_cli.functional import conv3d


class SafeConv3d(nn.Conv3d):
    """nn.Conv3d with zero padding, right on maps smaller than its kernel too."""

    def forward(self, x: Tensor) -> Tensor:
        return conv3d(x, self.weight, self.bias, stride=self.stride, padding=self.padding, groups=self.groups)


def response(conv: nn.Module, size: Sequence[int], like: Tensor) -> Tensor:
    """(N, M): what each of the N positions of a one-channel map of this size adds to the M numbers that `conv` makes.

    A convolution of one channel leaves a CPU's vectors empty: on small maps one matrix product is faster.
    """
    positions = math.prod(size)
    ones = torch.eye(positions, device=like.device, dtype=like.dtype)
    return conv(ones.view(positions, 1, *size)).flatten(1)


LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def channels_last(layer: nn.Sequential, x: Tensor) -> Tensor:
    """layer(x), a convolution and what follows it, on channels that run fastest in memory.

    Not so its batch statistics: there torch 2.13 sums without care on a CPU, and loses two digits.
    """
    x = layer[0](x.contiguous(memory_format=LAST[x.dim()]))
    return layer[1:](x.contiguous() if layer[1].training else x)


def conv_bn_relu(
    channels: int, out: int, kernel: int = 1, *, stride: int = 1, padding: int | None = None, groups: int = 1
) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU on images (N, C, H, W); padded to keep the size unless told."""
    padding = kernel // 2 if padding is None else padding
    conv = nn.Conv2d(channels, out, kernel, stride=stride, padding=padding, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU(inplace=True))  # backward needs no norm as it was
