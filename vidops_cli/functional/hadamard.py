"""A correlation whose channels are mixed at once: it is never formed with all of them."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from .window import Window, check_window


def mixed_correlation(
    q: Float[Tensor, "B C T H W"], k: Float[Tensor, "B C T H W"], weight: Float[Tensor, "O C"], window: Window
) -> Float[Tensor, "B T H W N O"]:
    """sum_c weight[o, c] q[c] k[c], k at the N offsets of a window (1, U, V): a Hadamard correlation of `correlate`
    with groups = C, then a 1x1 convolution. One offset is taken at a time.

    Raises ValueError on a window over several frames, or an even one.
    """
    check_window(window, None)
    if window[0] != 1:
        raise ValueError(f"channels are mixed within a frame, got a window {tuple(window)}")
    return _Mixed.apply(q.movedim(1, -1).contiguous(), k.movedim(1, -1).contiguous(), weight.to(q.dtype), window[1:])


def _near(k: Tensor, window: tuple[int, int]) -> Iterator[Tensor]:
    """k (B, T, H, W, C), whose zeros are written around it, at each offset."""
    U, V = window
    H, W = k.shape[2] - U + 1, k.shape[3] - V + 1
    return (k[:, :, u : u + H, v : v + W] for u in range(U) for v in range(V))


def _padded(k: Tensor, window: tuple[int, int]) -> Tensor:
    U, V = window
    return F.pad(k, (0, 0, V // 2, V // 2, U // 2, U // 2))


class _Mixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, weight, window):
        ctx.save_for_backward(q, k, weight)
        ctx.window = window
        y = q.new_empty(*q.shape[:-1], window[0] * window[1], len(weight))
        for n, near in enumerate(_near(_padded(k, window), window)):
            y[..., n, :] = F.linear(q * near, weight)
        return y

    @staticmethod
    def backward(ctx, grad):
        q, k, weight = ctx.saved_tensors
        k = _padded(k, ctx.window)
        dq, dk, dw = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(weight)
        for n, (near, to) in enumerate(zip(_near(k, ctx.window), _near(dk, ctx.window), strict=True)):
            g = grad[..., n, :].contiguous()
            mixed = g @ weight
            dq.addcmul_(mixed, near)
            to.addcmul_(mixed, q)
            dw.addmm_(g.flatten(0, -2).mT, (q * near).flatten(0, -2))
        U, V = ctx.window
        H, W = q.shape[2:4]
        return dq, dk[:, :, U // 2 : U // 2 + H, V // 2 : V // 2 + W], dw, None
