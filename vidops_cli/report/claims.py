"""Verdicts on a table's claims -> a table. Pure: no torch, no file."""

from __future__ import annotations

from typing import Any

from .table import Table


def claims_table(judged: list[dict[str, Any]], told: dict[str, Any]) -> Table:
    """One line for each claim of `ablation.claims.judge`; `told` gives the title of the table they belong to."""
    head = ["claim", "better vs worse", "effect (points)", "least", "level", "verdict", "seeds", "note"]
    body = [
        [
            entry["claim"],
            f"{entry['better']} vs {entry['worse']}, {entry['metric']}",
            _effect(entry),
            f"{entry['least']:g}",
            "" if entry["level"] is None else f"{100 * entry['level']:.3g} %",
            entry["verdict"],
            str(entry["seeds"]),
            _note(entry),
        ]
        for entry in judged
    ]
    title = f"{told['title']}: claims" if told.get("title") else "claims"
    return Table(title, head, body, _notes(judged), numeric=False)


def _effect(entry: dict[str, Any]) -> str:
    if entry["effect"] is None:
        return "-"
    ends = "" if entry["low"] is None else f" [{entry['low']:+.2f}, {entry['high']:+.2f}]"
    return f"{entry['effect']:+.2f}{ends}"


def _note(entry: dict[str, Any]) -> str:
    reach = [] if entry["detectable"] is None else [f"would be held from {entry['detectable']:+.2f}"]
    return "; ".join([*reach, *([entry["note"]] if entry["note"] else [])])


def _notes(judged: list[dict[str, Any]]) -> list[str]:
    notes = []
    if any(entry["low"] is not None for entry in judged):
        notes += [
            "effect: better - worse, mean over seeds that both rows were run at; [low, high]: its interval over seeds, "
            "and over test clips unless the note says over seeds alone",
            f"level: of that interval, after Holm: that any of the {len(judged)} claims of the table is judged wrongly "
            "has a probability of at most 5 %",
            "held: the whole interval lies above least; not held: it lies below; undecided: neither, with the effect "
            "from which this spread would be held",
        ]
    clips = sorted({entry["clips"] for entry in judged if entry["clips"]})
    if clips:
        notes.append(f"accuracy over seeds of one test set of {' or '.join(map(str, clips))} clips")
    scales = {entry["scale"] for entry in judged}
    if "mini" in scales:
        notes.append("scale: mini, smaller than the paper's data or schedule: verdicts on these rows, not on the paper")
    if "smoke" in scales:
        notes.append("scale: smoke, which shows that the table runs: no verdict")
    return notes
