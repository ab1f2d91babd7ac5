"""What a cell of a table is sorted by. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

UNITS = {
    **{"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12},
    **{"B": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30},
    **{"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0},
}
EMPTY = ("", "-")
_NUMBER = re.compile(
    r"[~<>\s\[(]*"  # as in ~ [0.2, 0.3]
    r"(?P<number>[+\-\N{MINUS SIGN}]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?)"
    rf"(?:\s*(?P<unit>{'|'.join(sorted(UNITS, key=len, reverse=True))})(?!\w))?"
    r"(?![\w]|\.\d|-\w)"  # neither 1x64x8 nor 3.11.7, 3-D or 2026-11-22
)


def value_of(cell: str) -> float | None:
    """The number that a cell begins with, in its unit: 72.7 of "72.7 ± 8.0", 23.8e6 of "23.8 M". None without one."""
    found = _NUMBER.match(cell)
    if not found:
        return None
    number = found["number"].replace(",", "").replace("\N{MINUS SIGN}", "-")
    value = float(number) * UNITS.get(found["unit"] or "", 1.0)
    return value if math.isfinite(value) else None


def values_of(column: Sequence[str]) -> list[float | str | None]:
    """Of each cell of a column its number, "" if nothing stands in it, None if it is sorted by its words.

    All are words where fewer than half of the cells begin with a number.
    """
    told = ["" if cell.strip() in EMPTY else value_of(cell) for cell in column]
    numbers = sum(isinstance(value, float) for value in told)
    of_words = 2 * numbers < sum(value != "" for value in told)
    return [None if of_words and value != "" else value for value in told]
