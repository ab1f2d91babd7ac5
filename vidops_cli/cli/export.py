"""vidops export"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import Form, check_format, tell
from .import_ import Factor, Gate, Mode, Shift, Source, untold


def command(
    source: Source,
    file: Annotated[
        Path,
        typer.Argument(help="A run's last.pt, or what `vidops import` wrote.", show_default=False),
    ],
    like: Annotated[Path, typer.Option(help="A checkpoint of the released code with that network.")],
    out: Annotated[Path, typer.Option(help="The file to write, .pth or .safetensors.")] = Path("official.pth"),
    shift: Shift = None,
    mode: Mode = None,
    gate: Gate = None,
    frame_factor: Factor = None,
    format: Form = "table",
) -> None:
    """Write weights of ours under the names of released code.

    Names and shapes are those of the checkpoint --like, and what in it computes nothing is taken over.

    Example: vidops export rsa runs/rsa/last.pt --like rsanet.pth.tar --out tuned.pth
    """
    check_format(format)
    given = untold(source, shift=shift, mode=mode, gate=gate, factor=frame_factor)

    import torch
    from safetensors.torch import save_file

    from vidops_cli.engine.checkpoint import load, tested
    from vidops_cli.models.weights import export_to

    found = export_to(source, tested(load(file)), like, **given)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in found.items()}, out, {"format": "pt"})
    else:
        torch.save({"state_dict": found}, out)
    told = {"written": str(out), "source": source, "weights": len(found)}
    tell(format, told, [f"written: {out}, {len(found)} weights under the names of {source}"])
