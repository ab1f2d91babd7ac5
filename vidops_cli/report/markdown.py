"""A table as `Table.markdown` writes it, read back: where the record has a table and not its rows."""

from __future__ import annotations

import re

from .table import INDENT, MARKDOWN, Table

_BAR = re.compile(r"(?<!\\)\|")
_ESCAPED = re.compile(r"\\([\\`*<|~_&\[\]])")


def read_markdown(text: str) -> Table:
    """The first table of a text, its title and its notes. ValueError if there is none."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines[1:]) if re.fullmatch(r"\|[ :|-]+\|", line)), None)
    if start is None or not lines[start].startswith("|"):
        raise ValueError("it holds no table", "a table as `--format markdown` writes it is shown")
    end = next((i for i in range(start, len(lines)) if not lines[i].startswith("|")), len(lines))
    head, rule, *body = (_cells(line) for line in lines[start:end])
    told = [[_unmarked(cell) for cell in row[: len(head)]] for row in body]
    told = [row + [("", None)] * (len(head) - len(row)) for row in told]
    return Table(
        title=next((_plain(line[2:]) for line in lines[:start] if line.startswith("# ")), ""),
        head=[_plain(name) for name in head],
        body=[[words for words, _ in row] for row in told],
        notes=[_plain(line[2:]) for line in lines[end:] if line.startswith("- ")],
        numeric=any(cell.endswith(":") and not cell.startswith(":") for cell in rule),
        marks={(i, j): mark for i, row in enumerate(told) for j, (_, mark) in enumerate(row) if mark},
    )


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in _BAR.split(line)[1:-1]]


def _unmarked(cell: str) -> tuple[str, str | None]:
    """Its words, and its mark."""
    for mark, (begin, end) in MARKDOWN.items():
        inner = cell[len(begin) : len(cell) - len(end)]
        if inner and cell == begin + inner + end:
            return _plain(inner), mark
    return _plain(cell), None


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text.replace("&nbsp;&nbsp;", INDENT))
