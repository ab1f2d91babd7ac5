"""MotionSqueeze. Kwon et al., Neural Motion Feature Learning for Video Understanding, ECCV 2020, arXiv 2007.09933.

Neighbouring frames are matched; of the correlation only the displacement of the best match and its confidence are
kept, and a few light convolutions turn these three channels into motion features that are added to the input.

    s[n, d] = relu( <f_t[n], f_t+1[n + d]> ),  f = l2norm(relu(bn(W x))),  |d| <= P
    w[n, :] = softmax_d( g(d - argmax_d s) s[n, d] / tau )        kernel-soft-argmax, g a Gaussian of width sigma
    u[n]    = sum_d w[n, d] d                                      displacement (x, y)
    y       = x + refine( u / P, max_d s )                         four depthwise-separable convolutions

Deviations from the paper's text: none known. As in the released code (MotionSqueeze/resnet_TSM.py): the L2 norm has its
epsilon 1e-6 inside the root, the last frame repeats the displacement of the one before it, and no ReLU follows the sum.
The released code has neither `displacement` other than the default, nor `confidence=False`, `backward`, or another
`refinement`: these are the axes of the paper's ablations, built in their evident form.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import correlate, l2norm, soft_argmax
from vidops_cli.functional.blocks import blockwise
from vidops_cli.functional.frames import per_frame, per_position

from . import cost
from .checks import at_least, made_for, two_frames
from .layers import conv_bn_relu, relu_plus


def refiner(widths: list[int], kind: str) -> nn.Sequential:
    """Four stages: depthwise then pointwise ("separable"), dense ("conv"), or pointwise alone ("pointwise")."""
    stages = []
    for kernel, channels, out in zip((7, 3, 3, 3), widths[:-1], widths[1:], strict=True):
        if kind == "separable":
            stages.append(conv_bn_relu(channels, channels, kernel, groups=channels))
        stages.append(conv_bn_relu(channels, out, kernel if kind == "conv" else 1))
    return nn.Sequential(*stages)


class MotionSqueeze(nn.Module):
    """(B, C, T, H, W) -> the same shape, T >= 2."""

    def __init__(
        self,
        channels: int,
        *,
        reduced: int = 64,
        max_displacement: int = 7,
        displacement: str = "kernel_soft_argmax",
        sigma: float = 5.0,
        temperature: float = 0.01,
        confidence: bool = True,
        backward: bool = False,
        refinement: str = "separable",
    ):
        super().__init__()
        at_least(1, reduced=reduced, max_displacement=max_displacement)
        for name, value in (("sigma", sigma), ("temperature", temperature)):
            if not value > 0:
                raise ValueError(f"{name} must be more than 0, got {value}")
        if displacement not in ("kernel_soft_argmax", "soft_argmax", "correlation"):
            raise ValueError(f"displacement is kernel_soft_argmax, soft_argmax or correlation, got {displacement!r}")
        if refinement not in ("separable", "conv", "pointwise"):
            raise ValueError(f"refinement is separable, conv or pointwise, got {refinement!r}")
        self.size = 2 * max_displacement + 1
        self.max_displacement = max_displacement
        self.reading, self.refining = displacement, refinement
        self.sigma = sigma if displacement == "kernel_soft_argmax" else None
        self.temperature = temperature
        self.confidence = confidence
        self.directions = 2 if backward else 1
        self.reduction = conv_bn_relu(channels, reduced, 1)
        read = self.size**2 if displacement == "correlation" else 2
        self.refine = refiner([self.directions * (read + confidence), 16, 32, 64, channels], refinement)

    def match(self, f1: Float[Tensor, "B C T H W"], f2: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B N T H W"]:
        """Scores s of normalised features f1 against f2; N = (2P + 1)^2 displacements, y the slower axis."""
        return correlate(f1, f2, (1, self.size, self.size)).squeeze(1).relu()

    def correlation(self, x: Tensor) -> list[Float[Tensor, "B N T H W"]]:
        """Scores of frames t = 0 .. T-2 against the next one; with `backward`, then of frames t + 1 against t."""
        f = l2norm(per_position(self.reduction, x))
        pair = f[:, :, :-1], f[:, :, 1:]
        return [self.match(*pair), self.match(*pair[::-1])] if self.directions == 2 else [self.match(*pair)]

    def read(self, volume: Float[Tensor, "B N T H W"]) -> tuple[Float[Tensor, "B M T H W"], Float[Tensor, "B 1 T H W"]]:
        """Displacement (x, y) in positions, M = 2, or the scores themselves ("correlation"), M = N; and confidence."""
        if self.reading == "correlation":
            return volume, volume.max(dim=1, keepdim=True).values
        return soft_argmax(volume, self.size, self.size, temperature=self.temperature, sigma=self.sigma)

    def displacement(self, x: Tensor) -> tuple[Float[Tensor, "B M T H W"], Float[Tensor, "B D T H W"]]:
        """Displacement from frame t to t + 1 and confidence, for t = 0 .. T-2.

        With `backward`, those from frame t + 1 to t follow as further channels.
        """
        found = [self.read(volume) for volume in self.correlation(x)]
        return torch.cat([d for d, _ in found], dim=1), torch.cat([c for _, c in found], dim=1)

    def refinement(self, x: Tensor, motion: Tensor, confidence: Tensor) -> Float[Tensor, "B C T H W"]:
        """x plus motion features of its T - 1 pairs; the last frame (backward: the first) repeats its neighbour's."""
        pairs = zip(motion.chunk(self.directions, 1), confidence.chunk(self.directions, 1), strict=True)
        ahead, *behind = (torch.cat(pair, dim=1) if self.confidence else pair[0] for pair in pairs)
        channels = [torch.cat([ahead, ahead[:, :, -1:]], dim=2)]
        channels += [torch.cat([maps[:, :, :1], maps], dim=2) for maps in behind]
        light = per_frame(self.refine[:-1], torch.cat(channels, dim=1).to(x.dtype))
        if self.training:  # batch statistics are those of all frames
            return self.added(x, light)
        if x.is_contiguous(memory_format=torch.channels_last_3d):
            light = light.contiguous(memory_format=torch.channels_last_3d)  # and so is what is made of it
        return blockwise(self.added, x, light, bytes_each=2 * x[:, :, 0].numel() * x.element_size(), dim=2)

    def added(self, x: Tensor, light: Tensor) -> Float[Tensor, "B C T H W"]:
        """x plus the last stage of the refinement, which alone has as many channels as x."""
        widened = per_position if self.refine[-1][0].kernel_size == (1, 1) else per_frame
        return widened(lambda x, light: relu_plus(self.refine[-1].normed(light), x), x, light)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("MotionSqueeze", self.reduction[0].in_channels, x)
        two_frames("MotionSqueeze", x)
        displacement, confidence = self.displacement(x)
        motion = displacement if self.reading == "correlation" else displacement / self.max_displacement
        return self.refinement(x, motion, confidence)

    def cost(self, x: tuple[int, ...]) -> cost.Cost:
        B, C, T, H, W = x
        frames, pairs = B * T * H * W, self.directions * B * (T - 1) * H * W
        offsets, reduced = self.size**2, self.reduction[0].out_channels
        total = cost.conv_bn_relu(self.reduction[0].weight.shape, frames) + cost.l2norm(frames * reduced, frames)
        best = self.confidence or self.sigma is not None
        total += cost.correlation(pairs * offsets, reduced) + cost.each(pairs * offsets, 1 + best)
        if self.reading != "correlation":
            total += cost.soft_argmax(pairs, offsets, gaussian=self.sigma is not None) + cost.each(2 * pairs)
        for layer in self.refine:
            total += cost.conv_bn_relu(layer[0].weight.shape, frames)
        return total + cost.each(frames * C)

    def extra_repr(self) -> str:
        return (
            f"max_displacement={self.max_displacement}, displacement={self.reading}, sigma={self.sigma}, "
            f"temperature={self.temperature}, backward={self.directions == 2}, refinement={self.refining}"
        )
