"""Every recipe that is shipped loads and says how it is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidops_cli.cli.common import known
from vidops_cli.recipe import load

ROOT = Path(__file__).parent.parent / "recipes"
BASES = sorted((ROOT / "base").glob("*.yaml"))
RECIPES = sorted(path for path in ROOT.rglob("*.yaml") if path.parent.name not in ("base", "profile"))


def head(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))])


def test_there_are_recipes():
    assert len(RECIPES) >= 1
    assert len(BASES) >= 1
    assert ROOT / "quickstart.yaml" in RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_recipe_loads(path):
    told = load(path, known())
    assert told.title
    if told.ablation is not None:
        assert len(told.ablation.rows) >= 2


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_recipe_says_how_it_is_run(path):
    comment = head(path)
    assert "vidops " in comment
    assert path.name in comment


@pytest.mark.parametrize("path", BASES, ids=lambda path: path.name)
def test_base_says_what_it_is_and_stands_alone(path):
    assert len(head(path)) > 20
    assert load(path, known()).ablation is None
