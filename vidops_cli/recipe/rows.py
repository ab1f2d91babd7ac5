"""The rows of an ablation: each a change of the recipe, checked as a recipe of its own."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from .checking import Known, check, nearest, where
from .problems import Problem, RecipeError
from .reading import Lines, Place, override, split_key
from .schema import COSTS, Ablation, Claim, Recipe, Row

CHANGED = ("data", "model", "train", "eval", "episodes")  # sections that a row may change


def check_ablation(value: dict[str, Any], lines: Lines, ablation: Ablation, known: Known) -> Iterator[Problem]:
    """All that is wrong with rows, seeds, claims and the names in them."""
    yield from _check_rows(value, lines, ablation, known)
    for i, seed in enumerate(ablation.seeds):
        if seed in ablation.seeds[:i]:
            yield Problem(where(("ablation", "seeds", i), lines), f"seed {seed} stands twice", "keep one of them")
    for i, rate in enumerate(ablation.rates):
        if rate in (1, *ablation.rates[:i]):
            told = "of 1 is the row itself" if rate == 1 else f"{rate:g} stands twice"
            yield Problem(where(("ablation", "rates", i), lines), f"a rate {told}", "as in rates: [0.5, 2]")
    names = [row.name for row in ablation.rows]
    named = [(("reference",), ablation.reference)] if ablation.reference is not None else []
    for i, row in enumerate(ablation.rows):
        if row.control_of == row.name:
            line = where(("ablation", "rows", i, "control_of"), lines)
            yield Problem(line, f"{row.name!r} is a control of itself", "name the row that it is compared with")
        named += [(("rows", i, "control_of"), row.control_of)] if row.control_of is not None else []
    for i, claim in enumerate(ablation.claims):
        yield from _check_bound(claim, ("ablation", "claims", i), lines)
        named += [(("claims", i, "better"), claim.better), (("claims", i, "worse"), claim.worse)]
        if claim.better == claim.worse:
            line = where(("ablation", "claims", i), lines)
            yield Problem(line, f"a claim compares {claim.better!r} with itself", "name two rows")
        if claim.claim in [other.claim for other in ablation.claims[:i]]:
            line = where(("ablation", "claims", i), lines)
            yield Problem(line, f"the claim {claim.claim!r} stands twice", "a chain is one claim for each step")
    for place, name in named:
        if name not in names:
            yield Problem(where(("ablation", *place), lines), f"no row {name!r}", nearest(name, names, "rows"))
    for i, quoted in enumerate(ablation.quoted):
        if quoted.name in [*names, *(other.name for other in ablation.quoted[:i])]:
            line = where(("ablation", "quoted", i), lines)
            yield Problem(line, f"two rows are named {quoted.name!r}", "a line that is built has `paper:` of its own")


def _check_bound(claim: Claim, place: Place, lines: Lines) -> Iterator[Problem]:
    """A claim on accuracy has `least`, one on a cost has `most`."""
    hint = "least: of an accuracy, in points; most: of a cost, in percent"
    costs = claim.metric in COSTS
    if costs and claim.most is None:
        yield Problem(where(place, lines), f"a claim on {claim.metric} has to say `most`", hint)
    if costs and claim.least:
        yield Problem(where((*place, "least"), lines), f"a claim on {claim.metric} has no `least`", hint)
    if not costs and claim.most is not None:
        yield Problem(where((*place, "most"), lines), f"a claim on {claim.metric} has no `most`", hint)


def _check_rows(value: dict[str, Any], lines: Lines, ablation: Ablation, known: Known) -> Iterator[Problem]:
    seen: dict[tuple[str, ...], str] = {}
    trained = [row.name for row in ablation.rows if row.kind == "train"]
    for i, row in enumerate(ablation.rows):
        place = ("ablation", "rows", i)
        reserved = {key: f"a row changes {', '.join(CHANGED)}" for key in row.set if key.split(".")[0] not in CHANGED}
        if "train.seed" in row.set:
            reserved["train.seed"] = "ablation.seeds gives the seeds"
        for key, hint in reserved.items():
            yield Problem(where((*place, "set", key), lines), f"a row cannot set {key}", hint)
        if (row.kind == "eval") != (row.of is not None):
            told = "an eval row tests the weights of another" if row.kind == "eval" else f"a {row.kind} row has no `of`"
            yield Problem(where(place, lines), told, f"of: ROW, with kind: eval; rows that are trained: {trained}")
            continue
        if row.of is not None and row.of not in trained:
            hint = nearest(row.of, trained, "rows that are trained")
            yield Problem(where((*place, "of"), lines), f"no trained row {row.of!r}", hint)
            continue
        above = [other.name for other in ablation.rows[:i] if other.kind == "train"]
        for part, name in row.weights.items():
            line = where((*place, "weights", part), lines)
            if row.kind != "train":
                yield Problem(line, f"{row.kind} rows start from no weights", "leave `weights` out")
            elif name not in above:
                hint = nearest(name, above, "trained rows above") if above else "name a trained row above"
                yield Problem(line, f"no trained row {name!r} above", hint)
        if reserved:
            continue
        try:
            resolved = with_row(value, lines, i, ablation.rows, known)
        except RecipeError as error:
            yield from error.problems
            continue
        same = (resolved.hash(), row.kind, *map(str, row.weights.items()))
        if row.name in [other.name for other in ablation.rows[:i]]:
            yield Problem(where(place, lines), f"two rows are named {row.name!r}", "give each row a name of its own")
        elif same in seen:
            told = f"{row.name!r} is the same as {seen[same]!r}"
            yield Problem(where(place, lines), told, "a row must change something")
        seen.setdefault(same, row.name)


def with_row(value: dict[str, Any], lines: Lines, index: int, rows: Sequence[Row], known: Known) -> Recipe:
    """The recipe with a row's settings; RecipeError with the lines of the row."""
    value, lines = copy.deepcopy(value), dict(lines)
    value.pop("ablation")
    value.pop("mini", None)
    first = next((i for i, row in enumerate(rows) if row.name == rows[index].of), None)
    for i in (first, index) if first is not None else (index,):
        for key, new in rows[i].set.items():
            place = ("ablation", "rows", i, "set", key)
            below = {path[len(place) :]: line for path, line in lines.items() if path[: len(place)] == place}
            override(value, lines, key, copy.deepcopy(new), where(place, lines))
            lines.update({split_key(key) + path: line for path, line in below.items()})
    recipe, problems = check(value, lines, known)
    if recipe is None:
        raise RecipeError(problems)
    return recipe
