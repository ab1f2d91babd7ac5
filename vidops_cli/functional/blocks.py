"""Work on a map block by block, so that what is made on the way stays small."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

BYTES = 2**24  # of what a block makes on the way: about what a CPU's caches hold


def block_length(total: int, bytes_each: int) -> int:
    """How many of `total` frames, images or the like make a block, so that blocks are of about one size."""
    blocks = min(total, -(-total * bytes_each // BYTES))
    return -(-total // max(1, blocks))


def recomputed(function: Callable[..., Tensor], *inputs: Tensor | int | None) -> Tensor:
    """function(*inputs), which draws no random numbers; what it makes on the way is not kept for the backward pass, but
    made again."""
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return function(*inputs)
    return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
