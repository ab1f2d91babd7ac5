"""The published algorithms as plain functions of (op, x) on the operator's own parameters.

They import nothing of ours but `in_turn`. A file may hold, beside `forward`: `published`, the same with the operations
that the paper counts, where `forward` does more; `reach` or `at`, which give single positions of the output.
"""

import importlib
from collections.abc import Callable, Iterable
from types import ModuleType

from torch import Tensor


def module_of(name: str) -> ModuleType:
    return importlib.import_module(f"vidops_cli.textbook.{name}")


def textbook(name: str) -> Callable:
    """The textbook form of an operator: a function of (op, x) that returns what op(x) should."""
    return module_of(name).forward


def published(name: str) -> Callable:
    """The form whose operations are those of the published algorithm."""
    module = module_of(name)
    return getattr(module, "published", module.forward)


def in_turn(layers: Iterable[Callable[[Tensor], Tensor]], x: Tensor) -> Tensor:
    """One layer after the other, as a container of ours may not run them."""
    for layer in layers:
        x = layer(x)
    return x
