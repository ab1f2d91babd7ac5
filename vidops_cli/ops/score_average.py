"""Score averaging, which IntegralAction compares with (Moon et al., CVPRW 2021, arXiv 2007.06317).

Two streams that never meet: each names its own classes, and only their probabilities are averaged.

    p = ( softmax(mean_t(W_A f_A + b_A)) + softmax(mean_t(W_P f_P + b_P)) ) / 2      f: spatial mean at a frame

Deviations: written from the paper's text, no code was released. The result is log p, which a loss and a ranking of
classes can use as they use logits. Classifiers start as those of our networks do; the released ones, normal with
std 0.01, need more steps than a short schedule has.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from . import cost
from .checks import at_least, is_map


class ScoreAverage(nn.Module):
    """RGB (B, channels, T, H, W) and pose (B, pose_channels, T', H', W') -> log probabilities (B, classes).

    `pose_channels` is `channels` if not given.
    """

    def __init__(self, channels: int, *, pose_channels: int | None = None, classes: int = 50):
        super().__init__()
        at_least(1, pose_channels=pose_channels, classes=classes)
        self.rgb_fc = nn.Linear(channels, classes)
        self.pose_fc = nn.Linear(channels if pose_channels is None else pose_channels, classes)

    def scores(
        self, rgb: Float[Tensor, "B C T H W"], pose: Float[Tensor, "B2 C2 T2 H2 W2"]
    ) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]:
        """Logarithms of the streams' own probabilities."""
        for x in (rgb, pose):
            is_map("ScoreAverage", x)
        if len(rgb) != len(pose):
            raise ValueError(f"ScoreAverage takes as many clips of pose as of rgb, got {len(pose)} and {len(rgb)}")
        found = []
        for name, fc, x in (("rgb", self.rgb_fc, rgb), ("pose", self.pose_fc, pose)):
            if x.shape[1] != fc.in_features:
                raise ValueError(f"ScoreAverage takes {fc.in_features} channels of {name}, got {x.shape[1]}")
            found.append(fc(x.mean((3, 4)).transpose(1, 2)).mean(1).log_softmax(-1))
        return found[0], found[1]

    def forward(self, rgb: Float[Tensor, "B C T H W"], pose: Float[Tensor, "B2 C2 T2 H2 W2"]) -> Float[Tensor, "B K"]:
        return torch.logaddexp(*self.scores(rgb, pose)) - math.log(2)

    def cost(self, rgb: tuple[int, ...], pose: tuple[int, ...]) -> cost.Cost:
        total = cost.Cost()
        for fc, (B, C, T, H, W) in ((self.rgb_fc, rgb), (self.pose_fc, pose)):
            scores = B * fc.out_features
            total += cost.each(B * C * T * H * W) + cost.products(T * scores, C)
            total += cost.each(T * scores) + cost.each(scores, cost.SOFTMAX)
        return total + cost.each(3 * scores)

    def extra_repr(self) -> str:
        return f"classes={self.rgb_fc.out_features}"
