"""Verify rows -> a table."""

from __future__ import annotations

from typing import Any

from .table import Table


def verify_table(rows: list[dict[str, Any]], env: dict[str, Any]) -> Table:
    """One line for each case, and the total beneath."""
    head = ["case", "op", "outputs", "gradients", "training", "result"]
    body = [
        [row["case"], row["op"] or "-", *(_error(row[key]) for key in ("err_out", "err_grad", "err_train")), _told(row)]
        for row in rows
    ]
    states = [row["passed"] for row in rows]
    notes = [
        f"{states.count(True)} passed, {states.count(False)} failed, {states.count(None)} networks not yet run; "
        f"tolerance {rows[0]['tol']:.0e}",
        "error: max |a - b| / max(1, max |b|) against the released code; training: outputs and batch statistics",
        f"float32 on {env['device']} ({env['cpu']}); torch {env['torch']}",
    ]
    return Table("", head, body, notes, numeric=False)


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


def _told(row: dict[str, Any]) -> str:
    left_out = f", {row['left_out']} positions left out" if row["left_out"] else ""
    if row["passed"] is None:
        return row["note"]
    note = f": {row['note']}" if row["note"] else ""
    return f"{'pass' if row['passed'] else 'FAIL'}{left_out}{note}"
