"""MotionSqueeze. Kwon et al., Neural Motion Feature Learning for Video Understanding, ECCV 2020, arXiv 2007.09933.

Neighbouring frames are matched; of the correlation only the displacement of the best match and its confidence are
kept, and a few light convolutions turn these three channels into motion features that are added to the input.

    s[n, d] = relu( <f_t[n], f_t+1[n + d]> ),  f = l2norm(relu(bn(W x))),  |d| <= P
    w[n, :] = softmax_d( g(d - argmax_d s) s[n, d] / tau )        kernel-soft-argmax, g a Gaussian of width sigma
    u[n]    = sum_d w[n, d] d                                      displacement (x, y)
    y       = x + refine( u / P, max_d s )                         four depthwise-separable convolutions

Deviations from the paper's text: none known. As in the released code (MotionSqueeze/resnet_TSM.py): the L2 norm has its
epsilon 1e-6 inside the root, the last frame repeats the displacement of the one before it, and no ReLU follows the sum.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import correlate, soft_argmax
from vidops_cli.functional.frames import per_frame


def l2norm(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-6)


def conv_bn_relu(channels: int, out: int, kernel: int, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU())


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
    ):
        super().__init__()
        if max_displacement < 1:
            raise ValueError(f"max_displacement must be at least 1, got {max_displacement}")
        if displacement not in ("kernel_soft_argmax", "soft_argmax"):
            raise ValueError(f"displacement is kernel_soft_argmax or soft_argmax, got {displacement!r}")
        self.size = 2 * max_displacement + 1
        self.max_displacement = max_displacement
        self.sigma = sigma if displacement == "kernel_soft_argmax" else None
        self.temperature = temperature
        self.confidence = confidence
        self.reduction = conv_bn_relu(channels, reduced, 1)
        widths = [3 if confidence else 2, 16, 32, 64, channels]
        stages = []
        for i, kernel in enumerate((7, 3, 3, 3)):
            stages += [
                conv_bn_relu(widths[i], widths[i], kernel, groups=widths[i]),
                conv_bn_relu(widths[i], widths[i + 1], 1),
            ]
        self.refine = nn.Sequential(*stages)

    def correlation(self, x: Tensor) -> Float[Tensor, "B N T H W"]:
        """Scores s of frames t = 0 .. T-2 against the next one; N = (2P + 1)^2 displacements, y the slower axis."""
        f = per_frame(self.reduction, x)
        f = l2norm(f if f.dtype == torch.float64 else f.float())  # matches differ in the third digit
        volume = correlate(f[:, :, :-1], f[:, :, 1:], (1, self.size, self.size))
        return volume.squeeze(1).relu()

    def displacement(self, x: Tensor) -> tuple[Float[Tensor, "B 2 T H W"], Float[Tensor, "B 1 T H W"]]:
        """Displacement (x, y) in positions from frame t to t + 1, and confidence, for t = 0 .. T-2."""
        return soft_argmax(self.correlation(x), self.size, self.size, temperature=self.temperature, sigma=self.sigma)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        if x.shape[2] < 2:
            raise ValueError(
                f"MotionSqueeze compares frames: it needs at least 2, got {x.shape[2]}", "give a clip with T >= 2"
            )
        displacement, confidence = self.displacement(x)
        motion = displacement / self.max_displacement
        if self.confidence:
            motion = torch.cat([motion, confidence], dim=1)
        motion = torch.cat([motion, motion[:, :, -1:]], dim=2).to(x.dtype)
        return x + per_frame(self.refine, motion)

    def extra_repr(self) -> str:
        return f"max_displacement={self.max_displacement}, sigma={self.sigma}, temperature={self.temperature}"
