"""A report: sections of tables and plots with contents, in one page that fetches nothing. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from .html import grid, notes, whole
from .table import Table, printable

FROM = "where these numbers are from"


@dataclass(frozen=True)
class Plot:
    caption: str
    svg: str


@dataclass(frozen=True)
class Part:
    """What one file of rows, or one folder of runs, makes. `name` is short, for the contents."""

    name: str
    title: str
    source: str
    tables: list[Table] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)


def document(title: str, sections: Mapping[str, Sequence[Part]], told: Sequence[str] = (), lead: str = "") -> str:
    """A page of sections, each with its parts; `lead` says what it is, `told` are lines as on what was left out."""
    used: set[str] = set()
    ids = {name: _id(name, used) for name in sections}
    places = {name: [_id(f"{name} {part.name}", used) for part in parts] for name, parts in sections.items()}
    contents = "\n".join(
        f'<li><a href="#{ids[name]}">{_text(name)}</a><ul>'
        + "".join(
            f'<li><a href="#{place}">{_text(part.name)}</a></li>'
            for part, place in zip(parts, places[name], strict=True)
        )
        + "</ul></li>"
        for name, parts in sections.items()
    )
    body = "\n".join(
        f'<section aria-labelledby="{ids[name]}">\n<h2 id="{ids[name]}">{_text(name)}</h2>\n'
        + "\n".join(_part(part, place) for part, place in zip(parts, places[name], strict=True))
        + "\n</section>"
        for name, parts in sections.items()
    )
    script = Path(__file__).with_name("sort.js").read_text(encoding="utf-8")
    lines = "".join(f"<p>{_text(line)}</p>\n" for line in ([lead] if lead else []) + [*told])
    text = f"""<div class="report">
<h1>{_text(title)}</h1>
<nav aria-label="Contents">
<ul>
{contents}
</ul>
</nav>
<main>
{lines}{body}
</main>
</div>"""
    return whole(printable(title), text, script=script)


def _part(part: Part, place: str) -> str:
    plots = [f"<figure>{plot.svg}<figcaption>{_text(plot.caption)}</figcaption></figure>" for plot in part.plots]
    tables = [_table(table, part) for table in part.tables]
    first, rest = tables[:1], tables[1:]
    head = f'<h3>{_text(part.title)}</h3>\n<p class="file">{_text(part.source)}</p>'
    return "\n".join([f'<article id="{place}">', head, *first, *plots, *rest, "</article>"])


def _table(table: Table, part: Part) -> str:
    head = f"<h4>{escape(table.title)}</h4>\n" if table.title and printable(part.title) != table.title else ""
    return (
        head
        + grid(table, label=table.title or printable(part.title), sortable=True)
        + notes(table.notes)
        + _origins(table)
    )


def _origins(table: Table) -> str:
    """What pointing at a line shows, for who has no mouse, and for paper: once if all lines have the same."""
    told = table.origins
    if not any(told):
        return ""
    if all(origin == told[0] for origin in told):
        words = "; ".join(f"{name} {value}" for name, value in told[0].items())
        return f"\n<details><summary>{FROM}</summary><p>{_text(words)}</p></details>"
    kinds = list(dict.fromkeys(name for origin in told for name in origin))
    lines = [
        [*row[: table.keys], *(origin.get(kind, "") for kind in kinds)]
        for row, origin in zip(table.body, told, strict=False)
    ]
    whence = Table("", [*table.head[: table.keys], *kinds], lines, numeric=False, keys=table.keys)
    return f"\n<details><summary>{FROM}</summary>{grid(whence, label=FROM)}</details>"


def _text(words: str) -> str:
    return escape(printable(words))


def _id(words: str, used: set[str]) -> str:
    """A name for a link, as no other one has it."""
    name = base = "-".join(re.findall(r"[a-z0-9]+", words.lower())) or "part"
    number = 1
    while name in used:
        number += 1
        name = f"{base}-{number}"
    used.add(name)
    return name
