"""Every recipe that is shipped loads at its scales, says how it is run, and where its paper's numbers are from."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import yaml

from vidops_cli.ablation.grid import cells
from vidops_cli.ablation.told import told_of
from vidops_cli.cli.common import known
from vidops_cli.data import DATASETS
from vidops_cli.recipe import Recipe, load
from vidops_cli.report.ablation import ablation_table

ROOT = Path(__file__).parent.parent / "recipes"
BASES = sorted((ROOT / "base").glob("*.yaml"))
RECIPES = sorted(path for path in ROOT.rglob("*.yaml") if path.parent.name not in ("base", "profile"))
TABLES = {
    "claims": 12,
    "cross": 7,
    "integral_action": 8,
    "lisa": 10,
    "motionsqueeze": 14,
    "renet": 11,
    "rsa": 15,
    "selfy": 12,
    "sifa": 9,
}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def head(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))])


@cache
def read(path: Path, scale: str = "full") -> Recipe:
    return load(path, known(), scale=scale)


def test_how_many_there_are():
    found = {name: len(list((ROOT / name).glob("*.yaml"))) for name in TABLES}
    assert found == TABLES
    assert len(RECIPES) == sum(TABLES.values()) + 2
    small = [path for path in RECIPES if read(path).mini is not None]
    assert len(small) >= 57


@pytest.mark.parametrize("path", RECIPES, ids=named)
def test_recipe_loads(path):
    told = read(path)
    assert told.title and told.claim
    assert told.paper or path.parent.name in ("cross", "recipes")
    assert len(told.ablation.rows) + len(told.ablation.quoted) >= 2


@pytest.mark.parametrize("path", RECIPES, ids=named)
def test_recipe_says_how_it_is_run(path):
    comment = head(path)
    assert "vidops " in comment
    assert path.name in comment
    assert ("--mini" in comment) >= (read(path).mini is not None)


@pytest.mark.parametrize("path", RECIPES, ids=named)
def test_a_dry_run_needs_no_data(path):
    """At both scales: a cell for each row and seed, keys of their own, and what its data lack."""

    def absent(told: Recipe) -> str:
        raise ValueError("not there", "get them")

    keys = {}
    for scale in ("full", "mini") if read(path).mini is not None else ("full",):
        told = read(path, scale)
        found = cells(told, known(), absent)
        rows, again = told.ablation.rows, len(told.rates) * len(told.ablation.run_again)
        seeds = len(told.ablation.seeds)
        assert len(found) == sum(1 if row.kind == "profile" else seeds for row in rows) + again * seeds
        assert len({cell.key for cell in found}) == len(found)
        assert all(bool(cell.lacking) == (cell.kind != "profile") for cell in found)
        keys[scale] = {cell.key for cell in found if cell.kind == "train"}
    assert not keys["full"] & keys.get("mini", set())


@pytest.mark.parametrize("path", RECIPES, ids=named)
def test_rows_are_the_same_in_a_small_scale(path):
    if read(path).mini is None:
        return
    full, mini = read(path), read(path, "mini")
    assert full.ablation.rows == mini.ablation.rows
    assert (full.scale, mini.scale) == ("full", "mini")


@pytest.mark.parametrize("path", RECIPES, ids=named)
def test_what_is_known_from_memory_alone_is_not_shown_as_the_papers(path):
    told = read(path)
    lines = [*told.ablation.rows, *told.ablation.quoted]
    values = [value for line in lines for value in line.paper.values()]
    assert not [
        value for value in values if value.tier == "memory" and value.source.startswith(("code", "page", "log"))
    ]
    bare = told_of(told, {})
    for line in (*bare["rows"], *bare["quoted"]):
        line["paper"] = {key: value for key, value in line["paper"].items() if value["tier"] != "memory"}
    assert ablation_table(told_of(told, {}), []) == ablation_table(bare, [])


@pytest.mark.parametrize("path", BASES, ids=lambda path: path.name)
def test_base_says_what_it_is(path):
    assert len(head(path)) > 20


def test_every_base_carries_a_recipe():
    def below(path: Path) -> set[Path]:
        base = yaml.safe_load(path.read_text(encoding="utf-8")).get("base")
        return set() if base is None else {(path.parent / base).resolve(), *below(path.parent / base)}

    assert set(BASES) == set().union(*map(below, RECIPES)) - set(RECIPES)


def test_the_card_of_a_benchmark_names_the_tables_that_ask_it():
    asked = {}
    for path in sorted((ROOT / "claims").glob("*.yaml")):
        asked.setdefault(read(path).data.name, set()).add(path.stem)
    cards = {name: set(card.tables) for name, card in DATASETS.items() if card.tables}
    assert len(cards) == 7
    assert {name: tables for name, tables in asked.items() if DATASETS[name].generated} == cards
