"""Rows of an ablation, and what its recipe tells of the paper -> a table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vidops_cli import stats

from .provenance import listed
from .table import Table, number

Row = dict[str, Any]
Found = dict[str, dict[int | None, Row]]  # metric -> seed -> row, of one line of the table
Line = dict[str, str]  # column -> words

DEFAULTS: dict[str, Any] = {
    **{"claim": "", "paper": "", "convention": None, "reference": None},
    **{"quoted": [], "listed": None, "floors": {}, "scale": "full", "rates": []},
}
SCALES = {
    "mini": "scale: mini: smaller data, network or schedule than in full",
    "smoke": "smoke: one seed, one epoch: shows that it runs, no number to compare",
}
COUNTS = {"macs": "macs", "flops": "flops", "motionsqueeze": "printed"}  # a paper's convention -> what we call it
FEWEST = 3  # seeds of a mean that may be called reproduced: of two the interval holds nearly anything
CONTROL = 0.1  # how far the MACs of a control may lie from those of its row
MEMORY = "memory"  # the tier of what could not be looked up
EMPTY = ("", "-")


def ablation_table(told: dict[str, Any], rows: list[Row], *, unverified: bool = False) -> Table:
    """One line for each row of the recipe, then the paper's other lines; a column in which nothing stands is left out.

    `told`: the key "table" of a published record's head. `rows`: one for each cell and metric. A paper's value that is
    known from memory alone is shown only with `unverified`, and is never compared; its lines of which no more is known
    are left out. ValueError for rows of another scale than the table's, and for two values of one row, metric and seed.
    """
    told = DEFAULTS | told
    again = {rate: [row for row in rows if row.get("rate", 1) == rate] for rate in told["rates"]}
    rows = [row for row in rows if row.get("rate", 1) == 1]
    planned = told.get("rows") or [{"name": name} for name in told["row_names"]]
    told["reference"] = told["reference"] or planned[0]["name"]
    quoted = [row for row in told["quoted"] if unverified or _printed(row, told["metric"], False)]
    told["unshown"] = len(told["quoted"]) - len(quoted)
    by_name = _grouped(rows, told["scale"])
    found = [by_name.get(row["name"], {}) for row in planned]
    reference = by_name.get(told["reference"], {}).get(told["metric"], {})
    lines = [_ours(row, mine, reference, told) for row, mine in zip(planned, found, strict=True)]
    for rate, others in again.items():
        at_rate = _grouped(others, told["scale"])
        for row, words in zip(planned, lines, strict=True):
            words[_rate(rate)] = _spread(_values(at_rate.get(row["name"], {}), told["metric"]))
    lines += [{"row": row["name"]} for row in quoted]
    marks: dict[tuple[int, str], str] = {}
    sources: dict[str, list[str]] = {}
    for i, row in enumerate([*planned, *quoted]):
        printed = _printed(row, told["metric"], unverified)
        lines[i] |= _beside(printed, found[i] if i < len(found) else {}, told)
        for key, value in printed.items():
            sources.setdefault(_source(value), []).append(key)
            if value["tier"] == MEMORY:
                marks[i, _column(key, told["metric"])] = "grey"
    if told["scale"] != "smoke":
        marks |= _best("ours", [_values(mine, told["metric"]) for mine in found])
        marks |= _best("mean_class", [_values(mine, "mean_class") for mine in found])
    heads = _heads(told)
    shown = [key for key in heads if key == "row" or any(line.get(key, "") not in EMPTY for line in lines)]
    return Table(
        title=told["title"],
        head=[heads[key] for key in shown],
        body=[[line.get(key, "") for key in shown] for line in lines],
        notes=_notes(told, rows, lines, shown, sources),
        marks={(i, shown.index(key)): mark for (i, key), mark in marks.items() if key in shown},
    )


def with_numbers(table: Table, told: dict[str, Any], rows: list[Row]) -> Table:
    """The table, and beside it mean, sample standard deviation and number of seeds of its metric as plain numbers."""
    told = DEFAULTS | told
    planned = [row["name"] for row in told.get("rows") or []] or told["row_names"]
    by_name = _grouped([row for row in rows if row.get("rate", 1) == 1], told["scale"])
    found = [_values(by_name.get(name, {}), told["metric"]) for name in planned]
    found += [[] for _ in table.body[len(planned) :]]  # lines of the paper
    head = [*table.head, *(f"{told['metric']} {what}" for what in ("mean", "sd", "n"))]
    body = []
    for line, values in zip(table.body, found, strict=True):
        numbers = [stats.mean(values), stats.std(values), len(values)] if values else [None] * 3
        body.append([*line, *("" if value is None else f"{value}" for value in numbers)])
    return replace(table, head=head, body=body)


def _grouped(rows: list[Row], scale: str) -> dict[str, Found]:
    others = {row.get("scale", scale) for row in rows} - {scale}
    if others:
        raise ValueError(
            f"rows of scale {', '.join(sorted(others))} in a table of scale {scale}",
            "scales are not mixed: render the rows of each in a table of their own",
        )
    found: dict[str, Found] = {}
    for row in rows:
        seeds = found.setdefault(row["row"], {}).setdefault(row["metric"], {})
        if row.get("seed") in seeds:
            raise ValueError(
                f"two values of {row['metric']} for row {row['row']!r} and seed {row['seed']}",
                "render the rows of one store or record, not of two",
            )
        seeds[row.get("seed")] = row
    return found


def _heads(told: dict[str, Any]) -> dict[str, str]:
    """Columns in their order, and their heads."""
    return {
        "row": "row",
        "ours": f"{told['metric']} (%)",
        "seeds": "seeds",
        **{_rate(rate): _rate(rate) for rate in told["rates"]},
        "difference": f"vs {told['reference']}",
        "paper": "paper",
        "gap": "gap",
        "status": "status",
        **({} if told["metric"] == "mean_class" else {"mean_class": "mean class (%)"}),
        "train_top1": "train top1 (%)",
        "params": "params",
        "params_m": "paper params",
        "macs": "MACs",
        **({"flops": "FLOPs"} if told["convention"] == "flops" else {}),
        **({"printed": "as the paper counts"} if told["convention"] == "motionsqueeze" else {}),
        "gflops": "paper MACs" if told["convention"] == "macs" else "paper FLOPs",
        "seconds": "s/run",
    }


def _rate(rate: float) -> str:
    """Name and head of the column of runs at a multiple of the learning rate."""
    return f"lr x{rate:g}"


# --- ours -------------------------------------------------------------------------------------------------------------


def _ours(row: Row, mine: Found, reference: dict[int | None, Row], told: dict[str, Any]) -> Line:
    """Cells of what was measured."""
    profiled = row.get("kind") == "profile"
    name = f"{row['name']} (of {row['of']})" if row.get("of") else row["name"]
    all_rows = [one for seeds in mine.values() for one in seeds.values()]
    if not all_rows:
        return {"row": name, "ours": "not run", "seeds": "" if profiled else f"0/{len(told['seeds'])}"}
    scores, cost = _values(mine, told["metric"]), all_rows[0]
    times = [one["seconds"] for one in mine.get(told["metric"], {}).values()]
    older = " (older code)" if any(one.get("older") for one in all_rows) else ""
    compared = row["name"] != told["reference"] and told["scale"] != "smoke"
    return {
        "row": name,
        "ours": _spread(scores) + older,
        "seeds": "" if profiled else f"{len(scores)}/{len(told['seeds'])}",
        "difference": _difference(mine.get(told["metric"], {}), reference) if compared else "",
        "mean_class": _spread(_values(mine, "mean_class")),
        "train_top1": _spread(_values(mine, "train_top1")),
        **{key: number(cost.get(key)) for key in ("params", "macs", "flops", "printed")},
        "seconds": f"{stats.mean(times):.0f}" if times else "-",
    }


def _values(mine: Found, metric: str) -> list[float]:
    return [row["value"] for row in mine.get(metric, {}).values()]


def _spread(values: list[float]) -> str:
    if not values:
        return "-"
    spread = stats.std(values)
    return f"{stats.mean(values):.1f}" + ("" if spread is None else f" ± {spread:.1f}")


def _difference(mine: dict[int | None, Row], reference: dict[int | None, Row]) -> str:
    """Mean over the seeds that both have, and its interval; a star where that leaves out 0."""
    effect = stats.paired_effect(
        [one["value"] - reference[seed]["value"] for seed, one in mine.items() if seed in reference]
    )
    if effect is None:
        return "-"
    margin = effect.margin()
    ends = f"[{_signed(effect.value - margin)}, {_signed(effect.value + margin)}]"
    return f"{_signed(effect.value)} {ends}" + (" *" if abs(effect.value) > margin else "")


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"  # no -0.0


def _best(column: str, scores: list[list[float]]) -> dict[tuple[int, str], str]:
    """Marks of the best line and of the second, ties included: means that are printed alike are equal."""
    means = {i: float(f"{stats.mean(values):.1f}") for i, values in enumerate(scores) if values}
    if len(means) < 2:
        return {}
    words = dict(zip(sorted(set(means.values()), reverse=True), ("bold", "underline"), strict=False))
    return {(i, column): words[value] for i, value in means.items() if value in words}


# --- the paper's ------------------------------------------------------------------------------------------------------


def _printed(row: Row, metric: str, unverified: bool) -> dict[str, Row]:
    """Values of the paper that the table shows, by what they are values of."""
    told = {key: row.get("paper", {}).get(key) for key in (metric, "params_m", "gflops")}
    return {key: value for key, value in told.items() if value and (unverified or value["tier"] != MEMORY)}


def _column(key: str, metric: str) -> str:
    return "paper" if key == metric else key


def _beside(printed: dict[str, Row], mine: Found, told: dict[str, Any]) -> Line:
    """Cells of the paper's values, and how ours compare with them."""
    words = {}
    for key, value in printed.items():
        ours = None
        if key == told["metric"]:
            text = f"{value['value']:.2f}".removesuffix("0")  # papers tell one digit or two
            if value["tier"] != MEMORY:
                words |= _judged(value["value"], _values(mine, key), told["scale"])
        elif key == "params_m":
            text, ours = f"{value['value']:g} M", _cost(mine, "params", 1e6)
        else:
            text, ours = f"{value['value']:g} G", _cost(mine, COUNTS.get(told["convention"], ""), 1e9)
        if value["tier"] == MEMORY:
            text += f" ({MEMORY})"
        elif ours is not None and value["value"] > 0 and told["scale"] == "full":
            text += f" ({_signed(100 * (ours / value['value'] - 1))} %)"
        words[_column(key, told["metric"])] = text
    return words


def _cost(mine: Found, key: str, unit: float) -> float | None:
    known = (row[key] / unit for seeds in mine.values() for row in seeds.values() if row.get(key) is not None)
    return next(known, None)


def _judged(value: float, scores: list[float], scale: str) -> Line:
    """Gap and status of a line whose metric the paper tells."""
    if not scores:
        return {"status": "not attempted"}
    if scale != "full":  # of other data: their difference tells nothing
        return {"status": "smaller scale"}
    gap = stats.mean(scores) - value
    spread = stats.paired_effect(scores) if len(scores) >= FEWEST else None  # of our mean over runs
    same = spread is not None and abs(gap) <= spread.margin()
    return {"gap": _signed(gap), "status": "reproduced" if same else f"within {abs(gap):.1f}"}


def _source(value: Row) -> str:
    """Where a value is told, with the tier before it unless it says so itself."""
    told, tier = value["source"], value["tier"]
    return told if told == tier or told.startswith((f"{tier}:", f"[{tier}]")) else f"{tier}: {told}"


# --- notes ------------------------------------------------------------------------------------------------------------


def _notes(
    told: dict[str, Any], rows: list[Row], lines: list[Line], shown: list[str], sources: dict[str, list[str]]
) -> list[str]:
    of_paper = " of ".join(part for part in ("claim" if told["claim"] else "", told["paper"]) if part)
    notes = [": ".join(part for part in (of_paper, told["claim"]) if part)] if of_paper else []
    notes += [SCALES[told["scale"]]] if told["scale"] in SCALES else []
    if told["floors"]:
        floors = ", ".join(f"{name} {100 * value:.1f} %" for name, value in told["floors"].items())
        blind = " (order-blind: the most that a model blind to the order of frames can reach)"
        notes.append(f"floors: {floors}{blind if 'order-blind' in told['floors'] else ''}")
    return [
        *notes,
        *_of_columns(told, lines, shown),
        *_of_paper(told, sources),
        *_of_controls(told, rows),
        *(_of_rows(told, rows) if rows else []),
    ]


def _of_columns(told: dict[str, Any], lines: list[Line], shown: list[str]) -> list[str]:
    """What the words in the columns mean."""
    words = {
        "seeds": "mean ± sample standard deviation over seeds",
        "train_top1": "train top1: running mean of the last epoch",
        "macs": "MACs of one clip",
        "flops": "FLOPs = 2 MACs + all else",
        "seconds": "s/run: decoding included, which the first runs do for all where data.cache keeps it",
        "printed": "as the paper counts: by the counters of MotionSqueeze's repository, of profile rows",
    }
    words |= {
        _rate(rate): f"{_rate(rate)}: {told['metric']} at {rate:g} times the learning rate" for rate in told["rates"]
    }
    notes = ["; ".join(text for key, text in words.items() if key in shown)]
    if "difference" in shown:
        notes.append(
            f"vs {told['reference']}: mean difference of equal seeds and its 95 % interval (paired, Student's t); "
            "*: 0 lies outside, each row taken by itself"
        )
    if "gap" in shown:
        notes.append(
            "gap: ours - paper, in points; reproduced: the paper's value lies within the 95 % interval of our mean "
            f"(Student's t over {FEWEST} seeds or more); within X: X points apart"
        )
    if any("%" in line.get(key, "") for line in lines for key in ("params_m", "gflops")):
        notes.append("in brackets after the paper's costs: how far ours lie above them")
    if "gflops" in shown and told["convention"] not in COUNTS:
        notes.append("paper FLOPs: how they are counted is not known: not compared")
    return [note for note in notes if note]


def _of_paper(told: dict[str, Any], sources: dict[str, list[str]]) -> list[str]:
    """Where the paper's values come from."""
    notes = []
    if sources:
        listed = (f"{source} ({', '.join(dict.fromkeys(keys))})" for source, keys in sources.items())
        notes.append(f"paper: {'; '.join(listed)}")
    if told["unshown"]:
        count = "one line" if told["unshown"] == 1 else f"{told['unshown']} lines"
        notes.append(f"{count} of the paper, not run here, could not be looked up: --unverified shows what is known")
    if told["listed"] and told["listed"]["tier"] == MEMORY:
        notes.append("the list of rows is known only from memory")
    return notes


def _of_controls(told: dict[str, Any], rows: list[Row]) -> list[str]:
    """Which row is of equal cost to which, as measured."""
    macs = {row["row"]: row["macs"] for row in rows if row.get("macs")}
    notes = []
    for row in told.get("rows") or []:
        of = row.get("control_of")
        if of is None:
            continue
        words = "MACs not measured yet"
        if row["name"] in macs and of in macs:
            ratio = macs[row["name"]] / macs[of]
            equal = 1 - CONTROL <= ratio <= 1 + CONTROL
            words = f"{ratio:.2f} of its MACs" + ("" if equal else f", NOT within {100 * CONTROL:.0f} %")
        notes.append(f"control of {of}: {row['name']}, {words}")
    return notes


def _of_rows(told: dict[str, Any], rows: list[Row]) -> list[str]:
    """Where our numbers come from, and what spoils a comparison."""
    notes = []
    scored = [row for row in rows if row["metric"] == told["metric"]]
    splits = dict.fromkeys(row["split"] for row in scored)
    for split in splits:
        sizes = sorted({(row["n"], row["present"]) for row in scored if row["split"] == split})
        clips = "; ".join(f"{n} clips scored ({present} of the listed videos present)" for n, present in sizes)
        notes.append(f"{split} split, {clips}")
    if seen := sorted({(row["views"], row["average"]) for row in scored if "views" in row}):
        views = "; ".join(f"{count} views, {average} averaged" for count, average in seen)
        one = "" if all("views" in row for row in scored) else ", some rows on one"
        notes.append(f"tested on {views}{one}; MACs and FLOPs are of one view, times that in all")
    torch, device, cpu, commit, code, data, decoded_by, weights, recipe = (
        listed(row.get(key) for row in rows)
        for key in ("torch", "device", "cpu", "commit", "code", "data", "decoded_by", "weights", "recipe")
    )
    dirty = " (with uncommitted changes)" if any(row["dirty"] for row in rows) else ""
    first, last = (end(row["date"] for row in rows)[:10] for end in (min, max))
    notes.append(
        f"torch {torch} on {device} ({cpu}); commit {commit}{dirty}; code {code}; "
        + (f"data {data}{_trained_on(rows)}; " if data else "")
        + (f"decoded by {decoded_by}; " if decoded_by else "")
        + (f"started from weights {weights}; " if weights else "")
        + (f"recipe {recipe}; " if recipe else "")
        + (first if first == last else f"{first} to {last}")
    )
    if any(row.get("older") for row in rows):
        notes.append("older code: run before operator, model or task changed; --rerun older runs it again")
    elif len({(row["row"], row["code"]) for row in rows}) > len({row["row"] for row in rows}):
        notes.append("seeds of one row were run with different code: run them again before comparing")
    uncounted = sorted({name for row in rows for name in row.get("uncounted") or []})
    if uncounted:
        notes.append(f"not counted in MACs: {', '.join(uncounted)}")
    return notes


def _trained_on(rows: list[Row]) -> str:
    """The train split, beside the one that was tested; nothing of rows that are older than the entry."""
    sets = listed(f"{row['data_train']} ({row['n_train']} clips)" for row in rows if "data_train" in row)
    return f" tested, {sets} trained on" if sets else ""
