"""The working store: a folder for each cell, finished when its result is there. And the committed record."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidops_cli import stats
from vidops_cli.record import SCHEMA, read_json, write_text

from . import attempt
from .grid import Cell

NO_SCORES = ("n", "present", "correct", "group", "views", "average")  # what stands beside the scores of a summary
RESULT = {"train": "summary.json", "eval": "summary.json", "profile": "profile.json"}  # what a finished cell has


class Store:
    """`record`: head and rows of a published table, whose cells count as finished; they have no weights."""

    def __init__(self, root: Path, record: tuple[dict[str, Any], list[dict[str, Any]]] | None = None):
        self.root = root
        self.head, rows = record or ({}, [])
        self.recorded: dict[str, dict[str, dict[str, Any]]] = {}
        """key of a cell -> metric -> row"""
        for row in rows:
            self.recorded.setdefault(row["cell"], {}).setdefault(row["metric"], row)

    def folder(self, cell: Cell) -> Path:
        return self.root / "cells" / cell.key

    def weights(self, cell: Cell, key: str) -> Path:
        """The checkpoint of another cell whose weights this one takes."""
        return self.root / "cells" / key / f"{cell.recipe.train.checkpoint}.pt"

    def lacking(self, cell: Cell) -> list[str]:
        """Keys of the cells whose weights it takes and that have not finished."""
        return [key for key in cell.needs if not self.weights(cell, key).with_name(RESULT["train"]).is_file()]

    def finished(self, cell: Cell) -> bool:
        return cell.key in self.recorded or (self.folder(cell) / RESULT[cell.kind]).is_file()

    def needed(self, left: list[Cell], cells: list[Cell]) -> list[Cell]:
        """`left`, and before them the cells whose weights they take and of which the record alone is there."""
        places, found = {cell.key: i for i, cell in enumerate(cells)}, list(left)
        for cell in found:  # it grows
            for key in self.lacking(cell):
                if key in self.recorded and cells[places[key]] not in found:
                    found.append(cells[places[key]])
        return sorted(found, key=lambda cell: places[cell.key]) if len(found) > len(left) else left

    def summary(self, cell: Cell) -> dict[str, Any] | None:
        """What the finished cell wrote, or None. ValueError if it cannot be read."""
        path = self.folder(cell) / RESULT[cell.kind]
        try:
            summary = read_json(path)
        except FileNotFoundError:
            return None
        except ValueError as error:
            again = f"vidops ablate RECIPE --force {cell.key} keeps it and runs the cell again"
            raise ValueError(str(error.args[0]), again) from None
        schema = summary.get("schema") if isinstance(summary, dict) else None
        if schema != SCHEMA:
            newer = isinstance(schema, int) and schema > SCHEMA
            hint = "it is of a newer vidops: update yours, or use another --store" if newer else "use another --store"
            raise ValueError(f"{path} has schema {schema}, this vidops reads {SCHEMA}", hint)
        return summary

    def status(self, cell: Cell) -> dict[str, Any]:
        """Where a cell under way says it is; empty if it says nothing."""
        path = self.folder(cell) / "status.json"
        return read_json(path) if path.is_file() else {}

    def state(self, cell: Cell) -> str:
        """finished, running, failed (an error, or killed), to continue, data or weights not there, or to run."""
        if self.finished(cell):
            return "finished"
        folder = self.folder(cell)
        latest = attempt.last(folder)
        if latest is not None and latest.alive:
            return "running"
        if latest is not None and latest.code not in attempt.INTERRUPTED:
            return "failed"
        if cell.lacking:
            return "weights not there" if cell.lacking[0].startswith("model.weights") else "data not there"
        return "to continue" if (folder / "last.pt").exists() else "to run"

    def rows(self, cells: list[Cell]) -> list[dict[str, Any]]:
        """Rows of the finished cells, one for each metric."""
        found, older = [], set()
        for cell in sorted(cells, key=lambda cell: cell.kind == "eval"):  # after those whose weights they take
            summary = self.summary(cell)
            rows = self._from_record(cell) if summary is None else rows_of(cell, summary)
            if rows:
                if older.intersection(cell.needs) or rows[0]["code"] != cell.code:
                    older.add(cell.key)
                    rows = [{**row, "older": True} for row in rows]
                found += rows
        places = {cell.key: i for i, cell in enumerate(cells)}
        return sorted(found, key=lambda row: places[row["cell"]])

    def _from_record(self, cell: Cell) -> list[dict[str, Any]]:
        """Rows that were published of a cell, perhaps by another name: a row may be another's at half its rate."""
        named = {"row": cell.row, **({"rate": cell.rate} if cell.rate != 1 else {})}
        rows = self.recorded.get(cell.key, {}).values()
        return [{**{key: row[key] for key in row if key not in ("older", "rate")}, **named} for row in rows]

    def older(self, cells: list[Cell]) -> list[Cell]:
        """The finished cells that were made with other code than there is now."""
        keys = {row["cell"] for row in self.rows(cells) if row.get("older")}
        return [cell for cell in cells if cell.key in keys]

    def failed(self, cells: list[Cell]) -> list[Cell]:
        """Those that ran and ended without a result."""
        return [cell for cell in cells if self.state(cell) == "failed"]

    def set_aside(self, cell: Cell) -> Path | None:
        """Move all that a cell has made to before/KEY/N, so that it runs again. Returns where it went.

        ValueError if it is being run.
        """
        self.recorded.pop(cell.key, None)
        if self.state(cell) == "running":
            told = f"{cell.label}, seed {cell.seed} ({cell.key}) is being run"
            raise ValueError(told, "wait until it has finished, or stop it")
        if not self.folder(cell).is_dir():
            return None
        self.check_writable()
        above = self.root / "before" / cell.key
        above.mkdir(parents=True, exist_ok=True)
        target = above / str(1 + max((int(path.name) for path in above.iterdir()), default=0))
        return self.folder(cell).rename(target)  # all of it at once, or nothing

    def check_writable(self) -> None:
        """ValueError if nothing can be written here."""
        try:
            (self.root / "cells").mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root / "cells"):
                pass
        except OSError as error:
            told = f"the store {self.root} cannot be written: {error.strerror or error}"
            raise ValueError(told, "name a folder that you may write to with --store") from None


def rows_of(cell: Cell, summary: dict[str, Any]) -> list[dict[str, Any]]:
    """A finished cell's rows, flat: its scores, or what a profile cell counted."""
    env = summary["env"]
    about = {"cell": cell.key, "row": cell.row, "kind": cell.kind, "seed": cell.seed}
    about |= {"recipe": cell.recipe_hash, "scale": cell.recipe.scale}
    about |= {"rate": cell.rate} if cell.rate != 1 else {}
    made = {name: env.get(name) for name in ("code", "commit", "dirty", "torch", "device", "cpu", "date")}
    if cell.kind == "profile":
        root = summary["rows"][0]
        cost = {name: root[name] for name in ("params", "macs", "other_flops", "uncounted")}
        cost["flops"] = 2 * root["macs"] + root["other_flops"]
        cost["printed"] = summary.get("printed")  # as the paper counts
        return [{"metric": name, "value": cost[name], **about, **cost, **made} for name in ("params", "macs")]
    metrics = summary["metrics"]
    shared = {
        **about,
        "n": metrics["n"],
        "present": metrics["present"],
        "split": summary["split"],
        "data": summary["data"],
        **_trained_on(summary),
        **_decoded_by(summary.get("backends", {})),
        "params": summary["params"],
        **{name: summary["cost"].get(name) for name in ("macs", "other_flops", "flops", "uncounted")},
        **_views(metrics, summary["cost"]),
        "train_seconds": summary.get("train_seconds"),
        "seconds": summary["seconds"],
        **made,
        **{name: summary[name] for name in ("processes",) if name in summary},
    }
    scores = {name: value for name, value in metrics.items() if name not in NO_SCORES}
    if "train" in summary:
        scores["train_top1"] = summary["train"]["train_top1"]
    rows = [{"metric": name, "value": value, **shared} for name, value in scores.items()]
    for row in rows:
        if row["metric"] == "top1" and "correct" in metrics:
            row |= {key: metrics[key] for key in ("correct", "group") if key in metrics}
    return rows


def _trained_on(summary: dict[str, Any]) -> dict[str, Any]:
    """The train split, its clips, and the weights it started from, as far as a summary tells; nothing of eval cells."""
    train = summary.get("data_train")
    found = {"data_train": train["fingerprint"], "n_train": train["clips"]} if train else {}
    weights = ", ".join(each["sha256"] for each in summary.get("weights") or [])
    return {**found, **({"weights": weights} if weights else {})}


def _views(metrics: dict[str, Any], cost: dict[str, Any]) -> dict[str, Any]:
    """How many of a clip were taken, where more than one; macs and flops are of one, these of all of them."""
    views = metrics.get("views", 1)
    if views == 1:
        return {}
    in_all = {f"{name}_in_all": views * cost[name] for name in ("macs", "flops") if cost.get(name) is not None}
    return {"views": views, "average": metrics["average"], **in_all}


def _decoded_by(backends: dict[str, dict[str, int]]) -> dict[str, str]:
    """As "decord, pyav"; nothing of cells that are older than the entry."""
    names = sorted({name for split in backends.values() for name in split})
    return {"decoded_by": ", ".join(names)} if names else {}


@dataclass(frozen=True)
class Plan:
    """What a run of these cells would do."""

    states: list[str]
    """of each cell, as `Store.state` tells them, and "older code" """
    seconds: float | None
    """of all that are left, one after the other, as far as they are known"""
    unknown: int
    """cells left of which no like has finished"""


def plan(cells: list[Cell], store: Store, left: list[Cell] | None = None) -> Plan:
    """Cells left (those that are not finished, unless told) take as long as the finished ones of their row, else of
    their kind.
    """
    done = {row["cell"]: row for row in store.rows(cells)}
    states: list[str] = []
    left = [cell for cell in cells if cell.key not in done] if left is None else left
    took: dict[str, list[float]] = {}
    for cell in cells:
        row = done.get(cell.key)
        if row is None:
            states.append(store.state(cell))
            continue
        states.append("older code" if row.get("older") else "finished")
        latest = attempt.last(store.folder(cell)) if cell.kind == "profile" else None  # its rows tell no time
        seconds = latest.told.get("seconds") if latest else row.get("seconds")
        if seconds is not None:
            took.setdefault(f"row {cell.row}", []).append(seconds)
            took.setdefault(f"kind {cell.kind}", []).append(seconds)
    known = [took.get(f"row {cell.row}") or took.get(f"kind {cell.kind}") for cell in left]
    told = [stats.mean(times) for times in known if times]
    return Plan(states, sum(told) if told else None, len(left) - len(told))


def publish(results: Path, table: str, head: dict[str, Any], rows: list[dict[str, Any]], markdown: str) -> list[Path]:
    """Write rows (JSON lines, after a head with the environment) and their table into the committed record."""
    lines = "".join(json.dumps(value, allow_nan=False) + "\n" for value in ({"schema": SCHEMA, **head}, *rows))
    write_text(results / f"{table}.jsonl", lines)
    write_text(results / f"{table}.md", markdown)
    return [results / f"{table}.jsonl", results / f"{table}.md"]
