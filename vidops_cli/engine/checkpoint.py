"""Checkpoints: written whole or not at all, read without running code."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidops_cli.models import transfer, weights
from vidops_cli.recipe import Recipe, comparing
from vidops_cli.recipe.reading import read_file
from vidops_cli.record import digest, write_bytes

from .made_of import OtherNetwork

KINDS = "name a .pt that `vidops train` wrote, a .safetensors of `vidops import`, or a released file"


def save(path: Path, state: dict[str, Any]) -> None:
    """ValueError where it cannot be written; what was there before stays."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    try:
        write_bytes(path, buffer.getvalue())
    except OSError as error:
        told = f"{path} cannot be written: {error.strerror}"
        raise ValueError(told, "make room; the same command goes on from the checkpoint before, if any") from None


def load(path: Path) -> dict[str, Any]:
    """What `vidops train` or `vidops import` wrote, or a checkpoint of released code: weights of ours under "model".

    Where the file tells its network and operators they are under "made_of" (`made_of.py`).
    ValueError if the file is absent, cut short, holds more than tensors and plain values, or weights of no known name.
    """
    if not path.is_file():
        raise ValueError(f"no such checkpoint: {path}", KINDS)
    if path.suffix != ".safetensors":
        found = weights.unpickled(path)
        if "recipe" in found and _is_state_dict(found.get("model")):
            return _checked(found, path)
        state = found.get("model")
    elif told := weights.told_of(path):
        given = {"classes": told["classes"]} if told.get("classes") else {}
        return _checked({"model": weights.read(path)[0], "made_of": told, **given}, path)
    else:
        state = weights.read(path)[0]
    if official := weights.recognised(path):
        classes = official.layout.classes
        return {
            "model": official.weights,
            "made_of": official.layout.made_of() | {"guessed": True},
            **({"classes": classes} if classes else {}),
        }
    if not _is_state_dict(state):
        told = f"{path} is no checkpoint of vidops, nor of released code that it knows"
        raise ValueError(told, f"{KINDS}: see `vidops import --help`")
    return {"model": state}


def _checked(found: dict[str, Any], path: Path) -> dict[str, Any]:
    """ValueError on what no run writes: another mean than of weights, more classes than any weight has room for."""
    classes, most = (
        found.get("classes", 1),
        max((max(one.shape, default=1) for one in found["model"].values()), default=1),
    )
    told = found.get("made_of") or {}
    sound = (
        _is_state_dict(found.get("mean") or {})
        and isinstance(told, dict)
        and type(classes) is int
        and 0 < classes <= max(1, most)
    )
    if not sound:
        raise ValueError(f"{path} is no checkpoint that vidops wrote", KINDS)
    return found


@contextmanager
def as_written(path: Path) -> Iterator[None]:
    """What a checkpoint lacks of a run's state, as an error of its file."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        told = f"{path} is no checkpoint that `vidops train` wrote: {type(error).__name__} {error}"
        raise ValueError(told, "use --no-resume to start over, or another --out") from None


def told(state: dict[str, Any], path: Path) -> dict[str, Any]:
    """Path and sha256 of a checkpoint; of a run's, its step, the last epoch that was whole, and of how many."""
    found = {"path": str(path), "sha256": digest(path)}
    if "step" in state:
        last = state.get("last_epoch") or {}
        found |= {"step": state["step"], "epoch": last.get("epoch", 0), "epochs": state.get("epochs")}
    return found


def tested(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint that are tested: their running mean, where it was kept."""
    return state.get("mean") or state["model"]


def differing(path: Path, recipe: Recipe) -> str:
    """In words, the keys in which a run's recipe.yaml is another recipe; nothing if it cannot be told."""
    try:
        before = Recipe.model_validate(read_file(path)[0]).identity()
    except (OSError, ValueError):
        return ""
    keys = [key for key, _, _ in comparing.differing(before, recipe.identity())]
    return f": {', '.join(keys[:4])}{', ...' if len(keys) > 4 else ''}" if keys else ""


def _is_state_dict(found: Any) -> bool:
    return isinstance(found, dict) and all(
        isinstance(key, str) and torch.is_tensor(item) for key, item in found.items()
    )


def start_from(model: nn.Module, path: Path) -> transfer.Start:
    """Fill the network from a checkpoint of it or of one that it can start from (`models/transfer.py`)."""
    return _started(model, tested(load(path)), path)


def load_part(model: nn.Module, name: str, path: Path) -> transfer.Start:
    """Fill one part of the network from a checkpoint of it, or of a network that has a part of that name.

    What else the checkpoint holds, as its stem or classifier, is left out. ValueError if anything of the part is
    missing.
    """
    part, state = part_of(model, name), tested(load(path))
    part.operators = tuple(op.removeprefix(f"{name}.") for op in model.operators if op.startswith(f"{name}."))
    inside = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
    told = inside or state
    return _started(part, {key: value for key, value in told.items() if key in part.state_dict()}, path)


def _started(model: nn.Module, theirs: dict[str, torch.Tensor], path: Path) -> transfer.Start:
    try:
        return transfer.start(model, theirs)
    except ValueError as error:
        told = f"{path} is a checkpoint of another network: {error}"
        raise ValueError(told, "name one of the same network; its operators may be others") from None


def part_of(model: nn.Module, name: str) -> nn.Module:
    """The part of a network with this name; ValueError if it has none."""
    try:
        return model.get_submodule(name)
    except AttributeError:
        parts = ", ".join(child for child, _ in model.named_children())
        raise ValueError(f"the network has no part {name!r}", f"its parts: {parts}") from None


def load_model(model: nn.Module, state: dict[str, Any], path: Path) -> None:
    """Fill the network; ValueError that says which keys or shapes differ."""
    ours, theirs = model.state_dict(), state["model"]
    lacking = [key for key in ours if key not in theirs]
    foreign = [key for key in theirs if key not in ours]
    shapes = [
        f"{key} {tuple(theirs[key].shape)} instead of {tuple(ours[key].shape)}"
        for key in ours
        if key in theirs and ours[key].shape != theirs[key].shape
    ]
    try:
        transfer.check(lacking, foreign, shapes)
    except ValueError as error:
        raise OtherNetwork(f"{path} is a checkpoint of another network: {error}", state.get("made_of")) from None
    model.load_state_dict(theirs)
