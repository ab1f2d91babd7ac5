"""Networks that see poses. Moon et al., IntegralAction: Pose-driven Feature Integration, CVPRW 2021, arXiv 2007.06317.

A clip goes through two ResNets, one of its frames and one of the joints in them, drawn as maps (`pose_input`) in place
of its first convolution and pooling. What stands in `two_stream` makes one feature of the two; logits are averaged over
frames. Unless told otherwise that is the sum of the streams (IntegralAction without its gate).

Deviations from the released code (main/model.py): which shift the streams have is told from outside, as operators in
their blocks; dropout before the classifier acts (there its result is not used).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.ops.integral_action import IntegralAction
from vidops_cli.ops.pose_to_feature import PoseToFeature
from vidops_cli.ops.refused import Refused

from .blocks import Paths, within
from .inputs import check_clip
from .resnet import BLOCKS, ResNet

Holes = dict[str, dict[str, tuple[nn.Module, str, int]]]


class PoseStream(nn.Module):
    """Clip (B, 3, T, H, W), joints (B, T, P, J, 2) in its pixels and their scores (B, T, P, J) -> (B, C, T, H', W').

    Of the clip only the size of its frames counts; maps are drawn at 1 / `stride` of it. `like` are the arguments of
    the ResNet.
    """

    def __init__(self, *, skeleton: str, stride: int, **like: Any):
        super().__init__()
        self.stride = stride
        self.pose_input = PoseToFeature(like["widths"][0], skeleton=skeleton)  # slot
        self.resnet = ResNet(classes=None, stem="none", **like)

    def forward(
        self, clip: Float[Tensor, "B 3 T H W"], coords: Float[Tensor, "B T P J 2"], scores: Float[Tensor, "B T P J"]
    ) -> Float[Tensor, "B C T H2 W2"]:
        check_clip(clip, least=self.stride)
        if coords.shape[:2] != clip.shape[:1] + clip.shape[2:3]:
            raise Refused(
                f"joints are of as many clips and frames as the clip's, {clip.shape[0]} and {clip.shape[2]}, got "
                f"{coords.shape[0]} and {coords.shape[1]}",
                "joints (B, T, P, J, 2), scores (B, T, P, J)",
            )
        size = (clip.shape[3] // self.stride, clip.shape[4] // self.stride)
        return self.resnet(self.pose_input(coords / self.stride, scores, size))

    def paths(self) -> Paths:
        """Steps from the clip to the classifier, by depth: blocks.py."""
        ((stem, *blocks),) = within("resnet", self.resnet.paths())
        return [[["pose_input", *stem], *blocks]]

    def places(self) -> Holes:
        channels = self.pose_input.conv[0].out_channels
        return {**self.resnet.places(), "pose_input": {"stem": (self, "pose_input", channels)}}


class PoseNetwork(nn.Module):
    """The pose stream alone, with a classifier: clip, joints and scores -> logits (B, classes)."""

    def __init__(self, *, classes: int, dropout: float = 0.0, **pose: Any):
        super().__init__()
        self.given = {"skeleton": pose["skeleton"]}  # what of an operator's options the network decides
        self.pose = PoseStream(**pose)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels_of(pose), classes)

    def forward(self, clip: Tensor, coords: Tensor, scores: Tensor) -> Float[Tensor, "B K"]:
        frames = self.pose(clip, coords, scores).mean(dim=(3, 4)).transpose(1, 2)  # B T C
        return self.fc(self.dropout(frames)).mean(dim=1)

    def paths(self) -> Paths:
        """Steps from the clip to the classifier, by depth: blocks.py."""
        return within("pose", self.pose.paths())

    def places(self) -> Holes:
        return self.pose.places()


class TwoStream(nn.Module):
    """Clip, joints and scores, as PoseStream takes them -> logits (B, classes).

    `rgb` are arguments of that stream's ResNet, `pose` those of the PoseStream. An operator in `two_stream` that takes
    `classes` names them itself.
    """

    def __init__(
        self,
        *,
        classes: int,
        widths: tuple[int, ...],
        rgb: Mapping[str, Any],
        pose: Mapping[str, Any],
        dropout: float = 0.0,
    ):
        super().__init__()
        rgb, pose = {**rgb, "widths": widths}, {**pose, "widths": widths}
        told = {"pose_channels": channels_of(pose), "features": widths[-1]}
        self.given = {"skeleton": pose["skeleton"], **told}  # what of an operator's options the network decides
        self.rgb = ResNet(classes=None, **rgb)
        self.pose = PoseStream(**pose)
        self.two_stream = IntegralAction(channels_of(rgb), gate="none", **told)  # slot
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, clip: Tensor, coords: Tensor, scores: Tensor) -> Float[Tensor, "B K"]:
        x = self.two_stream(self.rgb(clip), self.pose(clip, coords, scores))
        if self.fc is None:
            return x
        return self.fc(self.dropout(x.flatten(2).transpose(1, 2))).mean(dim=1)

    def paths(self) -> Paths:
        """One for each stream: blocks.py."""
        return within("rgb", self.rgb.paths()) + within("pose", self.pose.paths())

    def places(self) -> Holes:
        found: Holes = {"two_stream": {"end": (self, "two_stream", self.two_stream.channels)}}
        for stream in ("rgb", "pose"):
            for slot, holes in getattr(self, stream).places().items():
                found.setdefault(slot, {}).update({f"{stream}.{place}": hole for place, hole in holes.items()})
        return found


def channels_of(resnet: Mapping[str, Any]) -> int:
    """Channels that a ResNet of these arguments ends with."""
    return resnet["widths"][-1] * BLOCKS[resnet["block"]].expansion
