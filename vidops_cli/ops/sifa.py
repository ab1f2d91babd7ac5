"""SIFA, stand-alone inter-frame attention. Long et al., CVPR 2022, arXiv 2206.06931.

Each position attends to K x K positions around it in the next frame, moved by offsets that are read from the motion
between the two frames. Queries, keys and values are the features themselves; nothing is normalised.

    D_t         = W * z,    z = f_t+1 (1 + sigmoid(f_t+1 - f_t))              offsets (dy, dx) of the taps, in pixels
    s_t[k](p)   = f_t+1(p + r_k + D_t[k](p))                                  bilinear, zero outside the map
    a_t[k](p)   = <f_t(p), s_t[k](p)> / C
    y_t(p)      = f_t(p) + sum_k a_t[k](p) s_t[k](p),    y_T = f_T            the last frame has no next one

Deviations (SIFA/model/c2d_sifa_resnet.py, defcor.py): the released code modulates as above, the paper without the
"1 +" (modulation="paper"). It copies the clip onto itself in place to get f_t, which is undefined; f_t is meant. Its
groups give C values each and cannot be summed to f; here each group weighs its own channels, still by 1 / C.
offsets="regular", norm=True is what its Swin blocks do: no offsets, and a LayerNorm of the sum, zero at the start, the
bias of which the last frame gets too (there the kernel also reads memory in a wrong order; here it does not).
Offsets that the released code lacks are those of the paper's table, read at frame t + 1: "next" W * f_t+1, "difference"
W * (f_t+1 - f_t), "conv3d" over three frames; "colocated" has the position itself for its only tap.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import aggregate, attend, correlate, sample
from vidops_cli.functional.deformable import check_kernel
from vidops_cli.functional.frames import per_frame
from vidops_cli.functional.precision import autocasting, full_precision

from . import cost
from .checks import made_for
from .layers import SafeConv3d

OFFSETS = ("motion", "next", "difference", "conv3d", "regular", "colocated")
PAIRS = 64 * 64  # positions of a frame: on larger maps products of all pairs take more than reads


class SIFA(nn.Module):
    """(B, C, T, H, W) -> the same shape, T >= 2."""

    def __init__(
        self,
        channels: int,
        *,
        offsets: str = "motion",
        kernel: int = 3,
        dilation: int = 1,
        groups: int = 1,
        modulation: str = "released",
        norm: bool = False,
    ):
        super().__init__()
        if offsets not in OFFSETS:
            raise ValueError(f"offsets is one of {', '.join(OFFSETS)}, got {offsets!r}")
        if modulation not in ("released", "paper"):
            raise ValueError(f"modulation is released or paper, got {modulation!r}")
        if groups < 1 or channels % groups:
            raise ValueError(f"groups must divide the {channels} channels, got {groups}")
        check_kernel(kernel, dilation)
        self.channels, self.offsets, self.modulation = channels, offsets, modulation
        self.kernel = 1 if offsets == "colocated" else kernel
        self.dilation, self.groups = dilation, groups
        if offsets not in ("regular", "colocated"):
            frames = 3 if offsets == "conv3d" else 1
            taps = 2 * kernel**2
            self.conv_offset = SafeConv3d(channels, taps, (frames, 3, 3), padding=(frames // 2, 1, 1), bias=False)
            nn.init.zeros_(self.conv_offset.weight)
        self.norm = nn.LayerNorm(channels) if norm else None
        if norm:
            nn.init.zeros_(self.norm.weight)

    def modulated(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T2 H W"]:
        """z, the next frame where it differs from its frame, for t = 0 .. T-2."""
        now, then = x[:, :, :-1], x[:, :, 1:]
        gated = torch.sigmoid(then - now) * then
        return then + gated if self.modulation == "released" else gated

    def offset(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B M T2 H W"]:
        """D, for t = 0 .. T-2; channel 2k is dy of tap k, 2k + 1 its dx."""
        if self.offsets == "conv3d":
            return self.conv_offset(x)[:, :, 1:]
        if self.offsets == "motion":
            return self.within_frames(self.modulated(x))
        if self.offsets == "next":
            return self.within_frames(x[:, :, 1:])
        if self.offsets == "difference":
            return self.within_frames(x[:, :, 1:] - x[:, :, :-1])
        B, _, T, H, W = x.shape
        return x.new_zeros(B, 2 * self.kernel**2, T - 1, H, W)

    def within_frames(self, x: Tensor) -> Tensor:
        """W * x: on short clips torch has only a slow 3-D convolution."""
        return per_frame(lambda images: F.conv2d(images, self.conv_offset.weight[:, :, 0], padding=1), x)

    def samples(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C N T2 H W"]:
        """s, keys and values at once, for t = 0 .. T-2."""
        return sample(x[:, :, 1:], self.offset(x), self.kernel, self.dilation)

    def correlation(
        self, f: Float[Tensor, "B C T H W"], samples: Float[Tensor, "B C N T H W"]
    ) -> Float[Tensor, "B G N T H W"]:
        """a, of queries f and what was sampled for them."""
        q, k = f.unflatten(1, (self.groups, -1)), samples.unflatten(1, (self.groups, -1))
        return torch.einsum("bgcthw,bgcnthw->bgnthw", q, k) / f.shape[1]

    def aggregation(
        self, a: Float[Tensor, "B G N T H W"], samples: Float[Tensor, "B C N T H W"]
    ) -> Float[Tensor, "B C T H W"]:
        """sum_k a_t[k] s_t[k]; the channels are shared out to the groups of a."""
        return torch.einsum("bgnthw,bgcnthw->bgcthw", a, samples.unflatten(1, (a.shape[1], -1))).flatten(1, 2)

    def attention(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        """What is added to x: zero at the last frame, before the norm."""
        offset, given = self.offset(x), x.dtype
        if autocasting(x) or given == torch.float16:  # cubic in the features, and divided by C last
            x = x.to(torch.promote_types(given, torch.float32))
        with full_precision(x):
            y = self.attended(x[:, :, :-1], x[:, :, 1:], offset)
        y = F.pad(y if autocasting(x) else y.to(given), (0, 0, 0, 0, 0, 1))
        return y if self.norm is None else self.norm(y.movedim(1, -1)).movedim(-1, 1)

    def attended(self, now: Tensor, then: Tensor, offset: Tensor) -> Float[Tensor, "B C T H W"]:
        """sum_k a[k] s[k] from each frame to the next."""
        C, _, H, W = now.shape[1:]
        if self.offsets in ("regular", "colocated") and self.dilation == 1:  # whole positions
            window = (1, self.kernel, self.kernel)
            return aggregate(correlate(now, then, window, groups=self.groups) / C, then, window)
        if H * W <= PAIRS:
            return attend(now, then, offset, self.kernel, self.dilation, groups=self.groups) / C
        samples = sample(then, offset, self.kernel, self.dilation)
        return self.aggregation(self.correlation(now, samples), samples)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("SIFA", self.channels, x)
        if x.shape[2] < 2:
            raise ValueError(
                f"SIFA reads the next frame: it needs at least 2, got {x.shape[2]}", "give a clip with T >= 2"
            )
        return x + self.attention(x)

    def cost(self, x: tuple[int, ...]) -> cost.Cost:
        B, C, T, H, W = x
        positions, pairs, taps = B * T * H * W, B * (T - 1) * H * W, self.kernel**2
        scores = pairs * taps * self.groups
        total = cost.correlation(scores, C // self.groups) + cost.each(scores) + cost.correlation(pairs * C, taps)
        if self.offsets not in ("regular", "colocated"):
            prepared = {"motion": 4 if self.modulation == "released" else 3, "difference": 1}
            read = positions if self.offsets == "conv3d" else pairs
            total += cost.each(pairs * C, prepared.get(self.offsets, 0))
            total += cost.products(read * 2 * taps, math.prod(self.conv_offset.weight.shape[1:]))
            total += cost.bilinear(pairs * taps * C, pairs * taps)
        return total + cost.each(positions * C, 1 if self.norm is None else 1 + cost.LAYER_NORM)

    def extra_repr(self) -> str:
        return f"offsets={self.offsets}, kernel={self.kernel}, dilation={self.dilation}, groups={self.groups}"
