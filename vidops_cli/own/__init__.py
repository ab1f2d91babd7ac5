"""Operators that are not of the zoo: `package.module:Class`, or what an installed package registers under `vidops.ops`.

Nothing of theirs is imported until one is named; this page imports no torch.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

from vidops_cli.models.network import OTHER_INPUTS, SLOTS
from vidops_cli.ops import OPS, Card

from .card import OwnCard, own_card, split
from .source import locate

__all__ = ["BUILT_IN", "Operators", "OwnCard", "Registered", "card_of", "is_own", "registered"]

BUILT_IN = tuple(OPS)
GROUP = "vidops.ops"  # of entry points: name = package.module:Class
ONE_MAP = tuple(slot for slot in SLOTS if slot not in OTHER_INPUTS)

Tell = Callable[[str], None]  # a line on what is imported


@dataclass(frozen=True)
class Registered:
    """An operator as a package's metadata tell of it; nothing is imported."""

    name: str
    spec: str
    package: str


@cache
def registered() -> dict[str, Registered]:
    """By name. ValueError for one that has the name of an operator of the zoo, or of another package's."""
    found: dict[str, Registered] = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        package = f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
        other = "vidops" if point.name in BUILT_IN else found[point.name].package if point.name in found else None
        if other and other != package:
            told = f"{package} registers an operator {point.name!r}, which is one of {other}"
            raise ValueError(told, "uninstall it, or ask its author for another name")
        found[point.name] = Registered(point.name, point.value, package)
    return found


def is_own(name: str) -> bool:
    """Whether a name means an operator that is not of the zoo."""
    return name not in BUILT_IN and (":" in name or name in registered())


def card_of(name: str, *, inputs: list[str] | None = None, tell: Tell = lambda line: None) -> OwnCard:
    """The card of an operator that is not of the zoo, with its module imported. ValueError with a hint if it cannot be.

    `inputs`: the shapes that its forward takes, where they are not one "B C T H W". `tell` takes a line with the file
    that is imported, before it is.
    """
    entry = registered().get(name)
    spec, package = (entry.spec, entry.package) if entry else (name, "")
    file = locate(split(spec)[0])
    if file is not None:
        by = f", {spec} of the package {package}" if package else ""
        tell(f"own operator {name} from {file}{by}")
    return own_card(spec, name=name, package=package, inputs=inputs, slots=ONE_MAP)


class Operators(Mapping[str, Card]):
    """The zoo, what packages register, and any package.module:Class.

    One that is not of the zoo is imported when it is asked for, and entered into the index that networks look into.
    ValueError, with a hint, if it cannot be imported.
    """

    def __init__(self, tell: Tell = lambda line: None) -> None:
        registered()
        self.tell = tell

    def __getitem__(self, name: str) -> Card:
        if name in BUILT_IN:
            return OPS[name]
        if not is_own(name):
            raise KeyError(name)
        known = OPS.get(name)
        if not (isinstance(known, OwnCard) and _is_current(known)):
            OPS[name] = card_of(name, tell=self.tell)
        return OPS[name]

    def __iter__(self) -> Iterator[str]:
        yield from BUILT_IN
        yield from registered()

    def __len__(self) -> int:
        return len(BUILT_IN) + len(registered())


def _is_current(card: OwnCard) -> bool:
    """Whether its module still holds what the card was made from: a notebook may have loaded it again."""
    module, cls = split(card.spec)
    try:
        return attrgetter(cls)(sys.modules[module]) is card.make
    except (KeyError, AttributeError):
        return False
