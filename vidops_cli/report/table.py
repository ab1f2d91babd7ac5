"""A table of words, and its forms. Pure: no torch, nothing is printed here."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.table import Table as RichTable

SHORT = 16  # characters up to which a column is not broken
WIDEST = 28  # characters at which a cell of a numeric table is broken
INDENT = "  "  # one step inwards, at the left of a cell
_STEP, _GUARD = "\0", "\1"  # stand for what tabulate would strip or escape


@dataclass(frozen=True)
class Table:
    title: str
    head: list[str]
    body: list[list[str]]
    notes: list[str] = field(default_factory=list)
    numeric: bool = True  # columns after the first are right-aligned
    keys: int = 1  # first columns that name a row
    turns: bool = True  # may be turned on its side

    def rich(self, width: int = 160) -> Any:
        """A rich renderable; a table wider than `width` is turned on its side or, if that is too wide, cut into parts.

        Each part repeats the columns that name a row.
        """
        from rich.console import Group
        from rich.text import Text

        parts = [_Grid(self.head, self.body, self.numeric)]
        if self.numeric and parts[0].width > width:
            turned = [list(column) for column in zip(self.head, *self.body, strict=True)]
            whole, parts = parts[0], [_Grid(turned[0], turned[1:], self.numeric)]
            if not self.turns or parts[0].width > width:
                parts = [self._columns(chosen) for chosen in self._cut(whole.widths, width)]
        title = [Text(self.title, "bold")] if self.title else []
        return Group(*title, *parts, *(Text(note, style="dim") for note in self.notes))

    def _columns(self, chosen: list[int]) -> _Grid:
        return _Grid([self.head[i] for i in chosen], [[row[i] for i in chosen] for row in self.body], self.numeric)

    def _cut(self, widths: list[int], width: int) -> list[list[int]]:
        """Columns of each part: those that name a row, then as many others as fit, at least one."""
        keys = list(range(self.keys))
        parts: list[list[int]] = [[*keys]]
        for i in range(self.keys, len(self.head)):
            if len(parts[-1]) > len(keys) and _framed([widths[j] for j in (*parts[-1], i)]) > width:
                parts.append([*keys])
            parts[-1].append(i)
        return parts

    def markdown(self) -> str:
        safe = [[_indented(cell.replace("|", "\\|"), "&nbsp;&nbsp;") for cell in row] for row in self.body]
        text = self._tabulate(self.head, safe, "pipe")
        notes = "".join(f"- {note}\n" for note in self.notes)
        return (f"# {self.title}\n\n" if self.title else "") + text + "\n" + (f"\n{notes}" if notes else "")

    def latex(self) -> str:
        """A booktabs tabular to be \\input into a table; title and notes stand above it as comments."""
        safe = [[_guarded(_indented(cell, _STEP)) for cell in row] for row in self.body]
        text = self._tabulate(self.head, safe, "latex_booktabs").replace(_STEP, r"\quad{}").replace(_GUARD, "{}")
        said = [self.title, *self.notes, r"needs \usepackage{booktabs}"]
        return "".join(f"% {' '.join(line.split())}\n" for line in said if line) + text + "\n"

    def _tabulate(self, head: list[str], body: list[list[str]], form: str) -> str:
        from tabulate import tabulate

        align = ["left"] + ["right" if self.numeric else "left"] * (len(head) - 1)
        return tabulate(body, head, tablefmt=form, colalign=align, disable_numparse=True)


class _Grid:
    """A table as rich draws it, but sooner: rich lays out every cell, which takes seconds for 10,000 rows."""

    def __init__(self, head: list[str], body: list[list[str]], numeric: bool):
        from rich.cells import cell_len

        self.head, self.body, self.numeric, self.cell_len = head, body, numeric, cell_len
        longest = [max(map(cell_len, column)) for column in zip(head, *body, strict=True)]
        self.widths = [min(n, WIDEST) if numeric and i else n for i, n in enumerate(longest)]
        self.width = _framed(self.widths)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        from rich.box import HEAVY_HEAD
        from rich.text import Text

        if self.width > options.max_width:  # what does not fit flows
            yield self._flowing()
            return
        box = HEAVY_HEAD.substitute(options)
        wide = [n + 2 for n in self.widths]
        yield Text(box.get_top(wide), no_wrap=True)
        for cells in self._broken(self.head, console, low=True):
            bars = [box.head_left, *[box.head_vertical] * (len(cells) - 1), box.head_right]
            parts = [part for bar, cell in zip(bars, cells, strict=False) for part in (bar, (cell, "table.header"))]
            yield Text.assemble(*parts, bars[-1], no_wrap=True)
        yield Text(box.get_row(wide, "head"), no_wrap=True)
        lines = [cells for row in self.body for cells in self._broken(row, console)]
        drawn = [box.mid_left + box.mid_vertical.join(cells) + box.mid_right for cells in lines]
        yield Text("\n".join([*drawn, box.get_bottom(wide)]), no_wrap=True)

    def _broken(self, row: list[str], console: Console, *, low: bool = False) -> Iterator[list[str]]:
        """Lines of a row: its cells, broken where too long, filled up with spaces; `low`: they end together."""
        from rich.text import Text

        cells = [
            [cell.rstrip()]
            if self.cell_len(cell) <= n and "\n" not in cell
            else [line.plain.rstrip() for line in Text(cell).wrap(console, n, overflow="fold")]
            for cell, n in zip(row, self.widths, strict=True)
        ]
        if low:
            most = max(map(len, cells))
            cells = [[""] * (most - len(lines)) + lines for lines in cells]
        for words in zip_longest(*cells, fillvalue=""):
            gaps = [" " * (n - self.cell_len(word)) for word, n in zip(words, self.widths, strict=True)]
            yield [
                f" {gap}{word} " if i and self.numeric else f" {word}{gap} "
                for i, (word, gap) in enumerate(zip(words, gaps, strict=True))
            ]

    def _flowing(self) -> RichTable:
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable()
        for i, (name, n) in enumerate(zip(self.head, self.widths, strict=True)):
            whole = n <= SHORT or (self.numeric and not i)
            justify = "right" if i and self.numeric else "left"
            table.add_column(Text(name), justify=justify, overflow="fold", no_wrap=whole, max_width=n)
        for row in self.body:
            table.add_row(*(Text(cell) for cell in row))
        return table


def _framed(widths: list[int]) -> int:
    """Characters that columns of these widths take with their frame."""
    return sum(widths) + 3 * len(widths) + 1


def _indented(cell: str, step: str) -> str:
    inner = cell.lstrip(" ")
    return step * ((len(cell) - len(inner)) // len(INDENT)) + inner


def _guarded(cell: str) -> str:
    """LaTeX reads a [ or * at the start of a line as an option of the line before."""
    return _GUARD + cell if cell.startswith(("[", "*")) else cell


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


def digits(value: float | None) -> str:
    """At least three significant digits: 0.0120, 1.50, 20.0, 1045; a power of ten only below a thousandth."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 999.5:
        return f"{value:.0f}" if abs(value) > 1 else f"{value:.2e}"
    rounded = float(f"{value:.2e}")  # 9.996 -> 10.0: the place of the last digit is that after rounding
    return f"{rounded:.{2 - math.floor(math.log10(abs(rounded)))}f}"


def number(value: float | None) -> str:
    """1234567 -> 1.23 M: three digits and the letter of a power of ten."""
    if value is None:
        return "-"
    for power, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * power:
            return f"{digits(value / power)} {letter}"
    return f"{value:.3g}"


def size(value: float | None) -> str:
    """Bytes as KiB, MiB or GiB."""
    if value is None:
        return "-"
    for power, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if abs(value) >= power:
            return f"{digits(value / power)} {unit}"
    return f"{value:.0f} B"
