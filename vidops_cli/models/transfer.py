"""The start of a network from the weights of another: of images for clips, without operators or with others.

Weights of one name and size are taken. What operators in slots own starts anew, and what they replace is left out; so
it is of whole blocks that are `fresh` (`fresh.py`).
A kernel without time becomes one in time by the rule of our network, its `inflation`:

    "mean"     w[d] = w / L                        Carreira and Zisserman, arXiv 1705.07750
    "middle"   w[L // 2] = w, 0 at other steps     the released SIFA-Net, at index 2 of 4

`copies` of our network name what it has twice, and `unused` what it has no place for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

FEW = 4  # names that a message tells
CLASSIFIERS = ("fc.", "fc_dual.", "head.weight", "head.bias")
COUNTERS = "num_batches_tracked"  # absent from old files


@dataclass(frozen=True)
class Start:
    """Names of weights: of ours, but `left_out`, which are of the other's. `operators` and `blocks`, which are all
    fresh, are modules of ours."""

    operators: tuple[str, ...]
    blocks: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    inflated: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """How many weights are of each kind."""
        return {kind: len(getattr(self, kind)) for kind in ("taken", "inflated", "copied", "fresh", "left_out")}

    def told(self) -> str:
        """How many of each kind, and where those are that did not just go over."""
        kinds = ("inflated", "copied", "fresh", "left_out")
        parts = [
            f"{len(keys)} {kind.replace('_', ' ')} ({modules(keys, self.operators, self.blocks)})"
            for kind in kinds
            if (keys := getattr(self, kind))
        ]
        return ", ".join([f"{len(self.taken)} weights taken", *parts])


def modules(keys: tuple[str, ...], whole: tuple[str, ...] = (), blocks: tuple[str, ...] = ()) -> str:
    """The modules that weights are of, without numbers of blocks, the first few of them; parts of `whole` ones are not
    told apart, nor are those of `blocks`, which are all named as they are."""

    def named(key: str) -> str:
        if block := next((name for name in blocks if key.startswith(f"{name}.")), ""):
            return block
        name = next((name for name in whole if key.startswith(f"{name}.")), key.rpartition(".")[0] or key)
        return ".".join("*" if part.isdigit() else part for part in name.split("."))

    names, most = list(dict.fromkeys(map(named, keys))), max(FEW, len(blocks) + 1)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def inflated(weight: Tensor, steps: int, rule: str) -> Tensor:
    """A kernel (O, I, h, w) or (O, I, 1, h, w) over `steps` of time, (O, I, steps, h, w)."""
    weight = weight.reshape(*weight.shape[:2], 1, *weight.shape[-2:])
    if rule == "mean":
        return weight.expand(-1, -1, steps, -1, -1) / steps
    found = weight.new_zeros(*weight.shape[:2], steps, *weight.shape[-2:])
    found[:, :, steps // 2] = weight[:, :, 0]
    return found


def start(network: nn.Module, theirs: Mapping[str, Tensor]) -> Start:
    """Fill the network. ValueError on weights of the network itself, as against its operators, that find no match."""
    ours = network.state_dict()
    operators = getattr(network, "operators", ())
    owned = tuple(f"{name}." for name in operators)
    blocks = getattr(network, "fresh", ())
    anew = tuple(f"{name}." for name in blocks)
    copies, rule = getattr(network, "copies", {}), getattr(network, "inflation", "mean")
    kinds: dict[str, list[str]] = {"taken": [], "inflated": [], "copied": [], "fresh": []}
    found, wrong, lacking, used = {}, [], [], set()
    for key, value in ours.items():
        told, kind = key, "taken"
        if key not in theirs and (prefix := next((p for p in copies if key.startswith(p)), None)):
            told, kind = copies[prefix] + key.removeprefix(prefix), "copied"
        weight = None if key.startswith(anew) else theirs.get(told)
        used.add(told)
        if weight is not None and weight.shape == value.shape:
            found[key] = weight
        elif weight is not None and value.ndim == 5 and _grows(weight, value):
            found[key] = inflated(weight, value.shape[2], rule)
            kind = kind if value.shape[2] == 1 else "inflated"
        elif key.startswith((*owned, *anew, *CLASSIFIERS)) or (weight is None and key.endswith(COUNTERS)):
            found[key], kind = value, "fresh"
        elif weight is None:
            lacking.append(key)
        else:
            wrong.append(f"{told} {tuple(weight.shape)} instead of {tuple(value.shape)}")
        kinds[kind].append(key)
    unused = (*owned, *anew, *CLASSIFIERS, *getattr(network, "unused", ()))
    foreign = [key for key in theirs if key not in used or key.startswith(anew)]
    left_out = tuple(key for key in foreign if f"{key}.".startswith(unused))
    check(lacking, [key for key in foreign if key not in left_out], wrong)
    network.load_state_dict(found)
    return Start(operators, blocks, left_out=left_out, **{kind: tuple(keys) for kind, keys in kinds.items()})


def _grows(weight: Tensor, ours: Tensor) -> bool:
    """Whether it is our kernel but for its steps of time."""
    flat = weight.ndim == 4 or (weight.ndim == 5 and weight.shape[2] == 1)
    return flat and (weight.shape[:2], weight.shape[-2:]) == (ours.shape[:2], ours.shape[-2:])


def check(lacking: list[str], foreign: list[str], wrong: list[str]) -> None:
    """ValueError that says which weights differ, if any do."""
    told = [
        f"{len(found)} {what}: {', '.join(found[:3])}{', ...' if len(found) > 3 else ''}"
        for what, found in (("keys missing", lacking), ("keys of another network", foreign), ("shapes differ", wrong))
        if found
    ]
    if told:
        raise ValueError("; ".join(told))
