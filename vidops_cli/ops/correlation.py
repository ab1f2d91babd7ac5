"""CorrNet's correlation block. Wang et al., Video Modeling with Correlation Networks, CVPR 2020, arXiv 1906.03349.

Each position is matched with a window of the frame before, group of channels by group, and each product is weighed by
a learned filter, so that groups look for motion in directions of their own. The matches become features that are added.

    S_g(i, j, i', j') = (G / C') sum_{c in group g} W_c(i' - i, j' - j) P^B_c(i, j) P^A_c(i', j')
    y                 = x + bn(W_out S),   P = relu(bn(W_in x)),  C' = C / reduction

B is a frame, A the frame before; the first is matched with itself. The window has K x K positions, `dilation` apart.

Deviations: written from the paper's equation (its correlation-sum block); no released code is known. The filter is
shared by all pairs of frames, where the paper's has one for each, as T is read from x; it starts at 1, plain
correlation (`filter=False`). K = 7 and dilation 2 are the paper's; that W_in takes a quarter of the channels is of a
public reimplementation. How many groups the paper has is not known to us: by default as many as give S no more channels
than x has. Ours are that the window lies in the frame before, so that S_t stands where f_t does, and that no ReLU
follows the sum.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import correlate
from vidops_cli.functional.blocks import recomputed
from vidops_cli.functional.frames import per_frame

from . import cost
from .checks import at_least, made_for, odd
from .layers import ConvNorm, conv_bn_relu


def lattices(x: Float[Tensor, "B C T H W"], step: int) -> Float[Tensor, "DB C T h w"]:
    """Every step-th row and column as a map of its own, step x step of them; zeros fill them up to one size."""
    if step == 1:
        return x
    H, W = x.shape[3:]
    x = F.pad(x, (0, -W % step, 0, -H % step))
    return x.unflatten(4, (-1, step)).unflatten(3, (-1, step)).permute(4, 6, 0, 1, 2, 3, 5).flatten(0, 2)


def joined(x: Float[Tensor, "DB C T h w"], step: int, size: tuple[int, ...]) -> Float[Tensor, "B C T H W"]:
    """`lattices` undone."""
    if step == 1:
        return x
    x = x.unflatten(0, (step, step, -1)).permute(2, 3, 4, 5, 0, 6, 1).flatten(5).flatten(3, 4)
    return x[..., : size[0], : size[1]]


class Correlation(nn.Module):
    """(B, C, T, H, W) -> the same shape."""

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 4,
        window: int = 7,
        dilation: int = 2,
        groups: int | None = None,
        filter: bool = True,
    ):
        super().__init__()
        if not 1 <= reduction <= channels:
            raise ValueError(f"reduction must be from 1 to the {channels} channels, got {reduction}")
        at_least(1, dilation=dilation)
        odd(window=window)
        width, taps = channels // reduction, window**2
        if groups is None:
            most = max(1, channels // taps)
            groups = max(g for g in range(1, min(width, most) + 1) if width % g == 0)
        if groups < 1 or width % groups:
            raise ValueError(f"groups must divide the {width} channels that are matched, got {groups}")
        self.window, self.dilation, self.groups = window, dilation, groups
        self.reduce = conv_bn_relu(channels, width)
        self.filter = nn.Parameter(torch.ones(width, taps)) if filter else None
        self.expand = ConvNorm(nn.Conv2d(groups * taps, channels, 1, bias=False))

    def plain(self, f: Float[Tensor, "B c T H W"], before: Float[Tensor, "B c T H W"]) -> Float[Tensor, "B G N T H W"]:
        """Sums of the products of each group, without a filter."""
        q, k = lattices(f, self.dilation), lattices(before, self.dilation)
        s = correlate(q, k, (1, self.window, self.window), groups=self.groups)
        return joined(s.flatten(1, 2), self.dilation, f.shape[3:]).unflatten(1, (self.groups, -1))

    def weighted(
        self, f: Float[Tensor, "B c T H W"], before: Float[Tensor, "B c T H W"]
    ) -> Float[Tensor, "B G N T H W"]:
        """The same with a filter, one offset at a time: of `correlate` all C N products would have to be kept.

        Filter and sum over each group are one matrix product, with zeros between the groups.
        """
        reach = self.window // 2 * self.dilation
        q, k = f.movedim(1, -1).contiguous(), F.pad(before.movedim(1, -1), (0, 0, *[reach] * 4))
        own = torch.eye(self.groups, dtype=self.filter.dtype, device=f.device)
        own = own.repeat_interleave(f.shape[1] // self.groups, 0)
        weights = (own[None] * self.filter.T[:, :, None]).unbind(0)
        sums = [recomputed(self.offset, q, k, weight, n) for n, weight in enumerate(weights)]
        return torch.stack(sums, dim=-1).movedim((-2, -1), (1, 2))

    def offset(self, q: Tensor, k: Tensor, weight: Float[Tensor, "c G"], n: int) -> Float[Tensor, "B T H W G"]:
        y, x = (self.dilation * place for place in divmod(n, self.window))
        return (q * k[:, :, y : y + q.shape[2], x : x + q.shape[3]]) @ weight

    def correlation(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B GN T H W"]:
        """S, the N = K^2 offsets of a group after one another, x running fastest."""
        f = per_frame(self.reduce, x)
        before = torch.cat([f[:, :, :1], f[:, :, :-1]], dim=2)
        s = self.plain(f, before) if self.filter is None else self.weighted(f, before)
        return (s / (f.shape[1] // self.groups)).flatten(1, 2)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("Correlation", self.reduce[0].in_channels, x)
        return x + per_frame(self.expand, self.correlation(x).to(x.dtype))

    def cost(self, x: tuple[int, ...]) -> cost.Cost:
        B, C, T, H, W = x
        n, N, width = B * T * H * W, self.window**2, self.reduce[0].out_channels
        total = cost.conv_bn_relu(self.reduce[0].weight.shape, n)
        total += cost.correlation(n * N * self.groups, width // self.groups) + cost.each(n * N * self.groups)
        total += cost.each(n * N * width if self.filter is not None else 0)
        return total + cost.conv_bn(self.expand[0].weight.shape, n) + cost.each(n * C)

    def extra_repr(self) -> str:
        return f"window={self.window}, dilation={self.dilation}, groups={self.groups}, filter={self.filter is not None}"
