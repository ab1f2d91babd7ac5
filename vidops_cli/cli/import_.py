"""vidops import"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .common import console

Source = Annotated[
    str,
    typer.Argument(
        help="torchvision, tsm, motionsqueeze, selfy, rsa, renet, integral_action, sifa_net or sifa_swin.",
        show_default=False,
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
    mode: Mode = None,
    gate: Gate = None,
    frame_factor: Factor = None,
) -> None:
    """Bring a checkpoint of released code into our names, and say how a recipe uses it.

    Its network is read off the names and shapes of its weights.

    Example: vidops import rsa rsanet.pth.tar --out rsanet.safetensors
    """
    given = poses(source, mode, gate, frame_factor)

    from safetensors.torch import save_file

    from vidops_cli.models.weights import SOURCES, import_from

    found = import_from(source, file, **given)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in found.weights.items()}, out, found.metadata())
    layout = found.layout
    name = " + ".join([layout.network, *(op["op"] for op in layout.ops)])
    target = console()
    target.print(f"{source}: {SOURCES[source][1]}", soft_wrap=True)
    target.print(f"{name}, {layout.classes} classes", soft_wrap=True)
    target.print(
        f"{len(found.weights)} weights loaded, {len(found.left_out)} left out, which compute nothing", soft_wrap=True
    )
    for prefix in sorted({_module(key) for key in found.left_out}):
        target.print(f"  left out: {prefix}", soft_wrap=True)
    for note in found.notes:
        target.print(f"  {note}", soft_wrap=True)
    target.print(f"written: {out}; in a recipe:\n", soft_wrap=True)
    target.print(_recipe(layout, out), soft_wrap=True)


def poses(source: str, mode: str | None, gate: bool | None, factor: int | None) -> dict[str, Any]:
    """What weights of integral_action do not tell themselves; ValueError beside another source."""
    told = {"mode": mode, "gate": gate, "factor": factor}
    given = {name: value for name, value in told.items() if value is not None}
    if given and source != "integral_action":
        raise ValueError(f"--mode, --gate and --frame-factor are of integral_action, not of {source}", "leave them out")
    return given


def _module(key: str) -> str:
    """The module that a weight is of, with a star for numbers."""
    return ".".join("*" if part.isdigit() else part for part in key.split(".")[:-1]) or key


def _recipe(layout: Any, out: Path) -> str:
    import yaml

    ops = [dict(op) for op in layout.ops]
    model = {"name": layout.network, **({"ops": ops} if ops else {}), "weights": str(out)}
    text = yaml.safe_dump({"model": model}, sort_keys=False, default_flow_style=None, width=100)
    return text.rstrip()
