"""vidops list"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import Form, check_format, print_table, recipe_files


def command(
    what: Annotated[str, typer.Argument(help="ops, models, datasets or recipes; all of them if not given.")] = "all",
    format: Form = "table",
) -> None:
    """List operators, networks, data sets and recipes."""
    import json

    from vidops_cli.report.table import Table

    makers = {"ops": _ops, "models": _models, "datasets": _datasets, "recipes": _recipes}
    if what not in (*makers, "all"):
        raise ValueError(f"nothing called {what!r} to list", f"one of {', '.join(makers)}")
    check_format(format)
    found = {name: maker() for name, maker in makers.items() if what in (name, "all")}
    if format == "json":
        typer.echo(
            json.dumps(
                {name: [dict(zip(head, row, strict=True)) for row in body] for name, (head, body) in found.items()},
                indent=1,
            )
        )
        return
    for name, (head, body) in found.items():
        print_table(Table(name, head, body, numeric=False, spare=("status", "paper", "runs")))


def _ops() -> tuple[list[str], list[list[str]]]:
    from vidops_cli.ops import OPS
    from vidops_cli.own import BUILT_IN, registered
    from vidops_cli.verify import count_by_op

    cases, zoo = count_by_op(), [OPS[name] for name in BUILT_IN]
    body = [[c.name, c.title, _paper(c.venue, c.arxiv), c.slot, c.status, _cases(cases[c.name])] for c in zoo]
    body += [[r.name, r.spec, "-", "-", f"of the package {r.package}", _cases(0)] for r in registered().values()]
    return ["name", "operator", "paper", "slot", "status", "verified"], body


def _paper(venue: str, arxiv: str) -> str:
    return venue if arxiv == "-" else f"{venue}, {arxiv}"


def _cases(count: int) -> str:
    """Cases of released code that `vidops verify` runs."""
    return f"{count} case{'s' if count > 1 else ''}" if count else "none"


def _models() -> tuple[list[str], list[list[str]]]:
    from vidops_cli.models import MODELS

    return ["name", "network", "slots"], [[m.name, m.title, ", ".join(m.slots)] for m in MODELS.values()]


def _datasets() -> tuple[list[str], list[list[str]]]:
    from vidops_cli.data import DATASETS

    return ["name", "data set", "how it is had"], [[d.name, d.title, d.how] for d in DATASETS.values()]


def _recipes() -> tuple[list[str], list[list[str]]]:
    """Those below recipes/ here, or those that are shipped."""
    from .recipes import overview

    return ["file", "title", "runs"], [
        [told["recipe"], told["title"], told["runs"]] for told in overview(recipe_files(Path("recipes")))
    ]
