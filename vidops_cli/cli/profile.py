"""vidops profile"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from .common import Device, console, find_op, print_table

FORMATS = ("table", "json", "csv")


def command(
    op: Annotated[list[str], typer.Option(help="Operator; repeat it to compare.", show_default=False)],
    seq: Annotated[int | None, typer.Option(help="Number of positions, as the most square H x W at T = 1.")] = None,
    grid: Annotated[str | None, typer.Option(help="Input as TxHxW. Default: the operator's paper layer.")] = None,
    channels: Annotated[int | None, typer.Option(min=1, help="Channels. Default: the operator's paper layer.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Clips at a time.")] = 1,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    device: Device = "auto",
    backward: Annotated[bool, typer.Option(help="Time and measure forward + backward too.")] = True,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads on a CPU. Default: torch's own choice.")] = None,
    format: Annotated[str, typer.Option(help="table, json or csv.")] = "table",
    out: Annotated[Path | None, typer.Option(help="Write to this file (json or csv by its ending).")] = None,
) -> None:
    """Measure operators: multiply-adds, FLOPs, peak memory, latency.

    Each form is first checked against its textbook form, output and gradients;
    no time is given if they differ.

    Example: vidops profile --op lisa --op self_attention --seq 4096
    """
    if seq is not None and grid is not None:
        raise ValueError("--seq and --grid both say the input's size", "give one of them")
    if format not in FORMATS:
        raise ValueError(f"unknown format {format!r}", f"one of {', '.join(FORMATS)}")
    if out is not None and out.suffix not in (".json", ".csv"):
        raise ValueError(f"--out takes a .json or .csv file, got {out}", "as in --out lisa.json")
    cards = [find_op(name) for name in op]
    size = None if grid is None else _parse_grid(grid)

    import os

    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the memory profiler tells every start and stop on stderr
    import torch

    from vidops_cli.engine.setup import pick_device
    from vidops_cli.profiling.profile import DTYPES, Shape, grid_of, profile
    from vidops_cli.record import environment

    if dtype not in DTYPES:
        raise ValueError(f"unknown dtype {dtype!r}", f"one of {', '.join(DTYPES)}")
    if seq is not None:
        size = grid_of(seq)
    if threads:
        torch.set_num_threads(threads)
    where = pick_device(device)
    rows = []
    with console(stderr=True).status("measuring") as status:
        for card in cards:
            shape = Shape(batch, channels or card.layer[0], size or card.layer[1:])
            status.update(f"measuring {card.name} on {shape}")
            rows.append(profile(card, shape, dtype=dtype, device=where, backward=backward))
    _show(rows, environment(str(where)), format, out)


def _parse_grid(text: str) -> tuple[int, int, int]:
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*x[1-9]\d*", text):
        raise ValueError(f"--grid takes TxHxW, got {text!r}", "as in --grid 8x28x28")
    T, H, W = (int(part) for part in text.split("x"))
    return T, H, W


def _show(rows: list[dict[str, Any]], env: dict[str, Any], format: str, out: Path | None) -> None:
    import json

    from vidops_cli.record import SCHEMA, command_line, write_text
    from vidops_cli.report.profile import profile_table
    from vidops_cli.report.table import to_csv

    forms = {
        "json": lambda: (
            json.dumps({"schema": SCHEMA, "env": {**env, "command": command_line()}, "rows": rows}, indent=1) + "\n"
        ),
        "csv": lambda: to_csv(rows),
    }
    if out is not None:
        write_text(out, forms[out.suffix[1:]]())
    if format == "table":
        print_table(profile_table(rows, env))
    else:
        typer.echo(forms[format](), nl=False)
    if any(row["passed"] is False for row in rows):
        raise typer.Exit(1)
