"""Profile rows -> a table."""

from __future__ import annotations

from typing import Any

from .table import Table, number, size


def profile_table(rows: list[dict[str, Any]], env: dict[str, Any]) -> Table:
    """One line for each operator; a red row (it differs from its textbook form) shows no time."""
    backward = any(row["fwdbwd_ms"] is not None for row in rows)
    head = ["op", "shape", "params", "MACs", "other", "FLOPs", "fwd peak", "fwd ms", "p10", "p90"]
    head += ["fwd+bwd peak", "fwd+bwd ms", "p10", "p90"] if backward else []
    head += ["checked", "uncounted"]
    body = []
    for row in rows:
        line = [row["op"], row["shape"], *(number(row[key]) for key in ("params", "macs", "other_flops", "flops"))]
        for which in ("fwd", "fwdbwd") if backward else ("fwd",):
            line += [size(row[f"peak_{which}_bytes"]), *(_time(row[f"{which}_{key}"]) for key in ("ms", "p10", "p90"))]
        body.append([*line, _checked(row), " ".join(row["uncounted"]) or "nothing"])
    threads = f", {rows[0]['threads']} threads" if rows and rows[0]["threads"] else ""
    notes = [
        "FLOPs = 2 MACs + other, one forward pass of the published algorithm; peak: memory above input and parameters",
        "checked: largest error of output and gradients against the textbook form, over max(1, its largest value)",
        f"{rows[0]['dtype']} on {env['device']}{threads} ({env['cpu']}); torch {env['torch']}; ms: median of all runs",
    ]
    return Table("", head, body, notes)


def _time(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _checked(row: dict[str, Any]) -> str:
    told = f"{row['checked']:.0e}"
    if row["checked_on"] != row["shape"]:
        told += f" at {row['checked_on']}"
    return told if row["passed"] else f"FAILED {told}"
