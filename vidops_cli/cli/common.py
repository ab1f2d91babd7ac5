"""What several verbs share: options, the recipe with all names known, the console."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from vidops_cli.ops import Card
    from vidops_cli.recipe import Known, Recipe
    from vidops_cli.report.table import Table

Overrides = Annotated[
    list[str] | None, typer.Argument(help="Changes to the recipe, as in train.epochs=2.", metavar="[KEY=VALUE]...")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


def known() -> Known:
    from vidops_cli.data import DATASETS
    from vidops_cli.models import MODELS
    from vidops_cli.ops import OPS
    from vidops_cli.recipe import Known

    return Known(ops=OPS, models=MODELS, datasets=DATASETS)


def load_recipe(path: Path, overrides: list[str] | None = None, *, rows: bool = True, scale: str = "full") -> Recipe:
    from vidops_cli.recipe import load

    return load(path, known(), overrides, rows=rows, scale=scale)


def console(*, stderr: bool = False) -> Console:
    """Rich's console. Where output is no terminal nothing tells a width: a table is not squeezed into 80 columns."""
    import os
    import sys

    from rich.console import Console

    unknown = not (sys.stderr if stderr else sys.stdout).isatty() and "COLUMNS" not in os.environ
    return Console(stderr=stderr, highlight=False, markup=False, width=160 if unknown else None)


def find_op(name: str) -> Card:
    """An operator's card by name; ValueError with the nearest name if there is none."""
    import difflib

    from vidops_cli.ops import OPS

    if name not in OPS:
        near = difflib.get_close_matches(name, OPS, n=1)
        raise ValueError(
            f"unknown operator {name!r}", f"did you mean {near[0]!r}?" if near else f"operators: {', '.join(OPS)}"
        )
    return OPS[name]


def recipe_files(folder: Path) -> list[Path]:
    """Recipes below a folder, without the bases that they stand on and the suites of `vidops profile`."""
    return [path for path in sorted(folder.rglob("*.yaml")) if not {"base", "profile"} & set(path.parts)]


def print_table(table: Table) -> None:
    target = console()
    target.print(table.rich(target.width))
