"""What sweeps show -> a table: exponents, crossovers, the largest sizes that were tried, or fit. Pure: no torch."""

from __future__ import annotations

from typing import Any

from .table import Table, digits

Row = dict[str, Any]

QUANTITIES = {
    "fwd_ms": "fwd ms",
    "fwdbwd_ms": "fwd+bwd ms",
    "peak_fwd_bytes": "fwd peak",
    "peak_fwdbwd_bytes": "fwd+bwd peak",
}
WIDE = 2.0  # high / low of a crossover's interval above which it is undecided


def scaling_table(entries: list[Row]) -> Table:
    """Fitted exponents, crossovers between two operators, and the largest sizes that were tried, or fit."""
    head = ["op", "axis", "quantity", "value", "95 % interval", "remark"]
    body = []
    for entry in entries:
        what = QUANTITIES.get(entry.get("what"), entry.get("what") or "")
        if "exponent" in entry:
            line = [entry["op"], what, f"exponent {entry['exponent']:.2f}", f"{entry['n']} sizes"]
        elif "crossover" in entry:
            line = [f"{entry['op']}, {entry['against']}", what, *_crossover(entry)]
        else:
            line = [entry["op"], "memory", *_largest(entry)]
        op, what, value, remark = line
        body.append([op, entry["axis"], what, value, _interval(entry), remark])
    notes = ["exponent: slope of log(quantity) over log(axis); crossover: where two operators cost the same"]
    if any(line[3] == "undecided" for line in body):
        notes.append(f"undecided: a crossover without an interval, or whose ends are over {WIDE:g} times apart")
    return Table("", head, body, notes, turns=False)


def decided(entry: Row) -> bool:
    """Whether a crossover is known well enough to be told."""
    low, high = entry.get("low"), entry.get("high")
    return None not in (entry.get("crossover"), low, high) and high <= WIDE * low


def _crossover(entry: Row) -> tuple[str, str]:
    """Value and remark."""
    at, note = entry["crossover"], entry.get("note") or ""
    if at is None:
        return "undecided" if note.startswith("crosses") else "no crossover", note
    if decided(entry):
        return f"crossover {digits(at)}", note
    return "undecided", "; ".join([f"crossover near {digits(at)}", *([note] if note else [])])


def _largest(entry: Row) -> tuple[str, str]:
    """Value and remark: a limit only where memory was too little."""
    most, refused = entry.get("largest"), entry.get("refused")
    if refused is None:
        return ("none ran" if most is None else f"tried up to {most}, all fit"), ""
    return ("none fits" if most is None else f"fits up to {most}"), f"out of memory at {refused}"


def _interval(entry: Row) -> str:
    low, high = entry.get("low"), entry.get("high")
    if low is None or high is None:
        return "-"
    told = (lambda value: f"{value:.2f}") if "exponent" in entry else digits
    return f"[{told(low)}, {told(high)}]"
