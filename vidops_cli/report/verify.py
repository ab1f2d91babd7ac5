"""Verify rows -> a table."""

from __future__ import annotations

from typing import Any

from .table import Table


def verify_table(rows: list[dict[str, Any]], env: dict[str, Any]) -> Table:
    """One line for each case; beneath, the total, and what there is to say of single cases."""
    head = ["case", "op", "output", "grad", "train", "result"]
    body = [
        [
            row["case"],
            row["op"] or row.get("network") or "-",
            *(_error(row[key]) for key in ("err_out", "err_grad", "err_train")),
            _told(row),
        ]
        for row in rows
    ]
    states = [row["passed"] for row in rows]
    notes = [f"{row['case']}: {said}" for row in rows if (said := _said(row))]
    informational = f", {states.count(None)} for information" if None in states else ""
    notes += [
        f"{states.count(True)} passed, {states.count(False)} failed{informational}",
        *_tolerances([row for row in rows if row["passed"] is not None]),
        "error: max |a - b| / max(1, max |b|) against the released code; train: training-mode outputs, statistics",
        f"float32 on {env['device']} ({env['cpu']}); torch {env['torch']}",
    ]
    return Table("", head, body, notes, numeric=False)


def contract_table(rows: list[dict[str, Any]], env: dict[str, Any]) -> Table:
    """One line for each thing that an own operator has to keep."""
    body = [[row["contract"], "pass" if row["passed"] else "FAIL", row["note"] or "-"] for row in rows]
    states = [row["passed"] for row in rows]
    notes = [
        f"{states.count(True)} passed, {states.count(False)} failed",
        f"on cpu ({env['cpu']}); gradcheck in float64, the rest in float32 unless it says so; torch {env['torch']}",
    ]
    return Table(rows[0]["op"], ["contract", "result", "what was found"], body, notes, numeric=False)


def _tolerances(rows: list[dict[str, Any]]) -> list[str]:
    """Those of operators and of networks, for which the frozen data's own authors advise another."""
    networks = [row for row in rows if row.get("network")]
    ops = [row for row in rows if not row.get("network")]
    found = [f"tolerance {ops[0]['tol']:.0e}"] if ops else []
    if networks:
        advised = networks[0]["advised"]
        within = sum(row["err_out"] is not None and row["err_out"] <= advised for row in networks)
        found.append(
            f"{networks[0]['tol']:.0e} of networks, of which {within} of {len(networks)} are within {advised:.0e}"
        )
    return [", ".join(found)] if found else []


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.0e}"


def _told(row: dict[str, Any]) -> str:
    return "informational" if row["passed"] is None else "pass" if row["passed"] else "FAIL"


def _said(row: dict[str, Any]) -> str:
    left_out = f"{row['left_out']} positions left out" if row["left_out"] else ""
    return "; ".join(part for part in (left_out, row["note"]) if part)
