"""What several verbs share: options, the recipe with all names known, the console."""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from vidops_cli.ops import Card
    from vidops_cli.recipe import Known, Recipe
    from vidops_cli.report.table import Table

Overrides = Annotated[
    list[str] | None, typer.Argument(help="Changes to the recipe, as in train.epochs=2.", metavar="KEY=VALUE")
]
OneRow = Annotated[str | None, typer.Option("--row", metavar="NAME", help="A row of the recipe's table.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Form = Annotated[str, typer.Option(help="table or json.")]
QUIET = [False]  # whether progress and notes are left out


def be_quiet(wanted: bool) -> None:
    QUIET[0] |= wanted


Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", callback=be_quiet, help="No progress, no notes; results and errors stay.")
]


def verb(handler: Callable[..., None]) -> Callable[..., None]:
    """A verb with the options that all have."""

    @functools.wraps(handler)
    def run(*given: object, quiet: bool = False, **named: object) -> None:
        handler(*given, **named)

    parts = (inspect.getdoc(handler) or "").split("\n\n")
    run.__doc__ = "\n\n".join(" ".join(part.split()) for part in parts)  # Typer wraps them to the terminal
    told = inspect.signature(handler, eval_str=True)
    quiet = inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Quiet)
    run.__signature__ = told.replace(parameters=[*told.parameters.values(), quiet])  # type: ignore[attr-defined]
    return run


def known() -> Known:
    from vidops_cli.api import known

    return known(tell_import)


def tell_import(line: str) -> None:
    """Of code that is not vidops' own, before it runs: on stderr, once of several processes."""
    import os

    if os.environ.get("RANK", "0") == "0":
        console(stderr=True).print(line, soft_wrap=True)


def load_recipe(path: Path, overrides: list[str] | None = None, *, rows: bool = True, scale: str = "full") -> Recipe:
    from vidops_cli.own.source import look_beside
    from vidops_cli.recipe import load

    look_beside(path)
    return load(path, known(), overrides, rows=rows, scale=scale)


def load_run(path: Path, overrides: list[str] | None, row: str | None, *, trained: bool = False) -> Recipe:
    """The recipe of one run: as it stands above its table, or as a row changes it. `trained`: and as can be trained.

    ValueError on a row that is not there, and on what it and an override both set.
    """
    if row is None:
        return load_recipe(path, overrides, rows=False)
    from vidops_cli.recipe import nearest, parse_override, resolve

    told = load_recipe(path, overrides)
    if told.ablation is None:
        raise ValueError(f"{path} has no rows", "leave --row out")
    named = {each.name: each for each in told.ablation.rows}
    if row not in named:
        raise ValueError(f"{path} has no row {row!r}", nearest(row, named, "rows"))
    found = named[row]
    for key in (parse_override(text)[0] for text in overrides or []):
        for mine in found.set:
            if f"{key}.".startswith(f"{mine}.") or f"{mine}.".startswith(f"{key}."):
                raise ValueError(f"the row {row!r} sets {mine} itself", f"leave {key} out, or leave --row out")
    run = resolve(told, found, told.train.seed, known())
    if trained and found.of is not None:
        raise ValueError(f"the row {row!r} tests weights of another", f"train that: --row {found.of!r}")
    given = run.model.weights if isinstance(run.model.weights, dict) else {}
    if trained and (absent := {part: name for part, name in found.weights.items() if part not in given}):
        words = " ".join(f"model.weights.{part}=CHECKPOINT" for part in absent)
        told_rows = ", ".join(dict.fromkeys(map(repr, absent.values())))
        every = shlex.join(["vidops", "ablate", str(path), "--only", row])
        hint = f"train those and add {words}, or run all: {every}"
        raise ValueError(f"the row {row!r} starts from weights of {told_rows}", hint)
    return run


def of_no_row(path: Path, overrides: list[str] | None, row: str | None) -> list[str]:
    """A line for who runs the recipe of a table, and may mean a row of it; none where row or network are told."""
    if row or any(word.startswith("model") for word in overrides or []):
        return []
    try:
        ablation = load_recipe(path).ablation
    except ValueError:  # in its rows; the recipe itself is sound
        return []
    names = [repr(each.name) for each in ablation.rows if each.of is None] if ablation else []
    return [f"the recipe above its table; for a row of that: --row NAME, of {', '.join(names)}"] if names else []


def run_folder(path: Path, row: str | None) -> Path:
    """Where a recipe's run is kept unless a folder is named."""
    words = "".join(c if c.isalnum() or c in "._" else " " for c in row or "").split()
    return Path("runs") / "-".join([path.stem, *words]).lower() if row else Path("runs") / path.stem


def console(*, stderr: bool = False, note: bool = False) -> Console:
    """Rich's console. Where output is no terminal nothing tells a width: a table is not squeezed into 80 columns.

    `note`: for progress and what need not be known, which --quiet leaves out.
    """
    import os
    import sys

    from .terminal import Terminal

    unknown = not (sys.stderr if stderr else sys.stdout).isatty() and "COLUMNS" not in os.environ
    return Terminal(
        stderr=stderr, highlight=False, markup=False, width=160 if unknown else None, quiet=note and QUIET[0]
    )


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:160]


@contextmanager
def memory_told(recipe: Recipe, *, trained: bool) -> Iterator[None]:
    """Where memory is too short: a ValueError with the recipe's batch and frames, and what to lower."""
    from vidops_cli.profiling.memory import is_out_of_memory

    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        train, size = recipe.train, f"data.num_frames={recipe.data.num_frames}"
        what, hint = f"eval.batch={recipe.eval.batch}, {size}", "lower eval.batch"
        if trained:
            what = f"train.batch={train.batch} in {train.accumulate} parts (train.accumulate), {what}"
            same = "train.activation_checkpointing=true takes less and goes on with the same run"
            less = "raise train.accumulate, set train.precision=bfloat16, or lower train.batch or data.num_frames"
            hint = less if train.activation_checkpointing else f"{same}; else {less}"
        raise ValueError(f"out of memory with {what}: {first_line(error)}", hint) from None


def find_op(name: str, inputs: list[str] | None = None) -> Card:
    """An operator's card by name, or by package.module:Class; ValueError with the nearest name if there is none.

    `inputs`: the shapes that one which is not of the zoo takes.
    """
    from vidops_cli.own import Operators, card_of, is_own
    from vidops_cli.recipe import nearest

    if is_own(name):
        return card_of(name, inputs=inputs, tell=tell_import)
    known = Operators()
    if name not in known:
        raise ValueError(f"unknown operator {name!r}", nearest(name, known, "operators"))
    return known[name]


def options_of(card: Card, given: list[str]) -> dict[str, Any]:
    """`name=value` as a recipe would write it, checked against the card."""
    from vidops_cli.profiling.cases import find_option
    from vidops_cli.recipe.reading import parse_override

    options = {}
    for text in given:
        if "=" not in text:
            raise ValueError(f"--set takes NAME=VALUE, got {text!r}", "as in --set heads=4")
        name, options[name] = parse_override(text)
        if problem := find_option(card, name).problem(options[name]):
            raise ValueError(f"{card.name}: {name}: {problem}", f"see `vidops show {card.name}`")
    return options


def recipe_files(folder: Path) -> list[Path]:
    """Recipes below a folder, without the bases that they stand on and the suites of `vidops profile`.

    Below recipes/, where there is no such folder, those that are shipped, under their names.
    """
    from vidops_cli.recipe.reading import find

    place = find(folder)
    paths = [folder / path.relative_to(place) for path in sorted(place.rglob("*.yaml"))]
    return [path for path in paths if not {"base", "profile"} & set(path.parts)]


def check_format(format: str, forms: tuple[str, ...] = ("table", "json")) -> None:
    if format not in forms:
        raise ValueError(f"unknown format {format!r}", " or ".join(forms))


def print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, indent=1))


def tell(format: str, told: object, lines: Iterable[str]) -> None:
    """What a verb has made: as JSON, or in lines."""
    if format == "json":
        print_json(told)
        return
    for line in lines:
        console().print(line, soft_wrap=True)


def print_table(table: Table) -> None:
    target = console()
    target.print(table.rich(target.width))
