"""The residual blocks of a network, and how deep each part lies.

Every network tells its `paths()` from a clip to a classifier. A path is a list of steps, a step the names of the parts
of one depth: the stem's first, then each block's, with what stands behind it. What no path names is of the head.
"""

from torch import nn

Paths = list[list[list[str]]]


class Blocks(nn.Sequential):
    """Residual blocks, one after the other."""


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
