"""The published algorithms as plain functions of (op, x) on the operator's own parameters.

They import nothing of ours.
"""

import importlib
from collections.abc import Callable


def textbook(name: str) -> Callable:
    """The textbook form of an operator: a function of (op, x) that returns what op(x) should."""
    return importlib.import_module(f"vidops_cli.textbook.{name}").forward
