"""Profile rows -> a table."""

from __future__ import annotations

from typing import Any

from .table import Table, number, size


def profile_table(rows: list[dict[str, Any]], env: dict[str, Any]) -> Table:
    """One line for each operator; a red row (it differs from its textbook form) shows no time."""
    backward = any(row["fwdbwd_ms"] is not None for row in rows)
    head = ["op", "shape", "params", "MACs", "other FLOPs", "FLOPs", "peak fwd", "fwd ms (p10-p90)"]
    head += ["peak fwd+bwd", "fwd+bwd ms (p10-p90)"] if backward else []
    head += ["checked", "uncounted"]
    body = []
    for row in rows:
        line = [row["op"], row["shape"], *(number(row[key]) for key in ("params", "macs", "other_flops", "flops"))]
        line += [size(row["peak_fwd_bytes"]), _time(row, "fwd")]
        line += [size(row["peak_fwdbwd_bytes"]), _time(row, "fwdbwd")] if backward else []
        body.append([*line, _checked(row), " ".join(row["uncounted"]) or "nothing"])
    threads = f", {rows[0]['threads']} threads" if rows and rows[0]["threads"] else ""
    notes = [
        "FLOPs = 2 MACs + other FLOPs, forward, of the published algorithm; peak memory is above inputs and parameters",
        "checked: largest error against the textbook form on this input, relative to max(1, its largest value); - = too large to form",
        f"{rows[0]['dtype']} on {env['device']}{threads} ({env['cpu']}); torch {env['torch']}; times are medians of all runs",
    ]
    return Table("", head, body, notes)


def _time(row: dict[str, Any], which: str) -> str:
    if row[f"{which}_ms"] is None:
        return "-"
    return f"{row[f'{which}_ms']:.2f} ({row[f'{which}_p10']:.2f}-{row[f'{which}_p90']:.2f})"


def _checked(row: dict[str, Any]) -> str:
    if row["checked"] is None:
        return "-"
    return f"{row['checked']:.0e}" if row["passed"] else f"FAILED {row['checked']:.0e}"
