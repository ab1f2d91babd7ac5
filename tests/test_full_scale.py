"""The papers' recipes at their full scale: each is valid, and a network of its rows takes a step on the meta device.

Of each table the last one that no table before has had, in batches of two clips: all of them, at the recipes' own
batch, take minutes, and are tried by `vidops ablate recipes/PAPER --dry-run`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from vidops_cli.cli.common import known
from vidops_cli.data import DATASETS
from vidops_cli.engine.dry import dry_step
from vidops_cli.models import MODELS
from vidops_cli.recipe import Recipe, load, resolve

ROOT = Path(__file__).parent.parent / "recipes"
PAPERS = ("integral_action", "lisa", "motionsqueeze", "renet", "rsa", "selfy", "sifa")
TABLES = [path for paper in PAPERS for path in sorted((ROOT / paper).glob("*.yaml"))]


def small(told: Recipe) -> Recipe:
    train = told.train.model_copy(update={"batch": 2, "accumulate": 1})
    return told.model_copy(update={"train": train, "eval": told.eval.model_copy(update={"batch": 2})})


@cache
def chosen() -> dict[Path, Recipe]:
    """Of each table a trained row with a network of its own, if it has one."""
    seen, found = set(), {}
    for path in TABLES:
        table = load(path, known())
        assert table.scale == "full" and table.data.crop and (table.data.classes or DATASETS[table.data.name].classes)
        for row in reversed([row for row in table.ablation.rows if row.kind == "train"]):
            told = resolve(table, row, 0, known())
            network = json.dumps([told.identity()["model"], told.data.num_frames, told.data.crop])
            if network not in seen:
                seen.add(network)
                found[path] = told
                break
    return found


def test_how_many_there_are():
    assert len(TABLES) == 79
    assert len(chosen()) >= 50


@pytest.mark.parametrize("path", [*chosen()], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_step_on_the_meta_device(path, monkeypatch):
    vit, told = MODELS["vit_tiny"], chosen()[path]
    slots = {slot: places[:2] for slot, places in vit.slots.items()}  # two blocks of twelve that are alike
    monkeypatch.setitem(MODELS, "vit_tiny", replace(vit, arguments={**vit.arguments, "blocks": 2}, slots=slots))
    side, frames = told.data.crop, told.data.num_frames
    step = dry_step(small(told), told.data.classes or DATASETS[told.data.name].classes, (3, frames, side, side))
    assert step.params > 9e5 and step.state > 4 * step.params
    assert step.kept > (1e5 if told.train.frozen else 1e7)
