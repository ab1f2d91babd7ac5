"""A table of words, and its forms. Pure: no torch, nothing is printed here."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.table import Table as RichTable
    from rich.text import Text

SHORT = 16  # characters up to which a column is not broken
NAMED = 24  # the same of the first one, which names a row
WIDEST = 28  # characters at which a cell of a numeric table is broken
INDENT = "  "  # one step inwards, at the left of a cell
Marks = dict[tuple[int, int], str]  # of cells, by line and column: bold, underline or grey
STYLES = {"bold": "bold", "underline": "underline", "grey": "dim"}
MARKDOWN = {"bold": ("**", "**"), "underline": ("<u>", "</u>"), "grey": ("*", "*")}  # which knows no grey
_STEP, _GUARD, _BAR, _BOLD, _LINE, _GREY, _END, _PM = map(chr, range(8))  # for what tabulate would strip or escape
_LATEX = str.maketrans(
    {
        _STEP: r"\quad{}",
        _GUARD: "{}",
        _BAR: r"\textbar{}",  # a bare | is a dash in LaTeX's first font
        _BOLD: r"\textbf{",
        _LINE: r"\underline{",
        _GREY: r"\textcolor{gray}{",
        _END: "}",
        _PM: r"$\pm$",
    }
)
REMARK = re.compile(r"(?<=.) \([^()]*\)$")  # at the end of a cell: not a part of its value
LATEX = {"bold": (_BOLD, _END), "underline": (_LINE, _END), "grey": (_GREY, _END)}
_SPECIAL = re.compile(
    r"[\\`*<|]|~(?=\S)|(?<=\S)~|(?<!\w)_|_(?!\w)|&(?=#?\w+;)|\](?=[(\[])|\A\[(?=.*\]:)"
)  # to Markdown, in a cell
# what a terminal obeys: control characters but tab and newline, turns of the writing direction; and what is no text
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Words in which a mark stands for each sign that would do something to a terminal, or that cannot be encoded."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


@dataclass(frozen=True)
class Table:
    title: str
    head: list[str]
    body: list[list[str]]
    notes: list[str] = field(default_factory=list)
    numeric: bool = True  # columns after the first are right-aligned
    keys: int = 1  # first columns that name a row
    turns: bool = True  # may be turned on its side
    spare: tuple[str, ...] = ()  # columns, the first first, that a terminal goes without where words do not fit
    marks: Marks = field(default_factory=dict)  # of cells of the body
    origins: list[dict[str, str]] = field(default_factory=list)  # of lines of the body, from the first: HTML shows them

    def __post_init__(self) -> None:
        """Names come from files: in no form of the table is one a command."""
        if _CONTROL.search(
            "".join([self.title, *self.head, *self.notes, *(cell for row in self.body for cell in row)])
        ):
            object.__setattr__(self, "title", printable(self.title))
            object.__setattr__(self, "body", [[*map(printable, row)] for row in self.body])
            for name in ("head", "notes"):
                object.__setattr__(self, name, [*map(printable, getattr(self, name))])

    def rich(self, width: int = 160) -> Any:
        """A rich renderable; a table wider than `width` is turned on its side or, if that is too wide, cut into parts.

        Each part repeats the columns that name a row.
        """
        from rich.console import Group
        from rich.text import Text

        parts = [_Grid(self.head, self.body, self.numeric, self.marks)]
        if self.numeric and parts[0].width > width:
            turned = [list(column) for column in zip(self.head, *self.body, strict=True)]
            marks = {(j - 1, i + 1): mark for (i, j), mark in self.marks.items()}  # line -1 is the head
            whole, parts = parts[0], [_Grid(turned[0], turned[1:], self.numeric, marks)]
            if not self.turns or parts[0].width > width:
                parts = [self._columns(chosen) for chosen in self._cut(whole.widths, width)]
        left_out: list[str] = []
        fitting = parts[0]
        for name in (name for name in self.spare if name in self.head):
            if fitting.squeezed(width):
                left_out.append(name)
                fitting = self._columns([i for i, told in enumerate(self.head) if told not in left_out])
        if fitting.squeezed(width):  # blocks have room for all
            left_out = []
        elif left_out:
            parts = [fitting]
        title = [Text(self.title, "bold")] if self.title else []
        notes = [*self.notes, *([f"no room for: {', '.join(left_out)}"] if left_out else [])]
        return Group(*title, *parts, *(Text(note, style="dim") for note in notes))

    def _columns(self, chosen: list[int]) -> _Grid:
        body = [[row[i] for i in chosen] for row in self.body]
        marks = {(i, chosen.index(j)): mark for (i, j), mark in self.marks.items() if j in chosen}
        return _Grid([self.head[i] for i in chosen], body, self.numeric, marks)

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
        body = self._body(lambda cell: _indented(_plain(cell), "&nbsp;&nbsp;"), MARKDOWN)
        text = self._tabulate([*map(_plain, self.head)], body, "pipe")
        notes = "".join(f"- {_plain(note)}\n" for note in self.notes)
        return (f"# {_plain(self.title)}\n\n" if self.title else "") + text + "\n" + (f"\n{notes}" if notes else "")

    def latex(self) -> str:
        """A booktabs tabular to be \\input into a table; title and notes stand above it as comments."""
        text = self._tabulate([*map(_guarded, self.head)], self._body(_guarded, LATEX, REMARK), "latex_booktabs")
        text = text.translate(_LATEX)
        needs = r"needs \usepackage{booktabs}" + (r", \usepackage{xcolor}" if "grey" in self.marks.values() else "")
        said = [self.title, *self.notes, needs]
        return "".join(f"% {' '.join(line.split())}\n" for line in said if line) + text + "\n"

    def html(self) -> str:
        """A page of its own: title, table and notes, readable on light and dark screens."""
        from .html import page

        return page([self])

    def csv(self) -> str:
        """Head and body as they are shown; title, notes and marks are left out."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.head, *self.body])
        return text.getvalue()

    def _body(
        self, words: Callable[[str], str], frames: dict[str, tuple[str, str]], outside: re.Pattern | None = None
    ) -> list[list[str]]:
        """Cells as `words` writes them; one with a mark stands between the two ends of its frame.

        What `outside` finds in a cell that is not grey stands behind the frame.
        """
        body = [[words(cell) for cell in row] for row in self.body]
        for (i, j), mark in self.marks.items():
            begin, end = frames[mark]
            cell = body[i][j]
            rest = outside and mark != "grey" and outside.search(cell)
            at = rest.start() if rest else len(cell)
            body[i][j] = begin + cell[:at] + end + cell[at:]
        return body

    def _tabulate(self, head: list[str], body: list[list[str]], form: str) -> str:
        from tabulate import tabulate

        align = ["left"] + ["right" if self.numeric else "left"] * (len(head) - 1)
        return tabulate(body, head, tablefmt=form, colalign=align, disable_numparse=True)


class _Grid:
    """A table as rich draws it, but sooner: rich lays out every cell, which takes seconds for 10,000 rows."""

    def __init__(self, head: list[str], body: list[list[str]], numeric: bool, marks: Marks | None = None):
        from rich.cells import cell_len

        self.head, self.body, self.numeric, self.marks = head, body, numeric, marks or {}
        self.cell_len = cell_len
        longest = [max(map(cell_len, column)) for column in zip(head, *body, strict=True)]
        self.widths = [min(n, WIDEST) if numeric and i else n for i, n in enumerate(longest)]
        self.width = _framed(self.widths)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        from rich.box import HEAVY_HEAD
        from rich.text import Text

        if self.width > options.max_width:  # what does not fit flows
            yield self._stacked() if self.squeezed(options.max_width) else self._flowing(options.max_width)
            return
        box = HEAVY_HEAD.substitute(options)
        wide = [n + 2 for n in self.widths]
        yield Text(box.get_top(wide), no_wrap=True)
        for cells in self._broken(self.head, console, low=True):
            bars = [box.head_left, *[box.head_vertical] * (len(cells) - 1), box.head_right]
            parts = [part for bar, cell in zip(bars, cells, strict=False) for part in (bar, (cell, "table.header"))]
            text = Text.assemble(*parts, bars[-1], no_wrap=True)
            self._mark(text, [(-1, cells)])
            yield text
        yield Text(box.get_row(wide, "head"), no_wrap=True)
        lines = [(i, cells) for i, row in enumerate(self.body) for cells in self._broken(row, console)]
        drawn = [box.mid_left + box.mid_vertical.join(cells) + box.mid_right for _, cells in lines]
        text = Text("\n".join([*drawn, box.get_bottom(wide)]), no_wrap=True)
        self._mark(text, lines)
        yield text

    def _mark(self, text: Text, lines: list[tuple[int, list[str]]]) -> None:
        """Give the words of marked cells their style; `lines`: of each drawn line that of the table, and its cells."""
        at = 0
        for i, cells in lines if self.marks else ():
            for j, cell in enumerate(cells):
                at += 1  # the bar before it
                word = cell.strip()
                if word and (i, j) in self.marks:
                    begin = at + cell.index(word)
                    text.stylize(STYLES[self.marks[i, j]], begin, begin + len(word))
                at += len(cell)
            at += 2  # the last bar, and the end of the line

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

    def _whole(self, j: int, n: int, width: int) -> bool:
        """Whether a column is not broken."""
        return n <= (SHORT if j else max(NAMED, 3 * width // 5)) or (self.numeric and not j)

    def squeezed(self, width: int) -> bool:
        """Whether it does not fit, and columns that are broken would be too narrow to be read."""
        whole = [self._whole(j, n, width) for j, n in enumerate(self.widths)]
        least = 3 if self.numeric else SHORT
        needed = _framed([n if kept else min(n, least) for n, kept in zip(self.widths, whole, strict=True)])
        return not all(whole) and needed > width

    def _stacked(self) -> RichTable:
        """Of a narrow terminal: a block for each row, a line for each cell."""
        from rich.table import Table as RichTable
        from rich.text import Text

        grid = RichTable.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for i, row in enumerate(self.body):
            for j, (name, cell) in enumerate(zip(self.head, row, strict=True)):
                told = Text(cell.strip())
                told.stylize(STYLES.get(self.marks.get((i, j), ""), "" if j else "bold"))
                grid.add_row(Text(name, "dim"), told)
            grid.add_row("", "")
        return grid

    def _flowing(self, width: int = 2 * NAMED) -> RichTable:
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable()

        def text(i: int, j: int, cell: str) -> Text:
            told = Text(cell)
            if (i, j) in self.marks:
                told.stylize(STYLES[self.marks[i, j]])
            return told

        for j, (name, n) in enumerate(zip(self.head, self.widths, strict=True)):
            whole = self._whole(j, n, width)
            justify = "right" if j and self.numeric else "left"
            table.add_column(text(-1, j, name), justify=justify, overflow="fold", no_wrap=whole, max_width=n)
        for i, row in enumerate(self.body):
            table.add_row(*(text(i, j, cell) for j, cell in enumerate(row)))
        return table


def _framed(widths: list[int]) -> int:
    """Characters that columns of these widths take with their frame."""
    return sum(widths) + 3 * len(widths) + 1


def _plain(text: str) -> str:
    """Words that Markdown shows as they are."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def _indented(cell: str, step: str) -> str:
    inner = cell.lstrip(" ")
    return step * ((len(cell) - len(inner)) // len(INDENT)) + inner


def _guarded(cell: str) -> str:
    """LaTeX reads a [ or * at the start of a line as an option of the line before."""
    guard = _GUARD if cell.startswith(("[", "*")) else ""
    return guard + _indented(cell, _STEP).replace("|", _BAR).replace("±", _PM)


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
    return printable(text.getvalue())


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


def counted(n: int | str, noun: str) -> str:
    """1 thread, 2 threads."""
    return f"{n} {noun}" + ("" if str(n) == "1" else "s")


def percent(share: float) -> str:
    """0.0123 -> 1.2 %; 0.5 -> 50 %; 1.14 -> 114 %."""
    return f"{100 * share:.0f} %" if 100 * share >= 99.5 else f"{100 * share:.2g} %"


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
