"""The same maths as plain loops over offsets: the truth that the fast forms are held against. Slow on purpose."""

import itertools

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from .window import Window, check_window


def shifted(x: Float[Tensor, "... T H W"], t: int, y: int, x_: int) -> Float[Tensor, "... T H W"]:
    """y[p] = x[p + (t, y, x_)], zero outside the map."""
    t, y, x_ = (max(-size, min(size, offset)) for offset, size in zip((t, y, x_), x.shape[-3:], strict=True))
    return F.pad(x, (-x_, x_, -y, y, -t, t))


def offsets(window: Window, start: int | None) -> list[tuple[int, int, int]]:
    L, U, V = window
    first = check_window(window, start)
    return list(itertools.product(range(first, first + L), range(-(U // 2), U // 2 + 1), range(-(V // 2), V // 2 + 1)))


def correlate(q: Tensor, k: Tensor, window: Window, *, groups: int = 1, start: int | None = None) -> Tensor:
    """`window.correlate`, one shifted product for each offset."""
    volume = [(q * shifted(k, *d)).unflatten(1, (groups, -1)).sum(2) for d in offsets(window, start)]
    return torch.stack(volume, dim=2)


def aggregate(w: Tensor, v: Tensor, window: Window, *, start: int | None = None) -> Tensor:
    """`window.aggregate`, one shifted map for each offset."""
    out = torch.zeros_like(v)
    for n, d in enumerate(offsets(window, start)):
        out = out + (w[:, :, n, None] * shifted(v, *d).unflatten(1, (w.shape[1], -1))).flatten(1, 2)
    return out


def sample(v: Tensor, offset: Tensor, kernel: int, dilation: int = 1) -> Tensor:
    """`deformable.sample`, for each tap a row of weights over all lines of the map and one over all columns."""
    H, W = v.shape[-2:]
    rows, columns = torch.arange(H, device=v.device), torch.arange(W, device=v.device)
    taps = []
    for k, (i, j) in enumerate(itertools.product(range(kernel), repeat=2)):
        y = rows[:, None] + (i - kernel // 2) * dilation + offset[:, 2 * k]
        x = columns + (j - kernel // 2) * dilation + offset[:, 2 * k + 1]
        inside = (y > -1) & (y < H) & (x > -1) & (x < W)
        wy, wx = _hat(y[..., None] - rows) * inside[..., None], _hat(x[..., None] - columns)
        taps.append(torch.einsum("bthwi,bthwj,bctij->bcthw", wy, wx, v))
    return torch.stack(taps, dim=2)


def _hat(distance: Tensor) -> Tensor:
    """1 - |distance|, zero from 1 on; its slope at a whole number is that to the right."""
    below, above = (distance >= 0) & (distance < 1), (distance >= -1) & (distance < 0)
    return torch.where(below, 1 - distance, torch.where(above, 1 + distance, 0.0))


def relative_conv(x: Tensor, table: Tensor, *, padding: str = "zero") -> Tensor:
    """`fourier.relative_conv` with the N x N matrix of relative weights formed."""
    grid = x.shape[-3:]
    axes = []
    for size in grid:
        n = torch.arange(size, device=x.device)
        offset = n[None, :] - n[:, None]
        if padding == "circular":
            offset = (offset + size // 2) % size - size // 2
        axes.append(offset + size - 1)
    t, h, w = (axis.to(x.device) for axis in axes)
    index = (t[:, None, None, :, None, None], h[None, :, None, None, :, None], w[None, None, :, None, None, :])
    return torch.einsum("...abcdef,...def->...abc", table[..., index[0], index[1], index[2]], x)
