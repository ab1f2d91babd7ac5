"""vidops profile and compare, as they are used."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from terminal import ROOT, VIDOPS, shell, told_errors

from vidops_cli.report.table import number

SMALL = ("profile", "--op", "conv2d", "--op", "tsm", "--grid", "2x8x8", "--channels", 8, "--device", "cpu", "--quiet")


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    """Two small operators, as JSON, into a file."""
    folder = tmp_path_factory.mktemp("profiled")
    return shell(*SMALL, "--format", "json", "--out", "new/rows.json", cwd=folder), folder / "new/rows.json"


def test_profile_as_json(profiled):
    done, file = profiled
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told == json.loads(file.read_text())
    assert told["schema"] == 1
    assert told["env"]["device"] == "cpu" and "--op conv2d" in told["env"]["command"]
    assert [row["op"] for row in told["rows"]] == ["conv2d", "tsm"]
    wanted = {"op", "shape", "dtype", "device", "params", "macs", "other_flops", "flops", "flops_executed", "uncounted"}
    wanted |= {"fwd_ms", "fwdbwd_ms", "peak_fwd_bytes", "peak_fwdbwd_bytes", "checked"}
    for row in told["rows"]:
        assert wanted <= set(row)
        assert row["shape"] == "1x8x2x8x8"
        assert row["flops"] == 2 * row["macs"] + row["other_flops"]
        assert row["fwd_ms"] > 0 and row["fwdbwd_ms"] > 0 and row["passed"] is True
    assert told["rows"][0]["macs"] == 8 * 8 * 9 * 2 * 8 * 8
    assert told["rows"][1]["macs"] == 0


def test_profile_as_table_and_csv(vidops, place):
    code, out, err = vidops(*SMALL, "--no-backward", "--out", "rows.csv")
    assert (code, err) == (0, "")
    assert "conv2d" in out and "tsm" in out and "1x8x2x8x8" in out
    rows = list(csv.DictReader(io.StringIO((place / "rows.csv").read_text())))
    assert [row["op"] for row in rows] == ["conv2d", "tsm"]
    assert rows[0]["fwdbwd_ms"] == "" and float(rows[0]["fwd_ms"]) > 0
    code, out, _ = vidops(*SMALL[:3], *SMALL[5:], "--no-backward", "--format", "csv")
    assert code == 0
    assert [row["op"] for row in csv.DictReader(io.StringIO(out))] == ["conv2d"]


def test_profile_tells_each_row_the_load_and_what_it_wrote(vidops, place, monkeypatch):
    monkeypatch.setattr("vidops_cli.profiling.latency.os.getloadavg", lambda: (9.2, 1.0, 1.0))
    monkeypatch.setattr("vidops_cli.profiling.latency.os.cpu_count", lambda: 2)
    code, out, err = vidops(*SMALL[:-1], "--no-backward", "--out", "rows.json")
    load, first, second, written = err.splitlines()
    assert code == 0 and load.startswith("load 9 on 2 cores: times will be wrong; wait")
    assert re.fullmatch(r"1/2 conv2d on 1x8x2x8x8, \d+:\d\d", first) and second.startswith("2/2 tsm on ")
    assert written == "written: rows.json" and "ceilings of this machine: " in " ".join(out.split())
    code, again, err = vidops("profile", "rows.json", "--plot", "roof.pdf")
    assert (code, err) == (0, "roofline plot: roof.pdf\n") and again == out
    assert (place / "roof.pdf").read_bytes()[:4] == b"%PDF"
    code, _, err = vidops("profile", ROOT / "results/profile/seq.json", "--plot", "seq.svg")
    assert (code, err) == (0, "scaling plot: seq.svg\n")


def test_a_ceiling_that_a_row_beats_is_measured_again(vidops, place, monkeypatch):
    from vidops_cli.profiling.roofline import Ceilings

    def told(*_, again=False):
        return Ceilings(1e12 if again else 1e3, 1e12, "cpu", "float32", 1, "highest", "2", "2026-01-01T00:00:00Z")

    monkeypatch.setattr("vidops_cli.cli.measuring.ceilings", told)
    code, _, _ = vidops(*SMALL, "--no-backward", "--out", "rows.json")
    found = json.loads((place / "rows.json").read_text())
    assert code == 0 and found["env"]["ceilings"]["flops_per_s"] == 1e12
    assert 0 < found["rows"][0]["bound_share"] < 1


def test_an_operator_of_ones_own_has_the_counts_that_show_tells(vidops, mine):
    code, out, _ = vidops("profile", "--op", "mine:Good", "--grid", "8x14x14", "--no-backward", "--format", "json")
    (row,) = rows_of(out)
    code, out, _ = vidops("show", "mine:Good")
    assert code == 0 and f"{number(row['other_flops'])} other FLOPs" in out


def test_profile_takes_the_most_square_grid(vidops):
    code, out, _ = vidops("profile", "--op", "tsm", "--seq", 32, "--channels", 8, "--no-backward", "--format", "json")
    assert code == 0
    assert json.loads(out)["rows"][0]["shape"] == "1x8x1x4x8"


S = ("--grid", "2x6x6", "--channels", 8, "--no-backward", "--format", "json")
MINE = """
import torch
from torch import nn

class Good(nn.Module):
    def __init__(self, channels, *, scale: float = 1.0):
        super().__init__()
        self.scale = scale
    def forward(self, x):
        return self.scale * x

class Fails(Good):
    def forward(self, x):
        if x.dtype == torch.float64:
            raise RuntimeError("float32 alone")
        return x
"""


@pytest.fixture
def mine(place):
    (place / "mine.py").write_text(MINE)
    yield
    sys.modules.pop("mine", None)


def rows_of(out):
    return json.loads(out)["rows"]


def test_profile_against_a_baseline(vidops, place):
    code, out, _ = vidops(
        "profile", "--op", "scr", "--baseline", "conv2d", "--set", "planes=[4]", "--set", "window=1", *S
    )
    assert code == 0
    base, row = rows_of(out)
    assert (base["op"], base["baseline"], base["options"]) == ("conv2d", None, "")
    assert row["baseline"] == "conv2d" and row["fwd_speedup"] > 0 and row["fwd_pairs"] >= 10


def test_profile_keeps_a_row_whose_baseline_fails(vidops, place):
    words = (
        "--op",
        "conv2d",
        "--baseline",
        "motion_squeeze",
        "--sweep",
        "frames=1,2",
        "--no-backward",
        "--format",
        "json",
    )
    code, out, _ = vidops("profile", *words, "--channels", 8, "--grid", "2x6x6")
    rows = {(row["op"], row["at"]): row for row in rows_of(out)}
    assert code == 1  # the baseline takes no single frame
    assert rows["motion_squeeze", 1]["status"] == "error"
    assert rows["conv2d", 1]["status"] == "ok" and rows["conv2d", 1]["fwd_ms"] > 0
    assert "not compared" in rows["conv2d", 1]["error"]
    assert rows["conv2d", 2]["fwd_speedup"] > 0 and rows["conv2d", 2]["error"] is None


def test_profile_sweeps_and_draws(vidops, place):
    words = ("--op", "tsm", "--sweep", "frames=2,4,8", "--channels", 8, "--grid", "2x6x6", "--no-backward")
    code, out, err = vidops("profile", *words, "--plot", "new/frames.png", "--out", "new/frames.json")
    assert code == 0 and "scaling plot: new/frames.png" in err
    assert "exponent" in out and "tried up to 8, all fit" in out
    told = json.loads((place / "new/frames.json").read_text())
    assert [row["at"] for row in told["rows"]] == [2, 4, 8]
    assert {entry["axis"] for entry in told["scaling"]} == {"frames"}
    assert (place / "new/frames.png").read_bytes()[:4] == b"\x89PNG"
    code, _, err = vidops(
        "profile", "--op", "scr", "--sweep", "window=1,3", "--set", "planes=[4]", *S, "--plot", "w.svg"
    )
    assert code in (0, 1) and "scaling plot" in err


def test_profile_in_a_process_of_its_own(vidops, mine):
    code, out, _ = vidops("profile", "--op", "tsm", "--op", "mine:Good", "--processes", 1, *S)
    assert code == 0
    assert [(row["status"], row["processes"]) for row in rows_of(out)] == [("ok", 1), ("ok", 1)]
    code, _, err = vidops("profile", "--op", "self_attention", "--processes", 1, "--grid", "1x4x4", "--channels", 12)
    assert code == 2 and "8 heads" in err and "--channels" in err


def test_profile_of_a_module_of_ones_own(vidops, mine):
    code, out, _ = vidops("profile", "--op", "mine:Good", "--set", "scale=2.5", *S)
    assert code == 0
    (row,) = rows_of(out)
    assert (row["other_flops"], row["checked_how"], row["options"]) == (8 * 72, "itself in float64", "scale=2.5")
    code, out, _ = vidops("profile", "--op", "mine:Good", "--op", "mine:Fails", *S)
    assert code == 1
    assert [row["status"] for row in rows_of(out)] == ["ok", "error"]
    assert "float32 alone" in rows_of(out)[1]["error"]


def test_profile_of_a_suite(vidops, place):
    (place / "few.yaml").write_text("title: Few\nlayers:\n  - {name: one, op: tsm, channels: 8, grid: [2, 4, 4]}\n")
    code, out, _ = vidops("profile", "--suite", "few.yaml", "--no-backward", "--format", "markdown")
    assert code == 0 and out.startswith("# Few\n") and "| one " in out and " tsm " in out


def test_profile_of_a_network(vidops, place):
    recipe = ROOT / "recipes/quickstart.yaml"
    words = ("--grid", "4x32x32", "--classes", 4, "--depth", 1, "--views", "10x3", "convention=macs")
    code, out, _ = vidops("profile", recipe, *words)
    assert code == 0
    assert "ResNet" in out and "layer1" in out and "as the paper counts (macs)" in out and "30 views" in out
    code, _, err = vidops("profile", ROOT / "recipes/profile/layers.yaml")
    assert code == 2 and "--suite" in err


@pytest.mark.parametrize(
    "words, told",
    [
        ((ROOT / "recipes/quickstart.yaml", "--dtype", "float16"), "--dtype"),
        (("--suite", ROOT / "recipes/profile/layers.yaml", "--channels", 4), "--channels"),
        (("--op", "tsm", "--depth", 3), "--depth"),
        (("--op", "tsm", "--threads", 10**6), "--threads"),
        (("--op", "tsm", "--out", "."), "--out"),
        (("--op", "tsm", "--plot", "x.gif"), ".pdf"),
    ],
)
def test_profile_refuses_what_means_nothing(vidops, place, words, told):
    code, _, err = vidops("profile", *words)
    assert code == 2
    ((error, hint),) = told_errors(err)
    assert told in error + hint


def test_profile_stopped_keeps_its_rows(place):
    words = ("profile", "--op", "tsm", "--sweep", "frames=2,3,4,5,6,7,8,9", "--channels", "8", "--out", "kept.json")
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([VIDOPS, *words, "--device", "cpu"], cwd=place, env=env, **pipes)
    until = time.monotonic() + 60
    while not (place / "kept.json").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped: " in err and "of 8 rows" in err
    kept = json.loads((place / "kept.json").read_text())["rows"]
    assert 1 <= len(kept) < 8 and all(row["status"] == "ok" for row in kept)
    assert "tsm" in out


def test_compare_answers_with_its_exit_code(vidops, place, profiled):
    _, file = profiled
    slow = json.loads(file.read_text())
    for row in slow["rows"]:
        for key in ("fwd_ms", "fwd_p10", "fwd_p90"):
            row[key] *= 10
    (place / "slow.json").write_text(json.dumps(slow))
    assert vidops("compare", file, file)[0] == 0
    code, out, _ = vidops("compare", file, "slow.json")
    assert code == 1 and "worse" in out
    assert vidops("compare", "slow.json", file)[0] == 0
    assert vidops("compare", file, "missing.json")[0] == 2
