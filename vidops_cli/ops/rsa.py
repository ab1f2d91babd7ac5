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

from vidops_cli.functional import l2norm, linear, planewise_conv3d
from vidops_cli.functional.blocks import block_length, recomputed
from vidops_cli.functional.frames import per_frame

from . import cost
from .checks import at_least, heads_divide, made_for
from .layers import SafeConv3d

KERNELS = ("basic", "projected", "relational", "both")
CONTEXTS = ("basic", "relational", "both")


class _Product(torch.autograd.Function):
    """a @ b of many small matrices, whose gradient is laid out for the products that follow: on matrices that lie apart
    in memory they take ten times as long."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a @ b

    @staticmethod
    def backward(ctx, grad):
        a, b = ctx.saved_tensors
        grad = grad.contiguous()
        return grad @ b.mT, a.mT @ grad


def product(a: Tensor, b: Tensor) -> Tensor:
    return _Product.apply(a, b)


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
            heads_divide(heads, out_channels or channels)
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

    def projected(self, x: Float[Tensor, "B C T H W"]) -> tuple[Tensor, Tensor | None, Tensor]:
        """Queries (B, T, H, W, heads, c), not yet normalised; the key (B, c, T, H, W), if there is one, and values."""
        rows = linear(x.movedim(1, -1), self.projection.weight.flatten(1))
        queries = self.heads * self.key_channels
        q, *k, v = rows.split((queries, *[self.key_channels] * self.relational_kernel, self.value_channels), dim=-1)
        k, v = (l2norm(maps, dim=-1).to(maps.dtype).movedim(-1, 1).contiguous() for maps in (k[0] if k else v, v))
        return q.unflatten(-1, (self.heads, self.key_channels)), k if self.relational_kernel else None, v

    def kappa(self, q: Tensor, k: Tensor | None) -> Float[Tensor, "B T H W heads D"]:
        """The kernels, from queries and key."""
        q = l2norm(q, dim=-1).to(q.dtype)
        basic = q if self.P1 is None else q @ self.P1.to(q.dtype)
        if k is None:
            return basic
        relational = sum(recomputed(self.relational, q, k, *part) for part in self._parts(k, self.latent))
        return relational if self.P1 is None else basic + relational

    def relational(self, q: Tensor, k: Tensor, start: int, end: int) -> Float[Tensor, "B T H W heads D"]:
        """sum_c q[c] (H1[c] * k[c]) of some channels c."""
        kernels = self.H1.weight[:, 0].unflatten(0, (self.key_channels, self.latent))[start:end]
        return product(q[..., start:end], planewise_conv3d(k[:, start:end], kernels, self.padding))

    def convolved(self, v: Float[Tensor, "B V T H W"]) -> list[Float[Tensor, "B T H W V M"]]:
        """H2 * v, M = D, and where the context has it G * v, M = U."""
        weight = torch.cat([self.H2.weight, self.G.weight]) if self.relational_context else self.H2.weight
        maps = planewise_conv3d(v, weight.transpose(0, 1), self.padding)
        return list(maps.split((self.latent, self.value_channels)[: 1 + self.relational_context], dim=-1))

    def attended(self, kappa: Tensor, v: Tensor, start: int, end: int) -> Float[Tensor, "B T H W heads M"]:
        """kappa H2 of some channels of the values, M of them; with a relational context its sum with I + G, M = U."""
        basic, *relational = self.convolved(v[:, start:end])
        y = product(kappa, basic.mT)
        if not relational:
            return y
        whole = product(y, *relational)
        return whole if self.I is None else whole + y @ self.I[start:end].to(y.dtype)

    def _parts(self, maps: Tensor, outputs: int) -> list[tuple[int, int]]:
        """Start and end of blocks of channels, each convolved to `outputs` maps."""
        B, channels, *size = map(int, maps.shape)  # plain numbers, under torch.jit.trace too
        length = block_length(channels, B * math.prod(size) * outputs * maps.element_size())
        return [(start, min(start + length, channels)) for start in range(0, channels, length)]

    def kernel(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B heads D T H W"]:
        """kappa. Its product with H2 is each head's kernel over the offsets of the window."""
        return self.kappa(*self.projected(x)[:2]).movedim((-2, -1), (1, 2))

    def over_window(self, kappa: Float[Tensor, "*B D"]) -> Float[Tensor, "*B L U V"]:
        """kappa H2, the kernel over the offsets of the window, which is not formed where it is only applied."""
        return torch.einsum("...d,dluv->...luv", kappa, self.H2.weight[:, 0].to(kappa.dtype))

    def context(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B U D T H W"]:
        """F: for each channel of the values, what the D latent dimensions of a kernel are applied to."""
        context, *relational = self.convolved(self.projected(x)[2])
        for maps in relational:
            context = (maps if self.I is None else self.I.to(maps.dtype) + maps).mT @ context
        return context.movedim((-2, -1), (1, 2))

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C2 T H2 W2"]:
        """F is not formed: the products with kappa are taken from the left."""
        made_for("RSA", self.projection.in_channels, x)
        q, k, v = self.projected(x)
        kappa = self.kappa(q, k)
        del q, k
        parts = self._parts(v, self.latent + self.relational_context * self.value_channels)
        blocks = (recomputed(self.attended, kappa, v, *part) for part in parts)
        y = sum(blocks) if self.relational_context else torch.cat(list(blocks), dim=-1)
        y = y.movedim((-1, -2), (1, 2)).flatten(1, 2)  # heads are the faster
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
            total += cost.correlation(n * h * d, c) + cost.each(n * c * d if self.P1 is not None else 0)
        elif self.P1 is not None:
            total += cost.correlation(n * h * d, c)
        total += cost.products(n * u * d, offsets)
        if self.relational_context:
            total += cost.products(n * u * u, offsets) + cost.correlation(n * u * d, u)
            total += cost.each(n * u * u if self.I is not None else 0)
        total += cost.correlation(n * u * h, d)
        if self.stride > 1:
            averages = B * T * ((H - 1) // self.stride + 1) * ((W - 1) // self.stride + 1) * u * h
            total += cost.each(averages, 3 * 3)
        return total

    def extra_repr(self) -> str:
        sizes = f"key_channels={self.key_channels}, value_channels={self.value_channels}, latent={self.latent}"
        return f"heads={self.heads}, {sizes}, window={self.window}, stride={self.stride}, {self.kinds}"
