"""vidops ablate"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import Device, Overrides, console, load_recipe, print_table, recipe_files
from .live import CellWatch, clock

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
    plot: Annotated[Path | None, typer.Option(help="Draw cost against accuracy: .png or .svg.")] = None,
) -> None:
    """Train every row of a table at every seed, each once, and print the table.

    A cell that has finished is never run again, one that failed or was killed is: the same command goes on.

    Example: vidops ablate recipes/quickstart.yaml --store runs/demo
    """
    if format not in ("table", "md", "json"):
        raise ValueError(f"unknown format {format!r}", "table, md or json")
    if plot is not None:
        from vidops_cli.report.plot import check_suffix

        check_suffix(plot)
    if recipe is None:
        _overview(store)
        return
    from vidops_cli.ablation.grid import only as pick
    from vidops_cli.ablation.store import Store
    from vidops_cli.report.ablation import ablation_table

    told = _with_seeds(load_recipe(recipe, overrides), seeds)
    if publish and (told.hash() != load_recipe(recipe).hash() or seeds is not None):
        raise ValueError("only a recipe as it stands is published", "write the changes into a recipe of their own")
    cells = _cells(told)
    chosen = pick(cells, only) if only else cells
    kept = Store(store)
    left = [cell for cell in chosen if kept.summary(cell) is None]
    if dry_run:
        _plan(cells, chosen, kept)
        return
    codes = _run(left, kept, told, jobs, device) if left else {}
    head, rows = _table(told, cells, kept)
    table = ablation_table(rows=rows, **head)
    _print(table, rows, format)
    if plot is not None:
        from vidops_cli.report.plot import points_of, tradeoff_plot

        metric = told.ablation.metric
        tradeoff_plot(points_of(rows, metric=metric), plot, metric=metric, floors=head["floors"])
    failed = [cell for cell in left if codes.get(cell.key) != 0]
    if failed:
        _explain(failed, kept)
        raise typer.Exit(1)
    if format == "table":
        console().print(f"cells: {len(cells)}, of which run now: {len(left)}; written to {store}/cells", soft_wrap=True)
    if publish:
        _publish(recipe, cells, kept, head, rows, table)


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
    import signal

    from vidops_cli.ablation.launch import run_cells
    from vidops_cli.engine.setup import pick_device

    on_gpu = pick_device(device).type == "cuda"  # here, not in every cell: one error if there is none
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = recipe.train.threads
    if jobs is None:
        jobs = max(1, cores // threads) if threads and not on_gpu else 1
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: cells save and stop
        signal.signal(number, signal.default_int_handler)
    try:
        with CellWatch(cells, store) as watch:
            return run_cells(cells, store, jobs=min(jobs, len(cells)), device=device, watch=watch)
    except KeyboardInterrupt:
        console(stderr=True).print("stopped; the same command goes on")
        raise typer.Exit(130) from None


def _table(recipe: Recipe, cells: list[Cell], store: Store) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the table is made of beside its rows, and the rows."""
    summaries = (store.summary(cell) for cell in cells)
    told = {
        "title": recipe.title,
        "row_names": [row.name for row in recipe.ablation.rows],
        "seeds": list(recipe.ablation.seeds),
        "metric": recipe.ablation.metric,
        "floors": next((summary["floors"] for summary in summaries if summary), {}),
        "scale": recipe.scale,
    }
    return told, store.rows(cells)


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
            soft_wrap=True,
        )
    console(stderr=True).print(f"{len(failed)} cells failed; the same command runs them again")


def _publish(
    path: Path, cells: list[Cell], store: Store, head: dict[str, Any], rows: list[dict[str, Any]], table: Table
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
    head = {"env": environment(device), "table": head}
    for file in publish(Path("results"), name, head, rows, table.markdown()):
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
