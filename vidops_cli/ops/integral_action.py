"""IntegralAction: Pose-driven Feature Integration. Moon et al., CVPRW 2021, arXiv 2007.06317.

Two streams see a clip: one its frames, one the poses in them. Appearance misleads out of context, and poses are often
not found: so a gate chooses for each frame and channel which stream to read, and it is computed from the pose alone.

    A = LN(relu(bn(W_A f_A))),  P = LN(relu(bn(W_P f_P)))       f: spatial mean of a stream's map at a frame
    g = sigmoid(W_g f_P + b)
    F = (1 - g) A + g P

Deviations: the paper's blocks W and W_g are temporal convolutions; those of the released code (common/nets/module.py),
which we follow, have no extent in time (block_frames=1). The paper writes G = 1 - g. gate="none" is the released
pose_gate=False: the sum of the streams, without LayerNorm. gate="appearance" and "both" (a sum of two linear maps) are
its ablation, of which no code was released. Poses at pose_frame_factor times the frame rate first pass a convolution
over five frames; the released module holds it in any case, ours from a factor of 2 on.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from . import cost
from .checks import at_least, is_map, odd
from .refused import Refused

GATES = ("pose", "appearance", "both", "none")


class IntegralAction(nn.Module):
    """RGB (B, channels, T, H, W) and pose (B, pose_channels, T', H', W') -> (B, features, T, 1, 1).

    T' = pose_frame_factor (T - 1) + 1. `pose_channels` is `channels` if not given.
    """

    def __init__(
        self,
        channels: int,
        *,
        pose_channels: int | None = None,
        features: int = 512,
        gate: str = "pose",
        pose_frame_factor: int = 1,
        block_frames: int = 1,
    ):
        super().__init__()
        if gate not in GATES:
            raise ValueError(f"gate is one of {', '.join(GATES)}, got {gate!r}")
        at_least(1, pose_channels=pose_channels, features=features, pose_frame_factor=pose_frame_factor)
        odd(block_frames=block_frames)
        self.channels = channels
        self.pose_channels = channels if pose_channels is None else pose_channels
        self.source = gate
        self.pose_frame_factor = pose_frame_factor
        self.pose_fusion = nn.Identity()
        if pose_frame_factor > 1:
            conv = nn.Conv1d(self.pose_channels, self.pose_channels, 5, stride=pose_frame_factor, padding=2)
            self.pose_fusion = norm_relu(conv)

        def block(width: int) -> nn.Conv1d:
            return nn.Conv1d(width, features, block_frames, padding=block_frames // 2)

        self.rgb_block = norm_relu(block(channels))
        self.pose_block = norm_relu(block(self.pose_channels))
        if gate != "none":
            self.rgb_norm = nn.LayerNorm(features)
            self.pose_norm = nn.LayerNorm(features)
            width = {"pose": self.pose_channels, "appearance": channels, "both": channels + self.pose_channels}
            self.gate_conv = starting(block(width[gate]), 0.01)

    def vectors(
        self, rgb: Float[Tensor, "B C T H W"], pose: Float[Tensor, "B2 C2 T2 H2 W2"]
    ) -> tuple[Float[Tensor, "B T C"], Float[Tensor, "B T C2"]]:
        """f_A and f_P: one vector for each stream and frame."""
        for name, x, channels in (("rgb", rgb, self.channels), ("pose", pose, self.pose_channels)):
            is_map("IntegralAction", x)
            if x.shape[1] != channels:
                raise ValueError(f"IntegralAction takes {channels} channels of {name}, got {x.shape[1]}")
        if len(rgb) != len(pose):
            raise ValueError(f"IntegralAction takes as many clips of pose as of rgb, got {len(pose)} and {len(rgb)}")
        frames = self.pose_frame_factor * (rgb.shape[2] - 1) + 1
        if pose.shape[2] != frames:
            raise Refused(
                f"IntegralAction takes {frames} frames of pose to {rgb.shape[2]} of rgb, got {pose.shape[2]}",
                "give pose_frame_factor (T - 1) + 1 frames of pose",
            )
        return rgb.mean((3, 4)).transpose(1, 2), self.pose_fusion(pose.mean((3, 4))).transpose(1, 2)

    def gate(self, rgb: Float[Tensor, "B T C"], pose: Float[Tensor, "B T C2"]) -> Float[Tensor, "B T F"]:
        """g of the streams' vectors: 1 reads the pose, 0 the appearance. ValueError without a gate."""
        if self.source == "none":
            raise ValueError("with gate='none' there is no gate")
        seen = {"pose": [pose], "appearance": [rgb], "both": [rgb, pose]}[self.source]
        return over_time(self.gate_conv, torch.cat(seen, dim=-1)).sigmoid()

    def integrate(self, rgb: Float[Tensor, "B T C"], pose: Float[Tensor, "B T C2"]) -> Float[Tensor, "B F T 1 1"]:
        """F of the streams' vectors."""
        A, P = over_time(self.rgb_block, rgb), over_time(self.pose_block, pose)
        if self.source == "none":
            F = A + P
        else:
            g = self.gate(rgb, pose)
            F = (1 - g) * self.rgb_norm(A) + g * self.pose_norm(P)
        return F.transpose(1, 2)[..., None, None]

    def forward(
        self, rgb: Float[Tensor, "B C T H W"], pose: Float[Tensor, "B2 C2 T2 H2 W2"]
    ) -> Float[Tensor, "B F T 1 1"]:
        return self.integrate(*self.vectors(rgb, pose))

    def cost(self, rgb: tuple[int, ...], pose: tuple[int, ...]) -> cost.Cost:
        frames = rgb[0] * rgb[2]
        total = cost.each(math.prod(rgb) + math.prod(pose))  # means
        if self.pose_frame_factor > 1:
            total += cost.conv_bn_relu(self.pose_fusion[0].weight.shape, frames)
        for block in (self.rgb_block, self.pose_block):
            total += cost.conv_bn_relu(block[0].weight.shape, frames)
        if self.source == "none":
            return total + cost.each(frames * self.rgb_block[0].out_channels)
        out, *terms = self.gate_conv.weight.shape
        total += 2 * cost.each(frames * out, cost.LAYER_NORM) + cost.products(frames * out, math.prod(terms))
        return total + cost.each(frames * out, 5)  # sigmoid, 1 - g, two products, their sum

    def extra_repr(self) -> str:
        return f"gate={self.source}, pose_frame_factor={self.pose_frame_factor}"


def over_time(layers: nn.Module, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T F"]:
    return layers(x.transpose(1, 2)).transpose(1, 2)


def norm_relu(layer: nn.Conv1d) -> nn.Sequential:
    return nn.Sequential(starting(layer, 0.001), nn.BatchNorm1d(layer.out_channels), nn.ReLU())


def starting(layer: nn.Conv1d, std: float) -> nn.Conv1d:
    """The layer with the weights that released training starts from."""
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
    return layer
