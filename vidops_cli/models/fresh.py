"""Blocks that start anew, each as the identity: the last norm of its residual branch has weight 0.

Goyal et al., Accurate, Large Minibatch SGD, arXiv 1706.02677. RSA's released code starts the whole bottlenecks so that
RSA stands in; the rest of the network takes the weights of an image network.
"""

from torch import nn


def renew(network: nn.Module, blocks: list[nn.Module]) -> None:
    """Zero the last norms of blocks, and keep a start from other weights (`transfer.py`) out of the blocks."""
    for block in blocks:
        nn.init.zeros_(block.last_norm.weight)
    network.fresh = tuple(name for name, module in network.named_modules() if any(module is block for block in blocks))
