"""ResNets on clips, frame by frame (TSN) or inflated in time (I3D), with holes for operators.

He et al., arXiv 1512.03385; logits averaged over frames as in Wang et al., Temporal Segment Networks, arXiv 1608.00859.
Parameters are named as in the common image checkpoints. With a shift in every `block_input` the network is TSM.
Bottlenecks stride in conv2, as those checkpoints do (the paper: in conv1). Inflated as in Carreira and Zisserman, Quo
Vadis, arXiv 1705.07750: k x k kernels become 3 x k x k, the stem's 5 x k x k, none strides in time.
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional.frames import per_frame
from vidops_cli.ops.conv2d import Conv2d
from vidops_cli.ops.conv3d import Conv3d

from .blocks import Blocks, Paths
from .inputs import check_clip


def convolution(channels: int, width: int, *, kernel: int = 3, stride: int = 1, frames: int = 1) -> nn.Module:
    """kernel x kernel in space, over `frames` frames."""
    if frames == 1:
        return Conv2d(channels, out_channels=width, kernel=kernel, stride=stride)
    return Conv3d(channels, out_channels=width, kernel=(frames, kernel, kernel), stride=stride)


def shortcut(channels: int, width: int, stride: int) -> nn.Module:
    if stride == 1 and channels == width:
        return nn.Identity()
    return nn.Sequential(convolution(channels, width, kernel=1, stride=stride), nn.BatchNorm3d(width))


class BasicBlock(nn.Module):
    """y = relu(x + bn2(conv2(relu(bn1(conv1(x)))))), (B, channels, T, H, W) -> (B, width, T, H / stride, W / stride)"""

    expansion = 1
    last_norm = property(lambda self: self.bn2)

    def __init__(self, channels: int, width: int, stride: int, *, frames: int = 1):
        super().__init__()
        self.block_input = nn.Identity()  # slot
        self.conv1 = convolution(channels, width, stride=stride, frames=frames)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = convolution(width, width, frames=frames)  # slot
        self.bn2 = nn.BatchNorm3d(width)
        self.block_output = nn.Identity()  # slot
        self.stochastic_depth = nn.Identity()
        self.downsample = shortcut(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(self.block_input(x))).relu()
        y = self.block_output(self.bn2(self.conv2(y)))
        return (self.stochastic_depth(y) + self.downsample(x)).relu()


class Bottleneck(nn.Module):
    """y = relu(x + bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))), to 4 width channels; conv1 and conv3 are 1 x 1"""

    expansion = 4
    last_norm = property(lambda self: self.bn3)

    def __init__(self, channels: int, width: int, stride: int, *, frames: int = 1):
        super().__init__()
        self.block_input = nn.Identity()  # slot
        self.conv1 = convolution(channels, width, kernel=1)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = convolution(width, width, stride=stride, frames=frames)  # slot
        self.bn2 = nn.BatchNorm3d(width)
        self.after_conv2 = nn.Identity()  # slot
        self.conv3 = convolution(width, self.expansion * width, kernel=1)
        self.bn3 = nn.BatchNorm3d(self.expansion * width)
        self.block_output = nn.Identity()  # slot
        self.stochastic_depth = nn.Identity()
        self.downsample = shortcut(channels, self.expansion * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(self.block_input(x))).relu()
        y = self.after_conv2(self.bn2(self.conv2(y)).relu())
        y = self.block_output(self.bn3(self.conv3(y)))
        return (self.stochastic_depth(y) + self.downsample(x)).relu()


BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck}


def start(network: nn.Module) -> None:
    """He initialisation of all convolutions."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def stage_of(
    block: type[nn.Module], channels: int, width: int, depth: int, *, stride: int, frames: int = 1
) -> tuple[Blocks, int]:
    """`depth` blocks of which the first strides, and how many channels they give."""
    stage = []
    for j in range(depth):
        stage.append(block(channels, width, 1 if j else stride, frames=frames))
        channels = width * block.expansion
    return Blocks(*stage), channels


class ResNet(nn.Module):
    """Clips (B, 3, T, H, W) -> logits (B, classes). `widths` and `blocks` give width and depth of each stage.

    As one stream of several: without `classes` it gives the map of its last stage, (B, C, T, H', W'), and with the stem
    "none" it takes the first stage's, (B, widths[0], T, H, W).
    """

    kinds: ClassVar = BLOCKS

    def __init__(
        self,
        *,
        classes: int | None,
        block: str,
        blocks: tuple[int, ...],
        widths: tuple[int, ...],
        stem: str,
        dropout: float = 0.0,
        inflate: bool = False,
    ):
        super().__init__()
        kernel, frames = (7 if stem == "imagenet" else 5), (5 if inflate else 1)
        if stem != "none":
            self.conv1 = convolution(3, widths[0], kernel=kernel, stride=2, frames=frames)
            self.bn1 = nn.BatchNorm3d(widths[0])
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem == "imagenet" else nn.Identity()
        channels = widths[0]
        for i, (width, depth) in enumerate(zip(widths, blocks, strict=True)):
            stride, frames = (2 if i else 1), (3 if inflate else 1)
            stage, channels = stage_of(self.kinds[block], channels, width, depth, stride=stride, frames=frames)
            self.add_module(f"layer{i + 1}", stage)
            self.add_module(f"after_res{i + 2}", nn.Identity())  # slot: motion modules
        if classes is not None:
            self.dropout = nn.Dropout(dropout)
            self.fc = nn.Linear(channels, classes)
        self.stem, self.classes, self.stages = stem, classes, len(widths)
        start(self)

    def until(self, clip: Tensor, stages: int) -> Tensor:
        """The map that as many stages make of a clip."""
        x = clip.contiguous(memory_format=torch.channels_last_3d)
        if self.stem != "none":
            x = per_frame(self.maxpool, self.bn1(self.conv1(x)).relu())
        for i in range(1, stages + 1):
            x = getattr(self, f"layer{i}")(x)
            x = getattr(self, f"after_res{i + 1}")(x)
        return x

    def forward(self, clip: Float[Tensor, "B C T H W"]) -> Tensor:
        if self.stem != "none":
            check_clip(clip)
        x = self.until(clip, self.stages)
        if self.classes is None:
            return x
        frames = x.mean(dim=(3, 4)).transpose(1, 2)  # B T C
        return self.fc(self.dropout(frames)).mean(dim=1)

    def paths(self) -> Paths:
        """Steps from the clip to the classifier, by depth: blocks.py."""
        path = [["conv1", "bn1"] if self.stem != "none" else []]
        for i in range(1, self.stages + 1):
            path += [[f"layer{i}.{j}"] for j in range(len(getattr(self, f"layer{i}")))]
            path[-1].append(f"after_res{i + 1}")
        return [path]

    @staticmethod
    def holes(block: nn.Module) -> dict[str, tuple[nn.Module, str, int]]:
        """slot -> (parent, attribute, channels) of one block."""
        width = block.conv1.out_channels
        channels = {
            "block_input": block.conv1.in_channels,
            "conv2": width,
            "after_conv2": width,
            "block_output": width * block.expansion,
        }
        return {slot: (block, slot, channels[slot]) for slot in channels if hasattr(block, slot)}

    def places(self) -> dict[str, dict[str, tuple[nn.Module, str, int]]]:
        """slot -> place -> (parent, attribute, channels): where an operator can be put."""
        found: dict[str, dict[str, tuple[nn.Module, str, int]]] = {}
        for i in range(1, self.stages + 1):
            for j, block in enumerate(getattr(self, f"layer{i}")):
                for slot, hole in self.holes(block).items():
                    found.setdefault(slot, {})[f"res{i + 1}.{j}"] = hole
            width = block.conv1.out_channels * block.expansion
            found.setdefault("after_stage", {})[f"res{i + 1}"] = (self, f"after_res{i + 1}", width)
        return found
