"""Deformable convolution v2, modulated. Zhu et al., Deformable ConvNets v2: More Deformable, Better Results, CVPR 2019,
arXiv 1811.11168; without modulation v1, Dai et al., Deformable Convolutional Networks, ICCV 2017, arXiv 1703.06211.

A convolution whose taps are moved: a second convolution of the same map says at each position by how much, in pixels,
and how much each tap counts.

    y(p) = sum_k W_k x(p + r_k + dp_k(p)) dm_k(p)          bilinear, zero outside the map; r_k the K x K grid
    (dp, m) = W' * x + b',    dm = sigmoid(m)          W' and b' start at zero: whole positions, each counts half

Deviations: written from the papers' equations; no numbers of released code hold it. Clips are taken frame by frame. The
papers train W' at a tenth of the learning rate, which is the recipe's to say. One group of offsets; no stride here.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import linear, sample
from vidops_cli.functional.frames import per_frame

from . import cost
from .checks import at_least, made_for, odd


class DeformableConv(nn.Module):
    """(B, C, T, H, W) -> (B, out_channels, T, H, W). Weight and key are those of `nn.Conv2d`."""

    def __init__(
        self,
        channels: int,
        *,
        out_channels: int | None = None,
        kernel: int = 3,
        dilation: int = 1,
        modulated: bool = True,
        bias: bool = False,
    ):
        super().__init__()
        odd(kernel=kernel)
        at_least(1, dilation=dilation, out_channels=out_channels)
        self.channels, self.kernel, self.dilation, self.modulated = channels, kernel, dilation, modulated
        plain = nn.Conv2d(channels, out_channels or channels, kernel, bias=bias)
        self.weight, self.bias = plain.weight, plain.bias
        taps = (3 if modulated else 2) * kernel**2
        self.conv_offset = nn.Conv2d(channels, taps, kernel, padding=kernel // 2 * dilation, dilation=dilation)
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)

    def offset(self, x: Float[Tensor, "B C T H W"]) -> tuple[Tensor, Tensor | None]:
        """dp (B, 2 N, T, H, W), channel 2k the dy of tap k, 2k + 1 its dx; dm (B, N, T, H, W)."""
        told = per_frame(self.conv_offset, x)
        moved, modulation = told[:, : 2 * self.kernel**2], told[:, 2 * self.kernel**2 :]
        return moved, torch.sigmoid(modulation) if self.modulated else None

    def samples(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C N T H W"]:
        """What each tap reads, and how much of it counts."""
        moved, modulation = self.offset(x)
        read = sample(x, moved, self.kernel, self.dilation)
        return read if modulation is None else read * modulation.unsqueeze(1).to(read.dtype)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C2 T H W"]:
        made_for("DeformableConv", self.channels, x)
        taps = self.samples(x).permute(0, 3, 4, 5, 2, 1).flatten(-2)  # as they lie in memory
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)
        return linear(taps, weight, self.bias).movedim(-1, 1).contiguous()

    def cost(self, x: tuple[int, ...]) -> cost.Cost:
        B, C, T, H, W = x
        n, N = B * T * H * W, self.kernel**2
        total = cost.products(n * self.conv_offset.out_channels, C * N) + cost.bilinear(n * N * C, n * N)
        total += cost.each(n * N * (1 + C) if self.modulated else 0)
        return total + cost.products(n * len(self.weight), C * N)

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, dilation={self.dilation}, modulated={self.modulated}"
