"""Checkpoints: written whole or not at all, read without running code."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidops_cli.models import weights
from vidops_cli.record import write_bytes


def save(path: Path, state: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(path, buffer.getvalue())


def load(path: Path) -> dict[str, Any]:
    """What `vidops train` or `vidops import` wrote, the weights under "model".

    ValueError if the file is absent, cut short, or holds more than tensors and plain values.
    """
    if not path.is_file():
        raise ValueError(f"no such checkpoint: {path}", "name a .pt file that `vidops train` wrote")
    if path.suffix == ".safetensors":
        state, _ = weights.read(path)
        classes = weights.told_of(path).get("classes")
        return {"model": state, **({"classes": classes} if classes else {})}
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"cannot read checkpoint {path}: {first[:160]}", "it may be cut short; use another") from None
    if not isinstance(state, dict) or not _is_state_dict(state.get("model")):
        raise ValueError(
            f"{path} is no checkpoint of vidops: it has no 'model'", "name a .pt file that `vidops train` wrote"
        )
    return state


def _is_state_dict(found: Any) -> bool:
    return isinstance(found, dict) and all(
        isinstance(key, str) and torch.is_tensor(item) for key, item in found.items()
    )


CLASSIFIERS = ("fc.", "fc_dual.", "head.weight", "head.bias")


def start_from(model: nn.Module, path: Path) -> list[str]:
    """Fill the network from a checkpoint of it; names of classifiers of another number of classes, left as they were.

    ValueError if anything else is missing or of another size.
    """
    ours, theirs = model.state_dict(), load(path)["model"]
    other = [
        key
        for key in ours
        if key.startswith(CLASSIFIERS) and key in theirs and theirs[key].shape[1:] == ours[key].shape[1:]
        if theirs[key].shape != ours[key].shape
    ]
    load_model(model, {"model": {**theirs, **{key: ours[key] for key in other}}}, path)
    return other


def load_part(model: nn.Module, name: str, path: Path) -> None:
    """Fill one part of the network from a checkpoint of it, or of a network that has a part of that name.

    What else the checkpoint holds, as its classifier, is left out. ValueError if anything of the part is missing.
    """
    part, state = part_of(model, name), load(path)["model"]
    inside = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
    told = inside or state
    load_model(part, {"model": {key: value for key, value in told.items() if key in part.state_dict()}}, path)


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
    told = [
        f"{len(found)} {what}: {', '.join(found[:3])}{', ...' if len(found) > 3 else ''}"
        for what, found in (("keys missing", lacking), ("keys of another network", foreign), ("shapes differ", shapes))
        if found
    ]
    if told:
        raise ValueError(
            f"{path} is a checkpoint of another network: {'; '.join(told)}", "use the recipe that trained it"
        )
    model.load_state_dict(theirs)
