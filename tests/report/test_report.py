from __future__ import annotations

import csv
import io

import pytest
from rich.console import Console

from vidops_cli.report.ablation import ablation_table
from vidops_cli.report.profile import profile_table
from vidops_cli.report.table import Table, number, size, to_csv


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
        (14950400, "15 M"),
        (3.21e9, "3.21 G"),
        (4e12, "4 T"),
        (1.5, "1.5"),
    ],
)
def test_numbers(value, told):
    assert number(value) == told


@pytest.mark.parametrize(
    ("value", "told"), [(None, "-"), (100, "100 B"), (2048, "2.00 KiB"), (3 * 2**20, "3.00 MiB"), (2**30, "1.00 GiB")]
)
def test_sizes(value, told):
    assert size(value) == told


# --- ablation ---------------------------------------------------------------------------------------------------------


def scored(row: str, seed: int, top1: float, **changes) -> list[dict]:
    shared = {
        "row": row,
        "seed": seed,
        "n": 2048,
        "present": "2048/2048",
        "split": "test",
        "data": "fedcba987654",
        "params": 78420,
        "macs": 14950400,
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


def ablation(rows: list[dict], **changes) -> Table:
    told = {"title": "Rows", "row_names": ["plain", "shift", "slow"], "seeds": [0, 1], "metric": "top1", "rows": rows}
    return ablation_table(**{**told, **changes})


def column(table: Table, name: str) -> list[str]:
    head, *body = cells(table)
    return [line[next(i for i, word in enumerate(head) if name in word)] for line in body]


def test_mean_and_spread_over_seeds():
    rows = scored("plain", 0, 24.0) + scored("plain", 1, 26.0) + scored("shift", 0, 40.25) + scored("slow", 0, 20.0)
    table = ablation(rows + scored("slow", 1, 21.0))
    assert column(table, "row") == ["plain", "shift", "slow"]
    assert column(table, "top1") == ["25.0 ± 1.4", "40.2", "20.5 ± 0.7"]
    assert column(table, "seeds") == ["2/2", "1/2", "2/2"]
    assert column(table, "vs first") == ["", "+15.2", "-4.5"]
    assert column(table, "mean class") == ["24.0 ± 1.4", "39.2", "19.5 ± 0.7"]
    assert column(table, "train top1") == ["35.0 ± 1.4", "50.2", "30.5 ± 0.7"]
    assert column(table, "params") == ["78.4 k"] * 3
    assert column(table, "MMACs") == ["15.0"] * 3
    assert column(table, "s/run") == ["32", "31", "32"]


def test_another_metric():
    table = ablation(scored("plain", 0, 24.0), metric="mean_class")
    assert cells(table)[0][1].startswith("mean_class")
    assert column(table, "mean_class")[0] == "23.0"


def test_rows_that_were_not_run():
    table = ablation(scored("shift", 0, 40.0))
    assert column(table, "top1") == ["not run", "40.0", "not run"]
    assert column(table, "seeds") == ["0/2", "1/2", "0/2"]
    assert column(ablation([]), "top1") == ["not run"] * 3
    assert "not run" in printed(ablation([]))


def test_the_distance_is_that_to_the_first_row():
    """A row is not told from another one because the first was not run."""
    table = ablation(scored("shift", 0, 40.0) + scored("slow", 0, 45.0))
    assert column(table, "vs first") == ["", "", ""]


def test_floors_are_printed():
    told = ablation([], floors={"chance": 0.25, "order-blind": 0.5}).markdown()
    assert "chance 25.0 %" in told and "order-blind 50.0 %" in told
    assert "floors" not in ablation([]).markdown()
    assert "order-blind" not in ablation([], floors={"chance": 0.1}).markdown()


def test_notes_tell_where_numbers_come_from():
    told = ablation(scored("plain", 0, 24.0), scale="mini").markdown()
    for word in ("2048 clips", "2048/2048", "test split", "scale: mini", "2.13.0", "cpu", "processor"):
        assert word in told
    for word in ("0123456789ab", "abcdef012345", "fedcba987654", "2026-01-02", "standard deviation over seeds"):
        assert word in told
    assert "uncommitted" not in told and "different code" not in told and "not counted" not in told
    assert "scale: mini" not in ablation(scored("plain", 0, 24.0)).markdown()


def test_notes_tell_what_spoils_a_comparison():
    mixed = scored("plain", 0, 24.0) + scored("shift", 0, 40.0, code="000000000000", dirty=True, uncounted=["fft"])
    told = ablation(mixed).markdown()
    assert "different code" in told
    assert "abcdef012345" in told and "000000000000" in told
    assert "uncommitted changes" in told
    assert "not counted in MACs: fft" in told
    missing = ablation(scored("plain", 0, 24.0) + scored("shift", 0, 40.0, n=2040, present="2040/2048")).markdown()
    assert "2040/2048" in missing and "2048/2048" in missing


def test_costs_that_are_not_known():
    assert column(ablation(scored("plain", 0, 24.0, macs=None)), "MMACs") == ["", "", ""]


def test_a_pipe_in_a_row_name():
    rows = scored("a|b", 0, 24.0)
    assert column(ablation(rows, row_names=["a|b"]), "row") == ["a|b"]


# --- profiles ---------------------------------------------------------------------------------------------------------

ENV = {"device": "cpu", "cpu": "processor", "torch": "2.13.0"}


def profiled(op: str, *, passed: bool = True, backward: bool = True, **changes) -> dict:
    row = {
        "op": op,
        "shape": "1x8x2x8x8",
        "dtype": "float32",
        "device": "cpu",
        "threads": 2,
        "params": 584,
        "macs": 73728,
        "other_flops": 1024,
        "flops": 148480,
        "flops_executed": 147456,
        "uncounted": [],
        "checked": 2e-7 if passed else 0.31,
        "checked_on": "1x8x2x8x8",
        "passed": passed,
    }
    for which, base in (("fwd", 7.125), ("fwdbwd", 23.5)):
        shown = passed and (which == "fwd" or backward)
        row |= {f"{which}_{key}": base + i if shown else None for i, key in enumerate(("ms", "p10", "p90"))}
        row |= {f"{which}_n": 20 if shown else None, f"peak_{which}_bytes": 5 * 2**20 if shown else None}
    return {**row, **changes}


def test_a_profile_table():
    table = profile_table([profiled("conv2d"), profiled("lisa", uncounted=["fft"])], ENV)
    told = table.markdown()
    for word in (
        "conv2d",
        "1x8x2x8x8",
        "584",
        "73.7 k",
        "148 k",
        "5.00 MiB",
        "7.12",
        "23.5",
        "2e-07",
        "nothing",
        "fft",
    ):
        assert word in told
    for word in ("float32 on cpu", "2 threads", "processor", "2.13.0"):
        assert word in told
    assert "conv2d" in printed(table)


def test_a_red_row_shows_no_time():
    table = profile_table([profiled("conv2d"), profiled("lisa", passed=False)], ENV)
    green, red = cells(table)[1:]
    assert "FAILED" in " ".join(red) and "3e-01" in " ".join(red)
    assert "FAILED" not in " ".join(green)
    timed = [i for i, word in enumerate(cells(table)[0]) if word.split()[-1] in ("ms", "p10", "p90")]
    assert len(timed) == 6
    assert {red[i] for i in timed} == {"-"}
    assert "-" not in {green[i] for i in timed}


def test_a_profile_without_backward():
    table = profile_table([profiled("conv2d", backward=False)], ENV)
    assert "bwd" not in " ".join(cells(table)[0])
    assert "23.5" not in table.markdown()


def test_a_check_on_another_shape_says_so():
    told = profile_table([profiled("conv2d", checked_on="1x8x1x4x4")], ENV).markdown()
    assert "1x8x1x4x4" in told
