"""ResNet-12, the encoder of few-shot classification, as in RENet. Kang et al., arXiv 2108.09666.

Four stages of one block: three 3 x 3 convolutions with norms, leaky ReLU, a max-pool of 2 behind the sum; 84 x 84
pixels become 5 x 5. Without the drop-block of other few-shot networks, as in RENet's released code.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional.frames import per_frame

from .blocks import Blocks, Paths, within
from .inputs import check_clip
from .resnet import convolution, shortcut

SLOPE = 0.1
WIDTHS = (64, 160, 320, 640)


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


class Block(nn.Module):
    """y = maxpool(leaky(downsample(x) + bn3(conv3(leaky(bn2(conv2(leaky(bn1(conv1(x)))))))))"""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.conv1 = convolution(channels, width)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = convolution(width, width)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = convolution(width, width)
        self.bn3 = nn.BatchNorm3d(width)
        self.downsample = shortcut(channels, width, 1)
        self.maxpool = nn.MaxPool2d(2)
        self.stochastic_depth = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = leaky(self.bn1(self.conv1(x)))
        y = leaky(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return per_frame(self.maxpool, leaky(self.stochastic_depth(y) + self.downsample(x)))


class Encoder(nn.Module):
    """Clips (B, 3, T, H, W) -> maps (B, 640, T, H / 16, W / 16): each stage, one a width, halves and rounds down."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS):
        super().__init__()
        self.widths = widths
        for i, (channels, width) in enumerate(zip((3, *widths), widths, strict=False)):
            self.add_module(f"layer{i + 1}", Blocks(Block(channels, width)))
            self.add_module(f"after_res{i + 2}", nn.Identity())  # slot
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=SLOPE, mode="fan_out", nonlinearity="leaky_relu")

    def forward(self, clip: Float[Tensor, "B 3 T H W"]) -> Float[Tensor, "B C T H2 W2"]:
        check_clip(clip, least=2 ** len(self.widths))
        x = clip.contiguous(memory_format=torch.channels_last_3d)
        for i in range(1, len(self.widths) + 1):
            x = getattr(self, f"layer{i}")(x)
            x = getattr(self, f"after_res{i + 1}")(x)
        return x

    def paths(self) -> Paths:
        """Steps from the clip to the classifier, by depth: blocks.py."""
        return [[[], *([f"layer{i + 1}.0", f"after_res{i + 2}"] for i in range(len(self.widths)))]]

    def places(self) -> dict[str, dict[str, tuple[nn.Module, str, int]]]:
        """slot -> place -> (parent, attribute, channels): where an operator can be put."""
        return {"after_stage": {f"res{i + 2}": (self, f"after_res{i + 2}", c) for i, c in enumerate(self.widths)}}


class ResNet12(nn.Module):
    """Clips (B, 3, T, H, W) -> logits (B, classes), averaged over frames."""

    def __init__(self, *, classes: int, widths: tuple[int, ...] = WIDTHS, dropout: float = 0.0):
        super().__init__()
        self.encoder = Encoder(widths)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, clip: Float[Tensor, "B 3 T H W"]) -> Float[Tensor, "B K"]:
        frames = self.encoder(clip).mean(dim=(3, 4)).transpose(1, 2)  # B T C
        return self.fc(self.dropout(frames)).mean(dim=1)

    def paths(self) -> Paths:
        """Steps from the clip to the classifier, by depth: blocks.py."""
        return within("encoder", self.encoder.paths())

    def places(self) -> dict[str, dict[str, tuple[nn.Module, str, int]]]:
        """slot -> place -> (parent, attribute, channels): where an operator can be put."""
        return self.encoder.places()
