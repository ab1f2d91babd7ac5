"""CCA. Kang et al., Relational Embedding for Few-Shot Classification, ICCV 2021, arXiv 2108.09666.

A query image and a support image are matched everywhere with everywhere. 4-D convolutions make the matches agree with
their neighbours on both sides; each image is then pooled with an attention that says where it resembles the other one,
and the cosine of the two pooled vectors is the score of the support's class.

    C[xs, xq] = <f(Fs)[xs], f(Fq)[xq]>,   f = l2norm(relu(bn(W F))),   F <- F - mean_c F
    h(C)      = conv(C) + conv(C^T)^T                                     the same separable 4-D convolutions both ways
    A_s[xs]   = sum_xq softmax_xs( (h - mean_xs h) / std_xs h / gamma ),  A_q[xq] likewise, sides exchanged
    s = mean_xs A_s[xs] Fs[xs],   q = mean_xq A_q[xq] Fq[xq],   score = cos(s, q) / tau

Deviations: the paper averages over the other side and sums over positions, the released code (followed here) the other
way round, which the cosine does not see. As there: unbiased variance plus 1e-5 (a map of one position has variance 0,
so that its attention is even), s and q of several shots are averaged, and in training the norms of f see support and
query one after the other, those of h each pair of images both ways. The classifier of base classes that the released
head holds too is the network's.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import conv3d
from vidops_cli.functional.blocks import blockwise

from . import cost
from .checks import at_least, made_for, odd
from .layers import ConvNorm, conv_bn_relu, multiplied
from .refused import Refused

SMALL = 64  # positions of an image up to which its convolution is faster as a product


def wide(x: Tensor) -> Tensor:
    """In float32 or better: norms of half precision underflow."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def centred(x: Float[Tensor, "N C T H W"]) -> Float[Tensor, "N C H W"]:
    """Images less the mean over channels at each position."""
    images = x.squeeze(2)
    return images - images.mean(1, keepdim=True)


def standardised(x: Tensor, dim: int) -> Tensor:
    """Mean 0 and unbiased variance 1 along an axis; zeros if it has one position."""
    difference = x - x.mean(dim, keepdim=True)
    variance = difference.square().sum(dim, keepdim=True) / max(1, x.shape[dim] - 1)
    return difference * torch.rsqrt(variance + 1e-5)


def convolved(
    x: Float[Tensor, "B C U V H W"], weight: Tensor, bias: Tensor | None, *, relu: bool = False
) -> Float[Tensor, "B O U V H W"]:
    """Convolution over U, V by weights (O, C, k, k, 1), or over H, W by weights (O, C, 1, k, k); and ReLU if wanted."""
    first = weight.shape[-1] == 1
    if 1 in weight.shape[:2] and math.prod(x.shape[2:4] if first else x.shape[4:]) <= SMALL:
        rows = x.permute(0, 4, 5, 2, 3, 1) if first else x.permute(0, 2, 3, 4, 5, 1)
        images, kernels = rows.flatten(3).flatten(0, 2), weight.squeeze(-1 if first else 2)
        y = multiplied(images, rows.shape[3:5], kernels, bias, relu=relu)
        y = y.unflatten(1, (*rows.shape[3:5], weight.shape[0])).unflatten(0, rows.shape[:3])
        return y.permute(0, 5, 3, 4, 1, 2) if first else y.permute(0, 5, 1, 2, 3, 4)
    maps = (x.flatten(4) if first else x.flatten(2, 3)).contiguous(memory_format=torch.channels_last_3d)
    y = conv3d(maps, weight, bias, padding=[size // 2 for size in weight.shape[2:]])
    y = y.relu_() if relu else y
    return y.unflatten(4, x.shape[4:]) if first else y.unflatten(2, x.shape[2:4])


def normed(layer: ConvNorm, x: Float[Tensor, "B C U V H W"], *, relu: bool = False) -> Float[Tensor, "B C U V H W"]:
    if layer.folded:
        return convolved(x, *layer.affine(), relu=relu)
    y = layer.finished(convolved(x, *layer.affine()).flatten(4).contiguous()).unflatten(4, x.shape[4:])
    return y.relu() if relu else y


class SeparableConv4d(nn.Module):
    """(B, C, U, V, H, W) -> (B, out_channels, U, V, H, W): kernel x kernel over U, V, then over H, W, then 1x1."""

    def __init__(self, channels: int, out_channels: int, *, kernel: int = 3):
        super().__init__()
        odd(kernels=kernel)
        r = kernel // 2
        self.first = ConvNorm(nn.Conv3d(channels, channels, (kernel, kernel, 1), padding=(r, r, 0), bias=False))
        self.second = ConvNorm(nn.Conv3d(channels, channels, (1, kernel, kernel), padding=(0, r, r), bias=False))
        projection = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.project = nn.Sequential() if channels == out_channels else ConvNorm(projection)

    def forward(self, x: Float[Tensor, "B C U V H W"], *, relu: bool = False) -> Float[Tensor, "B C2 U V H W"]:
        x = normed(self.first, x, relu=True)
        if not self.project:
            return normed(self.second, x, relu=relu)
        if self.second.folded and self.project.folded:  # nothing lies between the two: they are one convolution
            (weight, bias), (mixing, shift) = self.second.affine(), self.project.affine()
            mixing = mixing[:, :, 0, 0]
            return convolved(x, torch.einsum("om,mcthw->octhw", mixing, weight), mixing @ bias + shift, relu=relu)
        y = self.project(normed(self.second, x).flatten(3)).unflatten(3, x.shape[3:])
        return y.relu() if relu else y


class Matching4d(nn.Module):
    """h: (B, 1, U, V, H, W) -> (B, planes[-1], U, V, H, W), the same for both sides."""

    def __init__(self, planes: Sequence[int], kernels: Sequence[int]):
        super().__init__()
        if len(planes) != len(kernels):
            raise ValueError(f"planes and kernels need one number for each layer, got {list(planes)}, {list(kernels)}")
        self.conv = nn.ModuleDict()  # numbered as in the released code, with a ReLU between two layers
        for i, (width, out, kernel) in enumerate(zip([1, *planes], planes, kernels, strict=False)):
            self.conv[str(2 * i)] = SeparableConv4d(width, out, kernel=kernel)
        self.widest = max(planes)

    def forward(self, x: Float[Tensor, "B 1 U V H W"]) -> Float[Tensor, "B C U V H W"]:
        return self.one_way(x) + self.one_way(x.permute(0, 1, 4, 5, 2, 3)).permute(0, 1, 4, 5, 2, 3)

    def one_way(self, x: Float[Tensor, "B 1 U V H W"]) -> Float[Tensor, "B C U V H W"]:
        *others, last = self.conv.values()
        for layer in others:
            x = layer(x, relu=True)
        return last(x)

    def cost(self, pairs: int) -> cost.Cost:
        """One way over so many pairs of positions."""
        total = cost.Cost()
        for i, layer in enumerate(self.conv.values()):
            total += cost.each(pairs * layer.first[0].in_channels if i else 0)  # ReLU between layers
            total += cost.conv_bn_relu(layer.first[0].weight.shape, pairs)
            for conv in (layer.second[0], *layer.project[:1]):
                total += cost.conv_bn(conv.weight.shape, pairs)
        return total


class CCA(nn.Module):
    """Support (S, C, 1, H, W), query (B, C, 1, H, W) -> class scores (B, S / shots). Map sizes may differ."""

    def __init__(
        self,
        channels: int,
        *,
        reduced: int = 64,
        planes: Sequence[int] = (16, 1),
        kernels: Sequence[int] = (3, 3),
        attention_temperature: float = 5.0,
        temperature: float = 0.2,
    ):
        super().__init__()
        if not planes or planes[-1] != 1:
            raise ValueError(f"planes must end in the one channel of a correlation, got {list(planes)}")
        at_least(1, reduced=reduced, planes=planes)
        if not (temperature > 0 and attention_temperature > 0):
            given = f"{attention_temperature} and {temperature}"
            raise ValueError(f"attention_temperature and temperature must be above 0, got {given}")
        self.attention_temperature = attention_temperature
        self.temperature = temperature
        self.reduction = conv_bn_relu(channels, reduced)
        self.matching = Matching4d(planes, kernels)

    def cross_correlation(
        self, support: Float[Tensor, "S C 1 Hs Ws"], query: Float[Tensor, "B C 1 Hq Wq"]
    ) -> Float[Tensor, "B S Hs Ws Hq Wq"]:
        """C: cosines of each position of each support image with each position of each query image."""
        return self._cosines(centred(support), centred(query))

    def _cosines(
        self, support: Float[Tensor, "S C Hs Ws"], query: Float[Tensor, "B C Hq Wq"]
    ) -> Float[Tensor, "B S Hs Ws Hq Wq"]:
        s, q = (F.normalize(wide(self.reduction(x)), dim=1, eps=1e-8) for x in (support, query))
        return torch.einsum("scij,bckl->bsijkl", s, q).to(query.dtype)

    def refine(self, correlation: Float[Tensor, "B S Hs Ws Hq Wq"]) -> Float[Tensor, "B S Hs Ws Hq Wq"]:
        """h(C)"""
        pairs = correlation.flatten(0, 1)
        if self.training:  # batch statistics are those of all pairs
            return self.matched(pairs).unflatten(0, correlation.shape[:2])
        widest = self.matching.widest * math.prod(pairs.shape[1:]) * pairs.element_size()
        return blockwise(self.matched, pairs, bytes_each=widest).unflatten(0, correlation.shape[:2])

    def matched(self, pairs: Float[Tensor, "P Hs Ws Hq Wq"]) -> Float[Tensor, "P Hs Ws Hq Wq"]:
        return self.matching(pairs.unsqueeze(1)).squeeze(1)

    def attention(
        self, refined: Float[Tensor, "B S Hs Ws Hq Wq"]
    ) -> tuple[Float[Tensor, "B S Hs Ws"], Float[Tensor, "B S Hq Wq"]]:
        """A_s and A_q of each pair of images; each sums to the number of positions on the other side."""
        x = wide(refined).flatten(4).flatten(2, 3)
        support = torch.softmax(standardised(x, 2) / self.attention_temperature, dim=2).sum(3)
        query = torch.softmax(standardised(x, 3) / self.attention_temperature, dim=3).sum(2)
        return support.unflatten(2, refined.shape[2:4]), query.unflatten(2, refined.shape[4:])

    def embeddings(
        self, support: Float[Tensor, "S C 1 Hs Ws"], query: Float[Tensor, "B C 1 Hq Wq"], *, shots: int = 1
    ) -> tuple[Float[Tensor, "B K C"], Float[Tensor, "B K C"]]:
        """s and q of each query and class, averaged over shots; K = S / shots."""
        support, query = centred(support), centred(query)
        on_support, on_query = self.attention(self.refine(self._cosines(support, query)))
        s = torch.einsum("bsij,scij->bsc", on_support, wide(support)) / math.prod(support.shape[-2:])
        q = torch.einsum("bsij,bcij->bsc", on_query, wide(query)) / math.prod(query.shape[-2:])
        return s.unflatten(1, (shots, -1)).mean(1), q.unflatten(1, (shots, -1)).mean(1)

    def forward(
        self, support: Float[Tensor, "S C Ts Hs Ws"], query: Float[Tensor, "B C Tq Hq Wq"], *, shots: int = 1
    ) -> Float[Tensor, "B K"]:
        """Support images stand shot by shot: index = shot * K + class."""
        for x in (support, query):
            made_for("CCA", self.reduction[0].in_channels, x)
        if support.shape[2] != 1 or query.shape[2] != 1:
            frames = max(support.shape[2], query.shape[2])
            raise Refused(f"CCA matches images: it takes 1 frame, got {frames}", "give images: T = 1")
        if shots < 1 or support.shape[0] % shots:
            raise ValueError(f"shots: {support.shape[0]} support images cannot be {shots} for each class")
        s, q = self.embeddings(support, query, shots=shots)
        cosine = (F.normalize(wide(s), dim=-1, eps=1e-8) * F.normalize(wide(q), dim=-1, eps=1e-8)).sum(-1)
        return (cosine / self.temperature).to(query.dtype)

    def cost(self, support: tuple[int, ...], query: tuple[int, ...], *, shots: int = 1) -> cost.Cost:
        (S, C, _, *size_s), (B, _, _, *size_q) = support, query
        s, q, classes = math.prod(size_s), math.prod(size_q), S // shots
        maps, pairs, reduced = S * s + B * q, B * S * s * q, self.reduction[0].out_channels
        total = cost.each(2 * maps * C)  # F - mean F
        total += cost.conv_bn_relu(self.reduction[0].weight.shape, maps) + cost.l2norm(maps * reduced, maps)
        total += cost.correlation(pairs, reduced) + 2 * self.matching.cost(pairs) + cost.each(pairs)
        # mean, difference, square, sum, scale, gamma, softmax and the sum over the other side, both ways
        total += 2 * cost.each(pairs, 7 + cost.SOFTMAX) + cost.each(3 * B * S * (s + q))
        total += cost.correlation(B * S * C, s) + cost.correlation(B * S * C, q) + cost.each(4 * B * S * C)
        total += 2 * cost.l2norm(B * classes * C, B * classes)
        return total + cost.correlation(B * classes, C) + cost.each(B * classes)

    def extra_repr(self) -> str:
        return f"attention_temperature={self.attention_temperature}, temperature={self.temperature}"
