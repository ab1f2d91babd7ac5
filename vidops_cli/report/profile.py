"""Profile rows -> tables: operators, scaling, the tree of a whole model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from vidops_cli import stats

from .table import INDENT, Table, counted, digits, number, percent, size

Row = dict[str, Any]
Cell = Callable[[Row], str]
Column = tuple[str, Cell]  # its head, and its cell of a row

WAYS = {"fwd": "fwd", "fwdbwd": "fwd+bwd"}
EMPTY = ("", "-")
BOUND = "bound: least time for these FLOPs and bytes on this machine, as a share of the forward time"
COUNTS_AGREE = 0.01  # relative gap of the three counts up to which they are said to agree
FLAGS = {
    "noisy": "the runs spread widely",
    "unstable": "never warm within the budget",
    "loaded": "other processes took the processor away, times are too long",
    "launch-bound": "the host takes as long to start the call as the device to compute it",
}


def profile_table(rows: list[Row], env: dict[str, Any], *, full: bool = False, chosen: Sequence[str] = ()) -> Table:
    """One line for each row, then what the words mean; a column in which no row has anything is left out.

    A red row (it differs from its reference) shows no time. `full` adds p99, the other counts and what the bound is
    made of; without it layers that have a baseline show their speed and memory alone, no counts and no bound.
    `chosen`: these columns alone, in this order, as `choose` gives them.
    """
    if chosen:
        found = _choosable(rows)
        table = _table([found[key] for key in chosen], rows, [], keys=len(chosen))
        return replace(table, keys=1, notes=_notes(rows, env, table.head))
    names, shared = _names(rows)
    brief = not full and any(row.get("layer") and row.get("baseline") for row in rows)
    costs = [("checked", _checked)] + ([] if brief else _costs(full))
    times = [column for which in WAYS for column in _times(which, rows, full, brief)]
    if brief:  # a layer's name stands for its options
        names, shared = ([column for column in part if column[0] != "options"] for part in (names, shared))
    columns = [*names, *shared, *costs, *times, *_remarks()]
    table = _table(columns, rows, [], keys=len(names))
    return replace(table, notes=_notes(rows, env, table.head))


def choose(told: str) -> tuple[str, ...]:
    """`"op,shape,fwd_ms"` -> the keys of these columns: their heads, but for brackets. ValueError for others."""
    found = _choosable([])
    chosen = tuple(_key(word) for word in told.split(",") if word.strip())
    unknown = [word for word, key in zip(filter(str.strip, told.split(",")), chosen, strict=True) if key not in found]
    if unknown or not chosen:
        what = f"no column is called {unknown[0].strip()!r}" if unknown else "no column is named"
        raise ValueError(what, f"columns: {', '.join(found)}")
    return tuple(dict.fromkeys(chosen))


def _choosable(rows: list[Row]) -> dict[str, Column]:
    """All columns by their keys."""
    columns = [
        ("layer", _text("layer")),
        ("op", _text("op")),
        *_setting().items(),
        ("checked", _checked),
        *_costs(True),
    ]
    columns += [column for which in WAYS for column in _times(which, rows, True, False, beside=True)]
    return {_key(column[0]): column for column in [*columns, *_remarks()]}


def _key(head: str) -> str:
    """A head as it is typed: `fwd+bwd ms (p10-p90)` -> fwdbwd_ms."""
    return re.sub(r"\W", "", head.partition("(")[0].strip().lower().replace(" ", "_").replace("/", "_per_"))


def _table(columns: list[Column], rows: list[Row], notes: list[str], *, keys: int, turns: bool = True) -> Table:
    """Cells of the rows, without the columns in which no row has anything."""
    lines = [[cell(row) for _, cell in columns] for row in rows]
    keep = [i for i in range(len(columns)) if i < keys or any(line[i] not in EMPTY for line in lines)]
    return Table(
        "", [columns[i][0] for i in keep], [[line[i] for i in keep] for line in lines], notes, keys=keys, turns=turns
    )


# --- columns ----------------------------------------------------------------------------------------------------------


def _names(rows: list[Row]) -> tuple[list[Column], list[Column]]:
    """Columns that tell rows apart; options and shape where all rows share them (a note says what else they share)."""
    setting = _setting()
    several = {key for key, cell in setting.items() if len({cell(row) for row in rows}) > 1}
    if len(_distinct(rows, "baseline")) < 2:
        several -= {"baseline"}
    layer = [("layer", _text("layer"))] if any(row.get("layer") for row in rows) else []  # of a suite
    names = [*layer, ("op", _text("op")), *(column for column in setting.items() if column[0] in several)]
    return names, [(key, setting[key]) for key in ("options", "shape") if key not in several]


def _setting() -> dict[str, Cell]:
    words = ("options", "shape", "dtype", "device", "threads", "form", "views", "baseline")
    cells: dict[str, Cell] = {word: _text(word) for word in words[:6]}
    cells["layout"] = lambda row: "channels last" if row.get("channels_last") else ""
    return cells | {word: _text(word) for word in words[6:]}


def _costs(full: bool) -> list[Column]:
    columns = [
        ("params", _number("params")),
        ("MACs", _number("macs")),
        ("other", _number("other_flops")),
        ("FLOPs", _number("flops")),
        ("MACs x views", _views("macs")),
        ("FLOPs x views", _views("flops")),
        ("bwd MACs", _number("macs_bwd")),
        ("bwd FLOPs", _number("flops_bwd")),
    ]
    more = [
        ("counted by", _text("cost_from")),
        ("fvcore MACs", _number("macs_fvcore")),
        ("fvcore FLOPs", _number("flops_fvcore")),
        ("aten MACs", _number("macs_aten")),
        ("aten FLOPs", _number("flops_aten")),
        ("gap of counts", _share("cost_gap")),
        ("FLOPs executed", _number("flops_executed")),
        ("least bytes", _size("bytes_min")),
        ("FLOPs/byte", _digits("intensity")),
    ]
    return columns + (more if full else [])


def _times(which: str, rows: list[Row], full: bool, brief: bool, *, beside: bool = False) -> list[Column]:
    way = WAYS[which]
    baselines = {row["baseline"] for row in rows if row.get("baseline")}
    told = (f"{way} baseline ms", _timed(_digits(f"baseline_{which}_ms")))
    released = (f"released {way} ms", _timed(_digits(f"released_{which}_ms")))
    beside = beside or any(row.get(f"released_{which}_ms") is not None for row in rows)
    columns = [
        (f"{way} ms (p10-p90)", _time(which)),
        *([told, released] if beside else []),
        (f"{way} speed-up", _speedup(which, baselines)),
        (f"{way} peak", _size(f"peak_{which}_bytes")),
        (f"{way} memory", _timed(_digits(f"{which}_memory"))),
    ]
    if brief:
        return columns
    more = [] if beside else [told]
    more += [
        (f"{way} p99 ms", _timed(_digits(f"{which}_p99"))),
        (f"{way} runs", _timed(_text(f"{which}_n"))),
        (f"{way} pairs", _timed(_text(f"{which}_pairs"))),
        (f"{way} reserved", _size(f"reserved_{which}_bytes")),
    ]
    if which == "fwd":
        columns += [("clips/s", _timed(_digits("clips_per_s"))), ("bound", _timed(_bound))]
        more += [("bound ms", _timed(_digits("bound_ms")))]
    else:
        columns += [("saved", _size("saved_bytes"))]
        more += [("fwd+bwd clips/s", _timed(_digits("train_clips_per_s")))]
    return columns + (more if full else [])


def _remarks() -> list[Column]:
    return [("flags", _timed(_flags)), ("uncounted", _uncounted)]


# --- cells ------------------------------------------------------------------------------------------------------------


def _text(key: str) -> Cell:
    return lambda row: "" if row.get(key) is None else str(row[key])


def _number(key: str) -> Cell:
    return lambda row: number(row.get(key))


def _size(key: str) -> Cell:
    return lambda row: size(row.get(key))


def _digits(key: str) -> Cell:
    return lambda row: digits(row.get(key))


def _share(key: str) -> Cell:
    return lambda row: "-" if row.get(key) is None else percent(row[key])


def _views(key: str) -> Cell:
    return lambda row: "-" if row.get(key) is None or (row.get("views") or 1) < 2 else number(row[key] * row["views"])


def _timed(cell: Cell) -> Cell:
    """A red row shows nothing that was timed."""
    return lambda row: "-" if row.get("passed") is False else cell(row)


def _checked(row: Row) -> str:
    if row.get("checked") is None:
        return "FAILED" if row.get("passed") is False else "-"
    told = f"{row['checked']:.0e}" + (f", {row['checked_how']}" if row.get("checked_how") else "")
    return f"FAILED {told}" if row.get("passed") is False else told


def _time(which: str) -> Cell:
    """Median and spread; in place of the first time that is missing, why it is."""

    def cell(row: Row) -> str:
        middle = row.get(f"{which}_ms")
        if middle is None:
            first = which == "fwd" or row.get("fwd_ms") is not None
            return {"oom": "out of memory", "error": "error"}.get(row.get("status"), "-") if first else "-"
        if "once" in (row.get(f"{which}_flags") or []):
            return f"{digits(middle)} (once)"
        spread = [row.get(f"{which}_{key}") for key in ("p10", "p90")]
        return digits(middle) + ("" if None in spread else f" ({digits(spread[0])}-{digits(spread[1])})")

    return _timed(cell)


def _speedup(which: str, baselines: set[str]) -> Cell:
    def cell(row: Row) -> str:
        ratio, low, high = (row.get(f"{which}_speedup{end}") for end in ("", "_low", "_high"))
        if ratio is None:
            return "baseline" if row["op"] in baselines and not row.get("baseline") else "-"
        told = digits(ratio) + ("" if low is None else f" [{digits(low)}, {digits(high)}]")
        return told + (f" {row[f'{which}_verdict']}" if row.get(f"{which}_verdict") else "")

    return _timed(cell)


def _uncounted(row: Row) -> str:
    return " ".join(row.get("uncounted") or [])


def _bound(row: Row) -> str:
    share = _share("bound_share")(row)
    return share if share == "-" or not row.get("bound_by") else f"{share} {row['bound_by']}"


def _flags(row: Row) -> str:
    """Flags of both passes; a pass is named where it alone has the flag."""
    found = {which: [flag for flag in row.get(f"{which}_flags") or [] if flag != "once"] for which in WAYS}
    both = [flag for flag in found["fwd"] if flag in found["fwdbwd"] or row.get("fwdbwd_ms") is None]
    alone = [f"{flag} ({WAYS[which]})" for which, flags in found.items() for flag in flags if flag not in both]
    return ", ".join(both + alone)


# --- notes ------------------------------------------------------------------------------------------------------------


def _notes(rows: list[Row], env: dict[str, Any], head: list[str]) -> list[str]:
    if not rows:
        return ["nothing was measured"]
    shown = " ".join(head)
    notes = [_failed(row) for row in rows if row.get("error")]
    if "MACs" in head:
        backward = "; bwd: the backward pass alone" if "bwd MACs" in head else ""
        ours = " of the published algorithm" if "formula" in _distinct(rows, "cost_from") else ""
        notes += [f"MACs: multiply-adds{ours}; FLOPs = 2 MACs + other{backward}", _counts(rows)]
        own = ", ".join(_distinct([row for row in rows if row.get("cost_from") == "aten"], "op"))
        notes += [f"{own}: no published form is known; MACs and FLOPs are of the form that ran"] if own else []
    notes += [f"convention of the paper: {said}" for said in _distinct(rows, "convention")]
    views = _distinct(rows, "views")
    if views not in ([], ["1"]):
        notes += [f"x views: times the {' or '.join(views)} views that are taken of a video"]
    if "checked" in head:
        notes += [
            "checked: largest error of output and gradients to the reference in float64, over max(1, the largest value)"
        ]
    if "peak" in shown:
        unseen = "; not counted: scratch that libraries take from the system themselves" if _on_cpu(rows) else ""
        saved = "; saved: what forward keeps for backward" if "saved" in head else ""
        notes += [f"peak: memory allocated at once, above inputs and parameters{saved}{unseen}"]
    if "ms" in shown:
        notes += [_of_runs(rows) + ("; once: a single run" if _once(rows) else "")]
    if "speed-up" in shown:
        names = ", ".join(_distinct(rows, "baseline"))
        notes += [
            f"speed-up: time of {names} over that of the row, run in turns, with the 95 % bootstrap interval; "
            "faster, slower: it excludes 1"
        ]
        own = "textbook: the published algorithm in plain operations of torch, on the same parameters"
        notes += [own] if "textbook" in _distinct(rows, "baseline") else []
    if "memory" in shown:
        notes += ["memory: the peak over that of the baseline"]
    if "released" in shown:
        notes += [
            "released: CPU milliseconds at one thread of the code released with the paper, measured elsewhere, not in "
            "turns with the row; they tell whether the baseline is a slow one"
        ]
    if "bound" in head:
        notes += ["; ".join([BOUND, *_over(rows)]), *_ceilings(env)]
    found = {flag for row in rows for which in WAYS for flag in row.get(f"{which}_flags") or []}
    notes += (
        ["; ".join(f"{flag}: {told}" for flag, told in FLAGS.items() if flag in found)] if found & set(FLAGS) else []
    )
    return [*notes, _place(rows, env)]


def _over(rows: list[Row]) -> list[str]:
    """What explains that a time is shorter than its bound: of compute only that the ceiling is too low."""
    by = {row.get("bound_by") for row in rows if (row.get("bound_share") or 0) > 1}
    told = {
        "memory": "over 100 % memory: data stayed in a cache",
        "compute": "over 100 % compute: faster than the ceiling that was measured, which is too low",
    }
    return [words for which, words in told.items() if which in by]


def _ceilings(env: dict[str, Any]) -> list[str]:
    found = limits_of(env)
    if found is None:
        return []
    busy = ", while other processes ran: they may be too low" if found.get("disturbed") else ""
    speeds = f"{number(found['flops_per_s'])}FLOP/s, {number(found['bytes_per_s'])}B/s"
    return [f"ceilings of this machine: {speeds}, measured {str(found.get('measured_at'))[:10]}{busy}"]


def limits_of(env: dict[str, Any]) -> dict[str, Any] | None:
    """The ceilings that the rows were held against; None where it tells none, as older ones, or no numbers."""
    found = env.get("ceilings")
    speeds = [found.get(key) for key in ("flops_per_s", "bytes_per_s")] if isinstance(found, dict) else []
    return found if speeds and all(isinstance(speed, int | float) and speed > 0 for speed in speeds) else None


def _of_runs(rows: list[Row]) -> str:
    """What a time is the median of."""
    told = "ms: median of all runs, none left out"
    several = sorted({row["processes"] for row in rows if (row.get("processes") or 0) > 1})
    if several:
        told += (
            f"; in rows timed in processes of their own ({', '.join(map(str, several))}) each process is one run, or "
            "pair, by its median"
        )
    return told


def _failed(row: Row) -> str:
    return f"{row['op']} at {row['shape']}: {' '.join(str(row['error']).split())}"


def _counts(rows: list[Row]) -> str:
    """What was counted, and how far the independent counts lie apart."""
    uncounted = any(row.get("uncounted") for row in rows)
    told = "uncounted: operations that are in no number" if uncounted else "no operation is left uncounted"
    compared = {row["op"]: row for row in rows if row.get("cost_gap") is not None}
    own = [row for row in compared.values() if row.get("cost_from") == "aten"]  # which has no formula
    ours = [row for row in compared.values() if row.get("cost_from") != "aten"]
    parts = [f"formula, fvcore and dispatcher {_agreement(ours)}"] if ours else []
    of_own = f"of {', '.join(_distinct(own, 'op'))}, " if ours else ""
    parts += [f"{of_own}dispatcher and fvcore {_agreement(own)}"] if own else []
    alone = [op for op in _distinct(rows, "op") if op not in compared]
    left = f" (not compared: {', '.join(alone)})" if alone and compared else ""
    return "; ".join([told, *parts]) + left


def _agreement(rows: list[Row]) -> str:
    """Of the counts of rows of one kind; where they lie apart, what each of them says."""
    wide = [f"{row['op']} {percent(row['cost_gap'])}{_each(row)}" for row in rows if row["cost_gap"] > COUNTS_AGREE]
    most = max(row["cost_gap"] for row in rows)
    return f"differ: {', '.join(wide)}" if wide else "are equal" if most < 1e-4 else f"agree within {percent(most)}"


def _each(row: Row) -> str:
    """What each counter says, of the quantity in which they lie furthest apart, and which of them the table shows."""
    keys = [
        (name, key)
        for name, key in (("dispatcher", "aten"), ("fvcore", "fvcore"))
        if row.get(f"macs_{key}") is not None
    ]
    if len(keys) < 2:
        return ""
    told = {name: (row[f"macs_{key}"], row[f"flops_{key}"] - 2 * row[f"macs_{key}"]) for name, key in keys}
    if row.get("cost_from") != "aten":
        told = {"formula": (row["macs"], row["other_flops"]), **told}
    spread = [max(values) / max(min(values), 1) for values in zip(*told.values(), strict=True)]
    which = 0 if spread[0] > spread[1] else 1
    words = "; ".join(f"{name} {number(values[which])}" for name, values in told.items())
    return f" ({('MACs', 'other FLOPs')[which]}: {words}; the table shows the {next(iter(told))}'s)"


def _place(rows: list[Row], env: dict[str, Any]) -> str:
    """Where and how all of this ran."""
    kinds = [*_distinct(rows, "dtype"), *(form for form in _distinct(rows, "form") if form != "eager")]
    if any(row.get("channels_last") for row in rows):
        kinds.append("channels last")
    threads = "/".join(_distinct(rows, "threads"))
    place = env.get("gpu") or env.get("cpu")
    told = f"{', '.join(kinds)} on {env.get('device')}" + (f" ({place})" if place else "")
    told += f", {counted(threads, 'thread')}" if threads else ""
    return f"{told}; torch {env.get('torch')}" + (f"; commit {env['commit']}" if env.get("commit") else "")


def _distinct(rows: Iterable[Row], key: str) -> list[str]:
    return list(dict.fromkeys(str(row[key]) for row in rows if row.get(key) is not None))


def _on_cpu(rows: list[Row]) -> bool:
    return any(device.startswith("cpu") for device in _distinct(rows, "device"))


def _once(rows: list[Row]) -> bool:
    return any("once" in (row.get(f"{which}_flags") or []) for row in rows for which in WAYS)


# --- means ------------------------------------------------------------------------------------------------------------


def means(rows: list[Row]) -> list[Row]:
    """Geometric means over the rows that were timed against their published form: of each operator, then of "all".

    That of all is the mean of the operators' means. An entry: op, rows, and for fwd and fwdbwd: speedup with its 95 %
    interval (see stats.geometric_mean), slowest (the least speed-up) and its layer, memory (mean ratio of the peaks),
    memory_highest; None where no row knows it. Empty for fewer than two such rows.
    """
    ran = [row for row in rows if row.get("baseline") == "textbook" and row.get("status") == "ok"]
    ran = [row for row in ran if row.get("fwd_speedup") is not None]
    if len(ran) < 2:
        return []
    by_op = {op: [row for row in ran if row["op"] == op] for op in _distinct(ran, "op")}
    groups = {op: [[row] for row in own] for op, own in by_op.items()} | {"all": list(by_op.values())}
    return [_mean(op, parts) for op, parts in groups.items()]


def _mean(op: str, parts: list[list[Row]]) -> Row:
    """The mean over parts of the mean over the rows of each."""
    rows = [row for part in parts for row in part]
    entry: Row = {"op": op, "rows": len(rows)}
    for which in WAYS:
        speed, memory = f"{which}_speedup", f"{which}_memory"
        fast, small = _nested(parts, speed), _nested(parts, memory)
        slowest = min((row for row in rows if row.get(speed)), key=lambda row: row[speed], default={})
        entry |= {speed: fast and fast.value, f"{speed}_low": fast and fast.low, f"{speed}_high": fast and fast.high}
        entry |= {f"{which}_slowest": slowest.get(speed), f"{which}_slowest_layer": slowest.get("layer")}
        entry |= {memory: small and small.value}
        entry |= {f"{memory}_highest": max((row[memory] for row in rows if row.get(memory)), default=None)}
    return entry


def _nested(parts: list[list[Row]], key: str) -> stats.Ratio | None:
    told = [
        [stats.Ratio(row[key], row.get(f"{key}_low"), row.get(f"{key}_high"), 1) for row in part if row.get(key)]
        for part in parts
    ]
    return stats.geometric_mean([stats.geometric_mean(part) for part in told if part]) if any(told) else None


def means_table(entries: list[Row]) -> Table:
    """One line for each operator and one for all; a column in which no entry has anything is left out."""
    columns: list[Column] = [("mean", _text("op")), ("rows", _text("rows"))]
    for which, way in WAYS.items():
        columns += [
            (f"{way} speed-up", _speedup(which, set())),
            (f"{way} slowest", _slowest(which)),
            (f"{way} memory", _digits(f"{which}_memory")),
            (f"{way} highest memory", _digits(f"{which}_memory_highest")),
        ]
    notes = [
        "mean: geometric, of the rows against textbook; all: of the operators' means, each operator once; intervals: "
        "from those of the rows, as independent errors on logarithms",
        "slowest: the least speed-up, and its layer; memory: the peak over that of the baseline",
    ]
    return _table(columns, entries, notes, keys=1, turns=False)


def _slowest(which: str) -> Cell:
    def cell(row: Row) -> str:
        value, layer = row[f"{which}_slowest"], row[f"{which}_slowest_layer"]
        return digits(value) + (f" ({layer})" if layer else "")

    return cell


# --- whole models -----------------------------------------------------------------------------------------------------


def tree_table(rows: list[Row]) -> Table:
    """Modules of a model, indented below the one that holds them: parameters, operations, memory, time."""
    columns = [
        ("module", lambda row: INDENT * row["depth"] + (row["name"] or "model")),
        ("kind", _text("kind")),
        ("calls", lambda row: "" if row.get("calls") in (None, 1) else str(row["calls"])),
        ("params", _number("params")),
        ("MACs", _number("macs")),
        ("other", _number("other_flops")),
        ("fwd peak", _size("peak_bytes")),
        ("fwd ms", _digits("ms")),
        ("share", lambda row: "-" if row.get("share") is None else f"{100 * row['share']:.1f} %"),
        ("uncounted", _uncounted),
    ]
    notes = [
        "each row holds those below it; other: FLOPs that are no multiply-adds; share: of the model's time",
        "fwd peak: memory above what was there when the module began",
    ]
    return _table(columns, rows, notes, keys=1, turns=False)
