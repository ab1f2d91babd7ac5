"""R(2+1)D. Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, arXiv 1711.11248.

A ResNet whose 3 x 3 x 3 convolutions are each a 1 x 3 x 3 one to M channels, a norm, a ReLU, and a 3 x 1 x 1 one; M is
such that the two have as many weights as the one:

    M = floor( 27 C1 C2 / (9 C1 + 3 C2) ),      C1 channels to C2

Stages from the second on stride in time as in space, by 2.

Deviations, as in torchvision's networks, whose weights fit: both convolutions of a block have the M of its first, where
by the paper's rule the second one's would be larger if the block widens; the stem has M = 45.
"""

from typing import ClassVar

from torch import nn

from vidops_cli.ops.conv2plus1d import Conv2Plus1D
from vidops_cli.ops.layers import SafeConv3d

from .resnet import BasicBlock, ResNet, start

STEM = 45


class Factored(Conv2Plus1D):
    """(B, C, T, H, W) -> (B, out_channels, T / step, H / stride, W / stride)"""

    def __init__(self, channels: int, *, out_channels: int, mid: int, kernel: int = 3, stride: int = 1, step: int = 1):
        super().__init__(channels, out_channels=out_channels, kernel=(3, kernel, kernel), mid=mid, stride=stride)
        self.temporal.stride = (step, 1, 1)


class FactoredBlock(BasicBlock):
    """A block of two of them, which strides in time too."""

    def __init__(self, channels: int, width: int, stride: int, *, frames: int = 1):
        super().__init__(channels, width, stride)
        middle = 27 * channels * width // (9 * channels + 3 * width)
        self.conv1 = Factored(channels, out_channels=width, mid=middle, stride=stride, step=stride)
        self.conv2 = Factored(width, out_channels=width, mid=middle)  # slot
        if stride > 1 or channels != width:
            conv = SafeConv3d(channels, width, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm3d(width))


class R2Plus1D(ResNet):
    """Clips (B, 3, T, H, W) -> logits (B, classes)."""

    kinds: ClassVar = {"factored": FactoredBlock}

    def __init__(self, **given):
        super().__init__(**given)
        width = given["widths"][0]
        self.conv1 = Factored(3, out_channels=width, mid=STEM, kernel=7, stride=2)
        self.maxpool = nn.Identity()
        start(self)
