from __future__ import annotations

import csv
import io

import pytest
from rich.console import Console

from vidops_cli.report.profile import choose, means, means_table, profile_table, tree_table
from vidops_cli.report.scaling import scaling_table
from vidops_cli.report.table import Table, digits, number, size, to_csv


def printed(table: Table, width: int = 200) -> str:
    text = io.StringIO()
    Console(file=text, width=width).print(table.rich(width))
    return text.getvalue()


def cells(table: Table) -> list[list[str]]:
    """Head and body of a table as they are read back from its Markdown."""
    lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
    split = [line.strip("|").replace("\\|", "\0").split("|") for line in lines]
    return [[cell.strip().replace("\0", "|") for cell in line] for i, line in enumerate(split) if i != 1]


# --- tables -----------------------------------------------------------------------------------------------------------

SMALL = Table("Title", ["op", "ms", "FLOPs"], [["tsm", "1.25", "3.0 M"], ["a|b", "010", "-"]], ["first", "second"])


def test_rich():
    told = printed(SMALL)
    for word in ("Title", "op", "FLOPs", "tsm", "1.25", "a|b", "010", "first", "second"):
        assert word in told


def test_markdown():
    told = SMALL.markdown()
    assert told.startswith("# Title\n\n|")
    assert told.endswith("\n\n- first\n- second\n")
    assert cells(SMALL) == [SMALL.head, *SMALL.body]
    rule = told.splitlines()[3].strip("|").split("|")
    assert [cell[0] + cell[-1] for cell in rule] == [":-", "-:", "-:"]


def test_markdown_without_title_and_notes():
    told = Table("", ["a", "b"], [["x", "y"]], numeric=False).markdown()
    assert told.startswith("|") and told.endswith("|\n")
    assert "-:" not in told


def test_pipe_characters_are_escaped():
    line = SMALL.markdown().splitlines()[5]
    assert "a\\|b" in line
    assert line.replace("\\|", "").count("|") == 4


@pytest.mark.parametrize("text", ["TSM [ours]", "TSM [/ours]", "[bold]TSM", "TSM \\[x]"])
def test_brackets_are_no_markup(text):
    table = Table(text, ["row", f"{text} (%)"], [[text, "1"], ["x", "2"]], [f"note: {text}"])
    assert printed(table).count(text) == 4


@pytest.mark.parametrize("width", [60, 80, 160])
def test_a_wide_table_loses_nothing(width):
    head = ["op"] + [f"quantity {i}" for i in range(12)]
    body = [[name] + [f"{name}{i:05d}" for i in range(12)] for name in ("ab", "cd")]
    told = printed(Table("Title", head, body), width)
    assert all(len(line) <= width for line in told.splitlines())
    assert all(word in told for line in (head, *body) for word in line)


def test_a_table_too_wide_to_be_turned_is_cut_and_each_part_names_its_rows():
    head = ["op", "shape", *(f"quantity {i}" for i in range(6))]
    body = [[f"operator{i}", f"shape{i}", *(f"value{i}{j}" for j in range(6))] for i in range(9)]
    told = printed(Table("", head, body, keys=2), 80)
    parts = told.count("┏━")
    assert parts > 1 and "quantity 0" in told.split("└")[0]
    assert all(len(line) <= 80 for line in told.splitlines())
    assert [told.count(word) for word in ("operator3", "shape3")] == [parts, parts]
    assert all(told.count(f"value{i}{j}") == 1 for i in range(9) for j in range(6))


def test_a_table_that_may_not_turn_is_cut():
    head, body = ["module", *(f"quantity {i}" for i in range(8))], [["root", *"abcdefgh"]]
    assert printed(Table("", head, body), 60).count("┏━") == 1
    assert printed(Table("", head, body, turns=False), 60).count("┏━") > 1


def test_latex():
    table = Table(
        "A & B", ["row_1", "ms (%)"], [["a_b & c", "50 %"], ["[x]", "x^2"], ["*", "{~\\}"]], ["over\ntwo lines"]
    )
    told = table.latex()
    head, body = told.split("\\toprule")
    assert head.splitlines() == [
        "% A & B",
        "% over two lines",
        "% needs \\usepackage{booktabs}",
        "\\begin{tabular}{lr}",
    ]
    assert all(rule in body for rule in ("\\midrule", "\\bottomrule", "\\end{tabular}"))
    lines = [
        [cell.strip() for cell in line.removesuffix(r"\\").split(" & ")] for line in body.splitlines() if " & " in line
    ]
    assert lines[0] == [r"row\_1", r"ms (\%)"]
    assert lines[1] == [r"a\_b \& c", r"50 \%"]
    assert lines[2] == ["{}[x]", r"x\^{}2"]  # a bare [ would be an option of the rule above
    assert lines[3] == ["{}*", r"\{\textasciitilde{}\textbackslash{}\}"]


def test_a_latex_table_of_words_is_left_aligned_and_needs_no_rows():
    assert r"\begin{tabular}{ll}" in Table("", ["a", "b"], [["x", "y"]], numeric=False).latex()
    assert r"\bottomrule" in Table("", ["a", "b"], []).latex()


def test_indented_cells_stay_indented():
    table = Table("", ["module", "ms"], [["model", "3"], ["  layer", "2"], ["    conv", "1"]])
    assert "| &nbsp;&nbsp;layer " in table.markdown() and "| &nbsp;&nbsp;&nbsp;&nbsp;conv " in table.markdown()
    assert r" \quad{}layer " in table.latex() and r" \quad{}\quad{}conv " in table.latex()
    assert "│     conv " in printed(table)


def test_csv():
    rows = [
        {"op": "tsm", "ms": 1.5, "uncounted": ["a", "b"]},
        {"op": 'x,"y"', "ms": None, "extra": True, "uncounted": []},
    ]
    read = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert list(read[0]) == ["op", "ms", "uncounted", "extra"]
    assert read[0] == {"op": "tsm", "ms": "1.5", "uncounted": "a b", "extra": ""}
    assert read[1] == {"op": 'x,"y"', "ms": "", "uncounted": "", "extra": "True"}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "-"),
        (0, "0"),
        (12, "12"),
        (1234, "1.23 k"),
        (14950400, "15.0 M"),
        (3.21e9, "3.21 G"),
        (4e12, "4.00 T"),
        (1.5, "1.5"),
        (999_400, "999 k"),
        (999_600, "1.00 M"),
        (-1234, "-1.23 k"),
    ],
)
def test_numbers(value, told):
    assert number(value) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "-"),
        (0, "0"),
        (1.5, "1.50"),
        (9.994, "9.99"),
        (9.996, "10.0"),
        (99.96, "100"),
        (1045.4, "1045"),
        (0.012, "0.0120"),
        (0.00099, "9.90e-04"),
        (-20, "-20.0"),
    ],
)
def test_three_digits(value, told):
    assert digits(value) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "-"),
        (100, "100 B"),
        (2048, "2.00 KiB"),
        (3 * 2**20, "3.00 MiB"),
        (2**30, "1.00 GiB"),
        (862.75 * 2**20, "863 MiB"),
    ],
)
def test_sizes(value, told):
    assert size(value) == told


# --- profiles ---------------------------------------------------------------------------------------------------------

ENV = {"device": "cpu", "cpu": "processor", "torch": "2.13.0"}


def profiled(op: str, *, status: str = "ok", backward: bool = True, **changes) -> dict:
    row = {
        "op": op,
        "options": "",
        "shape": "1x8x2x8x8",
        "dtype": "float32",
        "device": "cpu",
        "threads": 2,
        "form": "eager",
        "channels_last": False,
        "status": status,
        "error": None if status == "ok" else f"text of {op}",
        "params": 584,
        "macs": 73728,
        "other_flops": 1024,
        "flops": 148480,
        "flops_executed": 147456,
        "macs_bwd": 147000,
        "flops_bwd": 296000,
        "cost_gap": 0.002,
        "uncounted": [],
        "views": 1,
        "checked": {"ok": 2e-7, "red": 0.31}.get(status),
        "checked_how": "all positions",
        "passed": {"ok": True, "red": False}.get(status),
    }
    for which, base in (("fwd", 7.125), ("fwdbwd", 23.5)):
        shown = status == "ok" and (which == "fwd" or backward)
        row |= {f"{which}_{key}": base + i if shown else None for i, key in enumerate(("ms", "p10", "p90", "p99"))}
        row |= {f"{which}_n": 20 if shown else None, f"peak_{which}_bytes": 5 * 2**20 if shown else None}
        row |= {f"{which}_flags": []}
    return {**row, **changes}


def compared(ratio: float, verdict: str, which: str = "fwd") -> dict:
    ends = {f"{which}_speedup_low": ratio - 0.02, f"{which}_speedup_high": ratio + 0.02}
    return {"baseline": "conv2d", f"{which}_speedup": ratio, f"{which}_verdict": verdict, **ends}


def line(table: Table, op: str) -> dict[str, str]:
    """A row of a profile table, by the heads of its columns."""
    assert len(set(table.head)) == len(table.head)
    return dict(zip(table.head, next(row for row in table.body if row[0] == op), strict=True))


def test_a_profile_table():
    table = profile_table([profiled("conv2d"), profiled("lisa", uncounted=["fft"])], ENV)
    assert line(table, "lisa") == {
        "op": "lisa",
        "shape": "1x8x2x8x8",
        "checked": "2e-07, all positions",
        "params": "584",
        "MACs": "73.7 k",
        "other": "1.02 k",
        "FLOPs": "148 k",
        "bwd MACs": "147 k",
        "bwd FLOPs": "296 k",
        "fwd ms (p10-p90)": "7.12 (8.12-9.12)",
        "fwd peak": "5.00 MiB",
        "fwd+bwd ms (p10-p90)": "23.5 (24.5-25.5)",
        "fwd+bwd peak": "5.00 MiB",
        "uncounted": "fft",
    }
    told = " ".join(table.notes)
    for word in (
        "float32 on cpu",
        "2 threads",
        "processor",
        "2.13.0",
        "FLOPs = 2 MACs + other",
        "not counted: scratch",
    ):
        assert word in told
    assert "agree within 0.2 %" in told and "operations that are in no number" in told
    assert "conv2d" in printed(table)


def test_more_columns_where_rows_have_more():
    row = profiled("lisa", saved_bytes=2**20, clips_per_s=140.3, bound_share=0.15, bound_by="memory", views=30)
    table = profile_table([profiled("conv2d"), row | compared(1.3, "faster")], ENV)
    shown = line(table, "lisa")
    assert (shown["saved"], shown["clips/s"], shown["bound"]) == ("1.00 MiB", "140", "15 % memory")
    assert (shown["views"], shown["MACs x views"], shown["FLOPs x views"]) == ("30", "2.21 M", "4.45 M")
    assert line(table, "conv2d")["MACs x views"] == "-"
    assert "bound: least time" in " ".join(table.notes) and "saved: what forward keeps" in " ".join(table.notes)


def test_a_full_profile_table():
    row = profiled("lisa", macs_fvcore=73728, macs_aten=73000, cost_from="formula", reserved_fwd_bytes=2**21)
    row |= {"intensity": 74.93, "bytes_min": 4096}
    few, full = (profile_table([row], ENV, full=full) for full in (False, True))
    more = {head: cell for head, cell in line(full, "lisa").items() if head not in few.head}
    assert more["fvcore MACs"] == "73.7 k" and more["aten MACs"] == "73.0 k" and more["counted by"] == "formula"
    assert more["fwd p99 ms"] == "10.1" and more["fwd runs"] == "20" and more["gap of counts"] == "0.2 %"
    assert more["fwd reserved"] == "2.00 MiB" and more["FLOPs/byte"] == "74.9" and more["least bytes"] == "4.00 KiB"
    assert set(few.head) < set(full.head)


def test_chosen_columns():
    rows = [profiled("conv2d"), profiled("lisa", clips_per_s=140.3)]
    table = profile_table(rows, ENV, chosen=choose("op, fwd ms,clips/s,fwd_p99_ms"))
    assert table.head == ["op", "fwd ms (p10-p90)", "clips/s", "fwd p99 ms"] and table.keys == 1
    assert table.body[1] == ["lisa", "7.12 (8.12-9.12)", "140", "10.1"]
    assert "peak" not in " ".join(table.notes) and choose("fwd+bwd ms,clips_per_s") == ("fwdbwd_ms", "clips_per_s")
    for told in ("op,what", ",", "op,fwd_ms,flopss"):
        with pytest.raises(ValueError, match="no column is") as refused:
            choose(told)
        assert refused.value.args[1].startswith("columns: layer, op, options, shape")


def test_a_red_row_shows_no_time():
    stale = {"fwd_ms": 1.0, "clips_per_s": 9.0, "bound_share": 0.1} | compared(2.0, "faster")
    table = profile_table([profiled("conv2d", clips_per_s=1.0), profiled("lisa", status="red", **stale)], ENV)
    red, green = line(table, "lisa"), line(table, "conv2d")
    assert red["checked"] == "FAILED 3e-01, all positions" and "FAILED" not in green["checked"]
    assert (red["fwd ms (p10-p90)"], red["fwd+bwd ms (p10-p90)"], red["clips/s"]) == ("-", "-", "-")
    assert "-" not in (green["fwd ms (p10-p90)"], green["fwd+bwd ms (p10-p90)"], green["clips/s"])
    assert "fwd speed-up" not in red or red["fwd speed-up"] == "-"
    assert "faster" not in " ".join(map(" ".join, table.body))
    assert "lisa at 1x8x2x8x8: text of lisa" in table.notes


def test_rows_that_ran_out_of_memory_or_failed():
    half = profiled("half", status="oom", fwd_ms=4.0, fwd_p10=3.0, fwd_p90=5.0)
    rows = [profiled("conv2d"), profiled("large", status="oom"), profiled("wrong", status="error"), half]
    table = profile_table(rows, ENV)
    time, both = "fwd ms (p10-p90)", "fwd+bwd ms (p10-p90)"
    assert [line(table, op)[time] for op in ("large", "wrong", "half")] == [
        "out of memory",
        "error",
        "4.00 (3.00-5.00)",
    ]
    assert [line(table, op)[both] for op in ("large", "wrong", "half")] == ["-", "-", "out of memory"]
    assert {"large at 1x8x2x8x8: text of large", "wrong at 1x8x2x8x8: text of wrong"} <= set(table.notes)
    alone = profile_table([profiled("large", status="oom")], ENV)
    assert line(alone, "large")[time] == "out of memory" and both not in alone.head


def test_speed_ups_and_their_words():
    rows = [profiled("conv2d"), profiled("lisa") | compared(1.3, "faster")]
    rows += [profiled("rsa") | compared(1.0, "no difference"), profiled("scr") | compared(0.5, "slower", "fwdbwd")]
    table = profile_table(rows, ENV)
    told = {op: (line(table, op)["fwd speed-up"], line(table, op)["fwd+bwd speed-up"]) for op in ("lisa", "rsa", "scr")}
    assert told["lisa"] == ("1.30 [1.28, 1.32] faster", "-")
    assert told["rsa"] == ("1.00 [0.980, 1.02] no difference", "-")
    assert told["scr"] == ("-", "0.500 [0.480, 0.520] slower")
    assert line(table, "conv2d")["fwd speed-up"] == "baseline"
    assert any(note.startswith("speed-up: time of conv2d over") for note in table.notes)


def timed(op: str, speedup: float, layer: str, memory: float = 0.5, **changes) -> dict:
    """A layer against its published form."""
    row = profiled(op, layer=layer, clips_per_s=140.0, bound_share=0.2, saved_bytes=2**20)
    for which in ("fwd", "fwdbwd"):
        row |= compared(speedup, "faster", which) | {f"{which}_memory": memory, f"baseline_{which}_ms": 7 * speedup}
        row |= {f"baseline_peak_{which}_bytes": 10 * 2**20}
    return {**row, "baseline": "textbook", **changes}


def test_layers_with_a_baseline_show_speed_and_memory_alone():
    rows = [timed("rsa", 2.0, "res3", options="heads=4"), timed("scr", 4.0, "episode")]
    table = profile_table(rows, ENV)
    ways = [[f"{way} ms (p10-p90)", f"{way} speed-up", f"{way} peak", f"{way} memory"] for way in ("fwd", "fwd+bwd")]
    assert table.head == ["layer", "op", "shape", "checked", *ways[0], *ways[1]]
    assert table.body[0][4:8] == ["7.12 (8.12-9.12)", "2.00 [1.98, 2.02] faster", "5.00 MiB", "0.500"]
    told = " ".join(table.notes)
    assert "memory: the peak over that of the baseline" in told and "textbook: the published algorithm" in told
    assert "MACs" not in told and "released" not in told
    full = profile_table(rows, ENV, full=True)
    assert {"options", "MACs", "clips/s", "bound", "saved", "fwd baseline ms"} <= set(full.head)
    alone = profile_table([{**row, "layer": None} for row in rows], ENV)
    assert {"options", "MACs", "clips/s", "fwd memory"} <= set(alone.head)


def test_what_the_released_code_takes_stands_beside_the_baseline():
    rows = [timed("rsa", 2.0, "res3", released_fwd_ms=15.5), timed("scr", 4.0, "episode")]
    table = profile_table(rows, ENV)
    at = table.head.index("fwd baseline ms")
    assert table.head[at : at + 2] == ["fwd baseline ms", "released fwd ms"]
    assert [line[at : at + 2] for line in table.body] == [["14.0", "15.5"], ["28.0", "-"]]
    assert "released fwd+bwd ms" not in table.head
    assert "measured elsewhere" in " ".join(table.notes)


def test_rows_with_several_baselines_name_theirs():
    rows = [timed("rsa", 2.0, "res3"), timed("lisa", 0.5, "long", baseline="self_attention")]
    table = profile_table(rows, ENV)
    assert [line[table.head.index("baseline")] for line in table.body] == ["textbook", "self_attention"]
    assert "baseline" not in profile_table(rows[:1] * 2, ENV).head


def test_means():
    rows = [timed("rsa", 2.0, "res3", 0.25), timed("rsa", 8.0, "res4", 1.0), timed("scr", 1.0, "episode", 2.0)]
    rows += [timed("lisa", 100.0, "long", baseline="self_attention")]
    rows += [timed("rsa", 100.0, "res5", status="red", fwd_speedup=None), timed("sifa", 3.0, "x", fwd_speedup=None)]
    rsa, scr, both = means(rows)
    assert [(entry["op"], entry["rows"]) for entry in (rsa, scr, both)] == [("rsa", 2), ("scr", 1), ("all", 3)]
    assert rsa["fwd_speedup"] == pytest.approx(4.0) and rsa["fwd_memory"] == pytest.approx(0.5)
    assert (rsa["fwd_slowest"], rsa["fwd_slowest_layer"], rsa["fwd_memory_highest"]) == (2.0, "res3", 1.0)
    assert (scr["fwdbwd_speedup_low"], scr["fwdbwd_speedup_high"]) == (pytest.approx(0.98), pytest.approx(1.02))
    assert both["fwd_speedup"] == pytest.approx(2.0)  # of 4 and 1: each operator once
    assert both["fwd_speedup_low"] < 2.0 < both["fwd_speedup_high"]
    assert (both["fwdbwd_slowest"], both["fwdbwd_slowest_layer"], both["fwdbwd_memory_highest"]) == (
        1.0,
        "episode",
        2.0,
    )
    assert means(rows[2:]) == []  # one row is no mean
    table = means_table([rsa, scr, both])
    assert table.head[:4] == ["mean", "rows", "fwd speed-up", "fwd slowest"]
    assert [line[0] for line in table.body] == ["rsa", "scr", "all"]
    assert table.body[0][3:6] == ["2.00 (res3)", "0.500", "1.00"]
    assert table.body[1][2] == "1.00 [0.980, 1.02]"


def test_means_of_forward_alone_and_without_intervals():
    once = {"fwd_speedup_low": None, "fwd_speedup_high": None}
    none = {f"fwdbwd_{key}": None for key in ("speedup", "speedup_low", "speedup_high", "memory")}
    found = means([timed("rsa", 2.0, "a", **none, **once), timed("rsa", 2.0, "b", **none)])
    assert [entry["fwd_speedup_low"] for entry in found] == [None, None]
    assert {entry[key] for entry in found for key in ("fwdbwd_speedup", "fwdbwd_slowest", "fwdbwd_memory")} == {None}
    table = means_table(found)
    assert "fwd speed-up" in table.head and not any("fwd+bwd" in head for head in table.head)


def test_a_speed_up_without_a_verdict_has_no_word():
    row = profiled("lisa") | compared(3.0, "faster") | {"fwd_verdict": None}
    assert line(profile_table([row], ENV), "lisa")["fwd speed-up"] == "3.00 [2.98, 3.02]"


def test_flags():
    rows = [
        profiled("once", fwd_flags=["once"], fwdbwd_flags=["once", "unstable"]),
        profiled("noisy", fwd_flags=["noisy"], fwdbwd_flags=["noisy"]),
        profiled("forward", fwd_flags=["launch-bound"], backward=False),
        profiled("quiet"),
    ]
    table = profile_table(rows, ENV)
    assert line(table, "once")["fwd ms (p10-p90)"] == "7.12 (once)"
    flags = [line(table, row["op"])["flags"] for row in rows]
    assert flags == ["unstable (fwd+bwd)", "noisy", "launch-bound", ""]
    told = " ".join(table.notes)
    assert "once: a single run" in told and all(f"{flag}: " in told for flag in ("unstable", "noisy", "launch-bound"))
    assert "flags" not in profile_table([profiled("quiet")], ENV).head


def test_what_tells_rows_apart_is_a_column_and_all_else_a_note():
    rows = [
        profiled("lisa"),
        profiled("lisa", shape="1x8x2x16x16", form="compiled", options="window=5", dtype="bfloat16"),
    ]
    table = profile_table(rows, ENV)
    assert table.head[: table.keys] == ["op", "options", "shape", "dtype", "form"]
    assert table.body[1][: table.keys] == ["lisa", "window=5", "1x8x2x16x16", "bfloat16", "compiled"]
    same = profile_table(rows[:1] * 2, ENV)
    assert same.keys == 1 and same.head[1] == "shape" and "form" not in same.head
    last = profile_table([profiled("lisa", channels_last=True)], ENV)
    assert "layout" not in last.head and "channels last on cpu" in last.notes[-1]


def test_counts_that_differ_are_named():
    told = " ".join(profile_table([profiled("rsa", cost_gap=0.034), profiled("scr", cost_gap=None)], ENV).notes)
    assert "differ: rsa 3.4 %" in told and "not compared: scr" in told
    assert "dispatcher" not in " ".join(profile_table([profiled("scr", cost_gap=None)], ENV).notes)
    assert "are equal" in " ".join(profile_table([profiled("scr", cost_gap=0.0)], ENV).notes)


def test_counts_that_differ_are_told_with_the_one_that_is_shown():
    ours = profiled("rsa", cost_gap=0.08, cost_from="formula", macs=100, other_flops=46, macs_fvcore=100)
    ours |= {"flops_fvcore": 250, "macs_aten": 100, "flops_aten": 246}
    own = {**ours, "op": "my:Op", "cost_from": "aten", "cost_gap": 0.5, "macs_fvcore": 50, "flops_fvcore": 150}
    told = " ".join(profile_table([ours], ENV).notes)
    words = "rsa 8 % (other FLOPs: formula 46; dispatcher 46; fvcore 50; the table shows the formula's)"
    assert f"formula, fvcore and dispatcher differ: {words}" in told
    mine = (
        "dispatcher and fvcore differ: my:Op 50 % (MACs: dispatcher 100; fvcore 50; the table shows the dispatcher's)"
    )
    alone = " ".join(profile_table([own], ENV).notes)
    assert mine in alone and "formula" not in alone
    both = " ".join(profile_table([{**ours, "cost_gap": 0.0}, own], ENV).notes)
    assert f"formula, fvcore and dispatcher are equal; of my:Op, {mine}" in both


def test_what_is_over_its_bound_is_explained_by_what_can_be():
    limits = {"flops_per_s": 1.01e11, "bytes_per_s": 2e10, "measured_at": "2026-11-22T13:00:44Z"}
    rows = [
        profiled("conv3d", bound_share=1.1449, bound_by="compute"),
        profiled("tsm", bound_share=0.996, bound_by="memory"),
    ]
    table = profile_table(rows, {**ENV, "ceilings": limits})
    assert [line(table, op)["bound"] for op in ("conv3d", "tsm")] == ["114 % compute", "100 % memory"]
    told = " ".join(table.notes)
    assert "over 100 % compute: faster than the ceiling" in told and "cache" not in told
    assert "ceilings of this machine: 101 GFLOP/s, 20.0 GB/s, measured 2026-11-22 " in told + " "
    rows[0] |= {"bound_by": "memory"}
    told = " ".join(profile_table(rows, {**ENV, "ceilings": {**limits, "disturbed": True}}).notes)
    assert (
        "over 100 % memory: data stayed in a cache" in told and "too low" in told and "over 100 % compute" not in told
    )


@pytest.mark.parametrize("found", [None, [], {}, {"flops_per_s": "x", "bytes_per_s": 1.0}, {"flops_per_s": 1.0}])
def test_ceilings_that_are_damaged_are_not_told(found):
    rows = [profiled("tsm", bound_share=0.5, bound_by="memory")]
    assert "ceilings" not in " ".join(profile_table(rows, {**ENV, "ceilings": found}).notes)


def test_one_thread_is_no_threads():
    assert "1 thread;" in profile_table([profiled("tsm", threads=1)], ENV).notes[-1]


def test_the_papers_convention_is_told():
    assert "convention of the paper: macs" in profile_table([profiled("rsa", convention="macs")], ENV).notes


def test_a_profile_without_backward():
    table = profile_table([profiled("conv2d", backward=False)], ENV)
    assert not any("fwd+bwd" in word for word in table.head)
    assert "23.5" not in table.markdown()


def test_rows_of_before():
    """Rows without what was added later are shown with what they have."""
    new = ("options", "form", "channels_last", "status", "macs_bwd", "flops_bwd", "cost_gap", "views", "fwd_flags")
    row = {key: value for key, value in profiled("lisa").items() if key not in (*new, "fwdbwd_flags", "checked_how")}
    shown = line(profile_table([row], ENV), "lisa")
    assert (shown["MACs"], shown["checked"], shown["fwd ms (p10-p90)"]) == ("73.7 k", "2e-07", "7.12 (8.12-9.12)")
    assert "bwd MACs" not in shown and "options" not in shown


def test_a_profile_of_nothing():
    assert "nothing was measured" in printed(profile_table([], ENV))


@pytest.mark.parametrize("count", [1, 2, 12])
def test_a_profile_fits_a_narrow_terminal(count):
    rows = [profiled(f"operator{i}", checked_how="64 positions, 3 directions", saved_bytes=2**20) for i in range(count)]
    told = printed(profile_table(rows, ENV), 80)
    assert all(len(row) <= 80 for row in told.splitlines())
    assert all(f"operator{i}" in told for i in range(count))
    assert "fwd+bwd ms (p10-p90)" in told


def test_a_table_of_scaling():
    entries = [
        {"op": "lisa", "axis": "seq", "what": "fwd_ms", "exponent": 1.084, "low": 1.02, "high": 1.14, "n": 6},
        {"op": "a", "against": "b", "axis": "seq", "what": "fwdbwd_ms", "crossover": 5232.1, "low": 4900, "high": 5500},
        {"op": "a", "against": "b", "axis": "seq", "what": "peak_fwd_bytes", "crossover": None, "note": "a is below"},
        {"op": "lisa", "axis": "seq", "largest": 65536, "refused": 131072},
        {"op": "rsa", "axis": "seq", "largest": None, "refused": 256},
        {"op": "tsm", "axis": "seq", "largest": 8192, "refused": None},
    ]
    assert scaling_table(entries).body == [
        ["lisa", "seq", "fwd ms", "exponent 1.08", "[1.02, 1.14]", "6 sizes"],
        ["a, b", "seq", "fwd+bwd ms", "crossover 5232", "[4900, 5500]", ""],
        ["a, b", "seq", "fwd peak", "no crossover", "-", "a is below"],
        ["lisa", "seq", "memory", "fits up to 65536", "-", "out of memory at 131072"],
        ["rsa", "seq", "memory", "none fits", "-", "out of memory at 256"],
        ["tsm", "seq", "memory", "tried up to 8192, all fit", "-", ""],
    ]


def test_a_crossover_is_decided_by_its_interval():
    known = {"op": "a", "against": "b", "axis": "seq", "what": "fwd_ms", "crossover": 318.4, "note": ""}
    entries = [
        {**known, "low": None, "high": 400},
        {**known, "low": 200, "high": 401},
        {**known, "low": 201, "high": 400},
    ]
    entries += [
        {**entries[2], "note": "ahead below it"},
        {**known, "crossover": None, "note": "crosses more than once"},
    ]
    table = scaling_table(entries)
    assert [row[3:] for row in table.body] == [
        ["undecided", "-", "crossover near 318"],
        ["undecided", "[200, 401]", "crossover near 318"],
        ["crossover 318", "[201, 400]", ""],
        ["crossover 318", "[201, 400]", "ahead below it"],
        ["undecided", "-", "crosses more than once"],
    ]
    assert "undecided: " in " ".join(table.notes) and "undecided" not in " ".join(scaling_table(entries[2:4]).notes)


def test_a_tree():
    root = {"depth": 0, "name": "", "kind": "ResNet", "calls": 1, "params": 1000, "macs": 2e6, "other_flops": 10}
    root |= {"peak_bytes": 2**20, "ms": 4.0, "share": 1.0, "uncounted": []}
    inner = {**root, "depth": 1, "name": "layer1", "calls": 2, "ms": 1.0, "share": 0.25}
    idle = {"depth": 1, "name": "head", "kind": "Linear", "calls": 0, "params": 5, "macs": None, "share": None}
    table = tree_table([root, inner, idle])
    assert table.head == ["module", "kind", "calls", "params", "MACs", "other", "fwd peak", "fwd ms", "share"]
    assert table.body == [
        ["model", "ResNet", "", "1.00 k", "2.00 M", "10", "1.00 MiB", "4.00", "100.0 %"],
        ["  layer1", "ResNet", "2", "1.00 k", "2.00 M", "10", "1.00 MiB", "1.00", "25.0 %"],
        ["  head", "Linear", "0", "5", "-", "-", "-", "-", "-"],
    ]
    assert "calls" not in tree_table([root]).head
    assert tree_table([{**root, "uncounted": ["fft"]}]).body[0][-1] == "fft"
