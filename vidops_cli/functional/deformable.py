"""Bilinear reads of a map at learned displacements: what deformable attention and convolution stand on.

A kernel of K x K taps, the last axis running fastest, reads around each position p of each frame at

    p + r_k + offset[k],    r_k = dilation (i - K // 2, j - K // 2) for tap k = i K + j

in pixels. Positions outside the map count as zero, and a read whose point is not strictly inside (-1, H) x (-1, W) is
zero with no gradient. At whole pixels the gradient is that of the cell to the right and below.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from .blocks import blockwise
from .product import linear


def sample(
    v: Float[Tensor, "B C T H W"], offset: Float[Tensor, "B M T H W"], kernel: int, dilation: int = 1
) -> Float[Tensor, "B C N T H W"]:
    """The N = kernel^2 reads around each position; channels 2k and 2k + 1 of `offset` are dy and dx of tap k.

    Raises ValueError on an even kernel or offsets that do not fit the map.
    """
    check_kernel(kernel, dilation)
    if offset.shape != (v.shape[0], 2 * kernel**2, *v.shape[2:]):
        expected = (v.shape[0], 2 * kernel**2, *v.shape[2:])
        raise ValueError(
            f"{kernel} x {kernel} taps on a map {tuple(v.shape)} take offsets {expected}, got {tuple(offset.shape)}"
        )
    return _sample(v, offset, kernel, dilation)


def attend(
    q: Float[Tensor, "B C T H W"],
    v: Float[Tensor, "B C T H W"],
    offset: Float[Tensor, "B M T H W"],
    kernel: int,
    dilation: int = 1,
    *,
    groups: int = 1,
) -> Float[Tensor, "B C T H W"]:
    """sum_k <q, s_k> s_k over the reads s of `sample`, the products within each of the groups of channels.

    The reads are not formed: all pairs of positions of a frame are multiplied, of which each tap takes four; the sum is
    a product with the map of all pairs too. Linear in taps x channels no more, but square in positions.
    """
    B, C, T, H, W = v.shape
    frames = [x.transpose(1, 2).flatten(0, 1).flatten(2).mT.unflatten(-1, (groups, -1)).transpose(1, 2) for x in (q, v)]
    (row, wy, _), (column, wx, _) = map(_axis, _points(offset, kernel, dilation), (H, W))
    index = (row.unsqueeze(-2) * W + column.unsqueeze(-3)).reshape(B * T, 1, H * W, 4 * kernel**2)
    weight = _both(wy, wx).reshape(index.shape).to(v.dtype)
    pairs = 3 * groups * (H * W) ** 2 * v.element_size()  # products, weights, gradients

    def attended(q: Tensor, v: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        index = index.expand(-1, groups, -1, -1)
        read = _products(q, v.mT).gather(-1, index) * weight
        scores = read.unflatten(-1, (4, -1)).sum(-2).repeat(1, 1, 1, 4)
        map_ = v.new_zeros(len(q), groups, H * W, H * W).scatter_add_(-1, index, scores * weight)
        return _products(map_, v)

    y = blockwise(attended, *frames, index, weight, bytes_each=pairs)  # B T, groups, H W, C / groups
    return y.transpose(1, 2).flatten(2).mT.view(B, T, C, H, W).transpose(1, 2)


def _products(a: Tensor, b: Tensor) -> Tensor:
    """a @ b, (n, g, p, q) by (n, g, q, r): few and large, on a CPU faster one after the other than in batch."""
    if not a.numel():
        return a @ b
    pairs = zip(a.flatten(0, 1).unbind(), b.flatten(0, 1).unbind(), strict=True)
    made = [linear(x, y.mT) for x, y in pairs]
    return (torch.stack(made) if len(made) > 1 else made[0].unsqueeze(0)).unflatten(0, a.shape[:2])


def check_kernel(kernel: int, dilation: int) -> None:
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"kernel must be odd, got {kernel}")
    if dilation < 1:
        raise ValueError(f"dilation must be at least 1, got {dilation}")


def _rows(x: Tensor) -> Tensor:
    """(B, C, ..., T, H, W) -> (B T H W ..., C), contiguous."""
    return x.permute(0, *range(x.dim() - 3, x.dim()), *range(2, x.dim() - 3), 1).reshape(-1, x.shape[1])


def _axis(position: Tensor, size: int | torch.SymInt) -> tuple[Tensor, Tensor, Tensor]:
    """(..., N) -> (..., 2, N), the two rows (columns) around each point: index, weight, d weight / d position."""
    position = position.unsqueeze(-2)
    side = torch.arange(2, device=position.device, dtype=position.dtype).unsqueeze(-1)
    near = position.detach().floor() + side
    counts = (near >= 0) & (near < size) & (position > -1)
    slope = 2 * side - 1
    weight = torch.where(counts, 1 + slope * (position - near), 0.0)
    return torch.where(counts, near, 0.0).long(), weight, counts * slope


def _points(offset: Tensor, kernel: int, dilation: int) -> tuple[Tensor, Tensor]:
    """y and x of the N reads around each position, (B, T, H, W, N)."""
    H, W = offset.shape[-2:]
    wide = offset.to(torch.promote_types(offset.dtype, torch.float32))  # half precision counts no pixels
    dy, dx = wide.permute(0, 2, 3, 4, 1).unflatten(-1, (kernel**2, 2)).unbind(-1)
    tap = (torch.arange(kernel, device=offset.device) - kernel // 2) * dilation
    y = (torch.arange(H, device=offset.device)[:, None, None] + tap.repeat_interleave(kernel)) + dy
    x = (torch.arange(W, device=offset.device)[:, None] + tap.repeat(kernel)) + dx
    return y, x


def _both(y: Tensor, x: Tensor) -> Tensor:
    """(..., 2, N) twice -> (..., 4 N): products of each of the one with each of the other."""
    return (y.unsqueeze(-2) * x.unsqueeze(-3)).flatten(-3)


def _corners(offset: Tensor, kernel: int, dilation: int) -> tuple[Tensor, ...]:
    """For each of the B T H W N reads four corners: row of the map, weight, d weight / dy, d weight / dx."""
    B, _, T, H, W = offset.shape
    (row, wy, by_y), (column, wx, by_x) = map(_axis, _points(offset, kernel, dilation), (H, W))
    frame = torch.arange(B * T, device=offset.device).view(B, T, 1, 1, 1, 1, 1)
    index = ((frame * H + row.unsqueeze(-2)) * W + column.unsqueeze(-3)).flatten(-3)
    found = index, _both(wy, wx), _both(by_y, wx), _both(wy, by_x)
    return tuple(each.unflatten(-1, (4, -1)).mT.reshape(-1, 4) for each in found)


@torch.library.custom_op("vidops::sample", mutates_args=())
def _sample(v: Tensor, offset: Tensor, kernel: int, dilation: int) -> Tensor:
    B, C, T, H, W = v.shape
    index, weight, _, _ = _corners(offset, kernel, dilation)
    read = F.embedding_bag(index, _rows(v), mode="sum", per_sample_weights=weight.to(v.dtype))
    return read.view(B, T, H, W, kernel**2, C).permute(0, 5, 4, 1, 2, 3)


@_sample.register_fake
def _(v, offset, kernel, dilation):
    B, C, T, H, W = v.shape
    return v.new_empty(B, T, H, W, kernel**2, C).permute(0, 5, 4, 1, 2, 3)


def _setup(ctx, inputs, output):
    v, offset, ctx.kernel, ctx.dilation = inputs
    ctx.save_for_backward(v, offset)


def _backward(ctx, grad):
    v, offset = ctx.saved_tensors
    B, C, T, H, W = v.shape
    index, weight, by_y, by_x = _corners(offset, ctx.kernel, ctx.dilation)
    grads, rows = _rows(grad), _rows(v)
    dv = d_offset = None
    if ctx.needs_input_grad[0]:
        dv = torch.zeros_like(rows)
        for corner in range(4):
            dv = dv.index_add(0, index[:, corner], grads * weight[:, corner, None].to(grads.dtype))
        dv = dv.view(B, T, H, W, C).permute(0, 4, 1, 2, 3)
    if ctx.needs_input_grad[1]:
        dots = [torch.einsum("nc,nc->n", grads, rows[index[:, corner]]) for corner in range(4)]
        dots = torch.stack(dots, dim=-1).to(by_y.dtype)
        d_offset = torch.stack([(dots * by_y).sum(-1), (dots * by_x).sum(-1)], dim=-1)
        d_offset = d_offset.view(B, T, H, W, offset.shape[1]).permute(0, 4, 1, 2, 3).to(offset.dtype)
    return dv, d_offset, None, None


_sample.register_autograd(_backward, setup_context=_setup)


@register_flop_formula(torch.ops.vidops.sample)
def _flops(v_shape, offset_shape, kernel, *args, out_shape=None, **kwargs) -> int:
    return 2 * 4 * math.prod(v_shape) * kernel**2  # four weighted corners


for _device in ("cpu", "cuda"):
    _sample.register_autocast(_device, torch.float32)
