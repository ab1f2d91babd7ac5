"""Pose to feature. Moon et al., IntegralAction: Pose-driven Feature Integration, CVPRW 2021, arXiv 2007.06317.

The pose stream sees no image: joints and limbs of all persons are drawn as maps, and one convolution makes of them what
the first stage of a 2-D network expects, in place of its own first convolution and pooling.

    y = relu(bn(conv3x3([heat maps | part affinity fields])))        J + 2 S channels in, see pose_maps.py

Deviations: none from the released code (common/nets/module.py, Pose2Feat). Joints and limbs, in their order, are those
of its data sets: 18 and 17 of OpenPose (Kinetics, Mimetics), 25 and 24 of a Kinect (NTU RGB+D).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional.frames import per_frame

from . import cost
from .pose_maps import SKELETONS, Skeleton, fields, heatmaps


class PoseToFeature(nn.Module):
    """Joints (B, T, P, J, 2) and their scores (B, T, P, J) of P persons -> (B, channels, T, H, W).

    Joints are (x, y) in pixels of the map. A person that is not there scores 0. `skeleton` is a name or a Skeleton.
    `size` is (H, W); where it is not told, the attribute `size`.
    """

    size = (56, 56)  # a quarter of the paper's images

    def __init__(
        self,
        channels: int,
        *,
        skeleton: str | Skeleton = "openpose18",
        heatmap_sigma: float = 0.5,
        field_sigma: float = 1.0,
        threshold: float = 0.1,
    ):
        super().__init__()
        if isinstance(skeleton, str) and skeleton not in SKELETONS:
            raise ValueError(f"skeleton is one of {', '.join(SKELETONS)}, got {skeleton!r}")
        self.joints, self.limbs = SKELETONS[skeleton] if isinstance(skeleton, str) else skeleton
        if not all(0 <= joint < self.joints for limb in self.limbs for joint in limb):
            raise ValueError(f"skeleton: its limbs join joints below {self.joints}, got {self.limbs}")
        if heatmap_sigma <= 0 or field_sigma <= 0:
            raise ValueError(f"heatmap_sigma and field_sigma must be above 0, got {heatmap_sigma} and {field_sigma}")
        self.heatmap_sigma = heatmap_sigma
        self.field_sigma = field_sigma
        self.threshold = threshold
        conv = nn.Conv2d(self.joints + 2 * len(self.limbs), channels, 3, padding=1)
        nn.init.normal_(conv.weight, std=0.001)  # as released; the norm takes out the bias
        self.conv = nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU())

    def heatmaps(
        self,
        coords: Float[Tensor, "B T P J 2"],
        scores: Float[Tensor, "B2 T2 P2 J2"],
        size: tuple[int, int] | None = None,
    ) -> Float[Tensor, "B J T H W"]:
        """One map for each joint, of all persons."""
        self._check(coords, scores)
        return heatmaps(coords, scores, size or self.size, sigma=self.heatmap_sigma, threshold=self.threshold)

    def fields(
        self,
        coords: Float[Tensor, "B T P J 2"],
        scores: Float[Tensor, "B2 T2 P2 J2"],
        size: tuple[int, int] | None = None,
    ) -> Float[Tensor, "B S2 T H W"]:
        """Two maps for each limb, x and y of its direction, of all persons."""
        self._check(coords, scores)
        return fields(coords, scores, self.limbs, size or self.size, sigma=self.field_sigma, threshold=self.threshold)

    def feature(
        self, heatmaps: Float[Tensor, "B J T H W"], fields: Float[Tensor, "B S2 T H W"]
    ) -> Float[Tensor, "B C T H W"]:
        maps = torch.cat([heatmaps, fields], dim=1)
        return per_frame(self.conv, maps.to(self.conv[0].weight.dtype))

    def forward(
        self,
        coords: Float[Tensor, "B T P J 2"],
        scores: Float[Tensor, "B2 T2 P2 J2"],
        size: tuple[int, int] | None = None,
    ) -> Float[Tensor, "B C T H W"]:
        return self.feature(self.heatmaps(coords, scores, size), self.fields(coords, scores, size))

    def cost(self, coords: tuple[int, ...], scores: tuple[int, ...], size: tuple[int, int] | None = None) -> cost.Cost:
        B, T, P, J, _ = coords
        H, W = size or self.size
        joints, limbs, pixels = B * T * J, B * T * len(self.limbs), H * W
        # exp of a squared distance on each axis, their product, the sum over persons, the clip at 1
        total = cost.each(joints * P, 4 * (H + W) + 2 * pixels) + cost.each(joints * pixels)
        # direction and length; along and across; depth in the band; persons in it and their x and y, the mean
        total += cost.each(limbs * P, 9 + 3 * (H + W) + (2 + 5 + 3) * pixels) + cost.each(2 * limbs * pixels)
        return total + cost.conv_bn_relu(self.conv[0].weight.shape, B * T * pixels)

    def _check(self, coords: Tensor, scores: Tensor) -> None:
        if coords.shape != (*scores.shape, 2):
            raise ValueError(
                f"scores {tuple(scores.shape)} take joints {(*scores.shape, 2)}, got {tuple(coords.shape)}"
            )
        if coords.shape[3] != self.joints:
            raise ValueError(f"PoseToFeature draws {self.joints} joints, got {coords.shape[3]}")

    def extra_repr(self) -> str:
        return f"joints={self.joints}, limbs={len(self.limbs)}, heatmap_sigma={self.heatmap_sigma}"
