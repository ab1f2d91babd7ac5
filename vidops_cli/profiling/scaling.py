"""Sweeps over sizes: what `--sweep` says, and what its rows show: exponents, crossovers, the largest size that ran.

No torch. A row of a sweep carries the name of its axis in `axis` and its value in `at`; rows of one operator differ in
nothing else.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from vidops_cli import stats

Row = dict[str, Any]

SIZES = ("seq", "frames", "size", "channels", "batch")  # size: height and width; other axes are options
QUANTITIES = ("fwd_ms", "fwdbwd_ms", "peak_fwd_bytes", "peak_fwdbwd_bytes")


def parse_sweep(text: str, options: Iterable[str] = ()) -> tuple[str, list[int]]:
    """`"seq=256..1024"` -> `("seq", [256, 512, 1024])`: a..b doubles from a to b; commas list values.

    The axis is one of `SIZES`, or one of the `options` of the operators. ValueError for any other, and for values that
    are no integers, no sizes, given twice, or whose doubling misses b.
    """
    axis, sign, told = (part.strip() for part in text.partition("="))
    if not sign:
        raise ValueError(f"a sweep is AXIS=VALUES, got {text!r}", "as in seq=256..4096 or window=3,5,7")
    axes = list(dict.fromkeys((*SIZES, *options)))
    if axis not in axes:
        near = difflib.get_close_matches(axis, axes, n=1)
        raise ValueError(
            f"no axis of a sweep is called {axis!r}",
            f"did you mean {near[0]!r}?" if near else f"axes: {', '.join(axes)}",
        )
    values = [value for part in told.split(",") for value in _values(part, text)]
    if axis in SIZES and min(values) < 1:
        raise ValueError(f"{axis} is 1 or more, got {min(values)} in {text!r}", f"as in {axis}=8,16,32")
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise ValueError(f"{text!r} gives {twice} twice", "give each value once")
    return axis, values


def _values(part: str, text: str) -> list[int]:
    """The values of one part of a list: an integer, or a..b."""
    ends = [_integer(word, text) for word in part.split("..")]
    if len(ends) == 1:
        return ends
    if len(ends) > 2 or not 1 <= ends[0] < ends[1]:
        raise ValueError(f"a range goes from a number up to a larger one, got {part!r}", "as in 256..4096")
    first, last = ends
    values = [first]
    while values[-1] < last:
        values.append(2 * values[-1])
    if values[-1] != last:
        near = " and ".join(f"{first}..{value}" for value in values[-2:] if value > first)
        raise ValueError(
            f"a range doubles from its first number to its last, and {part!r} misses {last}",
            f"the nearest that do not: {near}; or list the values: {first},{last}",
        )
    return values


def _integer(word: str, text: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise ValueError(
            f"a sweep's values are integers, got {word.strip()!r} in {text!r}", "as in seq=256..4096 or window=3,5,7"
        ) from None


def summary(rows: Sequence[Row]) -> list[Row]:
    """Exponents, crossovers and largest sizes along each axis that is a size: an option's values are no scale."""
    axes = [axis for axis in dict.fromkeys(row["axis"] for row in rows) if axis in SIZES]
    return [entry for axis in axes for found in (fits, crossovers, largest) for entry in found(rows, axis)]


def fits(rows: Sequence[Row], axis: str) -> list[Row]:
    """Exponents of time and memory of each operator, with 95 % intervals, over the rows that ran.

    A quantity that is zero somewhere, as the peak of an operator in place, or known at fewer than two sizes has none.
    """
    found = []
    for op, ran in _by_op(rows, axis).items():
        for what in QUANTITIES:
            points = [(row["at"], row[what]) for row in ran if row.get(what)]
            if len({at for at, _ in points}) < 2:
                continue
            power = stats.fit_power(*zip(*points, strict=True))
            found.append(
                {
                    "op": op,
                    "axis": axis,
                    "what": what,
                    "exponent": power.exponent,
                    "low": power.low,
                    "high": power.high,
                    "n": power.n,
                }
            )
    return found


def crossovers(rows: Sequence[Row], axis: str) -> list[Row]:
    """From where on each operator is faster than the first one, the baseline, at the sizes where both ran.

    The ratio of the times is the interleaved one where the row was measured against that baseline, with its interval;
    else that of the medians, without one.
    """
    baseline, *others = _by_op(rows, axis).items() or [(None, [])]
    found = []
    for op, ran in others:
        for what in ("fwd", "fwdbwd"):
            points = _ratios(ran, *baseline, what)
            if points:
                told = stats.crossing(points)
                found.append(
                    {
                        "op": op,
                        "against": baseline[0],
                        "axis": axis,
                        "what": f"{what}_ms",
                        "crossover": told.value,
                        "low": told.low,
                        "high": told.high,
                        "note": told.note,
                    }
                )
    return found


def _ratios(
    ran: list[Row], baseline: str, reference: list[Row], what: str
) -> list[tuple[float, float, float | None, float | None]]:
    """(size, time of the operator / time of the baseline, low, high) at each size where both are known."""
    times = {row["at"]: row[f"{what}_ms"] for row in reference if row.get(f"{what}_ms")}
    points = []
    for row in ran:
        speedup = row.get(f"{what}_speedup") if row.get("baseline") == baseline else None
        if speedup:
            fastest, slowest = row.get(f"{what}_speedup_high"), row.get(f"{what}_speedup_low")
            points.append((row["at"], 1 / speedup, fastest and 1 / fastest, slowest and 1 / slowest))
        elif row.get(f"{what}_ms") and row["at"] in times:
            points.append((row["at"], row[f"{what}_ms"] / times[row["at"]], None, None))
    return points


def largest(rows: Sequence[Row], axis: str) -> list[Row]:
    """The largest value at which each operator ran, and the smallest at which memory was too little; None: there is
    none."""
    found = []
    for op, all_rows in _by_op(rows, axis, status=None).items():
        ran, refused = ([row["at"] for row in all_rows if row["status"] == status] for status in ("ok", "oom"))
        found.append({"op": op, "axis": axis, "largest": max(ran, default=None), "refused": min(refused, default=None)})
    return found


def _by_op(rows: Sequence[Row], axis: str, status: str | None = "ok") -> dict[str, list[Row]]:
    """Rows of a sweep over the axis by operator, in the order in which the operators come; those of one status."""
    found: dict[str, list[Row]] = {row["op"]: [] for row in rows if row.get("axis") == axis}
    for row in rows:
        if row.get("axis") == axis and status in (None, row["status"]):
            found[row["op"]].append(row)
    return found


def series(rows: list[Row], ops: Collection[str]) -> list[Row]:
    """Rows of sweeps, before them the operators that they alone were timed against, from what they say of them.

    The layers of a suite are one line of a plot, though their options differ. `ops`: names of all operators.
    """
    swept = [row | {"options": ""} if row["layer"] else row for row in rows if row["axis"]]
    measured = {row["op"] for row in swept}
    keys = ("shape", "positions", "batch", "axis", "at")
    beside = [
        {key: row[key] for key in keys}
        | {"op": row["baseline"], "options": "", "status": "ok"}
        | {key: row[f"baseline_{key}"] for key in QUANTITIES}
        for row in swept
        if row["baseline"] in ops and row["baseline"] not in measured and row["baseline_fwd_ms"] is not None
    ]
    return beside + swept
