"""From a recipe's rows and seeds to cells: one training run each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from vidops_cli.recipe import Known, Recipe, resolve


@dataclass(frozen=True)
class Cell:
    """One row at one seed. `key` names its folder: equal recipe and data, equal key."""

    key: str
    row: str
    seed: int
    recipe: Recipe


def cells(recipe: Recipe, known: Known, fingerprint: Callable[[Recipe], str]) -> list[Cell]:
    """All cells, seeds inside rows; `fingerprint` tells a recipe's data. ValueError without an `ablation:`."""
    if recipe.ablation is None:
        raise ValueError("this recipe has no ablation", "add ablation: with rows, or use `vidops train`")
    found: list[Cell] = []
    data: dict[str, str] = {}
    for row in recipe.ablation.rows:
        for seed in recipe.ablation.seeds:
            resolved = resolve(recipe, row, seed, known)
            source = resolved.data.model_dump_json(include={"name", "root", "splits"}) + resolved.eval.split
            if source not in data:
                data[source] = fingerprint(resolved)
            key = hashlib.sha256(f"{resolved.hash()} {data[source]}".encode()).hexdigest()[:12]
            found.append(Cell(key, row.name, seed, resolved))
    return found


def only(found: list[Cell], names: list[str]) -> list[Cell]:
    """The cells that a row's name, a key or `row/seed` picks. ValueError on a name that picks none."""
    chosen = []
    for name in names:
        picked = [cell for cell in found if name in (cell.row, cell.key, f"{cell.row}/{cell.seed}")]
        if not picked:
            rows = dict.fromkeys(cell.row for cell in found)
            raise ValueError(f"no cell {name!r}", f"rows: {', '.join(rows)}; or ROW/SEED, or a key from --dry-run")
        chosen += [cell for cell in picked if cell not in chosen]
    return chosen
