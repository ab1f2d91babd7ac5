"""vidops train"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from .common import Device, Overrides, console, known, load_recipe
from .data import make_missing
from .live import RunProgress
from .plan import show_run, views_of


def command(
    recipe: Annotated[Path, typer.Argument(help="A recipe (YAML).", show_default=False)],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run. Default: runs/NAME of the recipe.")] = None,
    resume: Annotated[bool, typer.Option(help="Continue the run in the folder, if there is one.")] = True,
    device: Device = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the recipe, run a step on the meta device, print the plan.")
    ] = False,
) -> None:
    """Train a recipe and test it.

    One folder takes the resolved recipe, metrics.jsonl, last.pt, best.pt and
    summary.json. The same command continues an interrupted run.

    Example: vidops train recipes/quickstart.yaml train.epochs=2 --out runs/first
    """
    told = load_recipe(recipe, overrides, rows=False)
    run = out or Path("runs") / recipe.stem
    if dry_run:
        show_run(told, run, device)
        return
    make_missing(told)
    summary = _run(told, run, device, resume)
    if summary is None:
        console(stderr=True).print(f"stopped; the same command continues from {run / 'last.pt'}")
        raise typer.Exit(130)
    for name, reason in summary["bad"].items():
        console(stderr=True).print(f"not used: {name}: {reason}", soft_wrap=True)
    found = summary["metrics"]
    scores = ", ".join(f"{name} {found[name]:.1f} %" for name in ("top1", "top5", "mean_class") if name in found)
    console().print(
        f"{summary['split']}: {scores} ({summary['metrics']['present']} clips); {run / 'summary.json'}", soft_wrap=True
    )
    if "views" in summary["cost"]:
        console().print(f"tested: {views_of(told, summary['cost']['macs'])}", soft_wrap=True)


def _run(told: Any, run: Path, device: str, resume: bool) -> dict[str, Any] | None:
    import vidops_cli.engine.train as engine
    from vidops_cli.ablation.grid import code_of
    from vidops_cli.record import SCHEMA, environment, git_state, write_json

    code, commit = code_of(told, known()), git_state()  # as it is loaded now, not as it may be when the run ends
    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        if asked:  # a second Ctrl-C does not wait for the step
            raise KeyboardInterrupt
        asked.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    with RunProgress(run) as progress:
        summary = engine.train(
            told, run, device=device, resume=resume, code=code, report=progress, stop=lambda: bool(asked)
        )
    if summary is None:
        return None
    env = environment(summary["device"], summary.pop("code")) | commit
    full = {
        "schema": SCHEMA,
        "kind": "train",
        "recipe": told.hash(),
        "seed": told.train.seed,
        **summary,
        "cost": cost(told, summary["classes"], summary["clip"]),
        "env": env,
    }
    write_json(run / "summary.json", full)
    return full


def cost(told: Any, classes: int, clip: tuple[int, ...]) -> dict[str, Any]:
    """What one clip costs in one forward pass; in episodes a query image and its scores, support maps at hand.

    Where several views of a clip are tested: their number, and what they cost in all.
    """
    from vidops_cli.engine.setup import Setup
    from vidops_cli.profiling.cost import count

    setup = Setup.of(told, "cpu")
    model = setup.build(classes)
    found = count(model, *setup.example(model, tuple(clip)))
    views = told.eval.clips * told.eval.crops
    in_all = {"views": views, "macs_in_all": views * found.macs, "flops_in_all": views * found.flops}
    return {
        "macs": found.macs,
        "other_flops": found.other_flops,
        "flops": found.flops,
        "uncounted": list(found.uncounted),
        "params": found.params,
        **(in_all if views > 1 else {}),
    }
