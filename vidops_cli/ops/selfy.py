"""SELFY. Kwon et al., Learning Self-Similarity in Space and Time as Generalized Motion for Video Action Recognition,
ICCV 2021, arXiv 2102.07092.

How alike a position is to all positions around it, in its own and in neighbouring frames, tells structure and motion
without appearance. This self-similarity (STSS) is computed densely, and features are learned from it.

    S[t,n,l,d] = <f_t[n], f_t+l[n + d]>,  f = l2norm(relu(bn(W x))), half the size; l in offsets, d in U x U
    F[t,n,l]   = extract(S[t,n,l])              each U x U map of similarities becomes a vector
    y          = relu(x + upsample(integrate(F)))      neighbours in space, then all offsets l, are joined

Deviations, all as in the released code (SELFY/ops/selfy.py): the L2 norm has its epsilon 1e-6 inside the root, frames
outside the clip are zero, no ReLU follows the similarities, and upsampling is a transposed 1 x 1 convolution of stride
2, which fills only the even rows and columns. Where the released code fails on odd H or W, the map is cropped.
The released code has only `extraction="conv"` and `integration="conv"`, and consecutive offsets around 0. The others
are the paper's ablations in their evident form: "soft_argmax" reads displacement (x, y) and confidence of each offset,
as in MotionSqueeze without the Gaussian; "mlp" is four pointwise layers over the U * U similarities of each offset, or
(integration) over the features of all offsets at each position.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d

from vidops_cli.functional import correlate, l2norm, linear, soft_argmax
from vidops_cli.functional.blocks import blockwise
from vidops_cli.functional.frames import per_frame, per_position

from . import cost
from .checks import at_least, made_for
from .layers import conv_bn_relu, foldable, multiplied, scale_and_shift

TEMPERATURE = 0.01  # of soft_argmax, as in MotionSqueeze
EXTRACTION = ((1, 1), (2, 1), (2, 1), (1, 0))  # stride and padding: 9 -> 9 -> 5 -> 3 -> 1, 11 -> 11 -> 6 -> 3 -> 1


def runs(offsets: Sequence[int]) -> list[tuple[int, int]]:
    """Consecutive offsets as (first, how many)."""
    found: list[tuple[int, int]] = []
    for offset in offsets:
        if found and offset == sum(found[-1]):
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((offset, 1))
    return found


def extractor(kind: str, window: int, widths: Sequence[int]) -> tuple[nn.Sequential, int]:
    """Layers from maps of similarities to features, and how many features they give."""
    if kind == "soft_argmax":
        return nn.Sequential(), 3
    if kind == "mlp":
        ins = [window**2, *[widths[-1]] * 3]
        return nn.Sequential(*(conv_bn_relu(channels, widths[-1], 1) for channels in ins)), widths[-1]
    layers = zip([1, *widths[:-1]], widths, EXTRACTION, strict=True)
    made = (
        conv_bn_relu(channels, out, 3, stride=stride, padding=padding) for channels, out, (stride, padding) in layers
    )
    return nn.Sequential(*made), widths[-1]


def integrator(kind: str, channels: int, offsets: int, widths: Sequence[int]) -> tuple[nn.Sequential, nn.Sequential]:
    """Layers of each offset alone, and layers of all offsets joined."""
    if kind == "mlp":
        ins = [offsets * channels, *widths[:-1]]
        return nn.Sequential(), nn.Sequential(*(conv_bn_relu(*ends, 1) for ends in zip(ins, widths, strict=True)))
    *each, last = widths
    ins = [channels, *each[:-1]]
    alone = nn.Sequential(*(conv_bn_relu(*ends, 3) for ends in zip(ins, each, strict=True)))
    return alone, conv_bn_relu(offsets * each[-1], last, 3)


class SELFY(nn.Module):
    """(B, C, T, H, W) -> the same shape."""

    def __init__(
        self,
        channels: int,
        *,
        hidden: int = 128,
        offsets: Sequence[int] = (-2, -1, 0, 1, 2),
        window: int = 9,
        extraction: str = "conv",
        integration: str = "conv",
        ext_channels: Sequence[int] = (4, 16, 64, 64),
        int_channels: Sequence[int] = (64, 64, 64, 64),
    ):
        super().__init__()
        at_least(1, hidden=hidden)
        if not offsets or len(set(offsets)) < len(offsets):
            raise ValueError(f"offsets must be one or more different integers, got {tuple(offsets)}")
        if window < 1 or window % 2 == 0:
            raise ValueError(f"window must be odd and at least 1, got {window}")
        if extraction not in ("conv", "soft_argmax", "mlp"):
            raise ValueError(f"extraction is conv, soft_argmax or mlp, got {extraction!r}")
        if extraction == "conv" and window not in (9, 11):
            raise ValueError(
                f"window must be 9 or 11, which the extraction's convolutions bring to 1 x 1, got {window}",
                "extraction mlp and soft_argmax take any odd window",
            )
        if integration not in ("conv", "mlp"):
            raise ValueError(f"integration is conv or mlp, got {integration!r}")
        for name, widths in (("ext_channels", ext_channels), ("int_channels", int_channels)):
            if len(widths) != 4 or min(widths) < 1:
                raise ValueError(f"{name} must be 4 integers of at least 1, got {tuple(widths)}")
        self.offsets, self.window = tuple(offsets), (window, window)
        self.extracting, self.integrating = extraction, integration
        self.downsample = conv_bn_relu(channels, hidden, 3, stride=2)
        self.extraction, features = extractor(extraction, window, ext_channels)
        self.integration, self.fuse = integrator(integration, features, len(offsets), int_channels)
        self.upsample = nn.ConvTranspose2d(int_channels[-1], channels, 1, stride=2, output_padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def similarity(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B L U V T H2 W2"]:
        """STSS: similarity of each position to the U x V positions around it at each offset in time."""
        f = l2norm(per_frame(self.downsample.channels_last, x))
        stss = [correlate(f, f, (length, *self.window), start=first)[:, 0] for first, length in runs(self.offsets)]
        return torch.cat(stss, dim=1).unflatten(1, (-1, *self.window))

    def extract(self, stss: Float[Tensor, "B L U V T H W"]) -> Float[Tensor, "B L C T H W"]:
        """Features of each map of similarities; "soft_argmax": displacement (x, y) in half windows, and confidence."""
        if self.extracting == "conv":
            maps = stss.permute(0, 4, 5, 6, 1, 2, 3)  # as they lie in memory
            rows = maps.flatten(-2).flatten(0, 4)
            made = 8 * rows.shape[1] * rows.element_size()  # of a map, about, at a time
            # batch statistics are those of all maps
            features = self.extracted(rows) if self.training else blockwise(self.extracted, rows, bytes_each=made)
            return features.unflatten(0, maps.shape[:5]).permute(0, 4, 5, 1, 2, 3)
        if self.extracting == "mlp":
            volume = stss.flatten(2, 3).flatten(0, 1)
            return per_frame(self.extraction, volume).unflatten(0, stss.shape[:2])
        displacement, confidence = self.best_match(stss)
        half = max(1, self.window[0] // 2)
        return torch.cat([displacement / half, confidence], dim=2)

    def best_match(
        self, stss: Float[Tensor, "B L U V T H W"]
    ) -> tuple[Float[Tensor, "B L 2 T H W"], Float[Tensor, "B L 1 T H W"]]:
        """Displacement (x, y) to what is most alike at each offset in time, in positions of the STSS; how alike it is.

        What extraction="soft_argmax" reads, whatever this extraction is.
        """
        volume = stss.flatten(2, 3).flatten(0, 1)
        displacement, confidence = soft_argmax(volume, *self.window, temperature=TEMPERATURE)
        return displacement.unflatten(0, stss.shape[:2]), confidence.unflatten(0, stss.shape[:2])

    def extracted(self, maps: Float[Tensor, "M N"]) -> Float[Tensor, "M C"]:
        """The four convolutions; that of a single channel and that of a single position are matrix products."""
        first, *middle, last = self.extraction
        x = multiplied(maps, self.window, *first.affine(), relu=first.folded)
        x = x.unflatten(1, (*self.window, first[0].out_channels)).movedim(-1, 1)
        if not first.folded:
            x = first.finished(x.contiguous())
        for layer in middle:
            x = layer.channels_last(x)
        weight, bias = last.affine()
        rows = linear(x.movedim(1, -1).flatten(1), weight.movedim(1, -1).flatten(1), bias, relu=last.folded)
        return rows if last.folded else last.finished(rows[..., None, None]).flatten(1)

    def integrate(self, features: Float[Tensor, "B L C T H W"], size: tuple) -> Float[Tensor, "B C2 T H2 W2"]:
        """Features of all offsets as one map of the height and width `size`."""
        # contiguous: on channels-last images torch 2.13's CPU backward of this convolution writes beyond its memory
        return per_frame(
            lambda images: self.norm(self.upsample(images.contiguous(), output_size=size)), self.fused(features)
        )

    def fused(self, features: Float[Tensor, "B L C T H W"]) -> Float[Tensor, "B C2 T H W"]:
        features = per_frame(self.integration, features.flatten(0, 1)).unflatten(0, features.shape[:2])
        return per_frame(self.fuse, features.flatten(1, 2))

    def added(self, x: Float[Tensor, "B C T H W"], features: Float[Tensor, "B L C2 T H2 W2"]) -> Tensor:
        """relu(x + integrate(features)). A norm in evaluation is known: the even rows and columns alone are made."""
        if not foldable(self.norm, self.upsample.weight):
            return torch.relu(x + self.integrate(features, x.shape[-2:]))
        scale, shift = scale_and_shift(self.norm)
        weight = (self.upsample.weight * scale.view(-1, 1, 1)).transpose(0, 1)
        y = x + shift.view(-1, 1, 1, 1)
        y[..., ::2, ::2] += per_position(lambda images: conv2d(images, weight), self.fused(features))
        return y.relu_()

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("SELFY", self.downsample[0].in_channels, x)
        stss = self.similarity(x)
        stss = stss if self.extracting == "soft_argmax" else stss.to(x.dtype)  # a small temperature magnifies rounding
        features = self.extract(stss).to(x.dtype)
        return self.added(x, features)

    def cost(self, x: tuple[int, ...]) -> cost.Cost:
        B, C, T, H, W = x
        positions = B * T * -(-H // 2) * -(-W // 2)
        offsets, similarities = len(self.offsets), math.prod(self.window)
        maps, hidden = positions * offsets, self.downsample[0].out_channels
        total = cost.conv_bn_relu(self.downsample[0].weight.shape, positions)
        total += cost.l2norm(positions * hidden, positions) + cost.correlation(maps * similarities, hidden)
        if self.extracting == "soft_argmax":
            total += cost.soft_argmax(maps, similarities, gaussian=False) + cost.each(maps * (similarities + 2))
        size = self.window[0]
        for layer, (stride, padding) in zip(self.extraction, EXTRACTION, strict=False):
            size = (size + 2 * padding - 3) // stride + 1 if self.extracting == "conv" else 1
            total += cost.conv_bn_relu(layer[0].weight.shape, maps * size**2)
        for layer in self.integration:
            total += cost.conv_bn_relu(layer[0].weight.shape, maps)
        for layer in self.fuse if self.integrating == "mlp" else [self.fuse]:
            total += cost.conv_bn_relu(layer[0].weight.shape, positions)
        total += cost.products(positions * C, self.upsample.in_channels)
        return total + cost.each(B * C * T * H * W, cost.BATCH_NORM + 2)

    def extra_repr(self) -> str:
        return (
            f"offsets={self.offsets}, window={self.window}, extraction={self.extracting}, "
            f"integration={self.integrating}"
        )
