"""vidops eval"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .common import (
    Device,
    Form,
    OneRow,
    Overrides,
    check_format,
    known,
    load_run,
    memory_told,
    of_no_row,
    print_table,
    run_folder,
)
from .live import Counter


def command(
    what: Annotated[
        Path | None,
        typer.Argument(help="The folder of a run, or a recipe.", metavar="RECIPE_OR_RUN", show_default=False),
    ] = None,
    overrides: Overrides = None,
    row: OneRow = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Weights. Default: those that the run tested.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder that takes a summary.json.")] = None,
    dump: Annotated[Path | None, typer.Option(help="File (.npz) that takes the scores, or those of episodes.")] = None,
    scores: Annotated[
        list[Path] | None, typer.Option(help="Such a file: no network is run; of several, their ensemble.")
    ] = None,
    against: Annotated[Path | None, typer.Option(help="Another such file: the difference from it, in pairs.")] = None,
    per_class: Annotated[bool, typer.Option("--per-class", help="The accuracy of each class too.")] = False,
    average: Annotated[str | None, typer.Option(help="Of an ensemble: softmax or logits.")] = None,
    device: Device = "auto",
    format: Form = "table",
) -> None:
    """Evaluate a trained network on a split, or scores that were kept.

    Example: vidops eval runs/first data.frames=reversed --dump reversed.npz
    """
    check_format(format)
    if scores and what is not None and all(word.endswith(".npz") for word in (str(what), *(overrides or []))):
        scores, what, overrides = [*scores, what, *map(Path, overrides or [])], None, None
    _check(what, overrides, row, checkpoint, out, dump, scores, against, average)
    if scores:
        from .scores import rescore

        rescore(scores, against, average, per_class, format)
        return
    assert what is not None
    if what.is_dir() and not (what / "recipe.yaml").is_file():
        raise ValueError(
            f"{what} is not the folder of a run: it has no recipe.yaml", "name a folder that `vidops train` wrote"
        )
    run = what if what.is_dir() else run_folder(what, row)
    told = load_run(what / "recipe.yaml" if what.is_dir() else what, overrides, row)
    path = checkpoint or run / ("best.pt" if told.train.checkpoint == "best" else "last.pt")
    if out is not None and _trained(out / "summary.json"):
        raise ValueError(f"{out} is the folder of a run, whose summary.json this would replace", "another --out")
    if per_class and told.episodes:
        raise ValueError("episodes have no classes of their own", "leave --per-class out")

    import vidops_cli.engine.evaluate as engine
    from vidops_cli.ablation.grid import code_of
    from vidops_cli.record import git_state

    made = {"code": code_of(told, known()), **git_state()}  # as it is now, not as it may be at the end
    shown = Counter("decoding"), dump
    with memory_told(told, trained=False):
        found = engine.evaluate_checkpoint(told, path, device, *shown, per_class=per_class, testing=Counter("testing"))
    if out is not None:
        _write(out / "summary.json", told, found, made)
    _show(told, found, path, format, of_no_row(what, overrides, row))


def _trained(path: Path) -> bool:
    """Whether it is the summary of a training."""
    try:
        return json.loads(path.read_text()).get("kind") == "train"
    except (OSError, ValueError, AttributeError):
        return False


def _check(
    what: Path | None,
    overrides: list[str] | None,
    row: str | None,
    checkpoint: Path | None,
    out: Path | None,
    dump: Path | None,
    scores: list[Path] | None,
    against: Path | None,
    average: str | None,
) -> None:
    """ValueError for words that do not go together."""
    if average not in (None, "softmax", "logits"):
        raise ValueError(f"unknown --average {average!r}", "softmax or logits")
    if not scores:
        for name, given in (("--against", against), ("--average", average)):
            if given is not None:
                raise ValueError(f"{name} is of --scores", "as in vidops eval --scores a.npz --against b.npz")
        if what is None:
            raise ValueError("neither a run or recipe nor --scores is given", "as in vidops eval runs/first")
        if row is not None and what.is_dir():
            raise ValueError(f"--row is of a recipe, {what} is the run of one row", "leave --row out")
        if what.suffix == ".npz":
            raise ValueError(f"{what} holds scores, and is no run or recipe", f"as in vidops eval --scores {what}")
        if dump is not None and (dump.suffix != ".npz" or dump.is_dir()):
            raise ValueError(f"--dump ends in .npz, got {dump}", "as in --dump scores.npz")
        return
    words = [str(what)] if what is not None else []
    if extra := [*words, *(overrides or [])]:
        told = f"--scores runs no network, and takes no run, recipe or override: {' '.join(extra)}"
        raise ValueError(told, "leave one of the two out; files of scores end in .npz")
    for name, given in (("--row", row), ("--checkpoint", checkpoint), ("--out", out), ("--dump", dump)):
        if given is not None:
            raise ValueError(f"{name} is of a network that is run, not of --scores", f"leave {name} out")


def _write(path: Path, told: Any, found: dict[str, Any], made: dict[str, Any]) -> None:
    """As `vidops train` writes it."""
    from vidops_cli.record import SCHEMA, environment, write_json

    from .train import cost

    head = {"schema": SCHEMA, "kind": "eval", "recipe": told.hash(), "seed": told.train.seed}
    counted = found["cost"] = cost(told, found["classes"], found["clip"])
    write_json(path, {**head, **found, "cost": counted, "env": environment(found["device"], made["code"]) | made})


def _show(told: Any, found: dict[str, Any], path: Path, format: str, notes: list[str]) -> None:
    from vidops_cli.report.table import Table

    from .plan import views_of
    from .scores import class_table

    if format == "json":
        typer.echo(json.dumps({"checkpoint": str(path), **found}, indent=1))
        return
    metrics = found["metrics"]
    body = [[name, f"{value:.2f}"] for name, value in metrics.items() if isinstance(value, float)]
    floors = ", ".join(f"{name} {100 * value:.1f} %" for name, value in found["floors"].items())
    notes = [
        *notes,
        f"{metrics['n']} clips scored ({metrics['present']} of the listed videos present), checkpoint {path}",
        f"floors: {floors}",
    ]
    if metrics["views"] > 1:
        notes.append(views_of(told, found.get("cost", {}).get("macs")))
    if found.get("interval"):
        notes.append(interval(found["interval"], found["episodes"]))
    notes += [f"not used: {name}: {reason}" for name, reason in found["bad"].items()]
    print_table(Table(f"{found['split']} split", ["metric", "value"], body, notes))
    if "per_class" in found:
        print_table(class_table(found["per_class"]))


def interval(found: dict[str, float], episodes: int) -> str:
    """Of accuracy over episodes."""
    ends = f"[{found['low']:.2f}, {found['high']:.2f}]"
    return f"top1: 95 % interval {ends} over {episodes} episodes, mean +- 1.96 s / sqrt(n)"
