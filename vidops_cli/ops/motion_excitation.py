"""TEA's motion excitation. Li et al., TEA: Temporal Excitation and Aggregation for Action Recognition, CVPR 2020,
arXiv 2004.01398.

Each frame is compared with the next one in a few channels. The mean of the difference over the frame tells which
channels see motion, and these are made stronger; the frame's layout stays as it is.

    X^r  = conv_red * X                              1x1, to C / r channels
    M(t) = conv_trans * X^r(t+1) - X^r(t),  M(T) = 0      conv_trans 3x3, each channel by itself
    A    = 2 sigmoid(conv_exp * mean_n M) - 1        1x1, back to C channels: one factor for each channel and frame
    Y    = X + X A

Deviations: written from the paper's equations; no numbers of the released code hold it. That code has a batch norm
after conv_red and after conv_exp, as here, and A = sigmoid - 1/2, which is gate="released". There the module stands
between a bottleneck's first convolution and the 3x3 one, a place that our networks do not have; block_input is the one
before it, with four times the channels.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional.frames import per_frame

from . import cost
from .checks import made_for, two_frames
from .layers import ConvNorm


def squeezed(name: str, channels: int, reduction: int, gate: str) -> int:
    """C / r; ValueError naming the option that cannot be."""
    if not 1 <= reduction <= channels:
        raise ValueError(f"reduction must be from 1 to the {channels} channels that are squeezed, got {reduction}")
    if gate not in ("paper", "released"):
        raise ValueError(f"gate of {name} is paper or released, got {gate!r}")
    return channels // reduction


def cross_difference(transform: nn.Module, f: Float[Tensor, "B c T H W"]) -> Float[Tensor, "B c T H W"]:
    """transform * f(t+1) - f(t), zero at the last frame."""
    return F.pad(per_frame(transform, f[:, :, 1:]) - f[:, :, :-1], (0, 0, 0, 0, 0, 1))


class MotionExcitation(nn.Module):
    """(B, C, T, H, W) -> the same shape, T >= 2."""

    def __init__(self, channels: int, *, reduction: int = 16, gate: str = "paper"):
        super().__init__()
        width = squeezed("MotionExcitation", channels, reduction, gate)
        self.reduction, self.gate = reduction, gate
        self.conv_red = ConvNorm(nn.Conv2d(channels, width, 1, bias=False))
        self.conv_trans = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.conv_exp = ConvNorm(nn.Conv2d(width, channels, 1, bias=False))

    def difference(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B c T H W"]:
        """M, zero at the last frame."""
        return cross_difference(self.conv_trans, per_frame(self.conv_red, x))

    def excitation(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T 1 1"]:
        """A, from -1 to 1 (gate="released": from -1/2 to 1/2)."""
        z = torch.sigmoid(per_frame(self.conv_exp, self.difference(x).mean((3, 4), keepdim=True)))
        return 2 * z - 1 if self.gate == "paper" else z - 0.5

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("MotionExcitation", self.conv_red[0].in_channels, x)
        two_frames("MotionExcitation", x)
        return x + x * self.excitation(x)

    def cost(self, x: tuple[int, ...]) -> cost.Cost:
        B, C, T, H, W = x
        images, n, pairs, width = B * T, B * T * H * W, B * (T - 1) * H * W, self.conv_trans.in_channels
        total = cost.conv_bn(self.conv_red[0].weight.shape, n)
        total += cost.products(pairs * width, 9) + cost.each(pairs * width) + cost.each(n * width)  # M, its mean
        total += cost.conv_bn(self.conv_exp[0].weight.shape, images)
        return total + cost.each(images * C, 3 if self.gate == "paper" else 2) + cost.each(2 * n * C)

    def extra_repr(self) -> str:
        return f"reduction={self.reduction}, gate={self.gate}"
