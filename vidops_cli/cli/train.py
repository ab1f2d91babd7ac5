"""vidops train"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .cells import asked, cluster_of
from .common import (
    Device,
    Form,
    OneRow,
    Overrides,
    check_format,
    console,
    known,
    load_run,
    memory_told,
    of_no_row,
    print_json,
    run_folder,
)
from .data import made_by, make_missing
from .live import RunProgress, stoppable
from .plan import show_run, views_of
from .trackers import Track, Trackers, chosen


def command(
    recipe: Annotated[Path, typer.Argument(help="A recipe (YAML).", show_default=False)],
    overrides: Overrides = None,
    row: OneRow = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run. Default: runs/NAME of recipe and row.")] = None,
    resume: Annotated[bool, typer.Option(help="Continue the run in the folder, if there is one.")] = True,
    device: Device = "auto",
    nproc: Annotated[
        int | None,
        typer.Option(min=1, help="Processes on a machine. Default: 1; of a job, one for each GPU."),
    ] = None,
    launcher: Annotated[str, typer.Option(help="local, or slurm (with --cluster): submit it as a job.")] = "local",
    cluster: Annotated[Path | None, typer.Option(help="A file that says what to ask Slurm for.")] = None,
    track: Track = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the recipe, run a step on the meta device, print the plan.")
    ] = False,
    format: Form = "table",
) -> None:
    """Train a recipe and test it.

    One folder takes the resolved recipe, metrics.jsonl, last.pt, best.pt and
    summary.json. Ctrl-C and SIGTERM save, and leave with exit code 75: the
    same command continues the run. So it does after any other end.

    Example: vidops train recipes/quickstart.yaml train.epochs=2 --out runs/first
    """
    check_format(format)
    told, trackers = load_run(recipe, overrides, row, trained=True), chosen(track)
    run = out or run_folder(recipe, row)
    if run.is_file():
        raise ValueError(f"{run} is a file, not a folder", "--out names the folder of the run")
    notes = of_no_row(recipe, overrides, row)
    slurm = cluster_of(launcher, cluster)
    each = nproc or (max(1, slurm.gpus) if slurm else 1)
    processes = each * (slurm.nodes if slurm else 1)
    if slurm and not resume:
        raise ValueError("--no-resume: a job that is queued again would start over", f"remove {run} instead")
    if processes > 1:
        from vidops_cli.engine.train import check_processes

        check_processes(told, processes)
    track_too = ["--track", ",".join(trackers)] if trackers else []
    job = ["vidops_cli", "train", str(run / "job.yaml"), "--out", str(run), "--device", device, *track_too]
    if dry_run:
        show_run(
            told, run, device, notes, format, processes, asked(slurm, each, ["python", "-m", *job]) if slurm else []
        )
        return
    if slurm:
        with made_by(told, [str(recipe), *(overrides or [])]):
            _submit(told, run, slurm, each, job)
        return
    if nproc and nproc > 1 and os.environ.get("WORLD_SIZE", "1") == "1":
        from vidops_cli.engine.launching import launch

        raise typer.Exit(launch(["-m", "vidops_cli", *sys.argv[1:]], nproc))
    from vidops_cli.engine.stopping import RESUME, Stop

    before = _epochs(run) if resume else 0
    stop = Stop()
    _heed(stop)  # before torch is imported, which takes seconds
    import vidops_cli.engine.distributed as distributed

    try:
        with distributed.group(device) as group:
            with stoppable(RESUME), group.in_turn():
                make_missing(told)
            with made_by(told, [str(recipe), *(overrides or [])]):
                summary = _run(told, run, device, resume, trackers, stop, group, notes)
    except (ValueError, OSError) as error:
        if stop.asked and (isinstance(error, ConnectionError) or os.environ.get("RANK", "0") != "0"):
            raise typer.Exit(RESUME) from None  # it is being ended by who tells why
        raise
    if not group.first:
        raise typer.Exit(0 if summary else RESUME)
    if summary is None:
        kept = (run / "last.pt").is_file()
        told_so = f"continues from {run / 'last.pt'}" if kept else "begins anew: there was nothing to save yet"
        console(stderr=True).print(f"stopped; the same command {told_so}", soft_wrap=True)
        raise typer.Exit(RESUME)
    for name, reason in summary["bad"].items():
        console(stderr=True).print(f"not used: {name}: {reason}", soft_wrap=True)
    if format == "json":
        print_json(summary)
        return
    if before and before == _epochs(run):
        console(stderr=True, note=True).print("already finished; tested once more", soft_wrap=True)
    found = summary["metrics"]
    if summary["classes"] <= 5:  # where any guess is among five
        found = {name: value for name, value in found.items() if name != "top5"}
    scores = ", ".join(f"{name} {found[name]:.1f} %" for name in ("top1", "top5", "mean_class") if name in found)
    console().print(
        f"{summary['split']}: {scores} ({summary['metrics']['present']} clips); {run / 'summary.json'}", soft_wrap=True
    )
    if "views" in summary["cost"]:
        console().print(f"tested: {views_of(told, summary['cost']['macs'])}", soft_wrap=True)


def _epochs(run: Path) -> int:
    """How many a run has on record that has been tested."""
    from vidops_cli.record import read_lines

    return len(read_lines(run / "metrics.jsonl")) if (run / "summary.json").is_file() else 0


def _submit(told: Any, run: Path, cluster: Any, each: int, words: list[str]) -> None:
    """A job that trains; put into the queue again, it goes on. What would end it at its start is told before."""
    from vidops_cli.ablation.slurm import Slurm, absent
    from vidops_cli.engine.train import check_start
    from vidops_cli.recipe import dump
    from vidops_cli.record import write_text

    if why := absent(cluster):
        raise ValueError(*why)
    make_missing(told)
    for place in check_start(told, each * cluster.nodes):
        console(stderr=True, note=True).print(f"not on this machine, so left to the job: {place}", soft_wrap=True)
    write_text(run / "job.yaml", dump(told))  # as it is now, not as it may be when the job starts
    job = Slurm(cluster, run).submit(words, run, each)
    console().print(f"job {job} is submitted; its output: {run / 'log.txt'}", soft_wrap=True)


def _heed(stop: Any) -> None:
    """Ctrl-C, SIGTERM and SIGHUP ask to leave. A second Ctrl-C does not wait for the step."""

    def ask(number: int, frame: Any) -> None:
        if stop.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.ask()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask)


def _run(
    told: Any,
    run: Path,
    device: str,
    resume: bool,
    trackers: tuple[str, ...],
    stop: Any,
    group: Any,
    notes: list[str],
) -> dict[str, Any] | None:
    import vidops_cli.engine.train as engine
    from vidops_cli.ablation.grid import code_of
    from vidops_cli.record import SCHEMA, environment, git_state, write_json

    code, commit = code_of(told, known()), git_state()  # as it is loaded now, not as it may be when the run ends
    given = {"device": device, "resume": resume, "code": code, "stop": stop, "group": group}
    if not group.first:
        with memory_told(told, trained=True):
            return engine.train(told, run, **given)
    with RunProgress(run) as progress, Trackers(trackers, run, told, code) as tracked:

        def report(status: dict[str, Any]) -> None:
            while notes and status["phase"] == "training":  # what can be refused is refused by then
                console(stderr=True, note=True).print(notes.pop(), soft_wrap=True)
            progress(status)
            tracked(status)

        with memory_told(told, trained=True):
            summary = engine.train(told, run, report=report, **given)
        if summary is None:
            return None
        tracked.tested(summary)
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
    progress({"phase": "done"})
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
