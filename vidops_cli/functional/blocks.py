"""Work on a map block by block, so that what is made on the way stays small."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

BYTES = 2**23  # of what a block makes on the way: about what a CPU's caches hold


def block_length(total: int, bytes_each: int) -> int:
    """How many of `total` frames, images or the like make a block, so that blocks are of about one size."""
    blocks = max(1, min(total, -(-total * bytes_each // BYTES)))
    return max(1, -(-total // blocks))


def recomputed(function: Callable[..., Tensor], *inputs: Tensor | int | None) -> Tensor:
    """function(*inputs), which draws no random numbers; what it makes on the way is not kept for the backward pass, but
    made again."""
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return function(*inputs)
    return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)


def blockwise(
    function: Callable[..., Tensor], *inputs: Tensor, bytes_each: int | Tensor, dim: int = 0, again: bool = False
) -> Tensor:
    """function(*inputs), which treats the entries along an axis alike and apart, block by block.

    Under autograd all that is made on the way is kept; with `again` it is made once more for the backward pass, which
    takes less memory and more time.
    """
    total = int(inputs[0].shape[dim])  # plain numbers, under torch.jit.trace too
    length = total if inputs[0].is_meta else block_length(total, int(bytes_each))  # shapes alone take no memory
    parts = list(zip(*(x.split(length, dim) for x in inputs), strict=True))
    if len(parts) == 1 or torch.is_grad_enabled():
        made = [recomputed(function, *part) if again else function(*part) for part in parts]
        return torch.cat(made, dim) if len(made) > 1 else made[0]
    first = function(*parts[0])
    shape, order = list(first.shape), sorted(range(first.dim()), key=first.stride, reverse=True)
    shape[dim] = total
    y = torch.empty_permuted(shape, order, dtype=first.dtype, device=first.device)  # laid out as each block is
    y.narrow(dim, 0, length).copy_(first)
    del first
    for i, part in enumerate(parts[1:], 1):
        y.narrow(dim, i * length, part[0].shape[dim]).copy_(function(*part))
    return y
