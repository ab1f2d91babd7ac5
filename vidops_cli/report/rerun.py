"""Two tables of `vidops ablate` -> which cells gave the same twice, and how far the others lie apart. Pure: no file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vidops_cli.stats import mean, paired_effect

from .table import Table

Row = dict[str, Any]
Name = tuple[str, float]  # of a row, and the multiple of its learning rate
ASKED = ("cell", "recipe", "data")  # what differs where a cell asked something else
PLACE = ("device", "cpu", "torch")  # on what it was made
MADE = ("date", "seconds", "commit")  # what is the same where it is one run, not two


@dataclass(frozen=True)
class Rerun:
    """`rows`: one for each row of the table with cells in both; how many cells stand in one alone, by row."""

    metric: str
    rows: list[Row]
    only_a: dict[str, int]
    only_b: dict[str, int]

    @property
    def worse(self) -> bool:
        return any(row["result"] == "worse" for row in self.rows)


def is_table(document: Any) -> bool:
    """Whether it is what `vidops ablate` wrote of a table."""
    kinds = {"table": dict, "rows": list}
    return isinstance(document, dict) and all(isinstance(document.get(key), kind) for key, kind in kinds.items())


def rerun(a: dict[str, Any], b: dict[str, Any]) -> Rerun:
    """Match cells of two tables, a the older, by row, learning rate and seed.

    A cell is the same where all its scores are, to the last bit; where the loss alone differs, as when clips go through
    the network in other batches, the same clips may be right. Else the table's metric is judged: worse or better
    where the 95 % interval (paired over seeds, Student's t) of b - a lies on one side of 0; one seed judges nothing.

    ValueError if the two tables have no cell in common, or were judged by different metrics.
    """
    hint = "name two files that `vidops ablate --out` or --publish wrote of one recipe"
    metric = a["table"].get("metric")
    if metric != b["table"].get("metric"):
        raise ValueError(f"A is judged by {metric}, B by {b['table'].get('metric')}", hint)
    cells_a, cells_b = _cells(a, "A"), _cells(b, "B")
    rows = []
    for name in (name for name in cells_a if name in cells_b):
        mine, other = cells_a[name], cells_b[name]
        if both := [seed for seed in mine if seed in other]:
            rows.append(_judged(name, metric, [mine[seed] for seed in both], [other[seed] for seed in both]))
    if not rows:
        raise ValueError("the two tables have no cell in common", hint)
    return Rerun(metric, rows, _lacking(cells_a, cells_b), _lacking(cells_b, cells_a))


def _cells(document: dict[str, Any], which: str) -> dict[Name, dict[int, Row]]:
    """Scores and origin of each cell, by seed, by row; ValueError on rows that are none of a table."""
    found: dict[Name, dict[int, Row]] = {}
    for row in document["rows"]:
        try:
            cell = found.setdefault((row["row"], row.get("rate", 1.0)), {}).setdefault(row["seed"], {"scores": {}})
            cell["scores"] |= {row["metric"]: row["value"]} | ({"correct": row["correct"]} if "correct" in row else {})
            cell |= {key: row.get(key) for key in (*ASKED, *PLACE, *MADE)}
        except (TypeError, KeyError):
            raise ValueError(f"{which} holds rows that are no table's", "see docs/results.md") from None
    return found


def _lacking(mine: dict[Name, dict[int, Row]], other: dict[Name, dict[int, Row]]) -> dict[str, int]:
    left = {_label(name): len(cells.keys() - other.get(name, {}).keys()) for name, cells in mine.items()}
    return {name: count for name, count in left.items() if count}


def _label(name: Name) -> str:
    return name[0] if name[1] == 1 else f"{name[0]}, lr x{name[1]:g}"


def _judged(name: Name, metric: str, a: list[Row], b: list[Row]) -> Row:
    scores = [[cell["scores"][metric] for cell in cells if metric in cell["scores"]] for cells in (a, b)]
    pairs = list(zip(a, b, strict=True))
    same = sum(_agree(old, new, old["scores"].keys() & new["scores"].keys()) for old, new in pairs)
    alike = sum(_agree(old, new, (metric, "correct")) for old, new in pairs)
    row = {"row": _label(name), "cells": len(a), "same": same, "same_clips": alike}
    row["asked_else"] = sum(any(old[key] != new[key] for key in ASKED) for old, new in pairs)
    row["elsewhere"] = sum(any(old[key] != new[key] for key in PLACE) for old, new in pairs)
    row["one_run"] = sum(all(old[key] == new[key] is not None for key in MADE) for old, new in pairs)
    if min(map(len, scores)) < len(a):  # a profile's row has costs, and no score
        return {**row, "a": None, "b": None, "effect": None, "margin": None, "result": _word(row, None, None)}
    differences = [new - old for old, new in zip(*scores, strict=True)]
    effect = paired_effect(differences) if len(differences) > 1 else None
    margin = None if effect is None else effect.margin()
    told = {"a": mean(scores[0]), "b": mean(scores[1]), "effect": mean(differences), "margin": margin}
    return {**row, **told, "result": _word(row, told["effect"], margin)}


def _agree(a: Row, b: Row, keys: Iterable[str]) -> bool:
    return all(a["scores"].get(key) == b["scores"].get(key) for key in keys)


def _word(row: Row, effect: float | None, margin: float | None) -> str:
    if row["same"] == row["cells"]:
        return "same"
    if row["same_clips"] == row["cells"] and effect is not None:
        return "same clips right"
    if effect is None or margin is None:
        return "differs, not judged"
    return "differs, within the spread" if abs(effect) <= margin else "worse" if effect < 0 else "better"


def rerun_table(found: Rerun, a: dict[str, Any], b: dict[str, Any]) -> Table:
    """One line for each row that both have."""
    head = ["row", "cells", "same", f"{found.metric} A", f"{found.metric} B", "B - A", "result"]
    body = [
        [
            row["row"],
            str(row["cells"]),
            str(row["same"]),
            *(_score(row[end]) for end in ("a", "b")),
            _change(row["effect"], row["margin"]),
            row["result"],
        ]
        for row in found.rows
    ]
    notes = [
        f"only in {end}: {sum(left.values())} cells of {', '.join(left) if len(left) < 6 else f'{len(left)} rows'}"
        for end, left in (("A", found.only_a), ("B", found.only_b))
        if left
    ]
    if asked := sum(row["asked_else"] for row in found.rows):
        notes.append(f"{asked} cells have another recipe or other data in B: they asked something else")
    if once := sum(row["one_run"] for row in found.rows):
        notes.append(f"{once} cells are one run that stands in both, not run again")
    if elsewhere := sum(row["elsewhere"] for row in found.rows):
        places = " | ".join(_values(told, PLACE) for told in (a, b))
        notes.append(f"{elsewhere} cells were made on another device, processor or torch in B: {places}")
    notes.append("same: cells whose every score is, to the last bit; A, B: means over the cells that both have")
    notes.append("B - A: mean difference of equal seeds and its 95 % interval (paired, Student's t)")
    notes.append("; ".join(f"{end}: commit {_values(told, ['commit'])}" for end, told in (("A", a), ("B", b))))
    return Table(a["table"].get("title") or "", head, body, notes)


def _values(document: dict[str, Any], keys: Sequence[str]) -> str:
    """All that its rows tell."""
    return ", ".join(sorted({str(row.get(key)) for row in document["rows"] for key in keys}))


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _change(effect: float | None, margin: float | None) -> str:
    if effect is None:
        return "-"
    return f"{effect:+.2f}" + ("" if margin is None else f" [{effect - margin:+.2f}, {effect + margin:+.2f}]")
