"""SIFA-Net. Long et al., Stand-Alone Inter-Frame Attention in Video Models, CVPR 2022, arXiv 2206.06931.

A ResNet on clips that reads four frames at once, so that a clip of T frames has T / 4 steps of time. Behind its third
stage stand two copies of the fourth, one on all steps, one on the larger of each two, on which it does not stride; each
has a classifier, and their probabilities are averaged.

    p = ( softmax(fc(mean(layer4(x)))) + softmax(fc_dual(mean(layer4_dual(max_2(x))))) ) / 2

Deviations: which blocks have SIFA (all odd ones of the released network, layer2 to layer4) and which a global context
(all even ones) is told from outside, as operators in their slots. The result is log p.
"""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.ops.refused import Refused

from .blocks import Paths
from .inputs import check_clip
from .resnet import Bottleneck, ResNet, stage_of, start

TUBE = 4  # frames that the stem reads as one step of time


class SIFANet(ResNet):
    """Clips (B, 3, T, H, W), T a multiple of 4 from 8 on -> log probabilities (B, classes)."""

    copies: ClassVar = {"layer4_dual.": "layer4.", "fc_dual.": "fc."}  # of an image network that it starts from
    inflation = "middle"

    def __init__(self, *, classes: int, dropout: float = 0.0, **like):
        super().__init__(classes=classes, dropout=dropout, **like)
        widths, depth, block = like["widths"], like["blocks"][-1], like["block"]
        self.conv1 = nn.Conv3d(3, widths[0], (TUBE, 7, 7), stride=(TUBE, 2, 2), padding=(0, 3, 3), bias=False)
        before = self.layer4[0].conv1.in_channels
        self.layer4_dual, channels = stage_of(self.kinds[block], before, widths[-1], depth, stride=1)
        self.fc_dual = nn.Linear(channels, classes)
        for part in (self.conv1, self.layer4_dual):
            start(part)
        for module in self.modules():
            if isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)  # a block starts as its shortcut, as the released ones

    def streams(self, clip: Float[Tensor, "B 3 T H W"]) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]:
        """Logits of the two branches."""
        check_clip(clip)
        frames = clip.shape[2]
        if frames % TUBE or frames < 2 * TUBE:
            raise Refused(
                f"SIFA-Net takes a multiple of {TUBE} frames from {2 * TUBE} on, got {frames}", "as data.num_frames=16"
            )
        x = self.until(clip, 3)
        dual = nn.functional.max_pool3d(x, (2, 1, 1))
        found = []
        for part, fc, branch in ((self.layer4, self.fc, x), (self.layer4_dual, self.fc_dual, dual)):
            found.append(fc(self.dropout(part(branch).mean(dim=(2, 3, 4)))))
        return found[0], found[1]

    def forward(self, clip: Float[Tensor, "B 3 T H W"]) -> Float[Tensor, "B K"]:
        one, other = (logits.log_softmax(-1) for logits in self.streams(clip))
        return torch.logaddexp(one, other) - math.log(2)

    def paths(self) -> Paths:
        """One for each branch: blocks.py."""
        (path,) = super().paths()
        dual = [[name.replace("layer4.", "layer4_dual.") for name in step] for step in path]
        return [path, dual]

    def places(self) -> dict[str, dict[str, tuple[nn.Module, str, int]]]:
        """slot -> place -> (parent, attribute, channels): where an operator can be put."""
        found = super().places()
        for j, block in enumerate(self.layer4_dual):
            for slot, (parent, attribute, channels) in self.holes(block).items():
                found[slot][f"res5_dual.{j}"] = (parent, attribute, channels)
        return found
