"""An ablation's table: ours, the paper's, and what is said of both."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from pathlib import Path

import pytest
from rich.console import Console

from vidops_cli.report.ablation import ablation_table, with_numbers
from vidops_cli.report.table import Table

ROOT = Path(__file__).parents[2]
NAMES = ["plain", "shift", "slow"]


def scored(row: str, seed: int, top1: float, **changes) -> list[dict]:
    """Rows of a finished cell."""
    shared = {
        "row": row,
        "seed": seed,
        "n": 2048,
        "present": "2048/2048",
        "split": "test",
        "data": "fedcba987654",
        "recipe": f"recipe of {row} {seed}",
        "params": 78420,
        "macs": 14950400,
        "flops": 30214176,
        "uncounted": [],
        "seconds": 31.0 + seed,
        "code": "abcdef012345",
        "commit": "0123456789ab",
        "dirty": False,
        "torch": "2.13.0",
        "device": "cpu",
        "cpu": "processor",
        "date": "2026-01-02T03:04:05Z",
        **changes,
    }
    values = {"top1": top1, "mean_class": top1 - 1, "train_top1": top1 + 10, "loss": 1.0}
    return [{"metric": metric, "value": value, **shared} for metric, value in values.items()]


def runs(**scores: list[float]) -> list[dict]:
    """Rows of lines with a score for each seed."""
    return [
        row for name, values in scores.items() for seed, top1 in enumerate(values) for row in scored(name, seed, top1)
    ]


def profiled(row: str, **changes) -> list[dict]:
    absent = ("n", "present", "split", "data", "seconds", "uncounted")
    shared = {key: value for key, value in scored(row, 0, 0.0, **changes)[0].items() if key not in absent}
    return [{**shared, "kind": "profile", "metric": name, "value": shared[name]} for name in ("params", "macs")]


def value(value: float, tier: str = "code", source: str = "README.md") -> dict:
    return {"value": value, "source": source, "tier": tier}


def line(name: str, *, kind: str = "train", of: str | None = None, **paper: dict) -> dict:
    return {"name": name, "kind": kind, "of": of, "paper": paper}


def ablation(rows: list[dict], *lines: dict, unverified: bool = False, **told) -> Table:
    told = {"title": "Rows", "metric": "top1", "seeds": [0, 1], "rows": list(lines) or [*map(line, NAMES)]} | told
    return ablation_table(told, rows, unverified=unverified)


def column(table: Table, name: str) -> list[str]:
    assert len(set(table.head)) == len(table.head)
    return [words[table.head.index(name)] for words in table.body]


def marked(table: Table) -> dict[tuple[str, str], str]:
    """Marks by the first word of the line and the head of the column."""
    return {(table.body[i][0], table.head[j]): mark for (i, j), mark in table.marks.items()}


def printed(table: Table, width: int = 200) -> str:
    text = io.StringIO()
    Console(file=text, width=width).print(table.rich(width))
    return text.getvalue()


# --- ours -------------------------------------------------------------------------------------------------------------


def test_mean_and_spread_over_seeds():
    table = ablation(runs(plain=[24.0, 26.0], shift=[40.25], slow=[20.0, 21.0]))
    assert column(table, "row") == NAMES
    assert column(table, "top1 (%)") == ["25.0 ± 1.4", "40.2", "20.5 ± 0.7"]
    assert column(table, "seeds") == ["2/2", "1/2", "2/2"]
    assert column(table, "mean class (%)") == ["24.0 ± 1.4", "39.2", "19.5 ± 0.7"]
    assert column(table, "train top1 (%)") == ["35.0 ± 1.4", "50.2", "30.5 ± 0.7"]
    assert column(table, "params") == ["78.4 k"] * 3
    assert column(table, "MACs") == ["15.0 M"] * 3
    assert column(table, "s/run") == ["32", "31", "32"]


def test_plain_numbers_stand_beside_for_scripts():
    rows = runs(plain=[20.0, 30.0, 25.0], slow=[50.0])
    told = {"title": "Rows", "metric": "top1", "seeds": [0], "rows": [*map(line, NAMES)], "quoted": [line("theirs")]}
    table = with_numbers(ablation(rows, quoted=told["quoted"], unverified=True), told, rows)
    assert table.head[-3:] == ["top1 mean", "top1 sd", "top1 n"]
    assert [words[-3:] for words in table.body] == (
        [["25.0", "5.0", "3"], ["", "", ""], ["50.0", "", "1"], *[["", "", ""]] * (len(table.body) - 3)]
    )


def test_another_metric():
    table = ablation(runs(plain=[24.0], shift=[30.0]), metric="mean_class")
    assert column(table, "mean_class (%)")[:2] == ["23.0", "29.0"] and len(table.marks) == 2
    assert "mean class (%)" not in table.head


def test_runs_at_another_learning_rate_have_a_column_and_no_other_part_in_the_table():
    again = [{**row, "rate": 0.5, "value": 10.0, "commit": "other"} for row in runs(plain=[24.0, 26.0])]
    rows = runs(plain=[24.0, 26.0], shift=[40.25])
    assert ablation(rows + again) == ablation(rows) == ablation(rows, rates=[0.5, 2])
    table = ablation(rows + again, rates=[0.5, 2])
    assert column(table, "lr x0.5") == ["10.0 ± 0.0", "-", "-"] and "lr x2" not in table.head
    at = table.head.index("lr x0.5")
    assert [[*words[:at], *words[at + 1 :]] for words in table.body] == ablation(rows).body
    assert "; lr x0.5: top1 at 0.5 times the learning rate" in " ".join(table.notes)


@pytest.mark.parametrize(
    "macs, told",
    [
        (104, "1.04 of its MACs"),
        (90, "0.90 of its MACs"),
        (111, "1.11 of its MACs, NOT within 10 %"),
        (None, "MACs not measured yet"),
    ],
)
def test_controls_of_equal_cost(macs, told):
    lines = [line("plain"), {**line("wide"), "control_of": "shift"}, line("shift")]
    rows = scored("shift", 0, 50.0, macs=100) + (scored("wide", 0, 40.0, macs=macs) if macs else [])
    assert f"control of shift: wide, {told}" in ablation(rows, *lines).notes
    assert not any("control of" in note for note in ablation(rows).notes)


def test_rows_that_were_not_run():
    table = ablation(runs(shift=[40.0]))
    assert column(table, "top1 (%)") == ["not run", "40.0", "not run"]
    assert column(table, "seeds") == ["0/2", "1/2", "0/2"]
    assert ablation([]).head == ["row", "top1 (%)", "seeds"]
    assert column(ablation([]), "top1 (%)") == ["not run"] * 3
    assert "not run" in printed(ablation([]))


def test_the_difference_is_that_of_equal_seeds():
    """By hand: differences 1, 3, 2 have mean 2, sd 1; the quantile of t with 2 degrees of freedom is 4.303."""
    table = ablation(runs(plain=[20.0, 30.0, 40.0], shift=[21.0, 33.0, 42.0], slow=[20.0, 33.0, 42.0]), seeds=[0, 1, 2])
    margin = 4.303 / math.sqrt(3)
    assert column(table, "vs plain") == ["", f"+2.0 [{2 - margin:+.1f}, {2 + margin:+.1f}]", "+1.7 [-2.1, +5.5]"]
    table = ablation(runs(plain=[20.0, 30.0, 40.0], shift=[30.0, 41.0, 49.0]), seeds=[0, 1, 2])
    assert column(table, "vs plain")[1] == "+10.0 [+7.5, +12.5] *"
    table = ablation(runs(plain=[30.0, 41.0, 49.0], shift=[20.0, 30.0, 40.0]), seeds=[0, 1, 2])
    assert column(table, "vs plain")[1] == "-10.0 [-12.5, -7.5] *"


def test_seeds_are_paired_whatever_their_order():
    rows = runs(plain=[20.0, 30.0, 40.0], shift=[30.0, 41.0, 49.0])
    assert ablation(rows[::-1]).body == ablation(rows).body
    rows = runs(plain=[20.0, 30.0, 40.0]) + scored("shift", 2, 49.0) + scored("shift", 1, 41.0)
    assert column(ablation(rows), "vs plain")[1] == "+10.0 [-2.7, +22.7]"


def test_differences_that_nothing_tells_the_chance_of():
    table = ablation(runs(plain=[20.0, 30.0], shift=[40.0], slow=[21.0, 33.0]))
    assert column(table, "vs plain") == ["", "-", "+2.0 [-10.7, +14.7]"]
    assert "vs plain" not in ablation(runs(plain=[20.0], shift=[40.0])).head
    rows = runs(plain=[20.0]) + scored("shift", 1, 40.0) + scored("shift", 2, 41.0)
    assert "vs plain" not in ablation(rows).head  # no seed in common
    assert "vs plain" not in ablation(runs(shift=[40.0, 41.0], slow=[45.0, 42.0])).head


def test_the_reference_is_the_one_that_is_told():
    table = ablation(runs(plain=[20.0, 30.0], slow=[21.0, 33.0]), reference="slow")
    assert column(table, "vs slow") == ["-2.0 [-14.7, +10.7]", "", ""]


def test_two_values_of_one_cell_are_refused():
    with pytest.raises(ValueError, match="two values of top1 for row 'plain' and seed 0"):
        ablation(runs(plain=[24.0]) * 2)


def test_rows_of_another_scale_are_refused():
    with pytest.raises(ValueError, match="rows of scale mini in a table of scale full"):
        ablation(runs(plain=[24.0]) + scored("shift", 0, 1.0, scale="mini"))
    with pytest.raises(ValueError, match="rows of scale full, smoke in a table of scale mini"):
        ablation(scored("plain", 0, 1.0, scale="full") + scored("plain", 0, 1.0, scale="smoke"), scale="mini")
    assert len(ablation(scored("plain", 0, 1.0, scale="mini"), scale="mini").body) == 3


def test_rows_that_test_anothers_weights():
    table = ablation(runs(plain=[24.0], turned=[20.0]), line("plain"), line("turned", kind="eval", of="plain"))
    assert column(table, "row") == ["plain", "turned (of plain)"]
    assert column(table, "top1 (%)") == ["24.0", "20.0"]


def test_rows_of_costs_alone():
    rows = runs(plain=[24.0, 26.0]) + profiled("wide", params=1_000_000)
    table = ablation(rows, line("plain"), line("wide", kind="profile"), line("left", kind="profile"))
    assert column(table, "top1 (%)") == ["25.0 ± 1.4", "-", "not run"]
    assert column(table, "seeds") == ["2/2", "", ""]
    assert column(table, "params") == ["78.4 k", "1.00 M", ""]
    assert "2048 clips scored" in " ".join(table.notes)
    alone = ablation(profiled("wide"), line("wide", kind="profile"))
    assert alone.head == ["row", "params", "MACs"]
    assert "None" not in " ".join(alone.notes) and "over seeds" not in " ".join(alone.notes)


def test_costs_that_are_not_known():
    table = ablation(scored("plain", 0, 24.0, macs=None) + runs(shift=[20.0]))
    assert column(table, "MACs") == ["-", "15.0 M", ""]
    assert "MACs" not in ablation(scored("plain", 0, 24.0, macs=None)).head


# --- the best ---------------------------------------------------------------------------------------------------------


def test_best_and_second():
    table = ablation(runs(plain=[24.0, 26.0], shift=[50.0, 41.0], slow=[30.0]))
    assert marked(table) == {
        ("shift", "top1 (%)"): "bold",
        ("slow", "top1 (%)"): "underline",
        ("shift", "mean class (%)"): "bold",
        ("slow", "mean class (%)"): "underline",
    }
    assert "**45.5 ± 6.4**" in table.markdown() and "<u>30.0</u>" in table.markdown()


def test_ties_are_all_marked():
    table = ablation(runs(plain=[50.01], shift=[50.04], slow=[20.0], other=[19.96]), *map(line, [*NAMES, "other"]))
    assert [mark for (_, head), mark in marked(table).items() if head == "top1 (%)"] == ["bold"] * 2 + ["underline"] * 2
    assert set(ablation(runs(plain=[50.0], shift=[50.0])).marks.values()) == {"bold"}


def test_nothing_is_best_of_one_row_or_in_smoke():
    assert ablation(runs(plain=[24.0, 26.0])).marks == {}
    rows = runs(plain=[24.0], shift=[30.0])
    assert ablation(rows).marks and not ablation(rows, scale="smoke").marks


def test_the_papers_values_are_not_among_the_best():
    quoted = [{"name": "theirs", "paper": {"top1": value(99.0)}}]
    table = ablation(runs(plain=[24.0], shift=[30.0]), line("plain", top1=value(98.0)), line("shift"), quoted=quoted)
    assert marked(table)["shift", "top1 (%)"] == "bold"
    assert {head for _, head in marked(table)} == {"top1 (%)", "mean class (%)"}


# --- the paper's ------------------------------------------------------------------------------------------------------


def test_gap_and_status():
    """By hand: of 49, 50, 51 the 95 % interval is 50 +- 4.303 / sqrt(3) = 2.48."""
    lines = [line(name, top1=value(told)) for name, told in (("plain", 52.4), ("shift", 52.5), ("slow", 50.0))]
    rows = runs(plain=[49.0, 50.0, 51.0], shift=[49.0, 50.0, 51.0])
    table = ablation(rows, *lines, line("own"), seeds=[0, 1, 2])
    assert column(table, "paper") == ["52.4", "52.5", "50.0", ""]
    assert column(table, "gap") == ["-2.4", "-2.5", "", ""]
    assert column(table, "status") == ["reproduced", "within 2.5", "not attempted", ""]


def test_one_seed_reproduces_nothing():
    table = ablation(runs(plain=[50.0]), line("plain", top1=value(50.0)), line("shift", top1=value(67.67)))
    assert column(table, "gap") == ["+0.0", ""] and column(table, "paper") == ["50.0", "67.67"]
    assert column(table, "status") == ["within 0.0", "not attempted"]


def test_no_gap_is_minus_nothing():
    assert column(ablation(runs(plain=[50.0]), line("plain", top1=value(50.02))), "gap") == ["+0.0"]


def test_smaller_scales():
    lines = [line("plain", top1=value(50.0)), line("shift", top1=value(60.0)), line("slow")]
    rows = runs(plain=[20.0, 22.0], slow=[40.0, 44.0])
    mini, smoke = (ablation(rows, *lines, scale=scale) for scale in ("mini", "smoke"))
    for table in (mini, smoke):
        assert column(table, "status") == ["smaller scale", "not attempted", ""]
        assert column(table, "paper") == ["50.0", "60.0", ""]
    assert "gap" not in mini.head and "vs plain" in mini.head
    assert "gap" not in smoke.head and "vs plain" not in smoke.head
    assert any(note.startswith("scale: mini") for note in mini.notes)
    assert "smoke: one seed, one epoch: shows that it runs, no number to compare" in smoke.notes
    assert not any(
        "scale" in note or "smoke" in note for note in ablation(rows, *lines).notes if "reproduced" not in note
    )


def test_what_is_known_from_memory_alone_is_neither_shown_nor_compared():
    known = {
        name: value(told, "memory", "memory") for name, told in (("top1", 46.0), ("params_m", 1.0), ("gflops", 3.0))
    }
    rows = runs(plain=[20.0, 22.0, 21.0], shift=[40.0, 44.0, 42.0])
    lines = [line("plain", **known), line("shift", top1=value(43.0))]
    quoted = [{"name": "theirs", "paper": known}]
    told = ablation(rows, *lines, quoted=quoted, convention="macs")
    assert column(told, "paper") == ["", "43.0"]
    assert column(told, "gap") == ["", "-1.0"] and column(told, "status") == ["", "reproduced"]
    unseen = "one line of the paper, not run here, could not be looked up: --unverified shows what is known"
    assert unseen in told.notes
    assert not {"paper params", "paper MACs"} & set(told.head) and "grey" not in told.marks.values()
    assert "memory" not in told.markdown()
    shown = ablation(rows, *lines, quoted=quoted, convention="macs", unverified=True)
    assert column(shown, "paper") == ["46.0 (memory)", "43.0", "46.0 (memory)"]
    assert column(shown, "paper params") == ["1 M (memory)", "", "1 M (memory)"]
    assert column(shown, "paper MACs") == ["3 G (memory)", "", "3 G (memory)"]
    assert "paper: memory (top1, params_m, gflops); code: README.md (top1)" in shown.notes
    for name in ("gap", "status"):
        assert column(shown, name) == [*column(told, name), ""]
    assert unseen not in shown.notes
    grey = {cell for cell, mark in marked(shown).items() if mark == "grey"}
    assert grey == {(row, head) for row in ("plain", "theirs") for head in ("paper", "paper params", "paper MACs")}
    assert "*46.0 (memory)*" in shown.markdown() and r"\textcolor{gray}{46.0 (memory)}" in shown.latex()


def test_lines_of_the_paper_hold_its_values_alone():
    quoted = [{"name": "shift", "paper": {"top1": value(52.1, "page", "a page"), "gflops": value(67.0)}}]
    table = ablation(runs(plain=[24.0, 26.0], shift=[1.0, 2.0]), line("plain"), quoted=quoted)
    words = dict(zip(table.head, table.body[1], strict=True))
    words = {head: word for head, word in words.items() if word}
    assert words == {"row": "shift", "paper": "52.1", "status": "not attempted", "paper FLOPs": "67 G"}


@pytest.mark.parametrize(
    ("convention", "head", "told"),
    [
        ("macs", "paper MACs", "16 G (-6.2 %)"),
        ("flops", "paper FLOPs", "16 G (+93.8 %)"),
        ("motionsqueeze", "paper FLOPs", "16 G"),
        (None, "paper FLOPs", "16 G"),
    ],
)
def test_costs_are_compared_by_the_papers_way_of_counting(convention, head, told):
    rows = scored("plain", 0, 24.0, params=24_000_000, macs=15 * 10**9, flops=31 * 10**9)
    paper = line("plain", gflops=value(16.0), params_m=value(24.0, "log", "a log"))
    table = ablation(rows, paper, convention=convention)
    assert column(table, "paper params") == ["24 M (+0.0 %)"] and column(table, "params") == ["24.0 M"]
    assert column(table, head) == [told] and column(table, "MACs") == ["15.0 G"]
    assert ("FLOPs" in table.head) == (convention == "flops")
    assert any("not compared" in note for note in table.notes) == (convention is None)
    assert "as the paper counts" not in table.head
    small = ablation([{**row, "scale": "mini"} for row in rows], paper, convention=convention, scale="mini")
    assert column(small, head) == ["16 G"] and column(small, "paper params") == ["24 M"]


def test_costs_that_were_not_measured_are_not_compared():
    paper = {"gflops": value(16.0), "params_m": value(24.0)}
    rows = profiled("plain", macs=None, params=24_000_000)
    table = ablation(rows, line("plain", kind="profile", **paper), line("shift", **paper), convention="macs")
    assert column(table, "paper MACs") == ["16 G", "16 G"]
    assert column(table, "paper params") == ["24 M (+0.0 %)", "24 M"]
    zero = ablation(profiled("plain"), line("plain", params_m=value(0.0)))
    assert column(zero, "paper params") == ["0 M"]


def test_each_source_is_told_once():
    lines = [
        line("plain", top1=value(1.0), gflops=value(2.0)),
        line("shift", top1=value(3.0), params_m=value(4.0, "page", "page: x.org")),
        line("slow", top1=value(5.0, "memory", "[memory]"), top5=value(6.0, "log", "unseen")),
    ]
    told = [note for note in ablation([], *lines).notes if note.startswith("paper: ")]
    assert told == ["paper: code: README.md (top1, gflops); page: x.org (params_m)"]
    told = " ".join(ablation([], *lines, unverified=True).notes)
    assert "page: x.org (params_m); [memory] (top1)" in told
    assert not any("paper: " in note for note in ablation([]).notes)


@pytest.mark.parametrize("tier", ["memory", "page"])
def test_rows_that_are_listed_from_memory(tier):
    table = ablation([], listed={"source": "somewhere", "tier": tier})
    assert ("the list of rows is known only from memory" in table.notes) == (tier == "memory")


# --- notes ------------------------------------------------------------------------------------------------------------


def test_cells_of_older_code():
    rows = runs(plain=[24.0], shift=[30.0]) + scored("shift", 1, 32.0, older=True)
    rows += profiled("wide", older=True)
    table = ablation(rows, line("plain"), line("shift"), line("wide", kind="profile"))
    assert column(table, "top1 (%)") == ["24.0", "31.0 ± 1.4 (older code)", "- (older code)"]
    assert any("--rerun older" in note for note in table.notes)
    assert not any("older" in note for note in ablation(runs(plain=[24.0])).notes)


def test_floors_are_printed():
    told = ablation([], floors={"chance": 0.25, "order-blind": 0.5}).markdown()
    assert "chance 25.0 %" in told and "order-blind 50.0 %" in told
    assert "floors" not in ablation([]).markdown()
    assert "order-blind" not in ablation([], floors={"chance": 0.1}).markdown()


def test_notes_tell_where_numbers_come_from():
    rows = runs(plain=[24.0]) + scored("shift", 0, 25.0, date="2026-02-03T00:00:00Z", split="val", n=7, present="7/9")
    notes = ablation(rows).notes
    assert "test split, 2048 clips scored (2048/2048 of the listed videos present)" in notes
    assert "val split, 7 clips scored (7/9 of the listed videos present)" in notes
    told = " ".join(notes)
    for word in (
        "2.13.0",
        "cpu (processor)",
        "0123456789ab",
        "abcdef012345",
        "fedcba987654",
        "standard deviation over",
    ):
        assert word in told
    assert "recipe recipe of plain 0, recipe of shift 0; 2026-01-02 to 2026-02-03" in told
    assert "uncommitted" not in told and "different code" not in told and "not counted" not in told
    assert " to " not in ablation(runs(plain=[24.0])).notes[-1] and "data fedcba987654; " in told
    new = scored("shift", 0, 25.0, data_train="0a1b", n_train=6144, weights="abc")
    told = " ".join(ablation(new + runs(plain=[24.0])).notes)
    assert "data fedcba987654 tested, 0a1b (6144 clips) trained on; started from weights abc; recipe" in told


def test_many_hashes_are_counted():
    told = ablation(runs(plain=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])).notes[-1]
    assert "recipe of plain 5 and 2 more" in told and "recipe of plain 6" not in told


def test_claim_and_paper_are_told():
    assert ablation([], claim="it helps", paper="RSA").notes[0] == "claim of RSA: it helps"
    assert ablation([], claim="it helps").notes[0] == "claim: it helps"
    assert ablation([], paper="RSA").notes[0] == "RSA"


def test_notes_tell_what_spoils_a_comparison():
    other = {"code": "000000000000"}
    told = ablation(
        scored("plain", 0, 24.0) + scored("shift", 0, 40.0, dirty=True, uncounted=["fft"], **other)
    ).markdown()
    assert "different code" not in told  # each row's code is that of its own operator
    assert "abcdef012345" in told and "000000000000" in told
    assert "uncommitted changes" in told
    assert "not counted in MACs: fft" in told
    assert "different code" in ablation(scored("plain", 0, 24.0) + scored("plain", 1, 24.0, **other)).markdown()
    missing = ablation(scored("plain", 0, 24.0) + scored("shift", 0, 40.0, n=2040, present="2040/2048")).markdown()
    assert "2040/2048" in missing and "2048/2048" in missing


# --- records, names, many rows ----------------------------------------------------------------------------------------


def test_a_record_of_before_still_renders():
    head, *rows = [json.loads(text) for text in (ROOT / "results/quickstart.jsonl").read_text().splitlines()]
    told = {key: head["table"][key] for key in ("title", "seeds", "metric", "floors", "scale")}
    table = ablation_table(told | {"row_names": ["TSN", "TSM", "TSM + MotionSqueeze"]}, rows)
    assert column(table, "row") == ["TSN", "TSM", "TSM + MotionSqueeze"]
    now = ablation_table(head["table"], rows)
    for name in ("top1 (%)", "vs TSN"):
        assert column(table, name) == column(now, name) and column(now, name)[2].strip("-")
    assert not {"paper", "gap", "status"} & set(table.head)


def test_what_is_told_is_left_as_it_was():
    told = {"title": "", "metric": "top1", "seeds": [0], "rows": [line("plain", top1=value(1.0))]}
    before, rows = json.dumps(told), runs(plain=[1.0])
    ablation_table(told, rows)
    assert json.dumps(told) == before and rows == runs(plain=[1.0])


def test_names_are_escaped_in_each_form():
    name = "a|b & 5% _c_ #1 <i>"
    table = ablation(runs(plain=[2.0, 3.5]) + scored(name, 0, 1.0) + scored(name, 1, 2.0), line(name), line("plain"))
    assert table.head[3] == f"vs {name}"
    assert (
        "| a\\|b & 5% \\_c\\_ #1 \\<i> " in table.markdown() and " vs a\\|b & 5% \\_c\\_ #1 \\<i> |" in table.markdown()
    )
    assert r" a\textbar{}b \& 5\% \_c\_ \#1 \ensuremath{<}i\ensuremath{>} " in table.latex()
    page = table.html()
    assert '<th scope="row">a|b &amp; 5% _c_ #1 &lt;i&gt;</th>' in page and "<i>" not in page
    assert [words[0] for words in csv.reader(io.StringIO(table.csv()))] == ["row", name, "plain"]
    assert name in printed(table)


def test_50_000_rows_render_soon():
    names = [f"row {i}" for i in range(2000)]
    rows = [
        one
        for i, name in enumerate(names)
        for seed in range(5)
        for one in (*scored(name, seed, 20 + i % 50 + seed), {**scored(name, seed, 0.0)[0], "metric": "top5"})
    ]
    assert len(rows) == 50_000
    lines = [line(name, top1=value(40.0)) for name in names]
    began = time.process_time()  # others may be at work here
    text = ablation(rows, *lines, seeds=[*range(5)]).markdown()
    assert time.process_time() - began < 2
    assert text.count("reproduced") + text.count("within ") > 2000


def test_what_a_paper_counts_in_its_own_way_is_compared_with_that():
    rows = scored("plain", 0, 24.0, macs=15 * 10**9, printed=12 * 10**9)
    table = ablation(rows, line("plain", gflops=value(16.0)), convention="motionsqueeze")
    assert column(table, "as the paper counts") == ["12.0 G"] and column(table, "paper FLOPs") == ["16 G (-25.0 %)"]
