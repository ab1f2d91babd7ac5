"""vidops train"""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from .common import Device, Live, Overrides, console, load_recipe


def command(
    recipe: Annotated[Path, typer.Argument(help="A recipe (YAML).", show_default=False)],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run. Default: runs/NAME of the recipe.")] = None,
    resume: Annotated[bool, typer.Option(help="Continue the run in the folder, if there is one.")] = True,
    device: Device = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the recipe, build the network, print the plan.")
    ] = False,
) -> None:
    """Train a recipe and test it.

    Writes the resolved recipe, metrics.jsonl, checkpoints (last.pt, best.pt) and summary.json into one folder; the same
    command continues an interrupted run.

    Example: vidops train recipes/quickstart.yaml train.epochs=2 --out runs/first
    """
    told = load_recipe(recipe, overrides)
    run = out or Path("runs") / recipe.stem
    if dry_run:
        _plan(told, run, device)
        return
    from vidops_cli.recipe import dump
    from vidops_cli.record import write_text

    _refuse_foreign(run, told, resume)
    write_text(run / "recipe.yaml", dump(told))
    summary = _run(told, run, device, resume)
    if summary is None:
        console(stderr=True).print(f"stopped; the same command continues from {run / 'last.pt'}")
        raise typer.Exit(130)
    scores = ", ".join(f"{name} {summary['metrics'][name]:.1f} %" for name in ("top1", "top5", "mean_class"))
    console().print(
        f"{summary['split']}: {scores} ({summary['metrics']['present']} clips); {run / 'summary.json'}", soft_wrap=True
    )


def _refuse_foreign(run: Path, told: Any, resume: bool) -> None:
    """A folder of another recipe is not written over."""
    from vidops_cli.recipe import load

    from .common import known

    there = run / "recipe.yaml"
    if resume and there.is_file() and (run / "last.pt").is_file() and load(there, known()).hash() != told.hash():
        raise ValueError(f"{run} holds a run of another recipe", "use another --out, or --no-resume to start over")


def _run(told: Any, run: Path, device: str, resume: bool) -> dict[str, Any] | None:
    import vidops_cli.engine.train as engine
    from vidops_cli.record import SCHEMA, environment, write_json

    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        if asked:  # a second Ctrl-C does not wait for the step
            raise KeyboardInterrupt
        asked.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    with _Progress(run) as progress:
        summary = engine.train(told, run, device=device, resume=resume, report=progress, stop=lambda: bool(asked))
    if summary is None:
        return None
    cost = _cost(told, summary["classes"], summary["clip"])
    full = {
        "schema": SCHEMA,
        "recipe": told.hash(),
        "seed": told.train.seed,
        **summary,
        "cost": cost,
        "env": environment(summary["device"]),
    }
    write_json(run / "summary.json", full)
    return full


def _cost(told: Any, classes: int, clip: tuple[int, ...]) -> dict[str, Any]:
    """What one clip costs in one forward pass."""
    import torch

    from vidops_cli.engine.setup import Setup
    from vidops_cli.profiling.cost import count

    found = count(Setup.of(told, "cpu").build(classes), torch.zeros(1, *clip))
    return {
        "macs": found.macs,
        "other_flops": found.other_flops,
        "flops": found.flops,
        "uncounted": list(found.uncounted),
        "params": found.params,
    }


class _Progress:
    """Shows a run on the terminal, and leaves its status in the run's folder for `vidops ablate` to show."""

    def __init__(self, run: Path):
        from rich.progress import BarColumn, Progress, TextColumn

        self.status = run / "status.json"
        self.live = Live()
        self.last = 0.0
        self.console = console(stderr=True)
        self.bar = Progress(BarColumn(20), TextColumn("{task.description}"), console=self.console, transient=True)
        self.task = self.bar.add_task("starting", total=None)

    def __enter__(self) -> _Progress:
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.bar.stop()

    def __call__(self, status: dict[str, Any]) -> None:
        import json

        if status["phase"] == "epoch":
            self.console.print(
                f"epoch {status['epoch']}: loss {status['train_loss']:.3f}, accuracy {status['train_top1']:.1f} %; "
                f"val loss {status['val_loss']:.3f}, accuracy {status['val_top1']:.1f} %"
            )
            return
        line = self.live.describe(status)
        now = time.monotonic()
        if now - self.last < 0.3 and status["phase"] == "training":
            return
        self.last = now
        self.bar.update(self.task, description=line, completed=status.get("done", 0), total=status.get("total"))
        partial = self.status.with_suffix(".partial")  # no fsync: a lost status harms nobody
        partial.write_text(json.dumps({**status, "line": line}))
        partial.replace(self.status)


def _plan(told: Any, run: Path, device: str) -> None:
    from vidops_cli.engine.setup import open_clips, pick_device
    from vidops_cli.report.table import number

    splits = {split: open_clips(told, split, train=split == "train") for split in ("train", "val", told.eval.split)}
    classes = len(splits["train"].annotations.classes)
    cost = _cost(told, classes, splits["val"].shape())
    steps = -(-len(splits["train"]) // told.train.batch) * told.train.epochs
    lines = [
        f"run      {run} on {pick_device(device)}",
        f"recipe   {told.hash()}  {told.title}",
        f"data     {told.data.name} at {told.data.root}: "
        + ", ".join(f"{name} {clips.present}" for name, clips in splits.items()),
        f"network  {told.model.name}: {number(cost['params'])} parameters, {number(cost['macs'])} MACs a clip",
        f"train    {told.train.epochs} epochs, {steps} steps of {told.train.batch} clips, {told.train.optimizer.name}",
    ]
    for line in lines:
        console().print(line, soft_wrap=True)
