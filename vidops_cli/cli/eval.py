"""vidops eval"""

from __future__ import annotations

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
    print_json,
    print_table,
    run_folder,
)
from .data import made_by
from .live import Counter
from .tested import is_training, rows_named, weights_told, write


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
    other_network: Annotated[
        bool, typer.Option("--other-network", help="Test weights of other operators too, as far as they fit.")
    ] = False,
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
    _check_there(what)
    run = what if what.is_dir() else run_folder(what, row)
    told = load_run(what / "recipe.yaml" if what.is_dir() else what, overrides, row)
    path = checkpoint or run / ("best.pt" if told.train.checkpoint == "best" else "last.pt")
    if out is not None and is_training(out / "summary.json"):
        raise ValueError(f"{out} is the folder of a run, whose summary.json this would replace", "another --out")
    from vidops_cli.record import check_writable, git_state

    for file, word in ((out and out / "summary.json", "--out"), (dump, "--dump")):
        if file is not None:
            check_writable(file, f"{word} in a folder that you may write to")
    if per_class and told.episodes:
        raise ValueError("episodes have no classes of their own", "leave --per-class out")

    import vidops_cli.engine.evaluate as engine
    from vidops_cli.ablation.grid import code_of

    made = {"code": code_of(told, known()), **git_state()}  # as it is now, not as it may be at the end
    shown = Counter("decoding"), dump
    given = {"per_class": per_class, "testing": Counter("testing"), "other_network": other_network}
    words = [str(what / "recipe.yaml" if what.is_dir() else what), *(overrides or [])]
    with memory_told(told, trained=False), rows_named(what, overrides), made_by(told, words):
        found = engine.evaluate_checkpoint(told, path, device, *shown, **given)
    asked = {"overrides": list(overrides or []), **({"row": row} if row else {})}
    if out is not None:
        write(out, told, found, made, asked)
    _show(told, asked | found, format, of_no_row(what, overrides, row))


def _check_there(what: Path) -> None:
    """ValueError if it is neither the folder of a run nor, by its name, a recipe."""
    from vidops_cli.recipe import nearest

    if what.is_dir() and not (what / "recipe.yaml").is_file():
        told, hint = (
            f"{what} is not the folder of a run: it has no recipe.yaml",
            "name a folder that `vidops train` wrote",
        )
        raise ValueError(told, hint)
    if not what.exists() and what.suffix not in (".yaml", ".yml") and what.parts[:1] != ("recipes",):
        runs = [str(path.parent) for path in sorted(what.parent.glob("*/recipe.yaml"))]
        hint = nearest(str(what), runs, "runs there") if runs else "name a folder that `vidops train` wrote"
        raise ValueError(f"no such run: {what}", f"{hint}; a recipe ends in .yaml")


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


def _show(told: Any, found: dict[str, Any], format: str, notes: list[str]) -> None:
    from vidops_cli.report.table import Table

    from .plan import views_of
    from .scores import class_table

    if format == "json":
        print_json(found)
        return
    metrics = found["metrics"]
    body = [[name, f"{value:.2f}"] for name, value in metrics.items() if isinstance(value, float)]
    floors = ", ".join(f"{name} {100 * value:.1f} %" for name, value in found["floors"].items())
    notes = [
        *notes,
        f"{metrics['n']} clips scored ({metrics['present']} of the listed videos present)",
        *([f"changed: {' '.join(found['overrides'])}"] if found["overrides"] else []),
        *weights_told(found["checkpoint"], told.train.epochs),
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
