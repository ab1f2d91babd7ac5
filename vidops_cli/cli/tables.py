"""Tables of `vidops ablate`, and claims: from rows to the terminal, a file, the committed record. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidops_cli.record import SCHEMA

from .common import console, load_recipe, recipe_files
from .output import Output

Rows = list[dict[str, Any]]

HINT = "name a recipe, or rows that `vidops ablate --publish` wrote"


@dataclass(frozen=True)
class Shown:
    """What is made of rows. `claims`: the verdicts on them too; `unverified`: values known from memory alone."""

    output: Output
    unverified: bool
    claims: bool
    publish: bool


def show(told: dict[str, Any], rows: Rows, shown: Shown) -> bool:
    """The table, and the claims if they are asked for: printed, written, drawn. Whether all claims are held."""
    from vidops_cli.ablation.claims import failed
    from vidops_cli.report.ablation import ablation_table
    from vidops_cli.report.claims import claims_table

    tables = [ablation_table(told, rows, unverified=shown.unverified)]
    judged = _judged(told, rows) if shown.claims else []
    if judged:
        tables.append(claims_table(judged, told))
    elif shown.claims:
        console(stderr=True, note=True).print("the recipe claims nothing")
    document = {"schema": SCHEMA, "table": told, "claims": judged, "rows": rows}
    shown.output.show(document, tables)
    if shown.output.plot is not None:
        from vidops_cli.report.plot import points_of, tradeoff_plot

        metric = told["metric"]
        plain = [row for row in rows if row.get("rate", 1) == 1]
        tradeoff_plot(points_of(plain, metric=metric), shown.output.plot, metric=metric, floors=told["floors"])
    return not failed(judged)


def _judged(told: dict[str, Any], rows: Rows) -> list[dict[str, Any]]:
    from vidops_cli.ablation.claims import judge

    return judge(told.get("claims") or [], rows, scale=told["scale"], rates=told.get("rates") or [])


def published(path: Path, shown: Shown) -> bool:
    """The table of rows that `--publish` wrote, and with claims whether all are held."""
    if shown.publish:
        raise ValueError("published rows are published already", "name the recipe")
    told, rows = read_published(path)
    with _as_published(path):
        return show(told, rows, shown)


def read_published(path: Path) -> tuple[dict[str, Any], Rows]:
    """What a published table tells of its recipe, and its rows."""
    head, rows = read_rows(path)
    if "table" not in head:
        raise ValueError(f"{path} holds no table", HINT)
    return head["table"], rows


def read_cells(path: Path) -> tuple[dict[str, Any], Rows]:
    """The same, where rows are to stand for cells."""
    told, rows = read_published(path)
    if not all(isinstance(row, dict) and {"cell", "metric"} <= row.keys() for row in rows):
        raise ValueError(f"{path} is no table that was published: it has rows without a cell or a metric", HINT)
    return told, rows


def published_claims(folder: Path, shown: Shown) -> bool:
    """The claims of all tables that were published below a folder, as one table. Whether all are held."""
    from vidops_cli.ablation.claims import failed
    from vidops_cli.report.claims import claims_table

    if shown.publish:
        raise ValueError("published rows are published already", "name the recipe")
    if not shown.claims:
        told = "of a folder of published rows the claims are shown"
        raise ValueError(told, f"--claims or --check; or name one of {folder}/*.jsonl")
    judged = []
    for path in sorted(folder.rglob("*.jsonl")):
        head, rows = read_rows(path)
        name = path.relative_to(folder).with_suffix("").as_posix()
        with _as_published(path):
            judged += [{"table": name, **entry} for entry in claims_of(head, rows)]
    if not judged:
        raise ValueError(f"no published table below {folder} claims anything", HINT)
    document = {"schema": SCHEMA, "table": {"title": "claims"}, "claims": judged, "rows": []}
    shown.output.show(document, [claims_table(judged, {"folder": folder.as_posix()})])
    if shown.output.plot is not None:
        from vidops_cli.report.intervals import claims_plot

        claims_plot(judged, shown.output.plot)
    return not failed(judged)


def claims_of(head: dict[str, Any], rows: Rows) -> list[dict[str, Any]]:
    """Entries of the claims of one file, each with its title and paper; none where it claims nothing."""
    from vidops_cli.ablation.claims import growth

    if "growth" in head:  # a suite that was profiled
        found, about = growth(head["growth"], head["scaling"]), {"title": head["title"], "paper": ""}
    elif "table" in head:
        told = head["table"]
        found, about = _judged(told, rows), {"title": told["title"], "paper": told["paper"]}
    else:
        return []
    return [{**about, **entry} for entry in found]


def read_rows(path: Path) -> tuple[dict[str, Any], Rows]:
    """Head and rows of a file of JSON lines; ValueError if it is none that can be read."""
    from vidops_cli.record import read_lines

    try:
        path.stat()  # read_lines takes a file that is not there for an empty one
        head, *rows = read_lines(path) or [None]
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}", HINT) from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}", HINT) from None
    if not isinstance(head, dict):
        raise ValueError(f"{path} holds no table", HINT)
    if "table" in head and head.get("schema") != SCHEMA:
        raise ValueError(f"{path} has schema {head.get('schema')}, this vidops reads {SCHEMA}", "use a newer vidops")
    with _as_published(path):
        _hold_to_clips(path, rows)
    return head, rows


def _hold_to_clips(path: Path, rows: Rows) -> None:
    """ValueError if a score is not that of the clips which its row calls right: somebody has changed one of the two."""
    for row in rows:
        if row.get("metric") == "top1" and "correct" in row:
            try:
                right = int(row["correct"], 16).bit_count()
            except ValueError:  # no hexadecimal number
                right = -1
            if abs(row["value"] - 100 * right / row["n"]) > 1e-6:
                told = f"{row['row']}, seed {row['seed']}, has top1 {row['value']}, its clips say otherwise"
                raise ValueError(f"{path} was changed: {told}", "take the file as it was published")


@contextmanager
def _as_published(path: Path) -> Iterator[None]:
    """What a table lacks, as an error of its file."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise ValueError(f"{path} is no table that was published: {error} is not as it should be", HINT) from None


def write_record(path: Path, told: dict[str, Any], rows: Rows) -> None:
    """Rows and table below results/, in the folders that the recipe has below recipes/; a small scale in its name.

    The table shows no paper value that is known from memory alone, whatever is shown on the terminal.
    """
    from vidops_cli.ablation.store import publish
    from vidops_cli.record import environment
    from vidops_cli.report.ablation import ablation_table

    parts = path.resolve().with_suffix("").parts
    name = "/".join(parts[len(parts) - parts[::-1].index("recipes") :]) if "recipes" in parts else path.stem
    if told["scale"] != load_recipe(path).scale:
        name += f"_{told['scale']}"
    device = ", ".join(sorted({row["device"] for row in rows}))
    head = {"env": environment(device), "table": told}
    table = ablation_table(told, rows)
    for file in publish(Path("results"), name, head, rows, table.markdown()):
        console().print(f"published: {file}")


def overview(store: Path, output: Output) -> None:
    """Show all tables below recipes/, and how many of their cells are finished."""
    from vidops_cli.ablation.store import Store
    from vidops_cli.report.table import Table

    from .cells import cells_of

    body, rows = [], list[dict[str, Any]]()
    kept = Store(store)
    for path in recipe_files(Path("recipes")):
        try:
            told = load_recipe(path)
            if told.ablation is None:
                continue
            cells = cells_of(told, [str(path)])
            finished = sum(map(kept.finished, cells))
            counted, done = {"finished": finished, "cells": len(cells)}, f"{finished}/{len(cells)}"
            if lacking := [cell for cell in cells if cell.lacking]:
                made = all(cell.recipe.data.generated for cell in lacking)
                done = f"{'makes its data' if made else 'data not there'}, {done}"
        except ValueError:
            told, done, counted = None, "not valid: see `vidops validate`", {"finished": None, "cells": None}
        rows.append({"recipe": str(path), "title": told and told.title, **counted, "state": done})
        body.append([str(path), told.title if told else "-", done])
    if not body:
        raise ValueError(
            "no recipe with an ablation below recipes/", "run it where the folder recipes/ is, or name a recipe"
        )
    table = Table("", ["recipe", "table", f"cells run in {store}"], body, numeric=False)
    output.show({"schema": SCHEMA, "store": str(store), "rows": rows}, [table])
