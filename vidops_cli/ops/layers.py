"""Layers that operators share."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidops_cli.functional import conv2d, conv3d, linear
from vidops_cli.functional.precision import autocasting


class SafeConv2d(nn.Conv2d):
    """nn.Conv2d with zero padding, right on maps smaller than its stride too."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return conv2d(x, weight, bias, stride=self.stride, padding=self.padding, groups=self.groups)


class SafeConv3d(nn.Conv3d):
    """nn.Conv3d with zero padding, right on maps smaller than its kernel or stride too."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return conv3d(x, weight, bias, stride=self.stride, padding=self.padding, groups=self.groups)


def foldable(norm: nn.Module, weight: Tensor) -> bool:
    """Whether a batch norm may be part of the weights before it: in evaluation, in full precision.

    In half precision the gradient of the norm's weight would be a small difference of large numbers.
    """
    return not norm.training and torch.finfo(weight.dtype).bits >= 32 and not autocasting(weight)


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """What a batch norm in evaluation does to each channel."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


class ConvNorm(nn.Sequential):
    """A convolution without bias, its batch norm, and what follows.

    In evaluation the norm is folded into the convolution, as scaled weights and a bias: maps are passed over once less.
    """

    def __init__(self, conv: nn.Conv2d | nn.Conv3d, *after: nn.Module):
        norm = nn.BatchNorm2d if isinstance(conv, nn.Conv2d) else nn.BatchNorm3d
        super().__init__(conv, norm(conv.out_channels), *after)

    def __getitem__(self, index: int | slice) -> nn.Module:
        return nn.Sequential(*list(self)[index]) if isinstance(index, slice) else super().__getitem__(index)

    @property
    def folded(self) -> bool:
        return foldable(self[1], self[0].weight)

    def affine(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the convolution, and of the norm where it is folded."""
        conv, norm, *_ = self
        if not self.folded:
            return conv.weight, None
        scale, shift = scale_and_shift(norm)
        return conv.weight * scale.view(-1, *[1] * (conv.weight.dim() - 1)), shift

    def finished(self, x: Tensor) -> Tensor:
        """All that `affine` does not tell."""
        for layer in list(self)[2 if self.folded else 1 :]:
            x = layer(x)
        return x

    def normed(self, x: Tensor) -> Tensor:
        """Convolution and norm alone."""
        x = self[0]._conv_forward(x, *self.affine())
        return x if self.folded else self[1](x)

    def forward(self, x: Tensor) -> Tensor:
        return self.finished(self[0]._conv_forward(x, *self.affine()))

    def channels_last(self, x: Tensor) -> Tensor:
        """The same, on channels that run fastest in memory.

        Not so its batch statistics: there torch 2.13 sums without care on a CPU, and loses two digits.
        """
        x = self[0]._conv_forward(x.contiguous(memory_format=LAST[x.dim()]), *self.affine())
        return self.finished(x.contiguous() if self[1].training else x)


LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def conv_bn_relu(
    channels: int, out: int, kernel: int = 1, *, stride: int = 1, padding: int | None = None, groups: int = 1
) -> ConvNorm:
    """Convolution without bias, batch norm, ReLU on images (N, C, H, W); padded to keep the size unless told."""
    padding = kernel // 2 if padding is None else padding
    conv = SafeConv2d(channels, out, kernel, stride=stride, padding=padding, groups=groups, bias=False)
    return ConvNorm(conv, nn.ReLU(inplace=True))  # backward needs no norm as it was


def multiplied(
    x: Tensor, size: Sequence[int], weight: Tensor, bias: Tensor | None = None, *, relu: bool = False
) -> Tensor:
    """(B, N C) -> (B, M O): a convolution of images of N positions, C channels the faster, as one matrix product.

    Few channels leave a CPU's vectors empty: on small maps the product is faster, though it executes more.
    """
    outputs, channels, *_ = (int(n) for n in weight.shape)  # plain numbers, under torch.jit.trace too
    size = [int(n) for n in size]
    ones = torch.eye(math.prod(size), device=x.device, dtype=x.dtype).view(-1, 1, *size)
    matrix = F.conv2d(ones, weight.to(x.dtype).flatten(0, 1).unsqueeze(1), padding=weight.shape[-1] // 2)
    matrix = matrix.flatten(2).unflatten(1, (outputs, channels)).permute(0, 2, 3, 1)
    matrix = matrix.reshape(len(ones) * channels, -1)
    bias = None if bias is None else bias.to(x.dtype).repeat(matrix.shape[1] // outputs)
    return linear(x, matrix.mT, bias, relu=relu)


def relu_plus(y: Tensor, x: Tensor) -> Tensor:
    """x + relu(y), in the place of y if both are alike in memory. For the backward pass only a mask is kept."""
    y = y.masked_fill_(y <= 0, 0) if torch.is_grad_enabled() else y.relu_()
    return y.add_(x) if (y.dtype, y.stride()) == (x.dtype, x.stride()) else x + y
