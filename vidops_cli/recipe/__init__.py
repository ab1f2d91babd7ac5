"""Recipes: YAML files that say what to train, evaluate and ablate.

A recipe is read with the line of every key, merged over its `base:`, changed by `key=value` overrides, and checked as a
whole: every problem is reported at once, each with its line and a hint. Knows no torch; the operators, networks and
data sets that exist are handed in (`Known`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .checking import Known, check, nearest, section, where
from .problems import Problem, RecipeError
from .reading import Dumper, Lines, override, parse_override, with_base
from .rows import CHANGED, check_ablation, with_row
from .schema import Ablation, Optimizer, Recipe, Row, keys

__all__ = [
    "Known",
    "Optimizer",
    "Problem",
    "Recipe",
    "RecipeError",
    "Row",
    "dump",
    "keys",
    "load",
    "nearest",
    "parse_override",
    "resolve",
]


SMOKE_SIZES = {"train": 64, "val": 32, "test": 64}
SMOKE_EPISODES = 20


def load(
    path: Path, known: Known, overrides: list[str] | None = None, *, rows: bool = True, scale: str = "full"
) -> Recipe:
    """Read, merge, override and check a recipe. Raises RecipeError with all problems.

    With `rows` every row of its ablation is checked too; without, the ablation is left out. `scale`: "mini" applies its
    `mini:` block, "smoke" takes one seed and one epoch of that; ValueError if it has none and is not mini itself.
    """
    value, lines = with_base(path)
    if scale != "full":
        _make_small(value, lines, path, scale)
    for text in overrides or []:
        key, new = parse_override(text)
        override(value, lines, key, new, text[:80])
    if not rows:
        value.pop("ablation", None)
    recipe, problems = check(value, lines, known)
    ablation = section(Ablation, value.get("ablation"))
    if ablation is not None:
        problems += check_ablation(value, lines, ablation, known)
    if problems:
        raise RecipeError(list(dict.fromkeys(problems)))
    assert recipe is not None
    return recipe


def _make_small(value: dict[str, Any], lines: Lines, path: Path, scale: str) -> None:
    """Apply the `mini:` block; what it changes is told of with its lines."""
    if value.get("mini") is None and value.get("scale") != "mini":
        raise ValueError(f"{path} has no mini: block", "add one, or run it as it is")
    changes = value.get("mini") or {}
    if not isinstance(changes, dict) or not all(
        part in CHANGED and isinstance(changed, dict) for part, changed in changes.items()
    ):
        return  # the schema says what is wrong
    value.pop("mini", None)
    for part, changed in changes.items():
        for key, new in changed.items():
            place = ("mini", part, key)
            below = {old[len(place) :]: line for old, line in lines.items() if old[: len(place)] == place}
            override(value, lines, f"{part}.{key}", new, where(place, lines))
            lines.update({(part, key, *rest): line for rest, line in below.items()})
    value["scale"] = scale
    if scale == "smoke":
        override(value, lines, "train.epochs", 1, "--smoke")
        if value.get("episodes"):
            override(value, lines, "episodes.eval", SMOKE_EPISODES, "--smoke")
        _make_tiny(value.get("data"), 12 if value.get("episodes") else 1)
        if isinstance(value.get("ablation"), dict):
            value["ablation"]["seeds"] = list(value["ablation"].get("seeds") or [0])[:1]


def _make_tiny(data: Any, times: int) -> None:
    """A generated benchmark of a few clips, in a folder of its own; episodes need some of each class."""
    if isinstance(data, dict) and isinstance(data.get("generated"), dict) and isinstance(data.get("root"), str):
        data["generated"]["sizes"] = {part: times * count for part, count in SMOKE_SIZES.items()}
        data["root"] += "-smoke"


def resolve(recipe: Recipe, row: Row, seed: int, known: Known) -> Recipe:
    """The recipe of one cell: a row's settings and a seed applied, without the ablation.

    Those of an eval row come after those of the row whose weights it tests.
    """
    assert recipe.ablation is not None
    value = recipe.model_dump(mode="python", exclude_unset=True)
    value["train"]["seed"] = seed
    return with_row(value, {}, recipe.ablation.rows.index(row), recipe.ablation.rows, known)


def dump(recipe: Recipe, *, defaults: bool = True) -> str:
    """The recipe as YAML that `load` reads back; without `defaults` only the keys that are told."""
    told = recipe.model_dump(mode="json", exclude_unset=not defaults)
    return yaml.dump(told, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
