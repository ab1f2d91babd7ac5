"""vidops eval"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .common import Device, Overrides, known, load_recipe, print_table
from .live import Counter


def command(
    what: Annotated[
        Path, typer.Argument(help="The folder of a run, or a recipe.", metavar="RECIPE_OR_RUN", show_default=False)
    ],
    overrides: Overrides = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Weights. Default: those that the run tested.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder that takes a summary.json.")] = None,
    device: Device = "auto",
    format: Annotated[str, typer.Option(help="table or json.")] = "table",
) -> None:
    """Evaluate a trained network on a split.

    Example: vidops eval runs/first data.frames=reversed
    """
    if format not in ("table", "json"):
        raise ValueError(f"unknown format {format!r}", "table or json")
    if what.is_dir() and not (what / "recipe.yaml").is_file():
        raise ValueError(
            f"{what} is not the folder of a run: it has no recipe.yaml", "name a folder that `vidops train` wrote"
        )
    run = what if what.is_dir() else Path("runs") / what.stem
    told = load_recipe(what / "recipe.yaml" if what.is_dir() else what, overrides, rows=False)
    path = checkpoint or run / ("best.pt" if told.train.checkpoint == "best" else "last.pt")

    import vidops_cli.engine.evaluate as engine
    from vidops_cli.ablation.grid import code_of
    from vidops_cli.record import git_state

    made = {"code": code_of(told, known()), **git_state()}  # as it is now, not as it may be at the end
    found = engine.evaluate_checkpoint(told, path, device, Counter("decoding"))
    if out is not None:
        _write(out / "summary.json", told, found, made)
    _show(found, path, format)


def _write(path: Path, told: Any, found: dict[str, Any], made: dict[str, Any]) -> None:
    """As `vidops train` writes it."""
    from vidops_cli.record import SCHEMA, environment, write_json

    from .train import cost

    head = {"schema": SCHEMA, "kind": "eval", "recipe": told.hash(), "seed": told.train.seed}
    counted = cost(told, found["classes"], found["clip"])
    write_json(path, {**head, **found, "cost": counted, "env": environment(found["device"], made["code"]) | made})


def _show(found: dict[str, Any], path: Path, format: str) -> None:
    import json

    from vidops_cli.report.table import Table

    if format == "json":
        typer.echo(json.dumps({"checkpoint": str(path), **found}, indent=1))
        return
    metrics = found["metrics"]
    body = [[name, f"{value:.2f}"] for name, value in metrics.items() if isinstance(value, float)]
    floors = ", ".join(f"{name} {100 * value:.1f} %" for name, value in found["floors"].items())
    notes = [
        f"{metrics['n']} clips scored ({metrics['present']} of the listed videos present), checkpoint {path}",
        f"floors: {floors}",
    ]
    notes += [f"not used: {name}: {reason}" for name, reason in found["bad"].items()]
    print_table(Table(f"{found['split']} split", ["metric", "value"], body, notes))
