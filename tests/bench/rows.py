"""A row of the benchmark: what was timed, its median and spread, and the bar that it has to meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vidops_cli import stats

Row = dict[str, Any]


def row(
    group: str,
    name: str,
    unit: str,
    median: float | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
    n: int = 0,
    how: str | None = None,
    bar: str | None = None,
    passed: bool | None = None,
    note: str = "",
    **more: Any,
) -> Row:
    """One flat row; `how` tells what low and high are, `passed` is None where there is no bar to meet."""
    numbers = {"median": median, "low": low, "high": high, "n": n, "interval": how}
    return {"group": group, "name": name, "unit": unit, **numbers, "bar": bar, "passed": passed, "note": note, **more}


def timed(group: str, name: str, seconds: Sequence[float], *, most: float, note: str = "") -> Row:
    """Runs of one thing, in seconds, that may take `most` in the median."""
    median = stats.quantile(seconds, 0.5)
    low, high, how = spread(seconds)
    bar = f"at most {most:g} s"
    return row(
        group,
        name,
        "s",
        median,
        low=low,
        high=high,
        n=len(seconds),
        how=how,
        bar=bar,
        passed=median <= most,
        note=note,
    )


def spread(values: Sequence[float]) -> tuple[float, float, str]:
    """The interval of a median, or the range of values that are too few for one."""
    if len(values) < 6:
        return min(values), max(values), "range"
    return *stats.bootstrap(values), "95 %"


def missed(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["passed"] is False]
