"""What is wrong with a recipe, told all at once."""

from __future__ import annotations

from dataclasses import dataclass

LIKE = 0.65  # of difflib: what is less like a name than this is not taken for it misspelled


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a recipe, where, and what to do about it."""

    where: str
    message: str
    hint: str


class RecipeError(ValueError):
    """All problems of a recipe."""

    def __init__(self, problems: list[Problem]):
        self.problems = problems
        super().__init__("\n".join(f"{p.where}: {p.message}" for p in problems), problems[0].hint)
