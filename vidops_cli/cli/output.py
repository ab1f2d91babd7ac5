"""Where tables and rows go: the terminal in one of several forms, a file, a plot."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from vidops_cli.record import check_writable
from vidops_cli.report.html import page
from vidops_cli.report.table import Table, to_csv

from .common import print_table

FORMATS = ("table", "json", "csv", "markdown", "latex", "html")
SUFFIXES = {".json": "json", ".csv": "csv", ".md": "markdown", ".tex": "latex", ".html": "html"}
SUFFIXES |= {".jsonl": "jsonl"}


@dataclass(frozen=True)
class Output:
    """ValueError for a form or an ending that is not known, before anything is measured."""

    format: str
    out: Path | None
    plot: Path | None
    full: bool
    columns: tuple[str, ...] = ()  # of the table of a profile; none: its own choice

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"unknown format {self.format!r}", f"one of {', '.join(FORMATS)}")
        if self.out is not None and self.out.suffix not in SUFFIXES:
            raise ValueError(f"--out ends in {', '.join(SUFFIXES)}, got {self.out}", "as in --out lisa.json")
        if self.plot is not None:
            from vidops_cli.report.plot import check_suffix

            check_suffix(self.plot)
            if importlib.util.find_spec("matplotlib") is None:
                raise ValueError("plots need matplotlib", "pip install 'vidops[plot]'")
        for path in (self.out, self.plot):
            if path is not None:
                check_writable(path, "name a file in a folder that you may write to")

    def write(self, document: dict[str, Any], tables: list[Table]) -> None:
        """The file alone, whole each time: what is finished is not lost."""
        from vidops_cli.record import write_text

        if self.out is not None:
            write_text(self.out, form(SUFFIXES[self.out.suffix], document, tables))

    def show(self, document: dict[str, Any], tables: list[Table]) -> None:
        self.write(document, tables)
        if self.format == "table":
            for table in tables:
                print_table(table)
        else:
            typer.echo(form(self.format, document, tables), nl=False)


def form(name: str, document: dict[str, Any], tables: list[Table]) -> str:
    """Rows and tables as text: json, jsonl (a row in a line, after a head) and csv hold the rows, the others tables.

    The csv of an ablation, whose document has the key "table", holds the lines of its table, and plain numbers beside.
    """
    forms: dict[str, Callable[[], str]] = {
        "json": lambda: json.dumps(document, indent=1, allow_nan=False) + "\n",
        "jsonl": lambda: "".join(json.dumps(line, allow_nan=False) + "\n" for line in _lines(**document)),
        "csv": lambda: _csv(document, tables),
        "markdown": lambda: "\n".join(table.markdown() for table in tables),
        "latex": lambda: "\n".join(table.latex() for table in tables),
        "html": lambda: page(tables),
    }
    return forms[name]()


def _csv(document: dict[str, Any], tables: list[Table]) -> str:
    from vidops_cli.report.ablation import with_numbers

    told, rows = document.get("table"), document["rows"]
    if told is None:
        return to_csv(rows)
    first = [with_numbers(tables[0], told, rows)] if "metric" in told else tables[:1]
    return "\n".join(table.csv() for table in [*first, *tables[1:]])


def _lines(rows: list[dict[str, Any]], **head: Any) -> list[dict[str, Any]]:
    return [head, *rows]
