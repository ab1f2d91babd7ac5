"""Files of weights: checkpoints of released code in, ours out as safetensors, and back into the released layout."""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from vidops_cli.record import check_claims

from . import released
from .released import Layout, Shapes

Read = Callable[..., Layout]
SOURCES: dict[str, tuple[Read, str]] = {
    "torchvision": (released.torchvision, "ImageNet ResNets and R(2+1)D of torchvision"),
    "timm": (released.timm, "ViT, DeiT and Swin of timm"),
    "tsm": (released.tsm, "TSM of MotionSqueeze's and SELFY's repositories"),
    "motionsqueeze": (released.motionsqueeze, "MSNet, github.com/arunos728/MotionSqueeze"),
    "selfy": (released.selfy, "SELFYNet, github.com/arunos728/SELFY"),
    "rsa": (released.rsa, "RSANet, github.com/KimManjin/RSA"),
    "renet": (released.renet, "RENet, github.com/dahyun-kang/renet"),
    "integral_action": (released.integral_action, "IntegralAction, github.com/mks0601/IntegralAction_RELEASE"),
    "sifa_net": (released.sifa_net, "SIFA-Net, github.com/FuchenUSTC/SIFA: no checkpoint was released"),
    "sifa_swin": (released.sifa_swin, "SIFA-Transformer of the same: no checkpoint was released"),
}
WRAPPERS = ("state_dict", "params", "network", "model")  # keys under which released code keeps its weights
WRAPPED = "module."  # before each name of a network in DataParallel
SHARED = 16  # times that tensors of a file may share their numbers, as tied weights do
HINT = "name a checkpoint of the released code, .pth or .safetensors"


@dataclass(frozen=True)
class Imported:
    """`weights` are under our names, `left_out` official names that compute nothing, `notes` what else was done."""

    source: str
    layout: Layout
    weights: dict[str, Tensor]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    def metadata(self) -> dict[str, str]:
        """What the file of weights says of itself."""
        told = {"source": self.source, "classes": self.layout.classes, **self.layout.made_of()}
        return {"format": "pt", "vidops": json.dumps(told)}


def read(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """An official state dict without its wrapping, and what was done to it.

    ValueError if the file is absent or cut short, would run code or fill the memory when it is loaded, or holds no
    weights.
    """
    state, notes, _ = _read(path)
    return state, notes


def _read(path: Path) -> tuple[dict[str, Tensor], list[str], str]:
    """As `read`, and what was taken off the front of each name."""
    if not path.is_file():
        raise ValueError(f"no such file: {path}", HINT)
    found = _safe(path) if path.suffix == ".safetensors" else unpickled(path)
    while wrapper := next((name for name in WRAPPERS if isinstance(found.get(name), Mapping)), None):
        found = found[wrapper]
    state = {str(key): value for key, value in found.items() if torch.is_tensor(value)}
    if not state:
        raise ValueError(f"{path} holds no weights", HINT)
    notes = []
    prefix = WRAPPED if all(key.startswith(WRAPPED) for key in state) else ""
    state = {key.removeprefix(prefix): value for key, value in state.items()}
    halves = [key for key, value in state.items() if value.dtype in (torch.float16, torch.bfloat16)]
    if halves:
        state |= {key: state[key].float() for key in halves}
        notes.append(f"{len(halves)} weights in half precision were widened to float32")
    return state, notes, prefix


def _safe(path: Path) -> dict[str, Any]:
    try:
        return load_file(path)  # which holds claims against the size of the file itself
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())[:160]}", HINT) from None


def unpickled(path: Path) -> dict[str, Any]:
    """What torch.save wrote, of tensors and plain values. ValueError as `read`."""
    scalar = np.float64(0).__reduce__()[0]
    scalars = [(scalar, f"numpy.{name}.multiarray.scalar") for name in ("core", "_core")]  # before numpy 2, and since
    scalars += [np.dtype, *(type(np.dtype(name)) for name in ("float64", "float32", "int64"))]
    check_claims(path)
    with open(path, "rb") as file:
        if path.stat().st_size and mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ).find(b"bytearray") >= 0:
            told = f"{path} would fill memory when it is loaded: it makes bytes, which no weights are"
            raise ValueError(told, "save its state dict alone: torch.save(model.state_dict(), FILE)")
    try:
        with torch.serialization.safe_globals(scalars):  # scores beside the weights
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        told = " ".join(str(error).split())
        if "GLOBAL" in told:  # the pickled name of something to call
            hint = "save its state dict alone, where you trust it: torch.save(model.state_dict(), FILE)"
            raise ValueError(f"{path} would run code when it is loaded", hint) from None
        with open(path, "rb") as file:
            begun = file.read(2) == b"PK" or isinstance(error, EOFError)  # an archive as torch.save writes it
        told = "it is cut short or damaged" if begun else "it is no checkpoint"
        raise ValueError(f"{path} cannot be read: {told}", _another(path)) from None
    if not isinstance(found, Mapping):
        raise ValueError(f"{path} holds no weights", HINT)
    _check_plain(found, path)
    return dict(found)


def _another(path: Path) -> str:
    """A hint: of a run's two checkpoints the other one, if it is there."""
    other = path.with_name({"last.pt": "best.pt", "best.pt": "last.pt"}.get(path.name, path.name))
    return f"name another checkpoint{f', as {other}' if other != path and other.is_file() else ''}"


def _check_plain(found: Any, path: Path) -> None:
    """ValueError unless each tensor in there is a plain array, of no more numbers than the file has room for.

    Sparse ones are read without a look at their indices; one number can stand for as many as its shape claims.
    """
    claimed, left, seen = 0, [found], set[int]()
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, Mapping):
            left += one.values()
        elif isinstance(one, (list, tuple, set)):
            left += one
        elif torch.is_tensor(one):
            if one.layout != torch.strided or one.is_quantized or one.device.type != "cpu":
                raise ValueError(f"{path} holds tensors that are no plain arrays", "save its weights as dense ones")
            claimed += one.numel() * one.element_size()
    if claimed > SHARED * (size := path.stat().st_size):
        told = f"{path} claims to hold tensors of {claimed:,} bytes in {size:,}"
        raise ValueError(told, "it is damaged, or made to fill the memory: get it from another place")


def layout_of(source: str, shapes: Shapes, **given: Any) -> Layout:
    """The network of a source that these weights are of. ValueError, with what they look like, if they are of none."""
    if source not in SOURCES:
        raise ValueError(f"unknown source {source!r}", f"sources: {', '.join(SOURCES)}")
    try:
        layout = SOURCES[source][0](shapes, **given)
        released.check(shapes, layout)
    except (KeyError, ValueError, IndexError) as error:
        like = [name for name in SOURCES if name != source and _fits(name, shapes)]
        hint = f"it looks like {' or '.join(like)}" if like else f"sources: {', '.join(SOURCES)}"
        told = f"it has no {error.args[0]}" if isinstance(error, KeyError) else str(error.args[0])
        raise ValueError(f"no checkpoint of {source}: {told}", hint) from None
    return layout


def _fits(source: str, shapes: Shapes) -> bool:
    try:
        released.check(shapes, SOURCES[source][0](shapes))
    except (KeyError, ValueError, IndexError):
        return False
    return True


def import_from(source: str, path: Path, **given: Any) -> Imported:
    """A released checkpoint under our names. ValueError if it is of another source, or lacks anything."""
    state, notes = read(path)
    return _imported(source, layout_of(source, shapes_of(state), **given), state, notes)


def recognised(path: Path) -> Imported | None:
    """A released checkpoint, of whatever source, under our names; None if it is of none."""
    state, notes = read(path)
    shapes = shapes_of(state)
    source = next((name for name in SOURCES if _fits(name, shapes)), None)
    return None if source is None else _imported(source, SOURCES[source][0](shapes), state, notes)


def shapes_of(state: Mapping[str, Tensor]) -> Shapes:
    return {key: tuple(value.shape) for key, value in state.items()}


def _imported(source: str, layout: Layout, state: Mapping[str, Tensor], notes: list[str]) -> Imported:
    left_out = tuple(key for key in state if layout.key(key) is None)
    return Imported(source, layout, released.convert(state, layout), left_out, tuple(notes))


def export_to(source: str, ours: Mapping[str, Tensor], like: Path, **given: Any) -> dict[str, Tensor]:
    """Our weights under the names of an official file, from which what computes nothing is taken.

    ValueError if ours are of another network than that file's.
    """
    template, _, prefix = _read(like)
    layout = layout_of(source, shapes_of(template), **given)
    found = {}
    for official, value in template.items():
        key = layout.key(official)
        if key is not None and (key not in ours or ours[key].numel() != value.numel()):
            told = f"ours have no {key} of {value.numel()} numbers, which {official} has"
            raise ValueError(told, f"--like a checkpoint of the same network, {layout.network}")
        found[prefix + official] = value if key is None else ours[key].reshape(value.shape).to(value.dtype)
    return found


def told_of(path: Path) -> dict[str, Any]:
    """What a file of `vidops import` says of itself; empty for any other."""
    if path.suffix != ".safetensors" or not path.is_file():
        return {}
    try:
        with safe_open(path, "pt") as file:
            told = json.loads((file.metadata() or {}).get("vidops", "{}"))
    except (SafetensorError, OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
