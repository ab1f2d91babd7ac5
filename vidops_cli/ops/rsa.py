"""RSA. Kim et al., Relational Self-Attention: What's Missing in Attention for Video Understanding, NeurIPS 2021,
arXiv 2111.01673.

Self-attention weighs a context by single query-key products. Here a whole kernel is made from all products of a query
with the keys around it, and the context it is applied to carries the correlations of the values with each other.

    q_h, k, v    = l2norm(W x)                                  one key and one value map, shared by all heads h
    kappa_h[d]   = sum_c q_h[c] ( P1[c,d] + (H1[c,d] * k[c]) )  basic + relational kernel in D latent dimensions
    F[u,d]       = sum_v ( I[v,u] + (G[u] * v[v]) ) (H2[d] * v[v])          basic + relational context
    y[u,h]       = sum_d kappa_h[d] F[u,d]

`*` is a convolution over the window, zero padded; there is no softmax. The kernel over the window's M offsets is
kappa_h H2, which need not be formed: y = sum_d kappa_h[d] (H2[d] * v) for the basic context.

Deviations: in the released code (RSA/ops/rsa.py) a basic kernel alone is q itself (P1 is left out, so D must be the
key's channels); kernel="projected" is the paper's q P1. As released: heads are the faster of the output's channels; the
epsilon 1e-6 is inside the root of the norm; a stride is a 3 x 3 average of the output that counts the padding. Its I
has the key's channels, so that it takes no other number for the values; ours has the values'.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import conv3d, l2norm
from vidops_cli.functional.frames import per_frame

from . import cost
from .checks import at_least, made_for
from .layers import SafeConv3d

KERNELS = ("basic", "projected", "relational", "both")
CONTEXTS = ("basic", "relational", "both")


def contract(a: Float[Tensor, "B n c T H W"], b: Float[Tensor, "B c m T H W"]) -> Float[Tensor, "B n m T H W"]:
    """A matrix product at each position."""
    # the products are tiny and many: on matrices that lie apart in memory they take ten times as long
    a, b = (x.movedim((1, 2), (-2, -1)).contiguous() for x in (a, b))
    return (a @ b).movedim((-2, -1), (1, 2))


class RSA(nn.Module):
    """(B, C, T, H, W) -> (B, out_channels, T, H / stride, W / stride)."""

    def __init__(
        self,
        channels: int,
        *,
        out_channels: int | None = None,
        heads: int = 8,
        key_channels: int | None = None,
        value_channels: int | None = None,
        latent: int | None = None,
        window: Sequence[int] = (5, 7, 7),
        stride: int = 1,
        kernel: str = "both",
        context: str = "both",
    ):
        super().__init__()
        for name, kind, kinds in (("kernel", kernel, KERNELS), ("context", context, CONTEXTS)):
            if kind not in kinds:
                raise ValueError(f"{name} is one of {', '.join(kinds)}, got {kind!r}")
        if len(window) != 3 or any(size < 1 or size % 2 == 0 for size in window):
            raise ValueError(f"window must be three odd sizes, got {tuple(window)}")
        at_least(1, heads=heads, stride=stride, out_channels=out_channels, latent=latent)
        at_least(1, key_channels=key_channels, value_channels=value_channels)
        if value_channels is None:
            if (out_channels or channels) % heads:
                raise ValueError(f"{heads} heads do not divide {out_channels or channels} channels")
            value_channels = (out_channels or channels) // heads
        elif out_channels not in (None, heads * value_channels):
            raise ValueError(f"out_channels is heads x value_channels = {heads * value_channels}, got {out_channels}")
        key_channels = key_channels or value_channels
        latent = latent or key_channels
        if kernel == "basic" and latent != key_channels:
            raise ValueError(f"latent must be key_channels = {key_channels} with a basic kernel, got {latent}")
        self.heads, self.key_channels, self.value_channels, self.latent = heads, key_channels, value_channels, latent
        self.window, self.stride = tuple(window), stride
        self.kinds = f"kernel={kernel}, context={context}"
        self.relational_kernel, self.relational_context = kernel in ("relational", "both"), context != "basic"
        self.padding = tuple(size // 2 for size in window)

        def convolution(inputs: int, outputs: int) -> SafeConv3d:
            return SafeConv3d(inputs, outputs, self.window, padding=self.padding, groups=inputs, bias=False)

        queries_and_key = (heads + self.relational_kernel) * key_channels
        self.projection = nn.Conv3d(channels, queries_and_key + value_channels, 1, bias=False)
        if self.relational_kernel:
            self.H1 = convolution(key_channels, key_channels * latent)
        if self.relational_context:
            self.G = convolution(1, value_channels)
        self.H2 = convolution(1, latent)
        offsets = window[0] * window[1] * window[2]
        scale = (offsets * latent) ** -0.5
        self.P1 = nn.Parameter(scale * torch.randn(key_channels, latent)) if kernel in ("projected", "both") else None
        self.I = nn.Parameter(torch.eye(value_channels)) if context == "both" else None

    def kernel(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B heads D T H W"]:
        """kappa. Its product with H2 is each head's kernel over the offsets of the window."""
        projected = F.conv3d(x, self.projection.weight[: -self.value_channels])
        channels = self.heads * self.key_channels
        q = l2norm(projected[:, :channels].unflatten(1, (self.heads, self.key_channels)), dim=2).to(projected.dtype)
        if not self.relational_kernel:
            return q if self.P1 is None else torch.einsum("bhcxyz,cd->bhdxyz", q, self.P1.to(q.dtype))
        k = l2norm(projected[:, channels:]).to(projected.dtype)
        relational = self.H1(k).unflatten(1, (self.key_channels, self.latent))
        return contract(q, relational if self.P1 is None else self.P1[:, :, None, None, None] + relational)

    def context(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B U D T H W"]:
        """F: for each channel of the values, what the D latent dimensions of a kernel are applied to."""
        v = F.conv3d(x, self.projection.weight[-self.value_channels :])
        v = l2norm(v).to(v.dtype)
        maps = v.flatten(0, 1).unsqueeze(1)
        if not self.relational_context:
            return self.H2(maps).unflatten(0, v.shape[:2])
        both = conv3d(maps, torch.cat([self.H2.weight, self.G.weight]), padding=self.padding)
        basic, relational = both.unflatten(0, v.shape[:2]).split((self.latent, self.value_channels), dim=2)
        relational = relational if self.I is None else self.I[:, :, None, None, None] + relational
        return contract(relational.transpose(1, 2), basic)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C2 T H2 W2"]:
        made_for("RSA", self.projection.in_channels, x)
        y = contract(self.context(x), self.kernel(x).transpose(1, 2)).flatten(1, 2)
        if self.stride > 1:
            y = per_frame(lambda images: F.avg_pool2d(images, 3, self.stride, padding=1), y)
        return y.contiguous()

    def cost(self, x: tuple[int, ...]) -> cost.Cost:
        B, C, T, H, W = x
        n, h, c, u, d = B * T * H * W, self.heads, self.key_channels, self.value_channels, self.latent
        offsets = math.prod(self.window)
        total = cost.products(n * self.projection.out_channels, C)
        total += cost.l2norm(n * h * c, n * h) + cost.l2norm(n * u, n)
        if self.relational_kernel:
            total += cost.l2norm(n * c, n) + cost.products(n * c * d, offsets)
            total += cost.products(n * h * d, c) + cost.each(n * c * d if self.P1 is not None else 0)
        elif self.P1 is not None:
            total += cost.correlation(n * h * d, c)
        total += cost.products(n * u * d, offsets)
        if self.relational_context:
            total += cost.products(n * u * u, offsets) + cost.products(n * u * d, u)
            total += cost.each(n * u * u if self.I is not None else 0)
        total += cost.products(n * u * h, d)
        if self.stride > 1:
            averages = B * T * ((H - 1) // self.stride + 1) * ((W - 1) // self.stride + 1) * u * h
            total += cost.each(averages, 3 * 3)
        return total

    def extra_repr(self) -> str:
        sizes = f"key_channels={self.key_channels}, value_channels={self.value_channels}, latent={self.latent}"
        return f"heads={self.heads}, {sizes}, window={self.window}, stride={self.stride}, {self.kinds}"
