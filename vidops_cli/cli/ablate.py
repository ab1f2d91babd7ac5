"""vidops ablate"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import Device, Overrides, clock, console, load_recipe, print_table, recipe_files

if TYPE_CHECKING:
    from vidops_cli.ablation.grid import Cell
    from vidops_cli.ablation.store import Store
    from vidops_cli.recipe import Recipe
    from vidops_cli.report.table import Table


def command(
    recipe: Annotated[
        Path | None, typer.Argument(help="A recipe with an ablation. Without one: all tables, and how far each is.")
    ] = None,
    overrides: Overrides = None,
    store: Annotated[Path, typer.Option(help="Where cells are kept.")] = Path("runs"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the cells and what is left, run nothing.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Only this row, ROW/SEED or key; repeat it.", metavar="CELL")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Number of seeds, instead of the recipe's.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Cells at a time. Default: cores / train.threads.")] = None,
    device: Device = "auto",
    publish: Annotated[bool, typer.Option("--publish", help="Copy rows and table to results/.")] = False,
    format: Annotated[str, typer.Option(help="table, md or json.")] = "table",
) -> None:
    """Train every row of a table at every seed, each once, and print the table.

    A cell that has finished is never run again, one that failed or was killed is: the same command goes on.

    Example: vidops ablate recipes/quickstart.yaml --store runs/demo
    """
    if format not in ("table", "md", "json"):
        raise ValueError(f"unknown format {format!r}", "table, md or json")
    if recipe is None:
        _overview(store)
        return
    from vidops_cli.ablation.grid import only as pick
    from vidops_cli.ablation.store import Store

    told = _with_seeds(load_recipe(recipe, overrides), seeds)
    cells = _cells(told)
    chosen = pick(cells, only) if only else cells
    kept = Store(store)
    left = [cell for cell in chosen if kept.summary(cell) is None]
    if dry_run:
        _plan(cells, chosen, kept)
        return
    codes = _run(left, kept, told, jobs, device) if left else {}
    table, rows = _table(told, cells, kept)
    _print(table, rows, format)
    failed = [cell for cell in left if codes.get(cell.key) != 0]
    if failed:
        _explain(failed, kept)
        raise typer.Exit(1)
    if format == "table":
        console().print(f"cells: {len(cells)}, of which run now: {len(left)}; written to {store}/cells", soft_wrap=True)
    if publish:
        _publish(recipe, told, cells, kept, rows, table)


def _with_seeds(recipe: Recipe, number: int | None) -> Recipe:
    if number is None or recipe.ablation is None:
        return recipe
    seeds = list(recipe.ablation.seeds)
    further = (seed for seed in range(10**6) if seed not in recipe.ablation.seeds)
    while len(seeds) < number:
        seeds.append(next(further))
    return recipe.model_copy(update={"ablation": recipe.ablation.model_copy(update={"seeds": seeds[:number]})})


def _cells(recipe: Recipe) -> list[Cell]:
    from vidops_cli.ablation.grid import cells
    from vidops_cli.data import DATASETS

    from .common import known

    def fingerprint(told: Recipe) -> str:
        dataset, splits = DATASETS[told.data.name], dict.fromkeys(("train", "val", told.eval.split))
        return " ".join(
            dataset.read(Path(told.data.root), split, dict(told.data.splits)).fingerprint for split in splits
        )

    return cells(recipe, known(), fingerprint)


def _run(cells: list[Cell], store: Store, recipe: Recipe, jobs: int | None, device: str) -> dict[str, int]:
    import os

    from vidops_cli.ablation.launch import run_cells

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = recipe.train.threads
    if jobs is None:
        jobs = max(1, cores // threads) if threads and device != "cuda" else 1
    with _Watch(cells, store) as watch:
        try:
            return run_cells(cells, store, jobs=min(jobs, len(cells)), device=device, watch=watch)
        except KeyboardInterrupt:
            console(stderr=True).print("stopped; the same command goes on")
            raise typer.Exit(130) from None


class _Watch:
    """The cells under way, on the terminal: epoch, loss, accuracy, time left. Elsewhere a line now and then."""

    def __init__(self, cells: list[Cell], store: Store):
        from rich.live import Live

        self.cells, self.store, self.total = {cell.key: cell for cell in cells}, store, len(cells)
        self.console = console(stderr=True)
        self.live = Live(console=self.console, transient=True, auto_refresh=False)
        self.began = self.last = time.monotonic()
        self.reported: set[str] = set()

    def __enter__(self) -> _Watch:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def __call__(self, running: list[Cell], codes: dict[str, int], waiting: list[Cell]) -> None:
        for key, code in codes.items():
            if key not in self.reported:
                self.reported.add(key)
                self.console.print(self._ended(self.cells[key], code), markup=False)
        wait = 0.5 if self.console.is_terminal else 15
        if time.monotonic() - self.last < wait:
            return
        self.last = time.monotonic()
        states = [(cell, self.store.status(cell)) for cell in running]
        part = sum(status["done"] / status["total"] for _, status in states if status.get("phase") == "training")
        share = (len(codes) + part) / self.total
        passed = time.monotonic() - self.began
        left = f", about {clock(passed / share * (1 - share))} left" if share > 0.02 else ""
        lines = [f"{len(codes)} of {self.total} cells done, {len(running)} running, {clock(passed)} so far{left}"]
        lines += [f"  {cell.row}, seed {cell.seed}: {status.get('line', 'starting')}" for cell, status in states]
        if self.console.is_terminal:
            self.live.update("\n".join(lines).replace("[", "\\["), refresh=True)
        else:
            self.console.print("\n".join(lines), markup=False, soft_wrap=True)

    def _ended(self, cell: Cell, code: int) -> str:
        summary = self.store.summary(cell) if code == 0 else None
        if summary is None:
            return f"failed: {cell.row}, seed {cell.seed} (exit code {code})"
        score = f"top1 {summary['metrics']['top1']:.1f} %"
        return f"done: {cell.row}, seed {cell.seed}: {score} in {clock(summary['seconds'])}"


def _table(recipe: Recipe, cells: list[Cell], store: Store) -> tuple[Table, list[dict[str, Any]]]:
    from vidops_cli.report.ablation import ablation_table

    rows = store.rows(cells)
    summaries = (store.summary(cell) for cell in cells)
    floors = next((summary["floors"] for summary in summaries if summary), {})
    table = ablation_table(
        title=recipe.title,
        row_names=[row.name for row in recipe.ablation.rows],
        seeds=recipe.ablation.seeds,
        metric=recipe.ablation.metric,
        rows=rows,
        floors=floors,
        scale=recipe.scale,
    )
    return table, rows


def _print(table: Table, rows: list[dict[str, Any]], format: str) -> None:
    import json

    from vidops_cli.record import SCHEMA

    if format == "json":
        typer.echo(json.dumps({"schema": SCHEMA, "rows": rows}, indent=1))
    elif format == "md":
        typer.echo(table.markdown(), nl=False)
    else:
        print_table(table)


def _plan(cells: list[Cell], chosen: list[Cell], store: Store) -> None:
    from vidops_cli.report.table import Table

    def state(cell: Cell) -> str:
        if store.summary(cell) is not None:
            return "finished"
        if cell not in chosen:
            return "left out"
        return "to continue" if (store.folder(cell) / "last.pt").exists() else "to run"

    body = [[cell.key, cell.row, str(cell.seed), state(cell)] for cell in cells]
    times = [summary["seconds"] for summary in map(store.summary, cells) if summary]
    left = sum(line[3].startswith("to ") for line in body)
    notes = [
        f"{left} of {len(cells)} cells to run"
        + (f", about {clock(left * sum(times) / len(times))} one after the other" if times and left else "")
    ]
    print_table(Table("", ["cell", "row", "seed", "state"], body, notes, numeric=False))


def _explain(failed: list[Cell], store: Store) -> None:
    from vidops_cli.ablation.launch import failure

    for cell in failed:
        folder = store.folder(cell)
        console(stderr=True).print(
            f"failed: {cell.row}, seed {cell.seed}: {failure(folder)} (log: {folder / 'log.txt'})",
            markup=False,
            soft_wrap=True,
        )
    console(stderr=True).print(f"{len(failed)} cells failed; the same command runs them again")


def _publish(
    path: Path, recipe: Recipe, cells: list[Cell], store: Store, rows: list[dict[str, Any]], table: Table
) -> None:
    from vidops_cli.ablation.store import publish
    from vidops_cli.record import environment

    unfinished = [cell for cell in cells if store.summary(cell) is None]
    if unfinished:
        raise ValueError(
            f"{len(unfinished)} of {len(cells)} cells are not finished: nothing is published",
            "run without --only first",
        )
    parts = path.resolve().with_suffix("").parts
    name = "/".join(parts[len(parts) - parts[::-1].index("recipes") :]) if "recipes" in parts else path.stem
    device = ", ".join(sorted({row["device"] for row in rows}))
    for file in publish(Path("results"), name, environment(device), rows, table.markdown()):
        console().print(f"published: {file}")


def _overview(store: Path) -> None:
    from vidops_cli.ablation.store import Store
    from vidops_cli.report.table import Table

    body = []
    kept = Store(store)
    for path in recipe_files(Path("recipes")):
        try:
            told = load_recipe(path)
            if told.ablation is None:
                continue
            total = len(told.ablation.rows) * len(told.ablation.seeds)
            try:
                done = f"{sum(kept.summary(cell) is not None for cell in _cells(told))}/{total}"
            except ValueError:
                done = f"data not there, 0/{total}"
        except ValueError:
            told, done = None, "not valid: see `vidops validate`"
        body.append([str(path), told.title if told else "-", done])
    if not body:
        raise ValueError(
            "no recipe with an ablation below recipes/", "run it where the folder recipes/ is, or name a recipe"
        )
    print_table(Table("", ["recipe", "table", f"cells run in {store}"], body, numeric=False))
