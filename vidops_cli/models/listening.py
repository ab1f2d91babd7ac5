"""What parts of a network say in a forward pass beside its logits, for losses that need it; and what its operators are
given, for who wants to see them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from vidops_cli.ops import OPS
from vidops_cli.ops.integral_action import IntegralAction
from vidops_cli.ops.score_average import ScoreAverage

from .sifa_net import SIFANet


@dataclass(frozen=True)
class Said:
    """What parts of a network say beside its logits: gates (B, features, T), before the sigmoid, and the logits
    (B, classes) of streams whose scores are averaged, which learn each from its own loss."""

    gates: list[Tensor]
    streams: list[Tensor]


@contextmanager
def listening(network: nn.Module) -> Iterator[Said]:
    """Fills a Said as the network runs."""
    said, hooks = Said([], []), []
    for part in network.modules():
        if isinstance(part, IntegralAction) and part.source != "none":
            hooks.append(part.gate_conv.register_forward_hook(lambda _, x, y: said.gates.append(y)))
        if isinstance(part, ScoreAverage):
            for fc in (part.rgb_fc, part.pose_fc):
                hooks.append(fc.register_forward_hook(lambda _, x, y: said.streams.append(y.mean(1))))
        if isinstance(part, SIFANet):
            for fc in (part.fc, part.fc_dual):
                hooks.append(fc.register_forward_hook(lambda _, x, y: said.streams.append(y)))
    try:
        yield said
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class Standing:
    """An operator of the zoo in a slot of a network."""

    slot: str
    place: str
    name: str
    module: nn.Module


def standing(network: nn.Module) -> list[Standing]:
    """All that stand in a network's slots, those it comes with too."""
    found = []
    for slot, holes in network.places().items():
        for place, (parent, attribute, _) in holes.items():
            module = getattr(parent, attribute)
            package, _, name = type(module).__module__.rpartition(".")
            if package == "vidops_cli.ops" and name in OPS:
                found.append(Standing(slot, place, name, module))
    return found


@contextmanager
def overhearing(modules: Iterable[nn.Module]) -> Iterator[dict[nn.Module, tuple[Any, ...]]]:
    """Fills in what each module is given first, as the network runs."""
    given: dict[nn.Module, tuple[Any, ...]] = {}

    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if module not in given:  # a copy: what follows may change it in place
            given[module] = tuple(each.clone() if isinstance(each, Tensor) else each for each in inputs)

    hooks = [module.register_forward_pre_hook(note) for module in modules]
    try:
        yield given
    finally:
        for hook in hooks:
            hook.remove()
