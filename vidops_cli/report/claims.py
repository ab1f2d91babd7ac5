"""Verdicts on a table's claims -> a table. Pure: no torch, no file."""

from __future__ import annotations

from typing import Any

from .table import Table

Entry = dict[str, Any]

EFFECT, RATES = "effect (points)", "learning rate"
SINGLE = ["claim", "better vs worse", EFFECT, "least", "level", "verdict", RATES, "seeds", "note"]
JOINED = [
    "table",
    "claim",
    "verdict",
    EFFECT,
    "least",
    "seeds",
    RATES,
    "note",
]  # of many tables, to be read at a glance
OPTIONAL = (RATES, "note")  # left out where nothing stands in them


def claims_table(judged: list[Entry], told: dict[str, Any]) -> Table:
    """One line for each claim of `ablation.claims.judge`; `told` gives the title of the table they belong to.

    Entries of several tables, each with the name of its own under the key "table", make one short table with no title;
    `told` then gives the folder of the tables.
    """
    joined = any("table" in entry for entry in judged)
    lines = [_line(entry) for entry in judged]
    shown = [
        name for name in (JOINED if joined else SINGLE) if name not in OPTIONAL or any(line[name] for line in lines)
    ]
    title = "" if joined else f"{told['title']}: claims" if told.get("title") else "claims"
    body = [[line[name] for name in shown] for line in lines]
    notes = [f"rows, seeds and environment of each: {told['folder']}/TABLE.md and .jsonl"] if told.get("folder") else []
    return Table(title, shown, body, [*notes, *_notes(judged, joined=joined)], numeric=False)


def _line(entry: Entry) -> dict[str, str]:
    level, seeds = entry["level"], entry["seeds"]
    return {
        "table": entry.get("table", ""),
        "claim": entry["claim"],
        "better vs worse": " vs ".join(filter(None, (entry["better"], entry["worse"]))) + f", {entry['metric']}",
        EFFECT: _effect(entry),
        "least": _least(entry),
        "level": "" if level is None else f"{100 * level:.3g} %",
        "verdict": entry["verdict"],
        RATES: ", ".join(_at_rate(entry, rate) for rate in entry.get("rates", {})),
        "seeds": "" if seeds is None else str(seeds),
        "note": _note(entry),
    }


def _of_cost(entry: Entry) -> bool:
    return entry.get("most") is not None


def _of_growth(entry: Entry) -> bool:
    return "below" in entry


def _least(entry: Entry) -> str:
    if _of_growth(entry):
        return f"exponent below {entry['worse'] or format(entry['below'], 'g')}"
    return f"{entry['metric']} at most {entry['most']:+g} %" if _of_cost(entry) else f"{entry['least']:g}"


def _effect(entry: Entry) -> str:
    if entry["effect"] is None:
        return "-"
    if _of_cost(entry):
        return f"{entry['effect']:+.2f} %"
    sign = "" if _of_growth(entry) else "+"
    ends = "" if entry["low"] is None else f" [{entry['low']:{sign}.2f}, {entry['high']:{sign}.2f}]"
    return f"{entry['effect']:{sign}.2f}{ends}"


def _at_rate(entry: Entry, rate: str) -> str:
    """The verdict at a multiple of the learning rate, and whether it is another than that of the claim."""
    verdict = entry["rates"][rate]
    flips = verdict != entry["verdict"] and "not run" not in (verdict, entry["verdict"])
    return f"x{rate} {verdict}" + (" (flips)" if flips else "")


def _note(entry: Entry) -> str:
    reach = [] if entry["detectable"] is None else [f"would be held from {entry['detectable']:+.2f}"]
    return "; ".join([*reach, *([entry["note"]] if entry["note"] else [])])


def _notes(judged: list[Entry], *, joined: bool) -> list[str]:
    notes = []
    scored = [entry for entry in judged if not (_of_cost(entry) or _of_growth(entry))]
    if any(entry["low"] is not None for entry in scored):
        level = "its level" if joined else "level: of that interval,"
        any_of = "any claim of its table" if joined else f"any of the {len(scored)} claims of the table"
        notes += [
            "effect: better - worse, mean over seeds that both rows were run at; [low, high]: its interval over seeds, "
            "and over test clips unless the note says over seeds alone",
            f"{level} after Holm: that {any_of} is judged wrongly has a probability of at most 5 %",
            "held: the whole interval lies above least; not held: it lies below; undecided: neither, with the effect "
            "from which this spread would be held",
        ]
    if any(entry["least"] < 0 for entry in scored):
        notes.append("least below 0: the loss that is allowed")
    if any(map(_of_growth, judged)):
        notes.append("an exponent is that of a power of the number of positions, with its 95 % interval over sizes")
    if any(map(_of_cost, judged)):
        notes.append("a cost has neither seeds nor interval: held if better costs at most so much more than worse")
    rates = dict.fromkeys(rate for entry in judged for rate in entry.get("rates", {}))
    if rates:
        notes.append(
            f"{', '.join(f'x{rate}' for rate in rates)}: the verdict with both rows trained at that multiple of their "
            "learning rate; (flips): another than at their own"
        )
    for clips, group in sorted({(entry["clips"], entry.get("group") or 1) for entry in scored if entry["clips"]}):
        of_episodes = "" if group == 1 else f", in episodes of {group}, each of which counts as one"
        notes.append(f"accuracy over seeds of one test set of {clips} clips{of_episodes}")
    scales = {entry["scale"] for entry in judged}
    if "mini" in scales:
        notes.append("scale: mini, smaller than the paper's data or schedule: verdicts on these rows, not on the paper")
    if "smoke" in scales:
        notes.append("scale: smoke, which shows that the table runs: no verdict")
    return notes
