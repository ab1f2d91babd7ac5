"""Recipes from text."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidops_cli.cli.common import known
from vidops_cli.recipe import Problem, RecipeError, load


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "recipe.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def read(write):
    """The recipe of a text, with overrides."""
    return lambda text, *overrides: load(write(text), known(), list(overrides))


@pytest.fixture
def problems(write):
    """All problems of a text."""

    def problems(text: str, *overrides: str) -> list[Problem]:
        with pytest.raises(RecipeError) as error:
            load(write(text), known(), list(overrides))
        for problem in error.value.problems:
            assert problem.message and problem.hint
            assert "\n" not in problem.message + problem.hint
        return error.value.problems

    return problems
