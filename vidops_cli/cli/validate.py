"""vidops validate"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import console, load_recipe


def command(recipes: Annotated[list[Path], typer.Argument(help="Recipes (YAML).", show_default=False)]) -> None:
    """Check recipes, all their rows and options, and report every problem at once. Imports no torch.

    Example: vidops validate recipes/*.yaml
    """
    from vidops_cli.recipe import Problem, RecipeError

    problems: list[Problem] = []
    for path in recipes:
        try:
            told = load_recipe(path)
        except RecipeError as error:
            problems += error.problems
        except ValueError as error:
            problems.append(Problem(str(path), *map(str, error.args)))
        else:
            cells = f", {len(told.ablation.rows)} rows x {len(told.ablation.seeds)} seeds" if told.ablation else ""
            console().print(f"{path}: valid{cells}", soft_wrap=True)
    if problems:
        raise RecipeError(problems)
