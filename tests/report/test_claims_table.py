"""Verdicts as a table."""

from __future__ import annotations

import pytest

from vidops_cli.report.claims import claims_table

ENTRY = {
    **{"claim": "motion helps", "metric": "top1", "better": "MS", "worse": "TSN", "least": 0.5, "scale": "full"},
    **{"effect": 2.345, "low": 0.812, "high": 3.878, "level": 1 - 0.05 / 3, "verdict": "held", "detectable": None},
    **{"seeds": 3, "clips": 2048, "note": ""},
}
EMPTY = dict.fromkeys(("effect", "low", "high", "level", "clips"))


def test_a_line_of_each_verdict():
    entries = [
        ENTRY,
        {**ENTRY, "verdict": "undecided", "low": -0.2, "level": 0.975, "detectable": 3.045, "note": "over seeds alone"},
        {**ENTRY, **EMPTY, "verdict": "not run", "seeds": 0, "note": "not run: MS"},
        {**ENTRY, "low": None, "high": None, "level": None, "verdict": "undecided", "seeds": 1, "note": "one seed"},
    ]
    table = claims_table(entries, {"title": "Table 1", "rows": []})
    assert table.title == "Table 1: claims"
    assert [dict(zip(table.head, line, strict=True)) for line in table.body] == [
        {
            **{"claim": "motion helps", "better vs worse": "MS vs TSN, top1", "least": "0.5"},
            **{"effect (points)": effect, "level": level, "verdict": verdict, "seeds": seeds, "note": note},
        }
        for effect, level, verdict, seeds, note in (
            ("+2.35 [+0.81, +3.88]", "98.3 %", "held", "3", ""),
            ("+2.35 [-0.20, +3.88]", "97.5 %", "undecided", "3", "would be held from +3.04; over seeds alone"),
            ("-", "", "not run", "0", "not run: MS"),
            ("+2.35", "", "undecided", "1", "one seed"),
        )
    ]
    notes = "\n".join(table.notes)
    assert "Holm" in notes and "any of the 4 claims" in notes and "one test set of 2048 clips" in notes
    assert "scale" not in notes


@pytest.mark.parametrize(
    "scale, changes, told, left_out",
    [
        ("mini", {}, "scale: mini, smaller than the paper's", "smoke"),
        ("smoke", {"low": None, "high": None, "level": None, "verdict": "smoke"}, "scale: smoke", "Holm"),
    ],
)
def test_notes_tell_the_scale(scale, changes, told, left_out):
    notes = "\n".join(claims_table([{**ENTRY, "scale": scale, **changes}], {}).notes)
    assert told in notes
    assert left_out not in notes


def test_no_claims_and_no_title():
    table = claims_table([], {})
    assert (table.title, table.body, table.notes) == ("claims", [], [])
    assert claims_table([ENTRY], {}).markdown().count("\n|") == 3
