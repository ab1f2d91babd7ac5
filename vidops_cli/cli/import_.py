"""vidops import"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vidops_cli.models import CHECKPOINTS

from .common import Form, check_format, tell

Source = Annotated[
    str,
    typer.Argument(
        help=f"{', '.join(CHECKPOINTS)}.",
        show_default=False,
    ),
]
Shift = Annotated[
    bool | None,
    typer.Option(
        "--shift/--no-shift", help="Of tsm, motionsqueeze, selfy: whether channels are shifted; default: yes."
    ),
]
Mode = Annotated[
    str | None, typer.Option(help="Of integral_action: rgb_only, pose_only or rgb+pose, which is the default.")
]
Gate = Annotated[bool | None, typer.Option(help="Of integral_action: whether it was trained with its gate.")]
Factor = Annotated[int | None, typer.Option(min=1, help="Of integral_action: frame rate of poses over that of frames.")]


def command(
    source: Source,
    file: Annotated[Path, typer.Argument(help="A checkpoint of the released code.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("model.safetensors"),
    shift: Shift = None,
    mode: Mode = None,
    gate: Gate = None,
    frame_factor: Factor = None,
    format: Form = "table",
) -> None:
    """Bring a checkpoint of released code into our names, and say how a recipe uses it.

    Its network is read off the names and shapes of its weights.

    Example: vidops import rsa rsanet.pth.tar --out rsanet.safetensors
    """
    check_format(format)
    given = untold(source, shift=shift, mode=mode, gate=gate, factor=frame_factor)

    import yaml
    from safetensors.torch import save_file

    from vidops_cli.models.weights import SOURCES, import_from

    found = import_from(source, file, **given)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in found.weights.items()}, out, found.metadata())
    layout = found.layout
    name = " + ".join([layout.network, *(op["op"] for op in layout.ops)])
    loaded, model = len(found.weights), _model(layout, out)
    left_out, notes = sorted({_module(key) for key in found.left_out}), list(found.notes)
    told = {"written": str(out), "source": source, "classes": layout.classes, "weights": loaded}
    lines = [
        f"{source}: {SOURCES[source][1]}",
        f"{name}, {layout.classes} classes",
        f"{loaded} weights loaded, {len(found.left_out)} left out, which compute nothing",
        *(f"  left out: {prefix}" for prefix in left_out),
        *(f"  {note}" for note in notes),
        f"written: {out}; in a recipe:\n",
        yaml.safe_dump({"model": model}, sort_keys=False, default_flow_style=None, width=100).rstrip(),
    ]
    tell(format, {**told, "left_out": left_out, "notes": notes, "model": model}, lines)


OPTIONS = {name: ("shift",) for name in ("tsm", "motionsqueeze", "selfy")}
OPTIONS["integral_action"] = ("mode", "gate", "factor")


def untold(source: str, **options: Any) -> dict[str, Any]:
    """What weights do not tell themselves, as far as it is given.

    ValueError on an unknown source, and beside one that has no such thing.
    """
    if source not in CHECKPOINTS:
        raise ValueError(f"unknown source {source!r}", f"sources: {', '.join(CHECKPOINTS)}")
    given = {name: value for name, value in options.items() if value is not None}
    if wrong := next((name for name in given if name not in OPTIONS.get(source, ())), None):
        able = ", ".join(name for name, options in OPTIONS.items() if wrong in options)
        flag = {"factor": "--frame-factor"}.get(wrong, f"--{wrong}")
        raise ValueError(f"{flag} is of {able}, not of {source}", "leave it out")
    return given


def _module(key: str) -> str:
    """The module that a weight is of, with a star for numbers."""
    return ".".join("*" if part.isdigit() else part for part in key.split(".")[:-1]) or key


def _model(layout: Any, out: Path) -> dict[str, Any]:
    """`model` of a recipe that uses these weights."""
    ops = [dict(op) for op in layout.ops]
    return {"name": layout.network, **({"ops": ops} if ops else {}), "weights": str(out)}
