"""ResNets on clips, frame by frame (TSN), with holes for operators.

He et al., arXiv 1512.03385; logits averaged over frames as in Wang et al., Temporal Segment Networks, arXiv 1608.00859.
Parameters are named as in the common image checkpoints. With a shift in every `block_input` the network is TSM.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional.frames import per_frame
from vidops_cli.ops.conv2d import Conv2d


class BasicBlock(nn.Module):
    """y = relu(x + bn2(conv2(relu(bn1(conv1(shift(x)))))))"""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.block_input = nn.Identity()  # slot: temporal shift
        self.conv1 = Conv2d(channels, out_channels=width, stride=stride)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = Conv2d(width)  # slot: what replaces a convolution
        self.bn2 = nn.BatchNorm3d(width)
        self.downsample = nn.Identity()
        if stride != 1 or channels != width:
            self.downsample = nn.Sequential(
                Conv2d(channels, out_channels=width, kernel=1, stride=stride), nn.BatchNorm3d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(self.block_input(x))).relu()
        y = self.bn2(self.conv2(y))
        return (y + self.downsample(x)).relu()


class ResNet(nn.Module):
    """Clips (B, 3, T, H, W) -> logits (B, classes). `widths` and `blocks` give channels and depth of each stage."""

    def __init__(
        self, *, classes: int, widths: tuple[int, ...], blocks: tuple[int, ...], stem: str, dropout: float = 0.0
    ):
        super().__init__()
        self.conv1 = Conv2d(3, out_channels=widths[0], kernel=7 if stem == "imagenet" else 5, stride=2)
        self.bn1 = nn.BatchNorm3d(widths[0])
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem == "imagenet" else nn.Identity()
        channels = widths[0]
        for i, (width, depth) in enumerate(zip(widths, blocks, strict=True)):
            stage = []
            for j in range(depth):
                stage.append(BasicBlock(channels, width, stride=2 if i and not j else 1))
                channels = width
            self.add_module(f"layer{i + 1}", nn.Sequential(*stage))
            self.add_module(f"after_res{i + 2}", nn.Identity())  # slot: motion modules
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, classes)
        self.stages = len(widths)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, clip: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B K"]:
        x = clip.contiguous(memory_format=torch.channels_last_3d)
        x = per_frame(self.maxpool, self.bn1(self.conv1(x)).relu())
        for i in range(1, self.stages + 1):
            x = getattr(self, f"layer{i}")(x)
            x = getattr(self, f"after_res{i + 1}")(x)
        frames = x.mean(dim=(3, 4)).transpose(1, 2)  # B T C
        return self.fc(self.dropout(frames)).mean(dim=1)

    def places(self) -> dict[str, dict[str, tuple[nn.Module, str, int]]]:
        """slot -> place -> (parent, attribute, channels): where an operator can be put."""
        found: dict[str, dict[str, tuple[nn.Module, str, int]]] = {"block_input": {}, "conv2": {}, "after_stage": {}}
        for i in range(1, self.stages + 1):
            for j, block in enumerate(getattr(self, f"layer{i}")):
                place = f"res{i + 1}.{j}"
                found["block_input"][place] = (block, "block_input", block.conv1.in_channels)
                found["conv2"][place] = (block, "conv2", block.conv1.out_channels)
            found["after_stage"][f"res{i + 1}"] = (self, f"after_res{i + 1}", block.conv1.out_channels)
        return found
