"""Two profiles: what counts as worse, and what the verb answers."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest
import typer

from vidops_cli import cli
from vidops_cli.cli import compare as verb
from vidops_cli.report.compare import compare, compare_table, rows_of

ENV = {"device": "cpu", "cpu": "processor", "torch": "2.13.0", "commit": "0123456789ab"}


def row(op: str = "lisa", ms: float | None = 10.0, spread: float = 0.02, n: int = 20, **changes) -> dict:
    """A row whose runs lie within `spread` of their median from p10 to p90."""
    told = {"op": op, "options": "", "shape": "1x8x2x8x8", "dtype": "float32", "device": "cpu", "threads": 2}
    told |= {"form": "eager", "channels_last": False, "status": "ok", "passed": True, "uncounted": [], "macs": 1000}
    told |= {"peak_fwd_bytes": 4096, "peak_fwdbwd_bytes": 8192}
    for way, middle in (("fwd", ms), ("fwdbwd", None if ms is None else 3 * ms)):
        known = middle is not None
        told |= {f"{way}_ms": middle, f"{way}_n": n if known else None}
        told |= {
            f"{way}_{end}": middle * (1 + side * spread) if known else None for end, side in (("p10", -1), ("p90", 1))
        }
    return {**told, **changes}


def judged(a: dict, b: dict, threshold: float | None = None) -> tuple[list[str], list[str]]:
    compared = compare([a], [b], threshold=threshold)
    assert compared.worse == bool(compared.rows[0]["worse"])
    return compared.rows[0]["worse"], compared.rows[0]["better"]


BOTH = ["fwd ms", "fwd+bwd ms"]


def test_a_profile_and_itself():
    compared = compare([row("lisa"), row("rsa")], [row("rsa"), row("lisa")])
    assert [told["op"] for told in compared.rows] == ["lisa", "rsa"]
    assert not compared.worse and (compared.only_a, compared.only_b) == ([], [])
    assert {told[f"{key}_change"] for told in compared.rows for key in ("fwd_ms", "fwdbwd_ms", "macs")} == {"same"}
    assert {told["fwd_ms_ratio"] for told in compared.rows} == {1.0}


@pytest.mark.parametrize(
    ("ms", "spread", "worse", "better"),
    [
        (10.3, 0.02, [], []),  # 10.2 and 10.09 meet
        (10.5, 0.02, BOTH, []),  # 10.2 and 10.29 do not
        (9.5, 0.02, [], BOTH),
        (10.5, 0.1, [], []),
        (10.05, 0.0001, [], []),  # beyond its noise, but below 1 %
        (10.15, 0.0001, BOTH, []),
    ],
)
def test_times_are_judged_by_their_noise(ms, spread, worse, better):
    assert judged(row(spread=spread), row(ms=ms, spread=spread)) == (worse, better)


def test_noise_of_both_counts():
    assert judged(row(spread=0.001), row(ms=11, spread=0.2)) == ([], [])
    assert judged(row(spread=0.2), row(ms=11, spread=0.001)) == ([], [])
    assert judged(row(spread=0.001), row(ms=11, spread=0.001)) == (BOTH, [])


def test_the_threshold_that_is_told_is_the_one_that_decides():
    told = compare([row()], [row(ms=10.1)]).rows[0]["fwd_ms_threshold"]
    assert told == pytest.approx(1.02 / 0.98 - 1)
    assert judged(row(), row(ms=10 * (1 + told) * 1.001))[0] == BOTH
    assert judged(row(), row(ms=10 * (1 + told) * 0.999))[0] == []


def test_a_given_threshold_replaces_the_noise():
    assert judged(row(spread=0.5), row(ms=10.6, spread=0.5), 0.05) == (BOTH, [])
    assert judged(row(spread=0), row(ms=10.4, spread=0), 0.05) == ([], [])
    assert judged(row(), row(macs=1040), 0.05) == ([], [])
    assert judged(row(), row(macs=1060), 0.05) == (["MACs"], [])


@pytest.mark.parametrize("unknown", [{"fwd_n": 1, "fwdbwd_n": 1}, {"fwd_p10": None, "fwdbwd_p10": None, "fwd_n": 5}])
def test_times_without_noise_are_shown_and_judged_by_a_given_threshold_only(unknown):
    slow = {**row(ms=30), **unknown}
    compared = compare([row() | {"fwdbwd_p90": None}], [slow])
    assert not compared.worse and compared.rows[0]["fwd_ms_change"] is None
    assert compared.rows[0]["fwd_ms_ratio"] == 3
    assert "single run" in " ".join(compare_table(compared, ENV, ENV).notes)
    assert judged(row(), slow, 0.05)[0] == BOTH


def test_memory_and_multiply_adds():
    assert judged(row(), row(peak_fwd_bytes=4200, macs=990)) == (["fwd peak"], ["MACs"])
    assert judged(row(), row(peak_fwdbwd_bytes=8200)) == ([], [])  # 0.1 %
    assert judged(row(macs=0), row(macs=1)) == (["MACs"], [])
    assert judged(row(macs=0), row(macs=0)) == ([], [])
    assert judged(row(macs=None), row(macs=5)) == ([], [])


def test_multiply_adds_that_are_no_longer_counted_are_not_better():
    assert judged(row(), row(macs=10, uncounted=["aten::x"])) == ([], [])


BAD = {
    "out of memory": {"status": "oom", "passed": None},
    "error": {"status": "error", "passed": None},
    "red": {"status": "red", "passed": False},
}


@pytest.mark.parametrize("state", BAD)
def test_a_row_that_fails(state):
    bad = row(ms=None, **BAD[state])
    assert judged(row(), bad) == ([state], [])
    assert judged(bad, row()) == ([], ["ok"])
    assert judged(bad, bad) == ([], [])
    table = compare_table(compare([bad], [bad]), ENV, ENV)
    assert table.body[0][-1] == state


def test_a_time_of_a_red_row_is_not_compared():
    assert judged(row(ms=10), row(ms=99, passed=False)) == (["red"], [])


def raced(ratio: float | None = 2.0, spread: float = 0.02, verdict: str = "faster", **changes) -> dict:
    """A row that was timed in turns with its textbook form."""
    told = {"baseline": "textbook"}
    for way in ("fwd", "fwdbwd"):
        told |= {f"{way}_speedup": ratio, f"{way}_verdict": verdict}
        told |= {f"{way}_speedup_low": ratio and ratio * (1 - spread)}
        told |= {f"{way}_speedup_high": ratio and ratio * (1 + spread)}
    return {**row(), **told, **changes}


RACES = ["fwd speed-up", "fwd+bwd speed-up"]


@pytest.mark.parametrize(
    ("ratio", "spread", "threshold", "worse", "better"),
    [
        (1.95, 0.02, None, [], []),  # the intervals meet
        (1.9, 0.02, None, RACES, []),  # 1.938 and 1.96 do not
        (2.1, 0.02, None, [], RACES),
        (1.99, 0.0001, None, [], []),  # beyond the intervals, but below 1 %
        (1.97, 0.0001, None, RACES, []),
        (1.92, 0.0001, 0.05, [], []),
        (1.8, 0.02, 0.05, RACES, []),
        (2.2, 0.02, 0.05, [], RACES),
        (1.8, 0.5, 0.05, [], []),  # beyond the threshold, but not beyond the intervals
    ],
)
def test_rows_against_the_same_baseline_are_judged_by_their_speed_ups(ratio, spread, threshold, worse, better):
    slow = {key: 3 * value for key, value in row().items() if key.endswith(("_ms", "_p10", "_p90"))}  # another machine
    assert judged(raced(spread=spread), raced(ratio, spread, **slow), threshold) == (worse, better)


def test_milliseconds_are_then_shown_and_not_judged():
    compared = compare([raced()], [raced(fwd_ms=40.0)], threshold=0.05)
    (told,) = compared.rows
    assert (told["fwd_ms_ratio"], told["fwd_ms_threshold"], told["fwd_ms_change"]) == (4.0, None, None)
    assert (told["fwd_speedup_ratio"], told["fwd_speedup_change"]) == (1.0, "same")
    table = compare_table(compared, ENV, ENV)
    assert table.body[0][table.head.index("fwd ms B/A")] == "4.000"
    assert table.body[0][table.head.index("fwd speed-up B/A")] == "1.000 ± 5 %"
    notes = " ".join(table.notes)
    assert "run in turns" in notes and "single run" not in notes
    assert "run in turns" not in " ".join(compare_table(compare([row()], [row()]), ENV, ENV).notes)


@pytest.mark.parametrize("changes", [{"baseline": "conv2d"}, {"baseline": None}, {"fwd_speedup": None}])
def test_without_the_same_baseline_times_are_judged(changes):
    worse, _ = judged(raced(), raced(1.0, fwd_ms=20.0, **changes), 0.05)
    assert "fwd ms" in worse and "fwd speed-up" not in worse


def test_faster_that_became_slower_is_worse_whatever_the_threshold():
    flipped = raced(0.97, verdict="slower")
    assert judged(raced(1.03), flipped, 0.5) == (RACES, [])
    assert judged(raced(1.03), raced(0.97, verdict="no difference"), 0.5) == ([], [])
    assert judged(flipped, raced(1.03), 0.5) == ([], [])


def test_a_speed_up_without_an_interval_is_not_judged():
    once = {f"{way}_speedup_{end}": None for way in ("fwd", "fwdbwd") for end in ("low", "high")}
    compared = compare([raced()], [raced(1.0, **once)])
    assert not compared.worse
    assert "single run" in " ".join(compare_table(compared, ENV, ENV).notes)
    assert judged(raced(), raced(1.0, **once), 0.05)[0] == RACES


def test_a_speed_up_of_a_red_row_is_not_compared():
    assert judged(raced(), raced(0.1, status="red", passed=False)) == (["red"], [])


def test_rows_match_by_layer_where_both_have_one():
    a = [row(layer="one"), row(layer="two", ms=20)]
    compared = compare(a, [row(layer="two", ms=20), row(layer="three")], threshold=0.05)
    assert [told["layer"] for told in compared.rows] == ["two"] and not compared.worse
    assert compared.only_a == ["one lisa 1x8x2x8x8 float32 cpu 2 threads"]
    assert compared.only_b == ["three lisa 1x8x2x8x8 float32 cpu 2 threads"]
    assert compare_table(compared, ENV, ENV).head[0] == "layer"
    (told,) = compare(a[:1], [row()]).rows
    assert told["layer"] == "one"


def test_rows_are_the_same_only_where_all_that_names_them_is():
    changes = {"options": "window=5", "shape": "1x8x2x4x4", "dtype": "bfloat16", "device": "cuda", "threads": 1}
    changes |= {"form": "compiled", "channels_last": True, "op": "rsa"}
    for key, value in changes.items():
        compared = compare([row(), row("tsm")], [{**row(), key: value}, row("tsm")])
        assert [told["op"] for told in compared.rows] == ["tsm"]
        assert compared.only_a == ["lisa 1x8x2x8x8 float32 cpu 2 threads"]
        assert len(compared.only_b) == 1 and compared.only_b != compared.only_a
        notes = compare_table(compared, ENV, ENV).notes
        assert {f"only in A: {compared.only_a[0]}", f"only in B: {compared.only_b[0]}"} <= set(notes)


def test_rows_of_before_are_eager_and_have_no_options():
    old = {key: value for key, value in row().items() if key not in ("options", "form", "channels_last", "status")}
    assert len(compare([old], [row()]).rows) == 1


def test_profiles_that_cannot_be_compared():
    with pytest.raises(ValueError, match="no row in common"):
        compare([row("lisa")], [row("rsa")])


def test_a_row_that_was_measured_again_meets_its_like():
    compared = compare([row(), row(ms=20)], [row(), row(ms=40), row(ms=11)], threshold=0.05)
    assert [bool(found["worse"]) for found in compared.rows] == [False, True]
    assert len(compared.only_b) == 1


def test_another_environment_is_told():
    told = compare_table(compare([row()], [row()]), ENV, {**ENV, "torch": "2.14.0", "commit": "ba9876543210"})
    notes = " ".join(told.notes)
    assert "not run in the same environment: torch 2.13.0 | 2.14.0" in notes
    assert "A: commit 0123456789ab; B: commit ba9876543210" in notes
    assert "environment" not in " ".join(compare_table(compare([row()], [row()]), ENV, ENV).notes)


def test_rows_of_which_one_had_processes_of_its_own_are_told():
    for processes, told in ((6, True), (0, False)):
        notes = compare_table(compare([row()], [row() | {"processes": processes}]), ENV, ENV).notes
        assert ("processes of its own" in " ".join(notes)) == told


def test_the_table():
    table = compare_table(compare([row(), row("rsa")], [row(ms=12), row("rsa", macs=900)]), ENV, ENV)
    assert table.head[:4] == ["op", "fwd ms A", "fwd ms B", "fwd ms B/A"] and table.head[-2:] == ["MACs B/A", "result"]
    assert table.body[0][:4] == ["lisa", "10.0", "12.0", "1.200 ± 4.1 %"]
    assert [line[-1] for line in table.body] == ["worse: fwd ms, fwd+bwd ms", "better: MACs"]
    assert table.notes[0] == "all rows: shape 1x8x2x8x8, dtype float32, device cpu, threads 2, form eager"
    sizes = compare_table(compare([row(), row(shape="1x8")], [row(), row(shape="1x8")]), ENV, ENV)
    assert sizes.head[:2] == ["op", "shape"] and sizes.keys == 2
    assert {line[-1] for line in sizes.body} == {"same"}


# --- the verb ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def vidops(tmp_path, monkeypatch, capsys):
    """Run `vidops compare` on profiles a.json and b.json; (exit code, stdout, stderr)."""
    app = typer.Typer()
    app.command("compare")(verb.command)
    app.callback()(lambda: None)
    monkeypatch.setattr(cli, "app", app)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def run(a, b, *words: str) -> tuple[int, str, str]:
        for name, rows in (("a", a), ("b", b)):
            if rows is not None:
                document = {"schema": 1, "env": ENV, "rows": rows} if isinstance(rows, list) else rows
                (tmp_path / f"{name}.json").write_text(document if isinstance(document, str) else json.dumps(document))
        monkeypatch.setattr(sys, "argv", ["vidops", "compare", "a.json", "b.json", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        return ended.value.code or 0, told.out, told.err

    run.read = capsys.readouterr
    return run


def test_exit_codes(vidops):
    assert vidops([row()], [row()])[0] == 0
    assert vidops([row()], [row(ms=8)])[0] == 0
    assert vidops([row()], [row(ms=12)])[0] == 1
    assert vidops([row()], [row(ms=12)], "--fail-over", "25%")[0] == 0
    assert vidops([row()], [row(ms=12)], "--fail-over", "5 %")[0] == 1
    assert vidops([row()], [row(ms=10.02)], "--fail-over", "0.1")[0] == 1
    assert vidops([row()], [row(ms=None, **BAD["red"])])[0] == 1


def test_forms(vidops):
    a, b = [row(), row("rsa")], [row(ms=12), row("tsm")]
    code, told, _ = vidops(a, b)
    assert code == 1 and "worse: fwd ms" in told and "only in A: rsa" in told and "only in B: tsm" in told
    told = json.loads(vidops(a, b, "--format", "json", "--fail-over", "5%")[1])
    assert (told["schema"], told["threshold"], told["env_a"], told["env_b"]) == (1, 0.05, ENV, ENV)
    assert told["rows"][0]["worse"] == ["fwd ms", "fwd+bwd ms"] and len(told["rows"]) == 1
    assert told["only_a"] == ["rsa 1x8x2x8x8 float32 cpu 2 threads"]
    assert told["command"].startswith("vidops compare a.json b.json")
    (flat,) = csv.DictReader(io.StringIO(vidops(a, b, "--format", "csv")[1]))
    assert (flat["op"], float(flat["fwd_ms_ratio"]), flat["fwd_ms_change"]) == ("lisa", 1.2, "worse")
    assert vidops(a, b, "--format", "markdown")[1].startswith("| op ")
    assert "\\toprule" in vidops(a, b, "--format", "latex")[1]


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal(vidops, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    told = vidops([row(f"operator{i}") for i in range(6)], [row(f"operator{i}", ms=12) for i in range(6)])[1]
    assert all(len(line) <= width for line in told.splitlines())
    assert told.count("worse:") == 6


def test_lines_are_read_too(vidops, tmp_path):
    head = {"schema": 1, "env": ENV, "title": "x", "scaling": [], "means": []}
    for name, rows in (("a", [raced()]), ("b", [raced(1.0)]), ("none", [])):
        lines = "".join(json.dumps(line) + "\n" for line in (head, *rows))
        (tmp_path / f"{name}.jsonl").write_text(lines)
    (tmp_path / "bad.jsonl").write_text("{\n")
    (tmp_path / "empty.jsonl").write_text("")

    def told(b: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["vidops", "compare", "a.jsonl", b])
            cli.main()
        return ended.value.code or 0, vidops.read().err

    assert told("a.jsonl") == (0, "") and told("b.jsonl")[0] == 1
    for name, said in (
        ("none.jsonl", "holds no rows"),
        ("empty.jsonl", "no profile of schema 1"),
        ("bad.jsonl", "no profile of schema 1"),
        ("missing.jsonl", "missing.jsonl cannot be read"),
    ):
        code, error = told(name)
        assert code == 2 and said in error and "\nhint: " in error


GOOD = {"schema": 1, "env": ENV, "rows": [row()]}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (None, "b.json cannot be read"),
        ("{", "b.json is not JSON"),
        ("\0\1", "b.json is not JSON"),
        ([], "b.json holds no rows"),
        ("[]", "b.json is no profile of schema 1"),
        ({**GOOD, "schema": 2}, "b.json is no profile of schema 1"),
        ({**GOOD, "rows": {}}, "b.json holds no rows"),
        ({**GOOD, "rows": [{"case": "x", "passed": True}]}, "row 1 of b.json names no op and shape"),
        ({**GOOD, "rows": [row(), 3]}, "row 2 of b.json names no op and shape"),
        ({**GOOD, "rows": [row(options=[])]}, "options in row 1 of b.json"),
        ({**GOOD, "rows": [row(fwd_ms="fast")]}, "fwd_ms in row 1 of b.json is no amount: 'fast'"),
        ({**GOOD, "rows": [row(fwd_p10=float("nan"))]}, "fwd_p10 in row 1 of b.json is no amount: nan"),
        ({**GOOD, "rows": [raced(fwd_speedup=-1)]}, "fwd_speedup in row 1 of b.json is no amount: -1"),
        ({**GOOD, "rows": [raced(fwd_speedup_low="x")]}, "fwd_speedup_low in row 1 of b.json is no amount: 'x'"),
        ({**GOOD, "rows": [row(layer=["x"])]}, "layer in row 1 of b.json"),
        ({**GOOD, "rows": [row(macs=-1)]}, "macs in row 1 of b.json is no amount: -1"),
        ([row("rsa")], "no row in common"),
    ],
)
def test_input_that_is_no_profile(vidops, bad, said):
    code, told, error = vidops([row()], bad)
    assert (code, told) == (2, "")
    assert error.startswith("error: ") and said in error and "\nhint: " in error
    with pytest.raises(ValueError, match="holds no rows"):
        rows_of({**GOOD, "env": []}, "x")


@pytest.mark.parametrize(
    "words", [("--fail-over", "much"), ("--fail-over", "-5%"), ("--fail-over", "nan"), ("--format", "xml")]
)
def test_options_that_cannot_be(vidops, words):
    code, told, error = vidops([row()], [row()], *words)
    assert (code, told) == (2, "") and error.startswith("error: ") and "\nhint: " in error


def test_comparing_imports_no_torch():
    source = "import sys, vidops_cli.cli.compare, vidops_cli.report.compare; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", source], timeout=60).returncode == 0
