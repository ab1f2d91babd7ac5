"""Tables as a page of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .table import Table

STYLE = """
:root { color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif }
body { margin: 2em; background: Canvas; color: CanvasText }
h1 { font-size: 1.3em }
div { overflow-x: auto }
table { border-collapse: collapse; border-block: 2px solid; font-variant-numeric: tabular-nums }
th, td { padding: .25em .8em; text-align: left; white-space: pre-wrap; vertical-align: bottom }
.numeric td { white-space: pre }
th:first-child, td:first-child { position: sticky; left: 0; background: Canvas }
.numeric :is(th, td):not(:first-child) { text-align: right }
thead { border-bottom: 1px solid }
tbody tr:hover { background: color-mix(in srgb, currentColor 8%, transparent) }
ul { max-width: 60em; padding-left: 1.2em; font-size: .85em }
.grey { opacity: .55 }
"""
FRAMES = {"bold": ("<b>", "</b>"), "underline": ("<u>", "</u>"), "grey": ('<span class="grey">', "</span>")}


def page(tables: Sequence[Table]) -> str:
    """A whole page that needs no other file and runs no script; what is not ours is escaped."""
    title = escape(next((table.title for table in tables if table.title), "table"))
    parts = "\n".join(map(_part, tables))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
{parts}
</body>
</html>
"""


def _part(table: Table) -> str:
    """Title, cells and notes."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.head)
    lines = "\n".join(
        "<tr>" + "".join(f"<td>{_cell(cell, table.marks.get((i, j)))}</td>" for j, cell in enumerate(row)) + "</tr>"
        for i, row in enumerate(table.body)
    )
    notes = "\n".join(f"<li>{escape(note)}</li>" for note in table.notes)
    title = f"<h1>{escape(table.title)}</h1>\n" if table.title else ""
    return f"""{title}<div><table{' class="numeric"' if table.numeric else ""}>
<thead><tr>{head}</tr></thead>
<tbody>
{lines}
</tbody>
</table></div>""" + (f"\n<ul>\n{notes}\n</ul>" if notes else "")


def _cell(cell: str, mark: str | None) -> str:
    begin, end = FRAMES[mark] if mark else ("", "")
    return begin + escape(cell) + end
