"""Folders of runs -> parts of a report: what was reached, and loss curves. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vidops_cli.record import read_json, read_lines
from vidops_cli.report.curves import Run, curves_plot, runs_table
from vidops_cli.report.document import Part

from .parts import Reader

SELDOM = ("train.seed", "data.root")  # what tells no two rows apart
MOST = 80  # characters of a name made of keys


@dataclass(frozen=True)
class Found:
    """A folder with a run, and its recipe. `name`: the folder's, below the one that was asked for."""

    folder: Path
    name: str
    recipe: dict[str, Any]


def run_parts(folders: Sequence[Path], reader: Reader) -> list[Part]:
    """A part for each table, or title of a recipe, that has runs below these folders.

    A cell has the name of its row where the reader has seen its table, else that of its network; a run that of its
    folder.
    """
    grouped: dict[str, list[Found]] = {}
    places = {path.parent.resolve(): (path.parent, above) for above in folders for path in above.rglob("metrics.jsonl")}
    for folder, above in sorted(places.values()):
        recipe = _read(folder / "recipe.yaml", reader)
        name = folder.name if folder == above else folder.relative_to(above).as_posix()
        title = reader.cells.get(folder.name, (recipe.get("title") or "runs", ""))[0]
        grouped.setdefault(str(title), []).append(Found(folder, name, recipe))
    return [_part(title, found, reader) for title, found in grouped.items()]


def _part(title: str, found: list[Found], reader: Reader) -> Part:
    cells = [each for each in found if each.folder.parent.name == "cells"]
    networks = dict(zip([each.folder for each in cells], _networks([each.recipe for each in cells]), strict=True))
    runs = []
    for each in found:
        known = reader.cells.get(each.folder.name, ("", networks.get(each.folder, each.name)))[1]
        epochs = [line for line in read_lines(each.folder / "metrics.jsonl") if isinstance(line, dict)]
        seed = _inner(each.recipe, "train").get("seed")
        where = each.name if each.folder.is_absolute() else each.folder.as_posix()  # a page tells no machine's folders
        runs.append(Run(known, where, seed, epochs, _read(each.folder / "summary.json", reader)))
    runs.sort(key=lambda run: (run.name, str(run.seed)))
    caption = f"{title}: loss and accuracy over epochs"
    plots = reader.drawn(caption, lambda path: curves_plot(runs, path))
    return Part(title, title, f"{len(runs)} runs", [runs_table(title, runs)], plots)


def _networks(recipes: list[dict[str, Any]]) -> list[str]:
    """What each recipe trains, as resnet18 + tsm, and what else sets those of one network apart."""
    names = []
    for recipe in recipes:
        model = _inner(recipe, "model")
        ops = [str(op.get("op")) for op in model.get("ops") or [] if isinstance(op, dict)]
        names.append(" + ".join([str(model.get("name", "network")), *ops]))
    flat = [dict(_flat({key: _inner(recipe, key) for key in ("data", "train")})) for recipe in recipes]
    told = []
    for name, mine in zip(names, flat, strict=True):
        like = [other for other, named in zip(flat, names, strict=True) if named == name]
        apart = [f"{key}={mine[key]}" for key in mine if key not in SELDOM and len({o.get(key) for o in like}) > 1]
        told.append(", ".join([name, *apart])[:MOST])
    return told


def _inner(recipe: dict[str, Any], key: str) -> dict[str, Any]:
    found = recipe.get(key)
    return found if isinstance(found, dict) else {}


def _read(path: Path, reader: Reader) -> dict[str, Any]:
    """What a file of a run holds; nothing, and a word, if it cannot be read."""
    if not path.is_file():
        return {}
    try:
        found = read_json(path) if path.suffix == ".json" else yaml.safe_load(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (ValueError, OSError, yaml.YAMLError) as error:
        reader.left_out.append(
            f"{path}: left out: {' '.join(str(error.args[0] if error.args else error).split())[:200]}"
        )
        return {}


def _flat(told: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Keys of a recipe with dots, and their values as words."""
    for key, value in told.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
