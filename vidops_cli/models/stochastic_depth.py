"""Stochastic depth, also drop path. Huang et al., Deep Networks with Stochastic Depth, arXiv 1603.09382.

In training a sample goes past a residual branch with a probability that rises with the depth of the block:

    y = x + b / (1 - p_i) f(x),    b ~ Bernoulli(1 - p_i),    p_i = p (i - 1) / (N - 1),    block i of N

Deviations, as in RSA's released code (where 1 - p_N = 0.8): in the paper p_i = p i / N, and a branch is multiplied by
1 - p_i in the test, where here it is divided in training.
"""

import torch
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """(B, ...) -> the same shape: in training each of the B samples is 0 with probability `p`, or divided by 1 - p."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        stays = torch.full((len(x),) + (1,) * (x.dim() - 1), 1 - self.p, dtype=x.dtype, device=x.device)
        return x * (stays.bernoulli() / (1 - self.p))

    def extra_repr(self) -> str:
        return f"p={self.p:.4g}"


def deepen(network: nn.Module, p: float) -> None:
    """Give the blocks of each of the network's `paths` stochastic depth, the last one of them with probability `p`."""
    for path in network.paths():
        blocks = path[1:]
        for i, (name, *_) in enumerate(blocks):
            if share := i / max(1, len(blocks) - 1):
                network.get_submodule(name).stochastic_depth = StochasticDepth(p * share)
