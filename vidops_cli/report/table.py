"""A table of words, and its forms. Pure: no torch, nothing is printed here."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import Any

SHORT = 16  # characters up to which a column is not broken


@dataclass(frozen=True)
class Table:
    title: str
    head: list[str]
    body: list[list[str]]
    notes: list[str] = field(default_factory=list)
    numeric: bool = True  # columns after the first are right-aligned

    def rich(self, width: int = 160) -> Any:
        """A rich renderable; a table wider than `width` is turned on its side."""
        from rich.console import Console, Group
        from rich.measure import Measurement
        from rich.table import Table as RichTable
        from rich.text import Text

        def build(head: list[str], body: list[list[str]]) -> RichTable:
            table = RichTable(title=Text(self.title, "bold") if self.title else None, title_justify="left")
            for i, name in enumerate(head):
                justify = "right" if i and self.numeric else "left"
                short = max(len(cell) for cell in (name, *(row[i] for row in body))) <= SHORT
                whole = short or (self.numeric and not i)
                table.add_column(Text(name), justify=justify, overflow="fold", no_wrap=whole)
            for row in body:
                table.add_row(*(Text(cell) for cell in row))
            return table

        table = build(self.head, self.body)
        console = Console(width=10**4)
        if self.numeric and Measurement.get(console, console.options, table).maximum > width:
            turned = [list(column) for column in zip(self.head, *self.body, strict=True)]
            table = build(turned[0], turned[1:])
        return Group(table, *(Text(note, style="dim") for note in self.notes))

    def markdown(self) -> str:
        from tabulate import tabulate

        safe = [[cell.replace("|", "\\|") for cell in row] for row in self.body]
        align = ["left"] + ["right" if self.numeric else "left"] * (len(self.head) - 1)
        text = tabulate(safe, self.head, tablefmt="pipe", colalign=align, disable_numparse=True)
        notes = "".join(f"- {note}\n" for note in self.notes)
        return (f"# {self.title}\n\n" if self.title else "") + text + "\n" + (f"\n{notes}" if notes else "")


def to_csv(rows: list[dict[str, Any]]) -> str:
    """Flat rows as CSV, columns in the order they first appear; lists joined with spaces."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {key: " ".join(map(str, value)) if isinstance(value, list) else value for key, value in row.items()}
        )
    return text.getvalue()


def number(value: float | None) -> str:
    """1234567 -> 1.23 M; short and with its power of ten."""
    if value is None:
        return "-"
    for power, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= power:
            return f"{value / power:.3g} {letter}"
    return f"{value:.3g}"


def size(value: float | None) -> str:
    """Bytes as KiB, MiB or GiB."""
    if value is None:
        return "-"
    for power, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if abs(value) >= power:
            return f"{value / power:.2f} {unit}"
    return f"{value:.0f} B"
