"""The working store: a folder for each cell, finished when its summary is there. And the committed record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vidops_cli.recipe import Recipe
from vidops_cli.record import SCHEMA, read_json, write_text

from .grid import Cell


class Store:
    def __init__(self, root: Path):
        self.root = root

    def folder(self, cell: Cell) -> Path:
        return self.root / "cells" / cell.key

    def summary(self, cell: Cell) -> dict[str, Any] | None:
        """What the finished cell wrote, or None."""
        path = self.folder(cell) / "summary.json"
        if not path.is_file():
            return None
        summary = read_json(path)
        if summary.get("schema") != SCHEMA:
            raise ValueError(
                f"{path} has schema {summary.get('schema')}, this vidops reads {SCHEMA}", "use another --store"
            )
        return summary

    def status(self, cell: Cell) -> dict[str, Any]:
        """Where a cell under way says it is; empty if it says nothing."""
        path = self.folder(cell) / "status.json"
        return read_json(path) if path.is_file() else {}

    def rows(self, cells: list[Cell]) -> list[dict[str, Any]]:
        """Training rows of the finished cells, one for each metric."""
        found = []
        for cell in cells:
            summary = self.summary(cell)
            if summary is not None:
                found += training_rows(cell.key, cell.row, cell.recipe, summary)
        return found


def training_rows(key: str, row: str, recipe: Recipe, summary: dict[str, Any]) -> list[dict[str, Any]]:
    env, metrics = summary["env"], summary["metrics"]
    shared = {
        "cell": key,
        "row": row,
        "seed": recipe.train.seed,
        "n": metrics["n"],
        "present": metrics["present"],
        "split": summary["split"],
        "data": summary["data"],
        "recipe": recipe.hash(),
        "scale": recipe.scale,
        "params": summary["params"],
        **{name: summary["cost"].get(name) for name in ("macs", "other_flops", "flops", "uncounted")},
        "train_seconds": summary["train_seconds"],
        "seconds": summary["seconds"],
        **{name: env.get(name) for name in ("code", "commit", "dirty", "torch", "device", "cpu", "date")},
    }
    scores = {name: value for name, value in metrics.items() if name not in ("n", "present")}
    scores["train_top1"] = summary["train"]["train_top1"]
    return [{"metric": name, "value": value, **shared} for name, value in scores.items()]


def publish(results: Path, table: str, head: dict[str, Any], rows: list[dict[str, Any]], markdown: str) -> list[Path]:
    """Write rows (JSON lines, after a head with the environment) and their table into the committed record."""
    import json

    lines = "".join(json.dumps(value, allow_nan=False) + "\n" for value in ({"schema": SCHEMA, **head}, *rows))
    write_text(results / f"{table}.jsonl", lines)
    write_text(results / f"{table}.md", markdown)
    return [results / f"{table}.jsonl", results / f"{table}.md"]
