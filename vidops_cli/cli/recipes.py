"""vidops recipes"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidops_cli.report.table import counted

from .common import (
    Form,
    OneRow,
    Overrides,
    check_format,
    console,
    known,
    load_recipe,
    load_run,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from vidops_cli.recipe import Recipe

app = typer.Typer(help="List, show, copy and compare recipes; export their JSON Schema.")
Name = Annotated[
    Path, typer.Argument(help="A recipe: a file, or one of `vidops recipes`.", metavar="RECIPE", show_default=False)
]


@app.callback(invoke_without_command=True)
def listed(
    context: typer.Context,
    find: Annotated[
        list[str] | None,
        typer.Option("--find", help="Only those with this word in path, title, claim or paper; repeat it."),
    ] = None,
    claims: Annotated[bool, typer.Option("--claims", help="What each is to show, and its paper.")] = False,
    format: Form = "table",
) -> None:
    """List the recipes and suites that are shipped. Their names work in every folder.

    A file of that name in your own folder stands in place of the shipped one.

    Example: vidops recipes --find kernel
    """
    if context.invoked_subcommand is None:
        _list(find, claims, format)


@app.command("list", hidden=True)
def list_(
    find: Annotated[list[str] | None, typer.Option("--find", help="As of `vidops recipes`.")] = None,
    claims: Annotated[bool, typer.Option("--claims", help="As of `vidops recipes`.")] = False,
    format: Form = "table",
) -> None:
    """List the recipes and suites that are shipped, as `vidops recipes` alone does."""
    _list(find, claims, format)


def _list(find: list[str] | None, claims: bool, format: str) -> None:
    from vidops_cli.recipe.shipped import names
    from vidops_cli.report.table import Table

    check_format(format)
    found = [told for told in overview(names()) if _has(told, find or [])]
    if not found:
        raise ValueError(f"no shipped recipe has {' and '.join(map(repr, find or []))}", "`vidops recipes` lists all")
    if format == "json":
        print_json(found)
        return
    head = ["recipe", "claim", "paper"] if claims else ["recipe", "title", "runs"]
    notes = [f"{len(found)} recipes; one as it is run: vidops recipes show {found[0]['recipe']}"]
    print_table(
        Table("", head, [[told[key] for key in head] for told in found], notes, numeric=False, spare=("runs", "paper"))
    )


@app.command()
def show(
    recipe: Name,
    overrides: Overrides = None,
    row: OneRow = None,
    full: Annotated[bool, typer.Option("--full", help="All keys, those left at their defaults too.")] = False,
    format: Annotated[str, typer.Option(help="yaml or json.")] = "yaml",
) -> None:
    """Print a recipe as it is run: its base merged, overrides and row applied, checked.

    Example: vidops recipes show recipes/quickstart.yaml --row TSM train.epochs=2
    """
    from vidops_cli.recipe import dump

    check_format(format, ("yaml", "json"))
    told = _resolved(recipe, overrides, row)
    if format == "json":
        print_json(told.model_dump(mode="json", exclude_unset=not full))
    else:
        typer.echo(dump(told, defaults=full), nl=False)


@app.command()
def copy(
    recipe: Name,
    to: Annotated[Path | None, typer.Argument(help="A file or a folder. Default: this folder.", metavar="TO")] = None,
    merged: Annotated[
        bool, typer.Option("--merged", help="Write out what its bases say: the file stands alone.")
    ] = False,
) -> None:
    """Copy a recipe, to change it: it runs where it lands. What is there is never written over.

    Example: vidops recipes copy recipes/rsa/kernel.yaml mine.yaml
    """
    from vidops_cli.recipe.shipped import copy_of
    from vidops_cli.record import write_text

    place = Path(recipe.name) if to is None else to / recipe.name if to.is_dir() else to
    text = copy_of(recipe, place, merged=merged)
    if place.exists() or place.is_symlink():
        raise ValueError(f"{place} is there already", "name another file")
    write_text(place, text)
    console().print(f"written: {place}", soft_wrap=True)


@app.command()
def diff(
    a: Name,
    b: Annotated[
        list[str] | None,
        typer.Argument(help="Another recipe, and changes to it; changes alone are to the first.", metavar="OTHER"),
    ] = None,
    row: Annotated[
        list[str] | None,
        typer.Option("--row", metavar="NAME", help="A row of both; given twice: of the first, of the second."),
    ] = None,
    format: Form = "table",
) -> None:
    """Show the keys in which two recipes differ, rows of their tables too, after bases and overrides.

    Example: vidops recipes diff recipes/quickstart.yaml --row TSN --row TSM
    """
    from vidops_cli.recipe import comparing
    from vidops_cli.report.table import Table

    check_format(format)
    first, *rest = b or [""]
    other, changes = (a, b or []) if not first or "=" in first else (Path(first), rest)
    if len(row or []) > 2 or (other == a and not changes and len(set(row or [])) < 2):
        raise ValueError("diff takes two recipes, two rows, or changes", "as in: vidops recipes diff A B; see --help")
    rows = (row[0], row[-1]) if row else (None, None)
    one, two = _resolved(a, [], rows[0]), _resolved(other, changes, rows[1])
    found = [*comparing.differing(one.model_dump(mode="json"), two.model_dump(mode="json"))]
    same = one.hash() == two.hash()
    if format == "json":
        told = [
            {"key": key, **{name: value for name, value in (("a", x), ("b", y)) if value is not comparing.ABSENT}}
            for key, x, y in found
        ]
        print_json({"hash_a": one.hash(), "hash_b": two.hash(), "rows": told})
        return
    body = [[key, _word(x), _word(y)] for key, x, y in found]
    if not found:
        console().print("no key differs")
        return
    notes = ["the same run: nothing of this changes a result"] if same and one.ablation is None else []
    named = [f"{path}: {name}" if name else str(path) for path, name in ((a, rows[0]), (other, rows[1]))]
    named[1] = " ".join([named[1], *changes])
    print_table(Table("", ["key", *named], body, notes, numeric=False))


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option(help="A file to write. Default: print it.", show_default=False)] = None,
) -> None:
    """Write the JSON Schema of recipes and suites, by which editors complete and check them.

    Example: vidops recipes schema --out recipe.schema.json
    """
    from vidops_cli.recipe.json_schema import json_schema
    from vidops_cli.record import write_text

    text = json.dumps(json_schema(known()), indent=1) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    write_text(out, text)
    console().print(f"written: {out}; on top of a recipe: # yaml-language-server: $schema={out}", soft_wrap=True)


def overview(paths: Iterable[Path]) -> list[dict[str, str]]:
    """Of each recipe: path, title, claim, paper, and what it runs. Read, and not checked: of a hundred in a second."""
    from vidops_cli.recipe.reading import with_base

    found = []
    for path in paths:
        told = {"recipe": str(path), "title": "not valid: see `vidops validate`", "claim": "", "paper": "", "runs": "-"}
        try:
            read = with_base(path)[0]
            told |= {key: str(read.get(key, "")) for key in ("title", "claim", "paper")} | {"runs": _runs(read)}
        except (ValueError, TypeError, KeyError, AttributeError):  # of another form than a recipe's
            pass
        found.append(told)
    return found


def _runs(told: dict[str, Any]) -> str:
    if "layers" in told:
        return f"{len(told['layers'])} layers"
    table = told.get("ablation")
    if not table:
        return "one run"
    return f"{counted(len(table['rows']), 'row')} x {counted(len(table.get('seeds', [0])), 'seed')}"


def _has(told: dict[str, str], words: list[str]) -> bool:
    return all(any(word.lower() in value.lower() for value in told.values()) for word in words)


def _resolved(path: Path, overrides: list[str] | None, row: str | None) -> Recipe:
    from vidops_cli.recipe.suite import is_suite

    if is_suite(path):
        run = shlex.join(["vidops", "profile", "--suite", str(path)])
        raise ValueError(f"{path} is a suite of layers, not a recipe", f"it is run by: {run}")
    return load_recipe(path, overrides) if row is None else load_run(path, overrides, row)


def _word(value: Any) -> str:
    """On one line, as a recipe writes it."""
    import yaml

    from vidops_cli.recipe import comparing

    if value is comparing.ABSENT or isinstance(value, str):
        return "-" if value is comparing.ABSENT else value
    line = yaml.safe_dump(_told(value), default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return line.removesuffix("...\n").strip()


def _told(value: Any) -> Any:
    """Without the keys of rows and operators that say nothing."""
    if isinstance(value, list):
        return [_told(item) for item in value]
    if isinstance(value, dict):
        return {key: _told(inner) for key, inner in value.items() if inner not in (None, [], {})}
    return value
