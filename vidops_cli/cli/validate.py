"""vidops validate"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import console, known, load_recipe


def command(
    recipes: Annotated[list[Path], typer.Argument(help="Recipes and suites (YAML).", show_default=False)],
) -> None:
    """Check recipes and suites, all their rows and options, and report every problem at once. Imports no torch.

    Example: vidops validate recipes/*.yaml
    """
    from vidops_cli.recipe import Problem, RecipeError
    from vidops_cli.recipe.suite import is_suite, load_suite

    problems: list[Problem] = []
    for path in recipes:
        try:
            if is_suite(path):
                layers = len(load_suite(path, known()).layers)
                console().print(f"{path}: valid, a suite of {layers} layers", soft_wrap=True)
                continue
            told = load_recipe(path)
            if told.mini is not None:
                load_recipe(path, scale="mini")
        except RecipeError as error:
            problems += error.problems
        except ValueError as error:
            problems.append(Problem(str(path), *map(str, error.args)))
        else:
            cells = f", {len(told.ablation.rows)} rows x {len(told.ablation.seeds)} seeds" if told.ablation else ""
            small = ", also with --mini" if told.mini is not None else ""
            console().print(f"{path}: valid{cells}{small}", soft_wrap=True)
    if problems:
        raise RecipeError(problems)
