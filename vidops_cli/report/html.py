"""Tables as pages of HTML that need no other file. What is not ours is escaped."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from .order import values_of
from .table import printable

if TYPE_CHECKING:
    from .table import Table

FRAMES = {"bold": ("<b>", "</b>"), "underline": ("<u>", "</u>"), "grey": ('<span class="grey">', "</span>")}
LONG = 24  # characters from which a cell is of text that flows


def page(tables: Sequence[Table]) -> str:
    """A page of tables, one below the other. It runs no script."""
    title = next((table.title for table in tables if table.title), "table")
    parts = (
        (f"<h1>{escape(table.title)}</h1>\n" if table.title else "") + grid(table) + notes(table.notes)
        for table in tables
    )
    return whole(title, "\n".join(parts))


def whole(title: str, body: str, *, script: str = "") -> str:
    """A page around its body. With a `script` the browser runs that one alone, and fetches nothing."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    policy = run = ""
    if script:
        digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
        allowed = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
        policy = f'<meta http-equiv="Content-Security-Policy" content="{allowed}">\n'
        run = f"<script>{script}</script>\n"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{policy}<meta name="viewport" content="width=device-width">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
{body}
{run}</body>
</html>
"""


def grid(table: Table, *, label: str = "", sortable: bool = False) -> str:
    """Head and body; where a line's numbers are from is shown when it is pointed at.

    `label` names the table to who does not see it, in place of its title. `sortable`: headings are buttons, and cells
    tell what they are sorted by, for the script of sort.js.
    """
    names = [name for name, wanted in (("numeric", table.numeric), ("sortable", sortable)) if wanted]
    kinds = f' class="{" ".join(names)}"' if names else ""
    label = escape(label or table.title)
    region = f' role="region" aria-label="{label}"' if label else ""
    head = "".join(map(_button if sortable else _heading, table.head))
    values = [values_of(column) for column in zip(*table.body, strict=True)] if sortable else []
    lines = "\n".join(_line(table, i, [column[i] for column in values]) for i in range(len(table.body)))
    return f"""<div class="wide" tabindex="0"{region}><table{kinds}>
<thead><tr>{head}</tr></thead>
<tbody>
{lines}
</tbody>
</table></div>"""


def notes(told: Sequence[str]) -> str:
    lines = "\n".join(f"<li>{escape(note)}</li>" for note in told)
    return f"\n<ul>\n{lines}\n</ul>" if told else ""


def _heading(name: str) -> str:
    return f'<th scope="col">{escape(name)}</th>'


def _button(name: str) -> str:
    return f'<th scope="col" aria-sort="none"><button type="button">{escape(name)}</button></th>'


def _line(table: Table, i: int, values: Sequence[float | str | None]) -> str:
    cells = []
    for j, words in enumerate(table.body[i]):
        begin, end = FRAMES.get(table.marks.get((i, j), ""), ("", ""))
        name = j < table.keys
        value = None if name or not values else values[j]
        sort = "" if value is None else f' data-sort="{value}"'
        told = _origin(table.origins[i]) if j == 0 and i < len(table.origins) else ""
        tag, scope = ("th", ' scope="row"') if name else ("td", "")
        long = ' class="long"' if len(words) > LONG and (name or not table.numeric) else ""
        cells.append(f"<{tag}{scope}{long}{sort}>{begin}{escape(words)}{end}{told}</{tag}>")
    return f"<tr>{''.join(cells)}</tr>"


def _origin(told: dict[str, str]) -> str:
    lines = "\n".join(f"{name}: {words}" for name, words in told.items())
    return f'<span class="origin">{escape(printable(lines))}</span>' if told else ""
