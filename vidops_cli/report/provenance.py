"""Where the numbers of a line are from: commit, code, recipe, data, date, machine. Pure: no file, no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]
Origin = dict[str, str]  # what it is -> words

MOST = 6  # values of one kind that are listed
KEYS = {"commit": "commit", "code": "code", "recipe": "recipe", "data": "data", "date": "date", "torch": "torch"}


def origin(rows: Iterable[Row], env: Row | None = None) -> Origin:
    """What the rows of one line say of themselves, or, where they are silent, the environment of their file.

    Several values of a kind are listed, dates as the first and the last; what nobody tells is left out.
    """
    told = [{**(env or {}), **{key: value for key, value in row.items() if value is not None}} for row in rows]
    found = {name: listed(row.get(key) for row in told) for name, key in KEYS.items()}
    if found["commit"] and any(row.get("dirty") for row in told):
        found["commit"] += " (with uncommitted changes)"
    dates = sorted({str(row["date"])[:10] for row in told if row.get("date")})
    found["date"] = " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else ""
    found["machine"] = listed(_machine(row) for row in told)
    return {name: words for name, words in found.items() if words}


def _machine(row: Row) -> str | None:
    place = row.get("gpu") or row.get("cpu")
    words = [str(word) for word in (place, row.get("device")) if word]
    return ", ".join(dict.fromkeys(words)) or None


def listed(values: Iterable[Any]) -> str:
    """Values without their repetitions, the first few of them."""
    told = sorted({str(value) for value in values if value is not None})
    return ", ".join(told[:MOST]) + (f" and {len(told) - MOST} more" if len(told) > MOST else "")
