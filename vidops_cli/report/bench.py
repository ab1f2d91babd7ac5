"""Rows of what the tool itself takes and survives -> tables: tests/bench and tests/faults write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .table import Table, digits

Row = dict[str, Any]

SPREAD = "interval: 95 % bootstrap; smallest to largest (~) of fewer than 6 runs"


def bench_table(rows: Sequence[Row], env: dict[str, Any]) -> Table:
    """What was measured: its median and spread, and the bar that it has to meet."""
    head = ["group", "what", "median", "interval", "n", "bar", "met", "note"]
    met = {True: "yes", False: "NO", None: "-"}
    body = [
        [
            row["group"],
            row["name"],
            _value(row),
            _interval(row),
            str(row["n"]),
            row["bar"] or "-",
            met[row["passed"]],
            row["note"],
        ]
        for row in rows
    ]
    machine = f"torch {env['torch']} on {env['cpu']}, {env['cores']} cores; commit {env['commit']}"
    notes = [SPREAD, machine + (" (with uncommitted changes)" if env["dirty"] else "")]
    return Table("Benchmark", head, body, notes, numeric=False)


def _value(row: Row) -> str:
    return "-" if row["median"] is None else f"{digits(row['median'])} {row['unit']}".strip()


def _interval(row: Row) -> str:
    if row["low"] is None:
        return "-"
    told = f"[{digits(row['low'])}, {digits(row['high'])}]"
    return f"~ {told}" if row["interval"] == "range" else told


def faults_table(rows: Sequence[Row], env: dict[str, Any]) -> Table:
    """Faults that were made on purpose: how often, and what was lost."""
    head = ["kind", "tries", "survived", "lost", "seconds", "what"]
    numbers = ("tries", "survived", "lost")
    body = [[row["kind"], *(str(row[key]) for key in numbers), f"{row['seconds']:.0f}", row["what"]] for row in rows]
    commits = ", ".join(sorted({str(row["commit"]) for row in rows}))
    notes = [f"torch {env['torch']} on {env['cpu']}, {env['cores']} cores; commit {commits}"]
    return Table("Reliability", head, body, notes, numeric=False)
