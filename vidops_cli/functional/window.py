"""Local correlation and aggregation over a space-time window: the two primitives that most of the operators share.

A window (L, U, V) holds N = L*U*V offsets (time, height, width), the last running fastest. U and V are odd and
centred; the L temporal offsets run from `start` to `start + L - 1` frames (default: centred). Positions outside
the map count as zero. Both functions are closed under differentiation: each gradient is one of the two, on a volume
whose positions and offsets are exchanged (`mirror`), so that they can be differentiated any number of times.

The form below is one matrix product for each row of the map and each temporal offset: a row of W queries against the
U padded rows of keys around it, of which a strided view reads the diagonal band that lies in the window.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

Window = tuple[int, int, int]


def correlate(
    q: Float[Tensor, "B C T H W"],
    k: Float[Tensor, "B C T H W"],
    window: Window,
    *,
    groups: int = 1,
    start: int | None = None,
) -> Float[Tensor, "B G N T H W"]:
    """Dot products of q at each position with k at the N offsets around it.

    `groups` splits the channels: 1 is the dot product, heads the multi-head one, C the Hadamard product.
    Raises ValueError on an even window, channels that `groups` does not divide, or maps of unequal shape.
    """
    start = check_window(window, start)
    if q.shape != k.shape:
        raise ValueError(f"correlate takes two maps of one shape, got {tuple(q.shape)} and {tuple(k.shape)}")
    if groups < 1 or q.shape[1] % groups:
        raise ValueError(f"{q.shape[1]} channels cannot be split into {groups} groups")
    return _correlate(q, k, list(window), start, groups)


def aggregate(
    w: Float[Tensor, "B G N T H W"],
    v: Float[Tensor, "B C T H W"],
    window: Window,
    *,
    start: int | None = None,
) -> Float[Tensor, "B C T H W"]:
    """Sum of v over the N offsets around each position, weighted by w; channels of one group share their weights.

    Raises ValueError on an even window or on weights that do not fit the map.
    """
    start = check_window(window, start)
    if w.shape[2] != window[0] * window[1] * window[2]:
        raise ValueError(f"a {window} window has {window[0] * window[1] * window[2]} offsets, got {w.shape[2]} weights")
    if w.shape[0] != v.shape[0] or w.shape[3:] != v.shape[2:] or v.shape[1] % w.shape[1]:
        raise ValueError(f"weights {tuple(w.shape)} do not fit the map {tuple(v.shape)}")
    return _aggregate(w, v, list(window), start)


def check_window(window: Window, start: int | None) -> int:
    """The first temporal offset of the window; ValueError if the window is not one."""
    L, U, V = window
    if min(window) < 1 or U % 2 == 0 or V % 2 == 0:
        raise ValueError(f"a window needs odd height and width and at least one offset, got {tuple(window)}")
    if start is None:
        if L % 2 == 0:
            raise ValueError(f"a centred window needs an odd number of frames, got {tuple(window)}")
        return -(L // 2)
    return start


def mirror(w: Tensor, window: Window, start: int) -> Tensor:
    """w[x, d] -> w[x + d, -d]: the same pairs of positions, seen from the other end.

    A strided view of a padded copy.
    """
    B, G, _, T, H, W = w.shape
    L, U, V = window
    first = -(start + L - 1)
    padded = _pad(w.permute(0, 1, 3, 4, 5, 2), window, first).contiguous()
    N, Hp, Wp = L * U * V, H + U - 1, W + V - 1
    sW, sH, sT = N, Wp * N, Hp * Wp * N  # by hand: torch gives axes of size 1 any stride
    sG = (T + L - 1) * sT
    strides = (G * sG, sG, sT, sH, sW, sT - U * V, sH - V, sW - 1)
    view = padded.as_strided((B, G, T, H, W, L, U, V), strides, padded.storage_offset() + N - 1)
    return view.flatten(-3).permute(0, 1, 5, 2, 3, 4)


def _pad(x: Tensor, window: list[int] | Window, start: int) -> Tensor:
    """Zeros around the T, H, W axes of (B, G, T, H, W, c), so that offset 0 of the window is index 0."""
    L, U, V = window
    before, after = max(0, -start), max(0, start + L - 1)
    padded = F.pad(x, (0, 0, V // 2, V // 2, U // 2, U // 2, before, after))
    return padded.narrow(2, max(0, start), x.shape[2] + L - 1)


def _rows(x: Tensor, groups: int) -> Tensor:
    """(B, C, T, H, W) -> (B, G, T, H, W, c), contiguous."""
    return x.unflatten(1, (groups, -1)).permute(0, 1, 3, 4, 5, 2).contiguous()


def _band(matrix: Tensor, window: list[int]) -> Tensor:
    """The entries [x, u, x + v] of (n, W, U, W + V - 1), as a view (n, W, U, V)."""
    n, W, U, padded_width = matrix.shape
    strides = (W * U * padded_width, U * padded_width + 1, padded_width, 1)
    return matrix.as_strided((n, W, U, window[2]), strides)


@torch.library.custom_op("vidops::correlate", mutates_args=())
def _correlate(q: Tensor, k: Tensor, window: list[int], start: int, groups: int) -> Tensor:
    B, _, T, H, W = q.shape
    L, U, V = window
    rows, padded = _rows(q, groups), _pad(_rows(k, groups), window, start)
    out = q.new_empty(B * groups, T, H, W, L, U, V)
    queries, keys = rows.flatten(0, 1), padded.flatten(0, 1)
    scratch = q.new_empty(B * groups * T, W, U, W + V - 1)
    for y in range(H):
        left = queries[:, :, y].flatten(0, 1)
        for i in range(L):
            right = keys[:, i : i + T, y : y + U].flatten(0, 1).flatten(1, 2)
            torch.bmm(left, right.transpose(1, 2), out=scratch.flatten(2))
            out[:, :, y, :, i] = _band(scratch, window).unflatten(0, (-1, T))
    return out.unflatten(0, (B, groups)).flatten(-3).permute(0, 1, 5, 2, 3, 4)


@torch.library.custom_op("vidops::aggregate", mutates_args=())
def _aggregate(w: Tensor, v: Tensor, window: list[int], start: int) -> Tensor:
    B, G, _, T, H, W = w.shape
    C = v.shape[1]
    L, U, V = window
    padded = _pad(_rows(v, G), window, start).flatten(0, 1)
    weights = w.permute(0, 1, 3, 4, 5, 2).unflatten(-1, (L, U, V))
    out = v.new_zeros(B * G * T, H, W, C // G)
    scratch = v.new_zeros(B * G * T, W, U, W + V - 1)
    band = _band(scratch, window).unflatten(0, (B, G, T))
    for y in range(H):
        for i in range(L):
            band.copy_(weights[:, :, :, y, :, i])
            right = padded[:, i : i + T, y : y + U].flatten(0, 1).flatten(1, 2)
            out[:, y] += torch.bmm(scratch.flatten(2), right)
    return out.view(B, G, T, H, W, C // G).permute(0, 1, 5, 2, 3, 4).flatten(1, 2)


@_correlate.register_fake
def _(q, k, window, start, groups):
    B, _, T, H, W = q.shape
    return q.new_empty(B, groups, T, H, W, window[0] * window[1] * window[2]).permute(0, 1, 5, 2, 3, 4)


@_aggregate.register_fake
def _(w, v, window, start):
    B, G, _, T, H, W = w.shape
    return v.new_empty(B, G, T, H, W, v.shape[1] // G).permute(0, 1, 5, 2, 3, 4).flatten(1, 2)


def _correlate_setup(ctx, inputs, output):
    q, k, ctx.window, ctx.start, ctx.groups = inputs
    ctx.save_for_backward(q, k)


def _correlate_backward(ctx, grad):
    q, k = ctx.saved_tensors
    window, start = tuple(ctx.window), ctx.start
    back = -(start + window[0] - 1)
    dq = _aggregate(grad, k, ctx.window, start) if ctx.needs_input_grad[0] else None
    dk = _aggregate(mirror(grad, window, start), q, ctx.window, back) if ctx.needs_input_grad[1] else None
    return dq, dk, None, None, None


def _aggregate_setup(ctx, inputs, output):
    w, v, ctx.window, ctx.start = inputs
    ctx.save_for_backward(w, v)


def _aggregate_backward(ctx, grad):
    w, v = ctx.saved_tensors
    window, start = tuple(ctx.window), ctx.start
    back = -(start + window[0] - 1)
    dw = _correlate(grad, v, ctx.window, start, w.shape[1]) if ctx.needs_input_grad[0] else None
    dv = _aggregate(mirror(w, window, start), grad, ctx.window, back) if ctx.needs_input_grad[1] else None
    return dw, dv, None, None


_correlate.register_autograd(_correlate_backward, setup_context=_correlate_setup)
_aggregate.register_autograd(_aggregate_backward, setup_context=_aggregate_setup)


@register_flop_formula(torch.ops.vidops.correlate)
def _correlate_flops(q_shape, k_shape, window, *args, out_shape=None, **kwargs) -> int:
    return 2 * math.prod(q_shape) * math.prod(window)


@register_flop_formula(torch.ops.vidops.aggregate)
def _aggregate_flops(w_shape, v_shape, window, *args, out_shape=None, **kwargs) -> int:
    return 2 * math.prod(v_shape) * math.prod(window)


for _op in (_correlate, _aggregate):
    for _device in ("cpu", "cuda"):
        _op.register_autocast(_device, torch.float32)  # cosines differ in their third digit: bfloat16 is too coarse
