"""Of which network weights are, where their file tells it: operators without weights leave no trace in their names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidops_cli.models import MODELS
from vidops_cli.recipe import Recipe

MOST = 3  # differences that are listed


class OtherNetwork(ValueError):
    """Weights of another network than the recipe's. `made_of` is theirs, empty where the file does not tell.

    `near`: of the same one with other operators, whose weights may fit.
    """

    def __init__(self, told: str, made_of: Mapping[str, Any] | None = None, *, near: bool = False):
        hint = "use the recipe that trained it"
        if made_of and made_of.get("guessed") and "tsm" in _ops(made_of):  # by a released file's weights alone
            hint += "; one without shifts is told so by vidops import ... --no-shift"
        super().__init__(told, hint)
        self.made_of, self.near = made_of or {}, near


def of_recipe(recipe: Recipe) -> dict[str, Any]:
    """What a checkpoint keeps of its network: plain values, as `vidops import` writes them."""
    model = recipe.model
    return {"network": model.name, "ops": [placed.model_dump(mode="json") for placed in model.ops]}


def check(made_of: Mapping[str, Any] | None, recipe: Recipe, path: Path) -> None:
    """OtherNetwork if the weights are told to be of another network than the recipe's, or of other operators."""
    if not made_of or not made_of.get("network"):
        return
    mine = of_recipe(recipe)
    if differing := differences(made_of, mine):
        told = f"{path} is a checkpoint of another network: of {named(made_of)}, the recipe of {named(mine)}"
        if named(made_of) == named(mine):
            told += f": {'; '.join(differing[:MOST])}{'; ...' if len(differing) > MOST else ''}"
        raise OtherNetwork(told, made_of, near=made_of["network"] == mine["network"])


def named(made_of: Mapping[str, Any]) -> str:
    """As resnet50 + tsm."""
    return " + ".join([str(made_of["network"]), *_ops(made_of)])


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """In words, what stands otherwise in their network; nothing where the two compute the same with the same weights.

    Places are put out and options have their defaults, so that two ways of writing one network are the same. What
    theirs leaves untold is not compared.
    """
    if theirs["network"] != ours["network"]:
        return [f"{theirs['network']} instead of {ours['network']}"]
    try:
        untold = theirs.get("untold") or []
        a, b = ({place: _plain(op, untold) for place, op in _occupied(one).items()} for one in (theirs, ours))
    except (ValueError, KeyError, TypeError, AttributeError):  # an operator or an option that there is no more
        return ["operators that this vidops does not know"]
    return [f"{_told(a.get(place), b.get(place))} at {place}" for place in {**a, **b} if a.get(place) != b.get(place)]


def _occupied(made_of: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return MODELS[made_of["network"]].occupied(made_of.get("ops") or [])


def _plain(op: dict[str, Any], untold: list[str]) -> dict[str, Any]:
    return json.loads(json.dumps({key: value for key, value in op.items() if key not in untold}))


def _ops(made_of: Mapping[str, Any]) -> list[str]:
    told = made_of.get("ops")
    return [str(spec.get("op")) for spec in told if isinstance(spec, Mapping)] if isinstance(told, list) else []


def _told(theirs: dict[str, Any] | None, ours: dict[str, Any] | None) -> str:
    """As "tsm fold_div=4 instead of 8"."""
    if theirs is None or ours is None or theirs["op"] != ours["op"]:
        return f"{theirs['op'] if theirs else 'nothing'} instead of {ours['op'] if ours else 'nothing'}"
    keys = [key for key in {**theirs, **ours} if theirs.get(key) != ours.get(key)]
    return f"{theirs['op']} " + ", ".join(f"{key}={theirs.get(key)} instead of {ours.get(key)}" for key in keys)
