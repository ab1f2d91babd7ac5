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


COST = {**ENTRY, **EMPTY, "metric": "macs", "effect": 1.734, "least": None, "most": 2.0, "seeds": None}


def test_costs_losses_and_episodes():
    entries = [COST, {**ENTRY, "least": -2.0, "low": -1.0, "group": 75, "clips": 1500}]
    table = claims_table(entries, {})
    cost, safe = (dict(zip(table.head, line, strict=True)) for line in table.body)
    assert (cost["effect (points)"], cost["least"], cost["level"], cost["seeds"]) == (
        "+1.73 %", "macs at most +2 %", "", "",
    )  # fmt: skip
    assert safe["least"] == "-2"
    notes = "\n".join(table.notes)
    assert "any of the 1 claims" in notes and "the loss that is allowed" in notes and "neither seeds" in notes
    assert "1500 clips, in episodes of 75" in notes
    assert not any(word in notes for word in ("flips", "2048"))


def test_a_verdict_that_flips_at_another_learning_rate_is_told():
    rates = [{"0.5": "held", "2": "undecided"}, {"0.5": "not run", "2": "not held"}, {}]
    table = claims_table([{**ENTRY, "rates": told} for told in rates], {})
    at = table.head.index("learning rate")
    assert [line[at] for line in table.body] == [
        "x0.5 held, x2 undecided (flips)",
        "x0.5 not run, x2 not held (flips)",
        "",
    ]
    assert "x0.5, x2: the verdict with both rows trained" in "\n".join(table.notes)
    unrun = {**ENTRY, **EMPTY, "verdict": "not run", "rates": {"0.5": "held"}}
    assert claims_table([unrun], {}).body[0][at] == "x0.5 held"
    assert "learning rate" not in claims_table([ENTRY], {}).head


def test_claims_of_many_tables_are_one_short_table():
    entries = [{"table": "rsa", **ENTRY, "rates": {"0.5": "held"}}, {"table": "msnet", **COST}]
    table = claims_table(entries, {})
    assert table.title == ""
    assert table.head == ["table", "claim", "verdict", "effect (points)", "least", "seeds", "learning rate"]
    assert table.body[0] == ["rsa", "motion helps", "held", "+2.35 [+0.81, +3.88]", "0.5", "3", "x0.5 held"]
    assert table.body[1][:4] == ["msnet", "motion helps", "held", "+1.73 %"]
    assert "any claim of its table" in "\n".join(table.notes)
    assert claims_table([{**entries[0], "note": "older code"}], {}).head[-1] == "note"


def test_no_claims_and_no_title():
    table = claims_table([], {})
    assert (table.title, table.body, table.notes) == ("claims", [], [])
    assert claims_table([ENTRY], {}).markdown().count("\n|") == 3
