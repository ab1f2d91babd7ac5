"""Convolution over space, and over time and space.

On a CPU torch 2.13 reads weight gradients in bfloat16 from memory that nothing was written to: of 2-D and 3-D
convolutions on maps narrower than their stride, of 3-D ones on maps smaller than their kernel too. Where the zeros
around the map are written out, it does not.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    groups: int = 1,
) -> Tensor:
    """torch's conv2d, right on maps smaller than their stride too."""
    x, padding = _written_out(x, stride, padding)
    return F.conv2d(x, weight, bias, tuple(stride), tuple(padding), 1, groups)


def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sequence[int] = (1, 1, 1),
    padding: Sequence[int] = (0, 0, 0),
    groups: int = 1,
) -> Tensor:
    """torch's conv3d, right on maps smaller than their kernel or stride too."""
    x, padding = _written_out(x, [max(sizes) for sizes in zip(weight.shape[2:], stride, strict=True)], padding)
    return F.conv3d(x, weight, bias, tuple(stride), tuple(padding), 1, groups)


def planewise_conv3d(
    x: Float[Tensor, "B G T H W"], weight: Float[Tensor, "K O L U V"], padding: Sequence[int]
) -> Float[Tensor, "B T2 H2 W2 G O"]:
    """Each plane of x by the same O kernels, K = 1, or by O kernels of its own, K = G. The O maps run fastest.

    A plane has one channel, too few for a CPU's vectors; backward too the sums are taken so that there are some.
    """
    x, padding = _written_out(x, weight.shape[2:], padding)
    return _Planewise.apply(x, weight.to(x.dtype), tuple(padding))


def _written_out(x: Tensor, least: Sequence[int], padding: Sequence[int]) -> tuple[Tensor, Sequence[int]]:
    """Zeros written around a map that has not the least size on each axis."""
    if not any(padding) or all(size >= needed for size, needed in zip(x.shape[2:], least, strict=True)):
        return x, padding
    return F.pad(x, [pad for pad in reversed(padding) for _ in (0, 1)]), [0] * len(padding)


class _Planewise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, padding):
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        # one convolution in groups would take many times as long as one for each plane
        made = [F.conv3d(images, kernels, None, 1, padding) for images, kernels in _pairs(x, weight)]
        made = [images.movedim(1, -1).unflatten(0, (x.shape[1] // len(weight), x.shape[0])) for images in made]
        return (torch.cat(made) if len(made) > 1 else made[0]).movedim(0, -2)

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        dx = _to_planes(grad, weight, ctx.padding) if ctx.needs_input_grad[0] else None
        dw = None
        if ctx.needs_input_grad[1]:
            grads = (part.flatten(0, 1).movedim(-1, 1) for part in grad.movedim(-2, 0).chunk(len(weight)))
            dw = [_to_kernels(g, *pair, ctx.padding) for g, pair in zip(grads, _pairs(x, weight), strict=True)]
            dw = torch.stack(dw)[:, :, 0]
        return dx, dw, None


def _pairs(x: Tensor, weight: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Planes as images of one channel, with their kernels."""
    planes = x.transpose(0, 1).chunk(len(weight))
    return [(_last(own.flatten(0, 1)), _last(kernels)) for own, kernels in zip(planes, weight, strict=True)]


def _last(x: Tensor) -> Tensor:
    """(N, T, H, W) -> (N, 1, T, H, W), told as if channels ran fastest, so that they do in what is made of it."""
    x = x.contiguous()
    return x.as_strided((len(x), 1, *x.shape[1:]), (x.stride(0), 1, *x.stride()[1:]))


def _to_kernels(grad: Tensor, x: Tensor, weight: Tensor, padding: tuple[int, ...]) -> Tensor:
    one, no = [1, 1, 1], [0, 0, 0]
    form = one, padding, one, False, no, 1, [False, True, False]
    return torch.ops.aten.convolution_backward(grad, x, weight, None, *form)[1]


def _to_planes(grad: Tensor, weight: Tensor, padding: tuple[int, ...]) -> Tensor:
    """The gradient of a plane is a sum over its kernels: taken for each of their V columns apart, which makes V sums at
    a time, then over the columns, each from its own place."""
    K, _, L, U, V = weight.shape
    B, planes = grad.shape[0], grad.shape[-2]
    columns = weight.flip(2, 3, 4).permute(0, 4, 1, 2, 3).flatten(0, 1).unsqueeze(-1)
    if K == 1:
        columns = columns.contiguous(memory_format=torch.channels_last_3d)
        grad = grad.movedim(-2, 0).flatten(0, 1)
    maps = grad.flatten(4).movedim(-1, 1)
    sums = F.conv3d(maps, columns, None, 1, (L - 1 - padding[0], U - 1 - padding[1], 0), 1, K)
    reach = V - 1 - padding[2]
    sums = F.pad(sums.movedim(1, -1), (0, 0, reach, reach)).contiguous()
    *outer, width, entries = sums.shape
    strides = sums.stride()
    sums = sums.as_strided((*outer, width - V + 1, K, V), (*strides[:4], V, entries + 1)).sum(-1)
    return sums.squeeze(-1).unflatten(0, (planes, B)).transpose(0, 1) if K == 1 else sums.movedim(-1, 1)
