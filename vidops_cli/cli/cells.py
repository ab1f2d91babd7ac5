"""The cells of a table as `vidops ablate` sees them: which there are, which are left, running them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import console, known
from .data import made_by
from .live import CellWatch, clock, stoppable

if TYPE_CHECKING:
    from vidops_cli.ablation.grid import Cell
    from vidops_cli.ablation.launch import Launcher
    from vidops_cli.ablation.slurm import Cluster
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
    cluster: Cluster | None
    device: str
    nproc: int | None = None
    track: tuple[str, ...] = ()


def cells_of(recipe: Recipe, words: list[str]) -> list[Cell]:
    """All cells of a recipe; its data are looked at, where they are there.

    `words`: its path, and what changes it, for hints.
    """
    from vidops_cli.ablation.grid import cells
    from vidops_cli.data import DATASETS

    def fingerprint(told: Recipe) -> str:
        dataset, root = DATASETS[told.data.name], Path(told.data.root)
        splits = [split for split in dict.fromkeys(("train", "val", told.eval.split)) if split in dataset.splits]
        with made_by(told, words):
            return " ".join(dataset.read(root, split, told.parts()).fingerprint for split in splits)

    return cells(recipe, known(), fingerprint)


def needed(recipe: Recipe, names: list[str] | None) -> Recipe:
    """The recipe with the rows and seeds alone of the cells of these names, and the rows whose weights they take.

    All of them where a name is of no row: it may be a key, which hangs on data that may not be there yet.
    """
    ablation = recipe.ablation
    if ablation is None or not names:
        return recipe
    every = [(row.name, seed, {row.name, f"{row.name}/{seed}"}) for row in ablation.rows for seed in ablation.seeds]
    if not set(names) <= set().union(*(words for *_, words in every)):
        return recipe
    picked = [(row, seed) for row, seed, words in every if not words.isdisjoint(names)]
    rows, seeds, before = {row for row, _ in picked}, {seed for _, seed in picked}, None
    while rows != before:
        before, rows = rows, rows.union(*(row.takes for row in ablation.rows if row.name in rows))
    of_rows = [row for row in ablation.rows if row.name in rows]
    chosen = {"rows": of_rows, "seeds": [seed for seed in ablation.seeds if seed in seeds]}
    return recipe.model_copy(update={"ablation": ablation.model_copy(update=chosen)})


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

    if cluster := how.cluster:
        from vidops_cli.ablation.slurm import Slurm

        jobs, nproc = how.jobs or cluster.parallel, how.nproc or max(1, cluster.gpus)
        return min(jobs, len(left)), nproc, how.device, Slurm(cluster, store.root)
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


def cluster_of(launcher: str, path: Path | None) -> Cluster | None:
    """What a file says to ask Slurm for; None for the launcher of this machine. ValueError for a bad one."""
    if launcher not in ("local", "slurm"):
        raise ValueError(f"unknown launcher {launcher!r}", "local or slurm")
    if launcher == "local":
        if path is not None:
            raise ValueError("--cluster is of --launcher slurm", "leave it out, or add --launcher slurm")
        return None
    from vidops_cli.ablation.slurm import load_cluster

    if path is None:
        raise ValueError("--launcher slurm needs --cluster FILE", "partition, hours, gpus, cpus: see docs/ablate.md")
    return load_cluster(path)


def jobs_of(left: list[Cell], store: Store, how: Launch) -> list[str]:
    """What would be asked of Slurm for these cells, and the command of the first; nothing where they run here."""
    from vidops_cli.ablation.launch import command

    cluster = how.cluster
    if cluster is None or not left:
        return []
    nproc = how.nproc or max(1, cluster.gpus)
    jobs = f"{len(left)} jobs, {min(how.jobs or cluster.parallel, len(left))} at a time"
    words = command(left[0], store, how.device, how.track, nproc)
    return [f"array    {jobs}", *asked(cluster, nproc, words)]


def asked(cluster: Cluster, processes: int, words: list[str]) -> list[str]:
    """What a job asks of Slurm and runs, in lines."""
    import shlex

    from vidops_cli.ablation.slurm import absent

    told = cluster.model_dump(exclude_none=True, exclude={"cluster", "setup", "parallel"})
    told |= {"memory": f"{cluster.memory:g} GB"} if cluster.memory else {}
    where = f"on each of {cluster.nodes} machines" if cluster.nodes > 1 else "on one machine"
    why = absent(cluster)
    return [
        f"{cluster.cluster:<8} {', '.join(f'{key} {value}' for key, value in told.items())}",
        *(f"setup    {line}" for line in cluster.setup),
        f"job      {processes} process{'es' if processes > 1 else ''} {where}: {shlex.join(words)}",
        *([f"         cannot be submitted from here: {why[0]}; {why[1]}"] if why else []),
    ]


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
    notes += [told if told.startswith("model.weights") else f"data: {told}" for told in lacking]
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
