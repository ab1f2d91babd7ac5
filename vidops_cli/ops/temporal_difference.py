"""TDN's long-term temporal difference module. Wang et al., TDN: Temporal Difference Networks for Efficient Action
Recognition, CVPR 2021, arXiv 2012.10071.

Each frame is compared with the next one and the one before in a few channels, seen at three scales, and what moves
becomes a factor for each channel and position.

    C(F_i, F_i+1) = F_i - Conv(F_i+1)            1x1 to C / r channels first; Conv 3x3, each channel by itself
    M(F_i, F_i+1) = sigmoid( Conv( sum_j CNN_j(C) ) )      CNN_1: C itself, CNN_2: 3x3, CNN_3: 3x3 at half the size
    Y_i           = F_i + F_i ( M(F_i, F_i+1) + M(F_i, F_i-1) ) / 2         C is zero where the clip ends

Deviations: written from the paper's equations; no numbers of the released code hold it. From that code are the batch
norms after all convolutions but Conv, the frame before as the second direction (the equation writes M(F_i+1, F_i)), and
the sign Conv(F_i+1) - F_i, which the weights after it make up for; gate="released" is its sigmoid - 1/2. Not followed:
it averages over the scales, upsamples by copies (the paper: bilinear), and at one scale reads the forward difference
for the backward one. Ours: norms see both directions as one batch; a last odd row or column is averaged by itself.
TDN's short-term module takes several raw frames around each sampled one, which our clips do not have: it is left out.
In TDN this module stands between a bottleneck's first convolution and the 3x3 one; block_input is the place before it.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional.frames import per_frame

from . import cost
from .checks import made_for, two_frames
from .layers import ConvNorm
from .motion_excitation import cross_difference, squeezed


class TemporalDifference(nn.Module):
    """(B, C, T, H, W) -> the same shape, T >= 2."""

    def __init__(self, channels: int, *, reduction: int = 16, bidirectional: bool = True, gate: str = "paper"):
        super().__init__()
        width = squeezed("TemporalDifference", channels, reduction, gate)
        self.reduction, self.bidirectional, self.gate = reduction, bidirectional, gate
        self.squeeze = ConvNorm(nn.Conv2d(channels, width, 1, bias=False))
        self.smooth = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.near = ConvNorm(nn.Conv2d(width, width, 3, padding=1, bias=False))
        self.far = ConvNorm(nn.Conv2d(width, width, 3, padding=1, bias=False))
        self.expand = ConvNorm(nn.Conv2d(width, channels, 1, bias=False))

    def difference(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "DB c T H W"]:
        """C of each frame to the next one; after them, in the batch, those to the frame before."""
        f = per_frame(self.squeeze, x)
        ahead = cross_difference(self.smooth, f)
        return torch.cat([ahead, cross_difference(self.smooth, f.flip(2)).flip(2)]) if self.bidirectional else ahead

    def scales(self, images: Float[Tensor, "N c H W"]) -> Float[Tensor, "N c H W"]:
        """sum_j CNN_j."""
        H, W = images.shape[2:]
        far = F.interpolate(self.far(F.avg_pool2d(images, 2, ceil_mode=True)), scale_factor=2.0, mode="bilinear")
        return images + self.near(images) + far[..., :H, :W]

    def excitation(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        """M, the mean of both directions: from 0 to 1 (gate="released": from -1/2 to 1/2)."""
        M = torch.sigmoid(per_frame(lambda images: self.expand(self.scales(images)), self.difference(x)))
        if self.bidirectional:
            ahead, behind = M.chunk(2)
            M = (ahead + behind) / 2
        return M if self.gate == "paper" else M - 0.5

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("TemporalDifference", self.squeeze[0].in_channels, x)
        two_frames("TemporalDifference", x)
        return x + x * self.excitation(x)

    def cost(self, x: tuple[int, ...]) -> cost.Cost:
        B, C, T, H, W = x
        images, n, width = B * T, B * T * H * W, self.smooth.in_channels
        cells, pairs = images * -(-H // 2) * -(-W // 2), B * (T - 1) * H * W
        one = cost.products(pairs * width, 9) + cost.each(pairs * width)  # C
        one += cost.conv_bn(self.near[0].weight.shape, n) + cost.each(2 * n * width)
        one += cost.conv_bn(self.far[0].weight.shape, cells) + cost.each(cells * width, 4 + 4 * 7)  # pooled, upsampled
        one += cost.conv_bn(self.expand[0].weight.shape, n) + cost.each(n * C)
        total = cost.conv_bn(self.squeeze[0].weight.shape, n) + one
        if self.bidirectional:
            total += one + cost.each(2 * n * C)
        return total + cost.each(n * C, 2 if self.gate == "paper" else 3)

    def extra_repr(self) -> str:
        return f"reduction={self.reduction}, bidirectional={self.bidirectional}, gate={self.gate}"
