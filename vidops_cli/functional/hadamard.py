"""A self-correlation whose channels are mixed at once: it is never formed with all of them."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from .product import linear
from .window import Window, check_window


def mixed_self_correlation(
    z: Float[Tensor, "B C T H W"], weight: Float[Tensor, "O C"], window: Window
) -> Float[Tensor, "B T H W N O"]:
    """sum_c weight[o, c] z[c, x] z[c, x + d] for the N offsets d of a window (1, U, V): a Hadamard correlation of
    `correlate` with groups = C, then a 1x1 convolution.

    One offset is taken at a time, and each pair of positions once: x and x + d see the same at d and -d.
    Raises ValueError on a window over several frames, or an even one.
    """
    check_window(window, None)
    if window[0] != 1:
        raise ValueError(f"channels are mixed within a frame, got a window {tuple(window)}")
    return _Mixed.apply(z.movedim(1, -1).contiguous(), weight.to(z.dtype), window[1:])


Place = tuple[slice, slice, slice, slice]  # of a map (B, T, H, W, ...)


def _pairs(z: Float[Tensor, "B T H W C"], window: tuple[int, int]) -> Iterator[tuple[int, Place, Place]]:
    """Each offset from (0, 0) on, as its number in the window, the positions that it joins, and those it leads to."""
    (H, W), (U, V) = map(int, z.shape[2:4]), window  # plain numbers, under torch.jit.trace too
    every = slice(None)
    for n in range(U * V // 2, U * V):
        dy, dx = n // V - U // 2, n % V - V // 2
        if dy < H and abs(dx) < W:
            here = every, every, slice(0, H - dy), slice(max(0, -dx), W - max(0, dx))
            there = every, every, slice(dy, H), slice(max(0, dx), W - max(0, -dx))
            yield n, here, there


class _Mixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z, weight, window):
        ctx.save_for_backward(z, weight)
        ctx.window = window
        last = window[0] * window[1] - 1
        y = z.new_zeros(*z.shape[:-1], last + 1, len(weight))
        for n, here, there in _pairs(z, window):
            y[(*here, n)] = y[(*there, last - n)] = linear(z[here] * z[there], weight)
        return y

    @staticmethod
    def backward(ctx, grad):
        z, weight = ctx.saved_tensors
        last = ctx.window[0] * ctx.window[1] - 1
        dz, dw = torch.zeros_like(z), torch.zeros_like(weight)
        for n, here, there in _pairs(z, ctx.window):
            g = grad[(*here, n)] + grad[(*there, last - n)] if 2 * n > last else grad[..., n, :].contiguous()
            mixed = linear(g, weight.mT)
            dz[here].addcmul_(mixed, z[there])
            dz[there].addcmul_(mixed, z[here])
            dw.addmm_(g.flatten(0, -2).mT, (z[here] * z[there]).flatten(0, -2))
        return dz, dw, None
