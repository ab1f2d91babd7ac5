"""Checkpoints of the papers' released code: which network of ours one is, and where each of its weights goes.

A layout is read of names and shapes alone. Its `keys` turn prefixes of official names into ours; the longest that fits
counts, others stay. What they leave equal is equal: our networks are named as the common image checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vidops_cli.models import MODELS

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layout:
    """One released network in our terms.

    `ops` are mappings of op, at, slot and options, as in a recipe. `idle` are prefixes of official names that compute
    nothing. `classes` is None where the network has no classifier. `untold` are options that neither weights nor code
    tell, but the command that trained: who recognises the network leaves them out.
    """

    network: str
    classes: int | None
    ops: tuple[Mapping[str, Any], ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    idle: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()

    def made_of(self) -> dict[str, Any]:
        """What a file of these weights says of its network, in plain values."""
        return {"network": self.network, "ops": list(map(dict, self.ops)), "untold": list(self.untold)}

    def build(self) -> nn.Module:
        return MODELS[self.network].build(classes=self.classes or 1, ops=[dict(op) for op in self.ops])

    def key(self, official: str) -> str | None:
        """Our name of an official weight; None if it computes nothing."""
        return None if official.startswith(self.idle) else renamed(official, self.keys)


def renamed(name: str, prefixes: Mapping[str, str]) -> str:
    """The name with the longest of these prefixes that it has put out for ours."""
    longest = max((prefix for prefix in prefixes if name.startswith(prefix)), key=len, default="")
    return prefixes.get(longest, "") + name[len(longest) :]


def prefixed(keys: Mapping[str, str], official: str, ours: str) -> dict[str, str]:
    return {official + key: ours + value for key, value in keys.items()}


def check(shapes: Shapes, layout: Layout) -> dict[str, str]:
    """Official name -> ours of each weight that counts.

    ValueError on a weight without a place, one of another size (axes of size 1 may stand elsewhere), and a missing one.
    """
    with torch.device("meta"):
        ours = {key: tuple(value.shape) for key, value in layout.build().state_dict().items()}
    found: dict[str, str] = {}
    for official, shape in shapes.items():
        key = layout.key(official)
        if key is None:
            continue
        if key not in ours:
            raise ValueError(f"{official} has no place in {layout.network} (looked for {key})")
        if [n for n in shape if n != 1] != [n for n in ours[key] if n != 1]:
            raise ValueError(f"{official} {shape} does not fit ours {ours[key]}")
        found[official] = key
    there = set(found.values())
    spare = ("num_batches_tracked",)  # old files lack them
    spare += ("fc.weight", "fc.bias") if layout.classes is None else ()
    missing = [key for key in ours if key not in there and not key.endswith(spare)]
    if missing:
        raise ValueError(f"no weight for {len(missing)} of ours: {', '.join(missing[:3])}")
    return found


def convert(state: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """Official weights under our names and in our shapes. ValueError as `check`."""
    names = check({key: tuple(value.shape) for key, value in state.items()}, layout)
    ours = layout.build().state_dict()
    counters = {key: value for key, value in ours.items() if key.endswith("num_batches_tracked")}
    return counters | {key: state[official].reshape(ours[key].shape) for official, key in names.items()}


def inside(shapes: Shapes, prefix: str) -> list[str]:
    return [key.removeprefix(prefix) for key in shapes if key.startswith(prefix)]
