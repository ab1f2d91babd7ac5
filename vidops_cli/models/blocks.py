"""The residual blocks of a network, and how deep each part lies.

Every network tells its `paths()` from a clip to a classifier. A path is a list of steps, a step the names of the parts
of one depth: the stem's first, then each block's, with what stands behind it. What no path names is of the head.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Paths = list[list[list[str]]]


class Blocks(nn.Sequential):
    """Residual blocks, one after the other, (B, C, T, H, W) -> (B, C', T', H', W').

    `recompute` is activation checkpointing (Chen et al., arXiv 1604.06174): of each block its input alone is kept, and
    the block is run once more in the backward pass, with the same random numbers. Results are the same.
    """

    recompute = False

    def forward(self, x: Tensor) -> Tensor:
        again = self.recompute and self.training and torch.is_grad_enabled()
        for block in self:
            x = checkpoint(block, x, use_reentrant=False, context_fn=partial(_twice, block)) if again else block(x)
        return x


def _twice(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What the first and the second run of a block stand in."""
    return nullcontext(), _statistics_stay(block)


@contextmanager
def _statistics_stay(block: nn.Module) -> Iterator[None]:
    """Batch norms have counted this batch already."""
    norms = [module for module in block.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    told = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, told, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


def recompute(network: nn.Module) -> None:
    """Activation checkpointing of all blocks of a network."""
    for part in network.modules():
        if isinstance(part, Blocks):
            part.recompute = True


def within(part: str, paths: Paths) -> Paths:
    """Paths of a part of a network, in the names of the network."""
    return [[[f"{part}.{name}" for name in step] for step in path] for path in paths]


def depths(network: nn.Module) -> dict[str, int]:
    """How many steps below the head each weight lies, by its name: 0 is the head, 1 the last block of its path."""
    parts = {f"{name}.": len(path) - i for path in network.paths() for i, step in enumerate(path) for name in step}
    return {
        weight: next((depth for part, depth in parts.items() if f"{weight}.".startswith(part)), 0)
        for weight, _ in network.named_parameters()
    }


def compile_blocks(network: nn.Module, *, backend: str = "inductor") -> None:
    """torch.compile of all blocks and of what stands behind them, each by itself and in place.

    Keys of the state stay as they are, hooks around blocks run as ever, and a batch of another size compiles anew
    (sizes that are symbols do not go through all of our operators). ValueError, with a hint, where nothing can be
    compiled on the device of the network.
    """
    from torch._dynamo.exc import TorchDynamoException

    device = next(network.parameters()).device
    try:
        torch.compile(lambda x: x + 1, backend=backend)(torch.ones(2, device=device))
    except TorchDynamoException as error:
        tool = "a C++ compiler" if device.type == "cpu" else "Triton and a C compiler"
        told = str(error).strip().partition("\n")[0]
        raise ValueError(f"torch.compile needs {tool}: {told}", "set train.compile=false") from None
    named = {name for path in network.paths() for step in path[1:] for name in step}
    for part in map(network.get_submodule, sorted(named)):
        if not isinstance(part, nn.Identity):
            part.compile(backend=backend, dynamic=False, isolate_recompiles=True)
