"""Files of results -> parts of a report, one for each. Imports no torch."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vidops_cli.report.ablation import ablation_table
from vidops_cli.report.bench import bench_table, faults_table
from vidops_cli.report.claims import claims_table
from vidops_cli.report.document import Part, Plot
from vidops_cli.report.markdown import read_markdown
from vidops_cli.report.plot import axis_of, points_of, scaling_plot, tradeoff_plot
from vidops_cli.report.profile import means, means_table, profile_table, tree_table
from vidops_cli.report.provenance import origin
from vidops_cli.report.scaling import scaling_table
from vidops_cli.report.table import Table, digits
from vidops_cli.report.verify import verify_table

from .tables import claims_of, read_rows

Row = dict[str, Any]

SUFFIXES = (".json", ".jsonl")


@dataclass
class Reader:
    """Reads files, and keeps what was found on the way: claims, names of cells, what had to be left out."""

    root: Path
    draws: bool = field(default_factory=lambda: importlib.util.find_spec("matplotlib") is not None)
    claims: list[Row] = field(default_factory=list)
    origins: list[dict[str, str]] = field(default_factory=list)
    """of the claims"""
    cells: dict[str, tuple[str, str]] = field(default_factory=dict)
    """key of a cell -> title of its table, name of its row"""
    left_out: list[str] = field(default_factory=list)
    counter: Iterator[int] = field(default_factory=itertools.count)

    def part(self, path: Path) -> Part | None:
        """What a file makes; None, and a word in `left_out`, for one that cannot be shown."""
        name = path.relative_to(self.root).as_posix()
        try:
            if path.suffix == ".md":
                table = read_markdown(path.read_text(encoding="utf-8"))
                return Part(path.stem, table.title or path.stem, f"{name}, without its rows", [table])
            head, rows = _rows_in(path)
            if lost := path.suffix == ".jsonl" and _lines_in(path) - 1 - len(rows):
                self.left_out.append(f"{name}: the last {lost} lines cannot be read")
            tables, plots = self._shown(head, rows, name)
        except Exception as error:  # damaged files fail in as many ways as there are fields
            self.left_out.append(f"{name}: left out: {_said(error)}")
            return None
        title = (
            next((table.title for table in tables if table.title), "")
            or head.get("title")
            or path.stem.replace("_", " ").capitalize()
        )
        return Part(path.stem, str(title), name, tables, plots)

    def drawn(self, caption: str, draw: Callable[[Path], None]) -> list[Plot]:
        """A plot, or none where there is nothing to draw or no matplotlib."""
        from vidops_cli.report.svg import inline

        if not self.draws:
            return []
        try:
            return [Plot(caption, inline(draw, title=caption, prefix=f"plot{next(self.counter)}-"))]
        except Exception as error:  # what a damaged row draws; its table is shown
            if not _is_ours(error):
                self.left_out.append(f"{caption}: not drawn: {_said(error)}")
            return []

    def _shown(self, head: Row, rows: list[Row], name: str) -> tuple[list[Table], list[Plot]]:
        env = head.get("env") or {}
        keys = {key for row in rows for key in row}
        own = [origin([row], env) for row in rows]
        if "table" in head:
            return self._ablation(head, rows, name)
        if {"op", "shape"} <= keys:
            return self._profile(head, rows, name)
        if {"case", "err_out"} <= keys:
            return [replace(verify_table(rows, env), title="Parity with released code", origins=own)], []
        if {"depth", "macs"} <= keys:
            return [replace(tree_table(rows), title=str(env.get("recipe", "")), origins=own)], []
        if {"median", "bar"} <= keys:
            return [replace(bench_table(rows, env), title="", origins=own)], []
        if {"tries", "survived"} <= keys:
            return [replace(faults_table(rows, env), title="", origins=own)], []
        return [replace(plain_table(rows), origins=own)], []

    def _ablation(self, head: Row, rows: list[Row], name: str) -> tuple[list[Table], list[Plot]]:
        told, by_row = head["table"], {}
        for row in rows:
            by_row.setdefault(row["row"], []).append(row)
            self.cells[row["cell"]] = (told["title"], row["row"])
        planned = [each["name"] for each in told.get("rows") or [{"name": row} for row in told["row_names"]]]
        origins = [origin(by_row.get(row, [])) for row in planned]
        tables = [replace(ablation_table(told, rows), origins=origins)]
        judged = claims_of(head, rows)
        if judged:
            sides = [by_row.get(entry["better"], []) + by_row.get(entry["worse"], []) for entry in judged]
            tables.append(self._claims(judged, told, name, [origin(side) for side in sides]))
        metric, floors = told["metric"], told["floors"]
        trained = [row for row in rows if row.get("rate", 1) == 1 and row.get("kind") == "train"]
        if told["scale"] == "smoke" or len({row["row"] for row in trained if row["metric"] == metric}) < 2:
            return tables, []
        caption = f"{told['title']}: {metric} against cost of the rows that were trained"
        return tables, self.drawn(
            caption, lambda path: tradeoff_plot(points_of(trained, metric=metric), path, metric=metric, floors=floors)
        )

    def _profile(self, head: Row, rows: list[Row], name: str) -> tuple[list[Table], list[Plot]]:
        from vidops_cli.ops import OPS
        from vidops_cli.profiling.scaling import series, summary
        from vidops_cli.report.compare import rows_of

        rows, env = rows_of({**head, "rows": rows}, name)
        own = [origin([row], env) for row in rows]
        tables = [replace(profile_table(rows, env), title=str(head.get("title") or ""), origins=own)]
        if mean := means(rows):
            tables.append(means_table(mean))
        swept = series(rows, OPS)
        if scaling := summary(swept):
            tables.append(scaling_table(scaling))
        if judged := claims_of(head, rows):
            tables.append(self._claims(judged, {"title": head["title"]}, name, [origin(rows, env)] * len(judged)))
        if not axis_of(swept):
            return tables, []
        caption = "time and peak memory over sizes"
        return tables, self.drawn(caption, lambda path: scaling_plot(swept, path, scaling=scaling))

    def _claims(self, judged: list[Row], told: Row, name: str, origins: list[dict[str, str]]) -> Table:
        self.claims += [{"table": name.rpartition(".")[0], **entry} for entry in judged]
        self.origins += origins
        return replace(claims_table(judged, told), origins=origins)

    def all_claims(self) -> Part | None:
        """The claims of all files that were read: verdicts, and effects with their intervals."""
        from vidops_cli.report.intervals import claims_plot

        shown = [i for i, entry in enumerate(self.claims) if entry["scale"] != "smoke"]
        if not shown:
            return None
        claims, origins = [self.claims[i] for i in shown], [self.origins[i] for i in shown]
        verdicts = [entry["verdict"] for entry in claims]
        counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(sorted(verdicts)))
        table = replace(claims_table(claims, {}), origins=origins)
        caption = "effects of claims on accuracy, with their intervals"
        plots = self.drawn(caption, lambda path: claims_plot(claims, path))
        return Part("verdicts", f"{len(verdicts)} claims: {counts}", "judged from the rows below", [table], plots)


def _is_ours(error: Exception) -> bool:
    """One that says what is lacking, and a hint."""
    return isinstance(error, ValueError) and len(error.args) == 2


def _said(error: Exception) -> str:
    told = error.args[0] if _is_ours(error) else error if isinstance(error, OSError) else repr(error)
    return " ".join(str(told).split())[:200]


def files_below(folder: Path) -> Iterable[Path]:
    """Files of rows, and tables whose rows are not there; those of a folder before those of the folders in it.

    What a run wrote is not among them, nor is a page named README.
    """
    found = [path for path in folder.rglob("*") if path.suffix in (*SUFFIXES, ".md") and path.is_file()]
    found = [path for path in found if not any(map(_is_run, _above(path, folder)))]
    rows = {path.with_suffix("") for path in found if path.suffix in SUFFIXES}
    found = [
        path for path in found if path.suffix in SUFFIXES or not (path.with_suffix("") in rows or path.stem == "README")
    ]
    return sorted(found, key=lambda path: (path.parent.parts, path.name))


def _above(path: Path, folder: Path) -> list[Path]:
    return [above for above in path.parents if above == folder or folder in above.parents]


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("recipe.yaml", "cell.yaml"))


def _rows_in(path: Path) -> tuple[Row, list[Row]]:
    """Head and rows. ValueError for a file that holds none."""
    from vidops_cli.record import read_json

    if path.suffix == ".jsonl":
        head, rows = read_rows(path)
    else:
        found = read_json(path)
        if not isinstance(found, dict) or "rows" not in found:
            raise ValueError("it holds no rows", "files that `vidops ... --out FILE` wrote are shown")
        head, rows = {key: value for key, value in found.items() if key != "rows"}, found["rows"]
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it holds no rows", "files that `vidops ... --out FILE` wrote are shown")
    return head, rows


def _lines_in(path: Path) -> int:
    return sum(bool(line.strip()) for line in path.read_bytes().splitlines())


def plain_table(rows: list[Row]) -> Table:
    """Rows of a kind that is not known: each key a column."""
    head = list(dict.fromkeys(key for row in rows for key in row))
    return Table("", head, [[_words(row.get(key)) for key in head] for row in rows], numeric=False)


def _words(value: Any) -> str:
    if value is None:
        return "-"
    return digits(value) if isinstance(value, float) else str(value)
