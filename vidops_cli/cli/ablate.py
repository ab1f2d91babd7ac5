"""vidops ablate"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .cells import Chosen, Launch, cells_of, cluster_of, explain, jobs_of, left_of, needed, plan_of, run_left
from .common import Device, Overrides, console, load_recipe, print_table, recipe_files, tell
from .data import make_missing
from .output import Output
from .tables import Shown, overview, published, published_claims, read_cells, show, write_record
from .trackers import Track, chosen

if TYPE_CHECKING:
    from vidops_cli.ablation.grid import Cell
    from vidops_cli.ablation.store import Store
    from vidops_cli.recipe import Recipe

CELLS, TABLE = "Which cells run, and how", "What is shown"


@dataclass(frozen=True)
class Run:
    """What is run; the same for every recipe of a folder."""

    store: Path
    record: Path | None
    scale: str
    overrides: list[str] | None
    seeds: int | None
    chosen: Chosen
    launch: Launch
    nothing: bool  # what is stored is shown, nothing is run
    dry: bool


def command(
    what: Annotated[
        Path | None,
        typer.Argument(
            help="A recipe with an ablation, published rows (.jsonl), or a folder of either. Without: how far all are.",
            metavar="RECIPE",
        ),
    ] = None,
    overrides: Overrides = None,
    store: Annotated[Path, typer.Option(help="Where cells are kept.", rich_help_panel=CELLS)] = Path("runs"),
    record: Annotated[
        Path | None,
        typer.Option(
            help="Published rows of this table (.jsonl): their cells are not run again.", rich_help_panel=CELLS
        ),
    ] = None,
    mini: Annotated[
        bool, typer.Option("--mini", help="With the recipe's mini: block: a small benchmark.", rich_help_panel=CELLS)
    ] = False,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="As --mini, one seed and one epoch: does it run?", rich_help_panel=CELLS)
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what is left; try a step on the meta device.", rich_help_panel=CELLS),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only this row, ROW/SEED or key; repeat it.", metavar="CELL", rich_help_panel=CELLS),
    ] = None,
    only_failed: Annotated[
        bool, typer.Option("--only-failed", help="Only cells that ran and failed.", rich_help_panel=CELLS)
    ] = False,
    force: Annotated[
        list[str] | None,
        typer.Option(help="Run a finished cell again; the old result is kept.", metavar="CELL", rich_help_panel=CELLS),
    ] = None,
    rerun: Annotated[
        str | None, typer.Option(help="older: run again what other code has made.", rich_help_panel=CELLS)
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Number of seeds, instead of the recipe's.", rich_help_panel=CELLS),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Cells at a time. Default: cores / train.threads.", rich_help_panel=CELLS),
    ] = None,
    nproc: Annotated[
        int | None, typer.Option(min=1, help="Processes that train a cell, one for each GPU.", rich_help_panel=CELLS)
    ] = None,
    launcher: Annotated[str, typer.Option(help="local, or slurm (with --cluster).", rich_help_panel=CELLS)] = "local",
    cluster: Annotated[
        Path | None, typer.Option(help="A file that says what to ask Slurm for.", rich_help_panel=CELLS)
    ] = None,
    device: Device = "auto",
    track: Track = None,
    table: Annotated[
        bool, typer.Option("--table", help="Only show what is stored, run nothing.", rich_help_panel=TABLE)
    ] = False,
    claims: Annotated[
        bool, typer.Option("--claims", help="Judge the recipe's claims by what is stored.", rich_help_panel=TABLE)
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="As --claims; exit code 1 unless all are held.", rich_help_panel=TABLE)
    ] = False,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Show paper values known from memory alone.", rich_help_panel=TABLE)
    ] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Copy rows and table to results/.", rich_help_panel=TABLE)
    ] = False,
    format: Annotated[
        str, typer.Option(help="table, json, csv, markdown, latex or html.", rich_help_panel=TABLE)
    ] = "table",
    out: Annotated[Path | None, typer.Option(help="Write the table to a file.", rich_help_panel=TABLE)] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw cost against accuracy; of a record its claims. .png, .svg, .pdf.", rich_help_panel=TABLE
        ),
    ] = None,
) -> None:
    """Run every row of a table at every seed, each once, and print the table.

    A cell that has finished is never run again, one that failed or was killed is:
    the same command goes on.

    Example: vidops ablate recipes/quickstart.yaml --store runs/demo
    """
    from vidops_cli.recipe.reading import find

    shown = Shown(Output(format, out, plot, full=False), unverified, claims or check, publish)
    if rerun not in (None, "older"):
        raise ValueError(f"--rerun takes older, got {rerun!r}", "--force CELL runs a single one again")
    scale = "smoke" if smoke else "mini" if mini else "full"
    if smoke and seeds is not None:
        raise ValueError("--smoke is of one seed, --seeds means nothing beside it", "leave one of them out")
    asked = cluster_of(launcher, cluster)
    if asked is not None:
        from vidops_cli.ablation.slurm import check_cells

        check_cells(asked)
    run = Run(
        store,
        record,
        scale,
        overrides,
        seeds,
        Chosen(only, only_failed, force, rerun),
        Launch(jobs, asked, device, nproc, chosen(track)),
        nothing=table or claims or check,
        dry=dry_run,
    )
    if what is None:
        overview(store, shown.output)
    elif what.suffix == ".jsonl" or _is_record(what):
        ok = published_claims(what, shown) if what.is_dir() else published(what, shown)
        raise typer.Exit(1 if check and not ok else 0)
    elif find(what).is_dir():
        _folder(what, run, shown, check)
    elif not _table(what, run, shown) and (check or run.dry):
        raise typer.Exit(1)


def _is_record(folder: Path) -> bool:
    """Whether a folder holds published rows and no recipe."""
    return folder.is_dir() and not recipe_files(folder) and any(folder.rglob("*.jsonl"))


def _folder(folder: Path, run: Run, shown: Shown, check: bool) -> None:
    """Every table below a folder, one after the other; those of another scale alone are passed over."""
    if shown.output.out or shown.output.plot or run.chosen.only or run.chosen.force or run.record:
        raise ValueError("--out, --plot, --only, --force and --record are of one table", "name its recipe")
    tables = [path for path in recipe_files(folder) if load_recipe(path).ablation is not None]
    paths = [path for path in tables if _has_scale(path, run.scale)]
    if not paths:
        small = "" if run.scale == "full" else f" that can be run with --{run.scale}"
        raise ValueError(f"no recipe with an ablation{small} below {folder}", "name a recipe")
    if left_out := len(tables) - len(paths):
        told = f"{left_out} tables have no mini: block and are left out"
        console(stderr=True, note=True).print(told)
    failed = []
    for path in paths:
        if shown.output.format == "table":
            console().print(f"\n{path}", style="bold")
        try:
            if not _table(path, run, shown):
                failed.append(path)
        except ValueError as error:
            failed.append(path)
            told, *hint = map(str, error.args)
            lines = [f"error: {path}: {told}", *(f"hint: {text}" for text in hint[:1])]
            console(stderr=True).print("\n".join(lines), soft_wrap=True)
        except typer.Exit as stopped:
            if stopped.exit_code != 1:
                raise
            failed.append(path)
    if not run.dry:
        whole = "hold what they claim" if shown.claims else "are whole"
        console(stderr=True, note=True).print(f"{len(paths) - len(failed)} of {len(paths)} tables {whole}")
    if failed and (check or run.dry or not run.nothing):
        raise typer.Exit(1)


def _has_scale(path: Path, scale: str) -> bool:
    told = load_recipe(path)
    return scale == "full" or told.mini is not None or told.scale == "mini"


def _table(path: Path, run: Run, shown: Shown) -> bool:
    """Run what is left of a recipe's table and show it. Whether it is whole, and, where they are judged, its claims."""
    from vidops_cli.ablation.store import Store
    from vidops_cli.ablation.told import told_of

    told = _with_seeds(load_recipe(path, run.overrides, scale=run.scale), run.seeds)
    if shown.publish and (run.seeds is not None or not _as_it_stands(told, load_recipe(path, scale=run.scale))):
        raise ValueError("only a recipe as it stands is published", "write the changes into a recipe of their own")
    words = _words(path, run, told)
    if not (run.dry or run.nothing):
        make_missing(needed(told, run.chosen.only))
    cells, kept = cells_of(told, words), Store(run.store, run.record and read_cells(run.record))
    if run.record and not kept.recorded.keys() & {cell.key for cell in cells}:
        if lacking := next((cell.lacking for cell in cells if cell.lacking), ()):
            raise ValueError(
                f"the data are not there, so cells of {run.record} cannot be told: {lacking[0]}", lacking[1]
            )
        hint = "it is of another scale or data, or the recipe has changed since"
        raise ValueError(f"{run.record} has no cell of this table", hint)
    left = left_of(cells, kept, run.chosen)
    if run.dry:
        return _dry(cells, left, kept, run.launch, shown.output)
    codes = run_left(left, kept, told, run.launch) if left and not run.nothing else {}
    head = told_of(told, _floors(cells, kept))
    rows = kept.rows(cells)
    ok = show(head, rows, shown)
    failed = [cell for cell in left if not run.nothing and codes.get(cell.key) != 0]
    if failed:
        explain(failed, kept)
        raise typer.Exit(1)
    if shown.output.format == "table" and not run.nothing:
        told_of_cells = f"cells: {len(cells)}, of which run now: {len(left)}; written to {run.store}/cells"
        console(note=True).print(told_of_cells, soft_wrap=True)
    unfinished = [cell for cell in cells if not kept.finished(cell)]
    if shown.publish and unfinished:
        text = f"{len(unfinished)} of {len(cells)} cells are not finished: nothing is published"
        raise ValueError(text, "run without --only first")
    if shown.publish:
        write_record(path, head, rows)
    return ok if shown.claims else not unfinished


def _words(path: Path, run: Run, told: Recipe) -> list[str]:
    """The recipe as another verb would be told of it."""
    seeds = [f"ablation.seeds={told.ablation.seeds}"] if run.seeds is not None and told.ablation else []
    return [str(path), *(run.overrides or []), *seeds, *([] if run.scale == "full" else [f"--{run.scale}"])]


def _dry(cells: list[Cell], left: list[Cell], kept: Store, launch: Launch, output: Output) -> bool:
    """Tell what would be run. Whether a step of each row's network runs on the meta device; what does not is told."""
    from .plan import untrained

    document, table = plan_of(cells, left, kept)
    document["job"] = job = jobs_of(left, kept, launch)
    if output.format == "table":  # before the steps, which take a while
        print_table(table)
        tell("table", None, job)
    rows = {cell.row: cell.recipe for cell in reversed(cells) if cell.rate == 1}
    failed, passed_over = untrained(dict(reversed(rows.items())))
    document["steps"] = {"rows": len(rows), "failed": failed, "not_stepped": passed_over}
    if output.format != "table":
        output.show(document, [table])
        return not failed
    output.write(document, [table])
    told = f"a step of {len(rows) - len(failed) - len(passed_over)} of {len(rows)} rows runs on the meta device"
    console().print("\n".join([told, *passed_over]), soft_wrap=True)
    console(stderr=True).print("\n".join(f"failed: {line}" for line in failed), end="\n" if failed else "")
    return not failed


def _as_it_stands(told: Recipe, written: Recipe) -> bool:
    return (told.hash(), told.ablation) == (written.hash(), written.ablation)


def _floors(cells: list[Cell], store: Store) -> dict[str, float]:
    """Scores on the cells' data that need no understanding, as a finished cell tells them."""
    summaries = (store.summary(cell) for cell in cells if cell.kind != "profile")
    return next((summary["floors"] for summary in summaries if summary), store.head.get("floors", {}))


def _with_seeds(recipe: Recipe, number: int | None) -> Recipe:
    if number is None or recipe.ablation is None:
        return recipe
    seeds = list(recipe.ablation.seeds)
    further = (seed for seed in range(10**6) if seed not in recipe.ablation.seeds)
    while len(seeds) < number:
        seeds.append(next(further))
    return recipe.model_copy(update={"ablation": recipe.ablation.model_copy(update={"seeds": seeds[:number]})})
