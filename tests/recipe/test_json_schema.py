"""The JSON Schema of recipes takes every shipped file as it stands, and refuses what is wrong with one."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from vidops_cli.cli.common import known
from vidops_cli.recipe.json_schema import json_schema
from vidops_cli.recipe.reading import read_file

ROOT = Path(__file__).parents[2] / "recipes"


@cache
def validator() -> Any:
    schema = json_schema(known())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_every_shipped_file_is_valid():
    seen = 0
    for path in sorted(ROOT.rglob("*.yaml")):
        seen += 1
        assert [f"{path}: {list(error.path)}" for error in validator().iter_errors(read_file(path)[0])] == []
    assert seen >= 132


def told(name: str) -> dict[str, Any]:
    return copy.deepcopy(read_file(ROOT / name)[0])


def rows(**changes: Any) -> dict[str, Any]:
    return {"ablation": {"rows": [{"name": "a", "set": changes}]}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"bases": "x.yaml"},
        {"scale": "small"},
        {"data": {"name": "mini_motoin"}},
        {"data": {"num_frames": 0}},
        {"model": {"name": "resnet51"}},
        {"model": {"ops": [{"op": "tms"}]}},
        {"model": {"ops": [{"at": "res2"}]}},
        {"model": {"ops": [{"op": "tsm", "slot": "conv7"}]}},
        {"model": {"ops": [{"op": "tsm", "options": {"fold": 2}}]}},
        {"model": {"ops": [{"op": "rsa", "options": {"kernel": "relationall"}}]}},
        {"model": {"ops": [{"op": "rsa", "options": {"window": [5, 7]}}]}},
        {"model": {"ops": [{"op": "rsa", "options": {"window": [5, 7, 6]}}]}},
        {"train": {"epochs": 1.5}},
        {"train": {"optimizer": {"lr": 0}}},
        {"mini": {"train": {"epoch": 1}}},
        {"mini": {"ablation": {}}},
        {"ablation": {"rows": []}},
        {"ablation": {"rows": [{"nam": "a"}]}},
        rows(**{"train.epoch": 3}),
        rows(**{"train.seed": 3}),
        rows(**{"model.ops": [{"op": "tms"}]}),
        rows(**{"model.ops.0.op": "tms"}),
        {"ablation": {"rows": [{"name": "a", "paper": {"top1": {"value": 1, "source": "x", "tier": "blog"}}}]}},
        {"layers": [{"name": "a", "op": "rsaa", "channels": 64, "grid": [8, 7, 7]}]},
        {"layers": [{"name": "a", "op": "rsa", "grid": [8, 7, 7]}]},
        {"layers": [{"name": "a", "op": "rsa", "channels": 64, "grid": [8, 7, 7], "options": {"head": 8}}]},
        {"layers": []},
    ],
    ids=str,
)
def test_what_is_wrong_is_refused(wrong):
    assert not validator().is_valid(wrong)


@pytest.mark.parametrize(
    "sound",
    [
        {"base": "recipes/quickstart.yaml"},
        {"train": {"optimizer": {"lr": 1}}},
        {"model": {"ops": [{"op": "mine.ops:Shift", "options": {"anything": 1}}]}},
        rows(**{"model.ops.0.options.kernel": "basic", "train.optimizer.lr": 0.1, "model.places.here": "res2"}),
        rows(**{"data.generated.dials.speed": 3, "episodes": None}),
        {"mini": {"data": {"generated.sizes.train": 64}, "model": {"places": {"a": ["res2"]}}}},
    ],
    ids=str,
)
def test_what_is_sound_is_taken(sound):
    assert [error.message for error in validator().iter_errors(sound)] == []


def test_it_tells_options_with_defaults_and_meanings():
    defs = json_schema(known())["$defs"]
    (options,) = (
        each["then"]["properties"]["options"]
        for each in defs["Placed"]["allOf"]
        if each["if"]["properties"]["op"]["const"] == "rsa"
    )
    kernel = options["properties"]["kernel"]
    assert kernel["default"] in kernel["enum"] and kernel["description"]
    assert defs["Train"]["properties"]["epochs"]["description"] == "passes over the train split"
    of_rows = defs["Row"]["properties"]["set"]["properties"]
    assert of_rows["train.optimizer.lr"]["description"] == "peak learning rate"
