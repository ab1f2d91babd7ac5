"""Verify rows -> a table."""

from __future__ import annotations

from typing import Any

from .table import Table


def verify_table(rows: list[dict[str, Any]], env: dict[str, Any]) -> Table:
    """One line for each case; beneath, the total, and what there is to say of single cases."""
    head = ["case", "op", "output", "grad", "train", "result"]
    body = [
        [row["case"], row["op"] or "-", *(_error(row[key]) for key in ("err_out", "err_grad", "err_train")), _told(row)]
        for row in rows
    ]
    states = [row["passed"] for row in rows]
    notes = [f"{row['case']}: {said}" for row in rows if row["passed"] is not None and (said := _said(row))]
    notes += [
        f"{states.count(True)} passed, {states.count(False)} failed, {states.count(None)} networks not yet run; "
        f"tolerance {rows[0]['tol']:.0e}",
        "error: max |a - b| / max(1, max |b|) against the released code; train: training-mode outputs, statistics",
        f"float32 on {env['device']} ({env['cpu']}); torch {env['torch']}",
    ]
    return Table("", head, body, notes, numeric=False)


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.0e}"


def _told(row: dict[str, Any]) -> str:
    return row["note"] if row["passed"] is None else "pass" if row["passed"] else "FAIL"


def _said(row: dict[str, Any]) -> str:
    left_out = f"{row['left_out']} positions left out" if row["left_out"] else ""
    return "; ".join(part for part in (left_out, row["note"]) if part)
