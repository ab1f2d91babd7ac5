"""SCR. Kang et al., Relational Embedding for Few-Shot Classification, ICCV 2021, arXiv 2108.09666.

Each position of a feature map is described by how it resembles its neighbours. The products with the neighbours are
kept channel by channel, so that the correlation still knows in which features they agree, and valid convolutions over
the window shrink it to one vector.

    R[c, x, d] = Z[c, x] Z[c, x + d],   Z <- relu(Z) / |relu(Z)| over channels,   |d| <= (window - 1) / 2
    F          = g(R) + Z                g: 1x1, a 3x3 over d for each ring of the window, 1x1 (BN; ReLU between)

Deviations: the paper adds Z itself. In the released code an in-place ReLU changes the map that the skip adds, and
checkpoints depend on it: `skip="relu"` (default) adds relu(Z), `skip="identity"` is the paper's form, `skip="none"`
gives g(R). RENet's network applies a ReLU to F. Clips are taken frame by frame.
"""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import correlate, linear, mixed_self_correlation

from . import cost
from .checks import made_for, odd
from .layers import ConvNorm, conv_bn_relu


def normalised(x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
    """Z of relu(Z), in float32 or better: norms of halves underflow."""
    return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=1)


def self_correlation(x: Float[Tensor, "B C T H W"], window: tuple[int, int]) -> Float[Tensor, "B C N T H W"]:
    """R: Hadamard products of each position's normalised feature with those of the N = U * V positions around it."""
    z = normalised(x.relu())
    channels = int(z.shape[1])  # a plain number, under torch.jit.trace too
    return correlate(z, z, (1, *window), groups=channels).to(x.dtype)


class SelfCorrelationEmbedding(nn.Module):
    """g: (B, C, N, T, H, W) -> (B, out_channels, T, H, W), where N = window^2."""

    def __init__(self, channels: int, out_channels: int, planes: Sequence[int], window: int):
        super().__init__()
        odd(window=window)
        if 2 * len(planes) - 1 != window or min(planes) < 1:
            raise ValueError(
                f"planes has one width for the 1x1 convolution and one for each 3x3 that shrinks the window: "
                f"{window // 2 + 1} for window={window}, got {list(planes)}"
            )
        self.window = window
        self.reduce = conv_bn_relu(channels, planes[0])
        self.shrink = nn.Sequential(
            *(
                ConvNorm(nn.Conv3d(width, wide, (1, 3, 3), bias=False), nn.ReLU(inplace=True))
                for width, wide in itertools.pairwise(planes)
            )
        )
        self.expand = ConvNorm(nn.Conv2d(planes[-1], out_channels, 1, bias=False))

    def forward(self, volume: Float[Tensor, "B C N T H W"]) -> Float[Tensor, "B C2 T H W"]:
        weight, bias = self.reduce.affine()
        return self.shrunk(linear(volume.permute(0, 3, 4, 5, 2, 1), weight[:, :, 0, 0], bias))

    def of_map(self, z: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C2 T H W"]:
        """g of the self-correlation of z, which is not formed."""
        weight, bias = self.reduce.affine()
        mixed = mixed_self_correlation(z, weight[:, :, 0, 0], (1, self.window, self.window)).to(weight.dtype)
        return self.shrunk(mixed if bias is None else mixed.add_(bias))

    def shrunk(self, reduced: Float[Tensor, "B T H W N P"]) -> Float[Tensor, "B C2 T H W"]:
        """All that follows the first convolution, on a small image for each position."""
        if self.reduce.folded:
            reduced = reduced.relu_()  # not after it has become a view, which autograd would copy
        images = reduced.flatten(0, 3).unflatten(1, (self.window, self.window)).movedim(-1, 1)
        x = (images if self.reduce.folded else self.reduce.finished(images.contiguous())).unsqueeze(2)
        for layer in self.shrink:
            x = layer.channels_last(x)
        return self.expand(x[..., 0]).flatten(1).unflatten(0, reduced.shape[:4]).movedim(-1, 1)


class SCR(nn.Module):
    """(B, C, T, H, W) -> the same shape."""

    def __init__(self, channels: int, *, planes: Sequence[int] = (64, 64, 64), window: int = 5, skip: str = "relu"):
        super().__init__()
        if skip not in ("relu", "identity", "none"):
            raise ValueError(f"skip is relu, identity or none, got {skip!r}")
        self.window = window
        self.skip = skip
        self.g = SelfCorrelationEmbedding(channels, channels, planes, window)

    def self_correlation(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C N T H W"]:
        """R, for N = window^2 offsets, the last axis of the map running fastest."""
        return self_correlation(x, (self.window, self.window))

    def embed(self, volume: Float[Tensor, "B C N T H W"]) -> Float[Tensor, "B C T H W"]:
        """g(R)"""
        return self.g(volume)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("SCR", self.g.reduce[0].in_channels, x)
        rectified = x.relu()
        y = self.g.of_map(normalised(rectified)).to(x.dtype)
        return y if self.skip == "none" else y + (rectified if self.skip == "relu" else x)

    def cost(self, x: tuple[int, ...]) -> cost.Cost:
        B, C, T, H, W = x
        n, window = B * T * H * W, self.window
        total = cost.each(n * C) + cost.l2norm(n * C, n) + cost.each(n * C * window**2)  # products that nothing sums
        for layer in (self.g.reduce, *self.g.shrink):
            total += cost.conv_bn_relu(layer[0].weight.shape, n * window**2)
            window -= 2  # by the next
        total += cost.conv_bn(self.g.expand[0].weight.shape, n)
        return total + cost.each(n * C, {"relu": 2, "identity": 1, "none": 0}[self.skip])

    def extra_repr(self) -> str:
        return f"window={self.window}, skip={self.skip}"
