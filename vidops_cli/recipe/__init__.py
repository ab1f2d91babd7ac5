"""Recipes: YAML files that say what to train, evaluate and ablate.

A recipe is read with the line of every key, merged over its `base:`, changed by `key=value` overrides, and checked as a
whole: every problem is reported at once, each with its line and a hint. Knows no torch; the operators, networks and
data sets that exist are handed in (`Known`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from .checking import Known, check, section, where
from .problems import Problem, RecipeError
from .reading import Dumper, Lines, override, parse_override, split_key, with_base
from .schema import Ablation, Optimizer, Recipe, Row, keys

__all__ = ["Known", "Optimizer", "Problem", "Recipe", "RecipeError", "Row", "dump", "keys", "load", "resolve"]


def load(path: Path, known: Known, overrides: list[str] | None = None, *, rows: bool = True) -> Recipe:
    """Read, merge, override and check a recipe. Raises RecipeError with all problems.

    With `rows` every row of its ablation is checked too; without, the ablation is left out.
    """
    value, lines = with_base(path)
    for text in overrides or []:
        key, new = parse_override(text)
        override(value, lines, key, new, text)
    if not rows:
        value.pop("ablation", None)
    recipe, problems = check(value, lines, known)
    ablation = section(Ablation, value.get("ablation"))
    if ablation is not None:
        problems += _check_rows(value, lines, ablation, known)
    if problems:
        raise RecipeError(list(dict.fromkeys(problems)))
    assert recipe is not None
    return recipe


def resolve(recipe: Recipe, row: Row, seed: int, known: Known) -> Recipe:
    """The recipe of one cell: a row's settings and a seed applied, without the ablation."""
    value = recipe.model_dump(mode="python")
    value["train"]["seed"] = seed
    return _with_row(value, {}, 0, row, known)


def dump(recipe: Recipe) -> str:
    """The recipe as YAML that `load` reads back."""
    return yaml.dump(recipe.model_dump(mode="json"), Dumper=Dumper, sort_keys=False, allow_unicode=True)


def _check_rows(value: dict[str, Any], lines: Lines, ablation: Ablation, known: Known) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for i, row in enumerate(ablation.rows):
        place = ("ablation", "rows", i)
        reserved = {key: "a row changes data, model, train or eval" for key in row.set if key.startswith("ablation")}
        if "train.seed" in row.set:
            reserved["train.seed"] = "ablation.seeds gives the seeds"
        for key, hint in reserved.items():
            yield Problem(where((*place, "set", key), lines), f"a row cannot set {key}", hint)
        if reserved:
            continue
        try:
            resolved = _with_row(value, lines, i, row, known)
        except RecipeError as error:
            yield from error.problems
            continue
        if row.name in seen.values():
            yield Problem(where(place, lines), f"two rows are named {row.name!r}", "give each row a name of its own")
        elif resolved.hash() in seen:
            told = f"{row.name!r} is the same as {seen[resolved.hash()]!r}"
            yield Problem(where(place, lines), told, "a row must change something")
        seen[resolved.hash()] = row.name
    for i, seed in enumerate(ablation.seeds):
        if seed in ablation.seeds[:i]:
            yield Problem(where(("ablation", "seeds", i), lines), f"seed {seed} stands twice", "keep one of them")


def _with_row(value: dict[str, Any], lines: Lines, index: int, row: Row, known: Known) -> Recipe:
    """The recipe with a row's settings; RecipeError with the lines of the row."""
    value, lines = copy.deepcopy(value), dict(lines)
    value.pop("ablation")
    for key, new in row.set.items():
        place = ("ablation", "rows", index, "set", key)
        below = {path[len(place) :]: line for path, line in lines.items() if path[: len(place)] == place}
        override(value, lines, key, copy.deepcopy(new), where(place, lines))
        lines.update({split_key(key) + path: line for path, line in below.items()})
    recipe, problems = check(value, lines, known)
    if recipe is None:
        raise RecipeError(problems)
    return recipe
