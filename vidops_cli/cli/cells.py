"""The cells of a table as `vidops ablate` sees them: which there are, which are left, running them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import console, known
from .live import CellWatch, clock, stoppable

if TYPE_CHECKING:
    from vidops_cli.ablation.grid import Cell
    from vidops_cli.ablation.launch import Launcher
    from vidops_cli.ablation.slurm import Slurm
    from vidops_cli.ablation.store import Store
    from vidops_cli.recipe import Recipe
    from vidops_cli.report.table import Table


@dataclass(frozen=True)
class Chosen:
    """Which cells run: options of the command line, the same for every recipe of a folder."""

    only: list[str] | None
    only_failed: bool
    force: list[str] | None
    rerun: str | None


@dataclass(frozen=True)
class Launch:
    """How cells run."""

    jobs: int | None
    launcher: str
    cluster: Path | None
    device: str
    nproc: int | None = None
    track: tuple[str, ...] = ()


def cells_of(recipe: Recipe) -> list[Cell]:
    """All cells of a recipe; its data are looked at, where they are there."""
    from vidops_cli.ablation.grid import cells
    from vidops_cli.data import DATASETS

    def fingerprint(told: Recipe) -> str:
        dataset, root = DATASETS[told.data.name], Path(told.data.root)
        splits = [split for split in dict.fromkeys(("train", "val", told.eval.split)) if split in dataset.splits]
        return " ".join(dataset.read(root, split, told.parts()).fingerprint for split in splits)

    return cells(recipe, known(), fingerprint)


def left_of(cells: list[Cell], store: Store, how: Chosen) -> list[Cell]:
    """Those that are to run: not finished, or asked for again, and what tests their weights."""
    from vidops_cli.ablation.grid import only, with_takers

    chosen = only(cells, how.only) if how.only else cells
    if how.only_failed:
        return store.failed(chosen)
    again = only(chosen, how.force) if how.force else []
    again += store.older(chosen) if how.rerun else []
    keys = {cell.key for cell in with_takers(again, cells)}
    left = [cell for cell in cells if cell.key in keys or (cell in chosen and not store.finished(cell))]
    left = list({cell.key: cell for cell in reversed(left)}.values())[::-1]  # a row may be another's at half its rate
    return store.needed(left, cells)


def run_left(left: list[Cell], store: Store, recipe: Recipe, how: Launch) -> dict[str, int]:
    """Exit codes by key; results that are made again are set aside first. `typer.Exit` if it is stopped."""
    from vidops_cli.ablation.launch import run_cells

    jobs, nproc, device, launcher = _launcher(left, store, recipe, how)
    for cell in left:
        if cell.lacking:
            raise ValueError(*cell.lacking)
    again = [cell for cell in left if store.finished(cell)]
    if running := [cell for cell in again if store.state(cell) == "running"]:
        raise ValueError(f"{running[0].label}, seed {running[0].seed} is being run", "wait until it has finished")
    for cell in again:
        store.set_aside(cell)
    with stoppable(), CellWatch(left, store) as watch:  # cells save and stop
        given = {"device": device, "launcher": launcher, "track": how.track, "nproc": nproc}
        return run_cells(left, store, jobs=jobs, watch=watch, **given)


def _launcher(left: list[Cell], store: Store, recipe: Recipe, how: Launch) -> tuple[int, int, str, Launcher | None]:
    """How many cells run at a time, in how many processes each, on what, and what starts them."""
    import os

    if how.launcher == "slurm":
        slurm = slurm_of(how.cluster, store.root)
        jobs, nproc = how.jobs or slurm.cluster.parallel, how.nproc or max(1, slurm.cluster.gpus)
        return min(jobs, len(left)), nproc, how.device, slurm
    from vidops_cli.engine.setup import pick_device

    on_gpu = pick_device(how.device).type == "cuda"  # here, not in every cell: one error if there is none
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads, jobs, nproc = recipe.train.threads, how.jobs, how.nproc or 1
    if on_gpu and nproc > 1 and (jobs or 1) > 1:
        raise ValueError(f"--nproc {nproc} gives a cell several GPUs, --jobs {jobs} one", "leave one of them out")
    if jobs is None:
        jobs = max(1, cores // (threads * nproc)) if threads and not on_gpu else 1
    device = "cuda" if on_gpu and how.device == "auto" else how.device  # each job a GPU of its own
    return min(jobs, len(left)), nproc, device, None


def slurm_of(cluster: Path | None, root: Path) -> Slurm:
    """What submits jobs as a file says. ValueError without one, for a bad one, and where there is no Slurm."""
    from vidops_cli.ablation.slurm import Slurm, load_cluster

    if cluster is None:
        raise ValueError("--launcher slurm needs --cluster FILE", "partition, hours, gpus, cpus: see docs/ablate.md")
    return Slurm(load_cluster(cluster), root)


def plan_of(cells: list[Cell], left: list[Cell], store: Store) -> tuple[dict[str, Any], Table]:
    """What a run would do, and how long it would take: as a document and as a table."""
    from vidops_cli.ablation.store import plan
    from vidops_cli.record import SCHEMA
    from vidops_cli.report.table import Table

    told = plan(cells, store, left)
    states = dict(zip((cell.key for cell in cells), told.states, strict=True))
    keys = {cell.key for cell in left}

    def state(cell: Cell) -> str:
        done = states[cell.key] in ("finished", "older code")
        if cell.key in keys:
            return f"{states[cell.key]}, to run again" if done else states[cell.key]
        return states[cell.key] if done else "left out"

    rows = [
        {
            "cell": cell.key,
            "row": cell.label,
            "seed": None if cell.kind == "profile" else cell.seed,
            "state": state(cell),
            "to_run": cell.key in keys,
        }
        for cell in cells
    ]
    body = [
        [each["cell"], each["row"], "" if each["seed"] is None else str(each["seed"]), each["state"]] for each in rows
    ]
    notes = [f"{len(left)} of {len(cells)} cells to run"]
    if left and told.seconds is not None:
        more = f", and {told.unknown} of unknown length" if told.unknown else ""
        notes[0] += f", about {clock(told.seconds)} one after the other{more}"
    lacking = list(dict.fromkeys(": ".join(cell.lacking) for cell in left if cell.lacking))
    notes += [f"data: {told_of_it}" for told_of_it in lacking]
    document = {"schema": SCHEMA, "to_run": len(left), "seconds": told.seconds, "lacking": lacking, "rows": rows}
    return document, Table("", ["cell", "row", "seed", "state"], body, notes, numeric=False)


def explain(failed: list[Cell], store: Store) -> None:
    from vidops_cli.ablation.launch import failure

    for cell in failed:
        folder = store.folder(cell)
        console(stderr=True).print(
            f"failed: {cell.label}, seed {cell.seed}: {failure(folder)} (log: {folder / 'log.txt'})",
            soft_wrap=True,
        )
    console(stderr=True).print(f"{len(failed)} cells failed; the same command runs them again")
