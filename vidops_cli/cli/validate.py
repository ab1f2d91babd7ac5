"""vidops validate"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vidops_cli.report.table import counted

from .common import Form, check_format, console, known, load_recipe, print_json


def command(
    recipes: Annotated[list[Path], typer.Argument(help="Recipes and suites (YAML).", show_default=False)],
    format: Form = "table",
) -> None:
    """Check recipes and suites, all their rows and options, and report every problem at once.

    Example: vidops validate recipes/*.yaml
    """
    from vidops_cli.recipe import Problem, RecipeError
    from vidops_cli.recipe.suite import is_suite, load_suite

    check_format(format)
    problems: list[Problem] = []
    valid: dict[Path, str] = {}
    for path in recipes:
        try:
            if is_suite(path):
                layers = len(load_suite(path, known()).layers)
                valid[path] = f"a suite of {layers} layers"
                continue
            told = load_recipe(path)
            if told.mini is not None:
                load_recipe(path, scale="mini")
        except RecipeError as error:
            problems += error.problems
        except ValueError as error:
            message, *hint = map(str, error.args)
            problems.append(Problem(str(path), message.removeprefix(f"{path} ").removesuffix(f": {path}"), *hint))
        else:
            table, cells = told.ablation, []
            if table:
                cells = [f"{counted(len(table.rows), 'row')} x {counted(len(table.seeds), 'seed')}"]
            valid[path] = ", ".join([*cells, *(["also with --mini"] if told.mini is not None else [])])
    if format == "json":
        found = [{"file": str(path), "holds": holds} for path, holds in valid.items()]
        print_json({"valid": found, "problems": [asdict(problem) for problem in problems]})
        raise typer.Exit(2 if problems else 0)
    for path, holds in valid.items():
        console().print(", ".join([f"{path}: valid", *([holds] if holds else [])]), soft_wrap=True)
    if problems:
        raise RecipeError(problems)
