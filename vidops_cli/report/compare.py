"""Two profiles -> what became worse or better, and by how much. Pure: no torch, no file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .table import Table, counted, digits

Row = dict[str, Any]

LAYER = "layer"  # of a suite: makes two rows the same too where both have one
KEY = {  # what makes two rows the same, and what a row that does not say it means
    "op": None,
    "options": "",
    "shape": None,
    "dtype": None,
    "device": None,
    "threads": None,
    "form": "eager",
    "channels_last": False,
}
MEASURES = {
    "fwd_ms": "fwd ms",
    "fwd_speedup": "fwd speed-up",
    "fwdbwd_ms": "fwd+bwd ms",
    "fwdbwd_speedup": "fwd+bwd speed-up",
    "peak_fwd_bytes": "fwd peak",
    "peak_fwdbwd_bytes": "fwd+bwd peak",
    "macs": "MACs",
}
TIMES = ("fwd_ms", "fwdbwd_ms")
SPEEDUPS = ("fwd_speedup", "fwdbwd_speedup")
ENDS = {  # what spans the noise of a measure
    **{key: (f"{key[:-3]}_p10", f"{key[:-3]}_p90") for key in TIMES},
    **{key: (f"{key}_low", f"{key}_high") for key in SPEEDUPS},
}
LEAST = 0.01  # no change below this counts, unless a threshold is given
ENVIRONMENT = ("device", "gpu", "cpu", "cores", "platform", "python", "torch", "cuda")


@dataclass(frozen=True)
class Comparison:
    """`rows`: one for each row that both profiles have; the names of the others. `threshold` holds for all if given.

    `moved`: some rows were timed in processes of their own in one of the two alone.
    """

    rows: list[Row]
    only_a: list[str]
    only_b: list[str]
    threshold: float | None
    moved: bool = False

    @property
    def worse(self) -> bool:
        return any(row["worse"] for row in self.rows)


def rows_of(document: Any, name: str) -> tuple[list[Row], dict[str, Any]]:
    """Rows and environment of a profile's JSON; ValueError, which says `name`, if it is none."""
    hint = "give a file that `vidops profile --out FILE.json` wrote, or two of tables of `vidops ablate`"
    if not isinstance(document, dict) or document.get("schema") != 1:
        raise ValueError(f"{name} is no profile of schema 1", hint)
    rows, env = document.get("rows"), document.get("env", {})
    if not isinstance(rows, list) or not rows or not isinstance(env, dict):
        raise ValueError(f"{name} holds no rows", hint)
    for i, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("op", "shape")):
            raise ValueError(f"row {i} of {name} names no op and shape", hint)
        for key in (*KEY, LAYER, "baseline"):
            if not isinstance(row.get(key), str | int | None):
                raise ValueError(f"{key} in row {i} of {name} is no word or number: {row[key]!r}", hint)
        for key in (*MEASURES, *(end for ends in ENDS.values() for end in ends), "fwd_n", "fwdbwd_n"):
            if not _is_amount(row.get(key)):
                raise ValueError(f"{key} in row {i} of {name} is no amount: {row[key]!r}", hint)
    return rows, env


def _is_amount(value: Any) -> bool:
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (numeric and math.isfinite(value) and value >= 0)


def compare(a: list[Row], b: list[Row], *, threshold: float | None = None) -> Comparison:
    """Match the rows of two profiles, a the older, and judge each measure by its ratio b / a.

    With a `threshold` (0.05 is 5 %) a change counts where the ratio exceeds 1 + threshold, or falls below its inverse.
    Without one, times are judged by the noise that was measured: a change counts where p10 to p90 of the one does not
    meet p10 to p90 of the other. (An interval of the two medians, which narrows with the number of runs, would be too
    narrow: runs of one process share what differs between processes, as clocks, memory layout and other load.) A time
    of a single run tells no noise and is not judged. Memory and MACs are the same on every run. No change below 1 %
    counts. A row that fails (red, out of memory, error) where it did not is worse.

    Where both rows were timed in turns with the same baseline, their speed-ups are judged in place of the times, which
    are only shown: another machine, or other load, slows both forms alike. Without a threshold a speed-up counts as
    changed where the two 95 % intervals do not meet, with one where they do not meet and the ratio exceeds it. One that
    was "faster" and is "slower" is always worse.

    A row that stands twice in a profile meets its like of the other, the first the first. ValueError if the two have
    none in common.
    """
    pairs, only_b = _matched(a, b)
    both = [(old, new) for old, new in pairs if new is not None]
    if not both:
        raise ValueError(
            "the two profiles have no row in common", f"rows are the same where these are: {', '.join((LAYER, *KEY))}"
        )
    rows = [_judged(old, new, threshold) for old, new in both]
    only_a = [_name(old) for old, new in pairs if new is None]
    moved = any(bool(old.get("processes")) != bool(new.get("processes")) for old, new in both)
    return Comparison(rows, only_a, [_name(new) for new in only_b], threshold, moved)


def _matched(a: list[Row], b: list[Row]) -> tuple[list[tuple[Row, Row | None]], list[Row]]:
    """Each row of a with the first of b that is the same and not yet taken; those of b that nobody took."""
    left, pairs = list(b), []
    for row in a:
        nth = next((i for i, other in enumerate(left) if _is_same(row, other)), None)
        pairs.append((row, None if nth is None else left.pop(nth)))
    return pairs, left


def _is_same(a: Row, b: Row) -> bool:
    layers = {row[LAYER] for row in (a, b) if row.get(LAYER)}
    return len(layers) < 2 and all(a.get(key, default) == b.get(key, default) for key, default in KEY.items())


def _name(row: Row) -> str:
    threads = counted(row["threads"], "thread") if row.get("threads") else ""
    layout = "channels last" if row.get("channels_last") else ""
    form = "" if row.get("form") == "eager" else row.get("form")
    words = (row.get(LAYER), row["op"], row.get("options"), row["shape"], row.get("dtype"), row.get("device"))
    return " ".join(str(word) for word in (*words, threads, form, layout) if word)


def _judged(a: Row, b: Row, threshold: float | None) -> Row:
    """A flat row: each measure before and after with its ratio and threshold, and what became worse or better."""
    state_a, state_b = _state(a), _state(b)
    named = {LAYER: a.get(LAYER) or b.get(LAYER), **{key: a.get(key, default) for key, default in KEY.items()}}
    row = {**named, "state_a": state_a, "state_b": state_b}
    changes = {measure: _change(measure, a, b, threshold) for measure in MEASURES}
    for measure, change in changes.items():
        row |= {f"{measure}_{name}": value for name, value in change.items()}
    worse = [said for measure, said in MEASURES.items() if changes[measure]["change"] == "worse"]
    better = [said for measure, said in MEASURES.items() if changes[measure]["change"] == "better"]
    if (state_a == "ok") != (state_b == "ok"):
        (worse if state_a == "ok" else better).insert(0, state_b)
    return {**row, "worse": worse, "better": better}


def _change(measure: str, a: Row, b: Row, threshold: float | None) -> Row:
    """A measure of two rows: a, b, ratio, threshold, change ("worse", "better", "same"); None where it is not known."""
    before, after = a.get(measure), b.get(measure)
    change = {"a": before, "b": after, "ratio": None, "threshold": None, "change": None}
    timed = measure not in ENDS or _state(a) == _state(b) == "ok"
    timed = timed and (measure not in SPEEDUPS or _in_turns(measure, a, b))
    counted = measure != "macs" or (a.get("uncounted") or []) == (b.get("uncounted") or [])
    if before is None or after is None or not timed or not counted:
        return change
    change["ratio"] = after / before if before else None
    if measure in TIMES and _in_turns(measure.replace("_ms", "_speedup"), a, b):
        return change
    change["threshold"] = allowed = _threshold(measure, a, b, threshold)
    if allowed is not None:
        rose, fell = after > (1 + allowed) * before, before > (1 + allowed) * after
        worse, better = (fell, rose) if measure in SPEEDUPS else (rose, fell)
        change["change"] = "worse" if worse else "better" if better else "same"
    verdicts = tuple(row.get(measure.replace("speedup", "verdict")) for row in (a, b))
    if measure in SPEEDUPS and verdicts == ("faster", "slower"):
        change["change"] = "worse"
    return change


def _in_turns(speedup: str, a: Row, b: Row) -> bool:
    """Whether both rows were timed against the same baseline, so that their speed-ups can be compared."""
    same = bool(a.get("baseline")) and a.get("baseline") == b.get("baseline")
    return same and bool(a.get(speedup) and b.get(speedup))


def _state(row: Row) -> str:
    told = {"oom": "out of memory", "error": "error", "red": "red"}.get(row.get("status"), "ok")
    return "red" if row.get("passed") is False else told


def _threshold(measure: str, a: Row, b: Row, given: float | None) -> float | None:
    """Relative change from which a measure counts as changed; None if nothing tells its noise."""
    if measure not in ENDS:
        return LEAST if given is None else given
    if given is not None and measure not in SPEEDUPS:
        return given
    small, large = sorted((a, b), key=lambda row: row[measure])
    below, above = (row.get(end) for row, end in zip((large, small), ENDS[measure], strict=True))
    once = measure in TIMES and not all((row.get(f"{measure[:-3]}_n") or 0) > 1 for row in (a, b))
    if once or not (small[measure] and below and above):
        return given
    return max(LEAST if given is None else given, above / small[measure] * large[measure] / below - 1)


# --- table ------------------------------------------------------------------------------------------------------------


def compare_table(compared: Comparison, env_a: dict[str, Any], env_b: dict[str, Any]) -> Table:
    """One line for each row that both have: times before and after, ratios, and what became worse or better."""
    rows = compared.rows
    names = [LAYER] if any(row[LAYER] for row in rows) else []
    names += [key for key in KEY if key == "op" or len({row[key] for row in rows}) > 1]
    shown = [key for key in MEASURES if any(row[f"{key}_ratio"] is not None for row in rows)]
    times, others = [key for key in shown if key in ENDS], [key for key in shown if key not in ENDS]
    head = [*names, *(f"{MEASURES[key]} {end}" for key in times for end in ("A", "B", "B/A"))]
    head += [*(f"{MEASURES[key]} B/A" for key in others), "result"]
    body = [
        [
            *(str(row[key] or "") for key in names),
            *(cell for key in times for cell in (digits(row[f"{key}_a"]), digits(row[f"{key}_b"]), _ratio(row, key))),
            *(_ratio(row, key) for key in others),
            _result(row),
        ]
        for row in rows
    ]
    shared = [f"{key.replace('_', ' ')} {rows[0][key]}" for key in KEY if key not in names and rows[0][key]]
    notes = [f"all rows: {', '.join(shared)}"] if shared else []
    return Table("", head, body, notes + _notes(compared, env_a, env_b), keys=len(names))


def _ratio(row: Row, key: str) -> str:
    ratio, allowed = row[f"{key}_ratio"], row[f"{key}_threshold"]
    if ratio is None:
        return "-"
    return f"{ratio:.3f}" + (f" ± {100 * allowed:.2g} %" if key in ENDS and allowed is not None else "")


def _result(row: Row) -> str:
    told = [f"{word}: {', '.join(row[word])}" for word in ("worse", "better") if row[word]]
    if not told and row["state_b"] != "ok":
        return row["state_b"]  # and so it was before
    return "; ".join(told) or ("same" if any(row[f"{key}_change"] for key in MEASURES) else "not judged")


def _notes(compared: Comparison, env_a: dict[str, Any], env_b: dict[str, Any]) -> list[str]:
    notes = [f"only in A: {name}" for name in compared.only_a] + [f"only in B: {name}" for name in compared.only_b]
    differ = [key for key in ENVIRONMENT if env_a.get(key) != env_b.get(key)]
    if differ:
        told = "; ".join(f"{key} {env_a.get(key)} | {env_b.get(key)}" for key in differ)
        notes.append(f"A and B did not run in the same environment: {told}")
    if compared.moved:
        notes.append("one of A and B alone was timed in processes of its own, where memory is as no other left it")
    if compared.threshold is not None:
        notes.append(f"B/A: a change counts from {100 * compared.threshold:.3g} % (±)")
    else:
        notes.append(
            "B/A: a time counts as changed where p10 to p90 of A and of B do not meet (±, at least 1 %), memory and "
            "MACs from 1 %; what differs from one run of the program to the next, as other load, is not in that noise"
        )
    if any(row[f"{key}_ratio"] is not None for row in compared.rows for key in SPEEDUPS):
        notes.append(
            "speed-up: of two forms run in turns, so that a slower machine slows both; where A and B have the same "
            "baseline it is judged in place of the ms, which are only shown; it counts as changed where the 95 % "
            'intervals do not meet; "faster" that became "slower" is always worse'
        )
    if any(_unjudged(row, which) for row in compared.rows for which in ("fwd", "fwdbwd")):
        notes.append("a time of a single run tells no noise: it is shown, not judged (--fail-over judges it)")
    places = [f"{name}: commit {env['commit']}" for name, env in (("A", env_a), ("B", env_b)) if env.get("commit")]
    return [*notes, "; ".join(places)] if places else notes


def _unjudged(row: Row, which: str) -> bool:
    keys = [f"{which}_ms", f"{which}_speedup"]
    return row[f"{keys[0]}_ratio"] is not None and not any(row[f"{key}_change"] for key in keys)
