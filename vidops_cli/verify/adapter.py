"""What a source's file gives for a case: our module, how official inputs go in and official outputs come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from vidops_cli.models.released.layout import renamed

from .cases import Case

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Adapted:
    """A case in our terms.

    `run` takes official inputs by name and gives official outputs by name, in the mode the module is in.
    `keys` turns prefixes of official state-dict keys into ours; the longest that fits counts, others stay.
    `idle` are prefixes of official weights that compute nothing in this case; they are held against the fill rule only.
    `built` are tensors that the released module builds itself, by official key.
    `leave_out` names positions of outputs, from inputs and expected outputs, that no other code need reproduce.
    `pixels` says that outputs are drawn, so that the share of equal pixels is told.
    """

    module: nn.Module
    run: Callable[[Tensors], Tensors]
    keys: Mapping[str, str] = field(default_factory=dict)
    idle: tuple[str, ...] = ()
    built: Mapping[str, Tensor] = field(default_factory=dict)
    leave_out: Callable[[Tensors, Tensors], Tensors] = lambda inputs, expected: {}
    pixels: bool = False

    def key(self, official: str) -> str | None:
        """Our key of an official one; None if it has none."""
        if official.startswith(self.idle):
            return None
        return renamed(official, self.keys)


def options(arguments: Mapping[str, Any], table: Mapping[str, str | Callable[[Any], dict[str, Any]]]) -> dict[str, Any]:
    """Official constructor arguments as our options, by a source's table.

    An entry is our name, or a function from the value to our options. ValueError on an argument that the table lacks.
    """
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        if name not in table:
            raise ValueError(f"constructor argument {name!r} is not known")
        entry = table[name]
        found.update(entry(value) if callable(entry) else {entry: value})
    return found


def arguments(case: Case) -> dict[str, Any]:
    """What a case's class or method was given, as far as the metadata tell; ValueError if they hold something else."""
    told = [case.meta[name] for name in ("args", "ctor") if case.meta.get(name) is not None]
    if not all(isinstance(given, dict) for given in told):
        raise ValueError("the metadata tell no constructor arguments")
    return {name: value for given in told for name, value in given.items()}


def nothing(value: Any) -> dict[str, Any]:
    """An argument that is no option of ours: it changes nothing, or something else tells it."""
    return {}


def exactly(name: str, *known: Any) -> Callable[[Any], dict[str, Any]]:
    """An argument whose other values make another operator."""

    def check(value: Any) -> dict[str, Any]:
        if value not in known:
            raise ValueError(f"{name}={value} is not known")
        return {}

    return check


def only(op: nn.Module, *names: str) -> nn.Module:
    """The operator with other parts emptied, for a case of these alone."""
    for name, _ in list(op.named_children()):
        if name not in names:
            setattr(op, name, nn.Identity())
    return op


def clips(x: Tensor, frames: int) -> Tensor:
    """(B T, C, H, W) -> (B, C, T, H, W)"""
    return x.unflatten(0, (-1, frames)).transpose(1, 2)


def frames_of(x: Tensor) -> Tensor:
    """(B, C, T, H, W) -> (B T, C, H, W)"""
    return x.transpose(1, 2).flatten(0, 1)
