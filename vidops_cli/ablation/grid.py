"""From a recipe's rows and seeds to cells: one run each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vidops_cli.recipe import Known, Recipe, resolve
from vidops_cli.record import Sources, digest


@dataclass(frozen=True)
class Cell:
    """One row at one seed. `key` names its folder: equal recipe and data, equal key."""

    key: str
    row: str
    seed: int
    recipe: Recipe
    recipe_hash: str
    code: str
    """of the sources that decide its result, as they are now"""
    kind: str = "train"
    of: str | None = None
    """key of the cell whose weights an eval cell tests"""
    weights: Mapping[str, str] = field(default_factory=dict)
    """keys of the cells from whose weights parts of its network start"""
    lacking: tuple[str, ...] = ()
    """message and hint, where its data, or the weights it starts from, are not there: it can be listed, not run"""
    rate: float = 1.0
    """what its row's learning rate is multiplied by"""

    @property
    def needs(self) -> list[str]:
        """Keys of the cells that have to finish before it starts."""
        return [*([] if self.of is None else [self.of]), *self.weights.values()]

    @property
    def label(self) -> str:
        return self.row if self.rate == 1 else f"{self.row}, lr x{self.rate:g}"


def cells(recipe: Recipe, known: Known, fingerprint: Callable[[Recipe], str]) -> list[Cell]:
    """All cells, seeds inside rows; a profile row has one, for all seeds. ValueError without an `ablation:`.

    After them those of `ablation.rates`: the rows of claims once more, rate by rate. Weights that a row takes from
    another are of its own rate and seed.
    `fingerprint` tells a recipe's data, with a ValueError where they are not there. A profile cell needs the number of
    classes alone. Files of `model.weights` count with what is in them.
    """
    if recipe.ablation is None:
        raise ValueError("this recipe has no ablation", "add ablation: with rows, or use `vidops train`")
    rows, seeds, sources = recipe.ablation.rows, recipe.ablation.seeds, Sources()
    found: dict[tuple[str, float], list[Cell]] = {}
    data: dict[str, tuple[str, tuple[str, ...]]] = {}
    for row in sorted(rows, key=lambda row: row.kind == "eval"):  # after the rows whose weights they test
        first = resolve(recipe, row, seeds[0], known)
        code = code_of(first, known, sources)
        for rate in (1.0, *(recipe.rates if row.name in recipe.ablation.run_again else ())):
            mine = found.setdefault((row.name, rate), [])
            for i, seed in enumerate(seeds[:1] if row.kind == "profile" else seeds):
                resolved = with_rate(with_seed(first, seed), rate)
                of = found[row.of, rate][i].key if row.of is not None else None
                weights = {part: found[name, rate][i].key for part, name in row.weights.items()}
                told, lacking = f"{first.data.classes} classes", ()
                if row.kind != "profile":
                    told, lacking = _data(resolved, fingerprint, data)
                parts = [resolved.hash(), told, *([row.kind, of or ""] if row.kind != "train" else [])]
                parts += [f"{part} {key}" for part, key in weights.items()]
                if row.kind == "train":
                    told, absent = _weights(resolved, data)
                    parts, lacking = [*parts, *told.split()], lacking or absent
                key = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]
                mine.append(Cell(key, row.name, seed, resolved, parts[0], code, row.kind, of, weights, lacking, rate))
    return [cell for rate in (1.0, *recipe.rates) for row in rows for cell in found.get((row.name, rate), [])]


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"seed": seed})})


def with_rate(recipe: Recipe, rate: float) -> Recipe:
    optimizer = recipe.train.optimizer
    optimizer = optimizer.model_copy(update={"lr": rate * optimizer.lr})
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"optimizer": optimizer})})


def _data(
    recipe: Recipe, fingerprint: Callable[[Recipe], str], seen: dict[str, tuple[str, tuple[str, ...]]]
) -> tuple[str, tuple[str, ...]]:
    """The fingerprint of its data and what is lacking; each data set is looked at once."""
    source = f"{recipe.data.name} {recipe.data.root} {recipe.parts()} {recipe.eval.split}"
    if source not in seen:
        try:
            seen[source] = fingerprint(recipe), ()
        except ValueError as error:
            seen[source] = "", tuple(map(str, error.args))
    return seen[source]


def _weights(recipe: Recipe, seen: dict[str, tuple[str, tuple[str, ...]]]) -> tuple[str, tuple[str, ...]]:
    """Hashes of the files that its network starts from, so that another file of the name is another cell, and what is
    lacking; nothing where it starts from none.
    """
    found, lacking = [], ()
    for path in recipe.model.files().values():
        if path not in seen:
            there = Path(path).is_file()
            hint = "name a checkpoint of vidops or of released code"
            seen[path] = (digest(Path(path)), ()) if there else ("", (f"model.weights: no such file: {path}", hint))
        found.append(seen[path][0])
        lacking = lacking or seen[path][1]
    return " ".join(found), lacking


def code_of(recipe: Recipe, known: Known, sources: Sources | None = None) -> str:
    """Hash of the sources that decide a run's result, without those of operators that it does not use.

    An operator that is not of the zoo counts with its own files, and with what it imports of the zoo.
    """
    sources, used = sources or Sources(), {placed.op for placed in recipe.model.ops}
    own = {name: source for name in sorted(used) if (source := getattr(known.ops[name], "source", None))}
    needed = used.union(*(source.zoo for source in own.values()))
    unused = [f"ops/{name}.py" for name in known.ops if name not in needed and "*" not in needed]
    cards = [path for path in sources.content if path.startswith("ops/cards/")]
    slots = [f"{name} {known.ops[name].slot}" for name in sorted(used)]  # of its card, no more decides a result
    files = [f"{name} {source.code}" for name, source in own.items()]
    return sources.hash(without=[*unused, *cards], also=[*slots, *files])


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


def with_takers(chosen: list[Cell], found: list[Cell]) -> list[Cell]:
    """The chosen cells, and those that take their weights, to test them or to start from them."""
    keys, before = {cell.key for cell in chosen}, None
    while keys != before:
        before, keys = keys, keys | {cell.key for cell in found if not keys.isdisjoint(cell.needs)}
    return [cell for cell in found if cell.key in keys]
