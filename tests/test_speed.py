"""A suite against baselines, as the command line runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from vidops_cli.cli.common import known
from vidops_cli.ops import OPS
from vidops_cli.profiling.cases import Case, Shape
from vidops_cli.profiling.profile import Settings, profile
from vidops_cli.recipe.suite import load_suite

SUITE = """\
title: Small
baseline: textbook
layers:
  - {name: wide, op: conv3d, channels: 8, grid: [2, 4, 4], released: {fwd_ms: 2.5}}
  - {name: wider, op: conv3d, channels: 16, grid: [2, 4, 4]}
  - {name: moved, op: tsm, channels: 16, grid: [2, 4, 4]}
  - {name: shots, op: cca, channels: 8, grid: [1, 3, 3], batch: 2, inputs: {support: 10 C T H W}, call: {shots: 2}}
  - {name: short, op: self_attention, channels: 8, grid: [1, 4, 4], baseline: conv3d, sweep: seq}
  - {name: long, op: self_attention, channels: 8, grid: [1, 8, 8], baseline: conv3d, sweep: seq}
"""


@pytest.fixture(autouse=True)
def suite(tmp_path, monkeypatch):
    """Where the suite is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SUITE)


def lines(path):
    head, *rows = map(json.loads, path.read_text().splitlines())
    return head, {row["layer"]: row for row in rows}


def test_a_suite_against_baselines(vidops, tmp_path):
    words = ("--suite", "small.yaml", "--no-backward", "--format", "markdown", "--out", "small.jsonl")
    code, out, _ = vidops("profile", *words, "--plot", "small.png")
    assert code == 0 and out.startswith("# Small\n")
    assert out.count("\n| ") - out.count("\n|:") >= 3 and "| mean " in out and re.search(r"\| +exponent ", out)
    assert (tmp_path / "small.png").read_bytes()[:4] == b"\x89PNG"
    head, rows = lines(tmp_path / "small.jsonl")
    assert set(head) == {"schema", "env", "title", "scaling", "means"}
    assert (head["schema"], head["title"]) == (1, "Small")
    assert list(rows) == ["wide", "wider", "moved", "shots", "short", "long"]
    assert [row["baseline"] for row in rows.values()] == ["textbook"] * 4 + ["conv3d"] * 2
    assert all(row["fwd_speedup"] > 0 and row["baseline_peak_fwd_bytes"] > 0 for row in rows.values())
    assert (rows["wide"]["released_fwd_ms"], rows["wider"]["released_fwd_ms"]) == (2.5, None)
    assert [(entry["op"], entry["rows"]) for entry in head["means"]] == [
        ("conv3d", 2),
        ("tsm", 1),
        ("cca", 1),
        ("all", 4),
    ]
    assert [(rows[name]["axis"], rows[name]["at"]) for name in ("wide", "short", "long")] == [
        (None, None),
        ("seq", 16),
        ("seq", 64),
    ]
    fitted = {(entry["op"], entry["what"]) for entry in head["scaling"] if "exponent" in entry}
    assert fitted == {(op, what) for op in ("conv3d", "self_attention") for what in ("fwd_ms", "peak_fwd_bytes")}
    (crossover,) = (entry for entry in head["scaling"] if "crossover" in entry)
    assert (crossover["op"], crossover["against"], crossover["axis"]) == ("self_attention", "conv3d", "seq")
    assert vidops("compare", "small.jsonl", "small.jsonl")[0] == 0


def test_a_baseline_of_the_command_line_is_for_layers_that_say_none(vidops, tmp_path):
    text = SUITE.replace("baseline: textbook\n", "").replace("baseline: conv3d", "baseline: conv2d")
    (tmp_path / "small.yaml").write_text("".join(line for line in text.splitlines(True) if "cca" not in line))
    words = ("--suite", "small.yaml", "--no-backward", "--format", "json", "--baseline", "conv3d")
    code, out, _ = vidops("profile", *words)
    rows = json.loads(out)["rows"]
    assert [row["baseline"] for row in rows] == [None, None, "conv3d", "conv2d", "conv2d"]
    assert [row["fwd_speedup"] is None for row in rows] == [True, True, False, False, False]
    assert code == 0 and json.loads(out)["means"] == []


def test_a_layer_that_is_wrong_has_no_time_and_no_part_in_the_means(vidops, tmp_path, monkeypatch):
    plain = OPS["tsm"].load().forward
    monkeypatch.setattr(OPS["tsm"].load(), "forward", lambda self, x: plain(self, x) + 1e-3)
    words = ("--suite", "small.yaml", "--no-backward", "--format", "markdown", "--out", "small.jsonl")
    code, out, _ = vidops("profile", *words)
    assert code == 1
    head, rows = lines(tmp_path / "small.jsonl")
    red = rows["moved"]
    assert (red["status"], red["passed"]) == ("red", False)
    assert all(red[key] is None for key in ("fwd_ms", "fwd_speedup", "fwd_verdict", "baseline_fwd_ms", "fwd_memory"))
    assert [(entry["op"], entry["rows"]) for entry in head["means"]] == [("conv3d", 2), ("cca", 1), ("all", 3)]
    (line,) = (line for line in out.splitlines() if line.startswith("| moved"))
    assert "FAILED" in line and "faster" not in line and "slower" not in line


SMALL = {  # every operator of the suite: channels, grid
    "rsa": (16, (2, 5, 6)),
    "motion_squeeze": (16, (2, 6, 6)),
    "selfy": (16, (2, 6, 6)),
    "scr": (16, (1, 4, 5)),
    "cca": (16, (1, 4, 3)),
    "sifa": (8, (3, 5, 4)),
    "lisa": (16, (1, 5, 6)),
}


@pytest.mark.parametrize("name", SMALL)
def test_each_fast_form_is_timed_only_if_it_is_right(name, monkeypatch):
    channels, grid = SMALL[name]
    case = Case(OPS[name], Shape(1, channels, grid), baseline="textbook")
    settings = Settings(torch.device("cpu"), budget=0.01)
    right = profile(case, settings)
    assert (right["status"], right["passed"]) == ("ok", True) and right["fwdbwd_speedup"] > 0
    plain = OPS[name].load().forward
    monkeypatch.setattr(OPS[name].load(), "forward", lambda self, *given: plain(self, *given) * (1 + 1e-3))
    wrong = profile(case, settings)
    assert (wrong["status"], wrong["passed"]) == ("red", False)
    assert all(wrong[f"{which}_{key}"] is None for which in ("fwd", "fwdbwd") for key in ("ms", "speedup", "memory"))


def test_small_forms_of_all_operators_of_the_suite():
    layers = load_suite(Path(__file__).parents[1] / "recipes/profile/speed.yaml", known()).layers
    assert {layer.op for layer in layers} == set(SMALL)


def test_layers_in_processes_of_their_own(vidops, tmp_path):
    kept = ("title", "shots", "  - {name: short")
    few = [line for line in SUITE.splitlines(True) if "- {" not in line or any(word in line for word in kept)]
    (tmp_path / "small.yaml").write_text("".join(few))
    code, out, _ = vidops("profile", "--suite", "small.yaml", "--no-backward", "--processes", 2, "--format", "json")
    shots, short = json.loads(out)["rows"]
    assert code == 0 and [shots["layer"], short["layer"]] == ["shots", "short"]
    assert (shots["options"], shots["baseline"]) == ("shots=2 support=10xCxTxHxW", "textbook")
    assert (short["baseline"], short["axis"], short["at"]) == ("conv3d", "seq", 16)
    assert shots["fwd_speedup"] > 0 and short["fwd_speedup"] > 0
    assert [row[key] for row in (shots, short) for key in ("processes", "fwd_n", "fwd_pairs")] == [2] * 6


def test_a_layer_that_its_operator_refuses_is_a_row(vidops, tmp_path):
    (tmp_path / "small.yaml").write_text(SUITE.replace("shots: 2", "shots: 3"))
    code, out, _ = vidops("profile", "--suite", "small.yaml", "--no-backward", "--format", "json")
    refused = {row["layer"]: row["error"] for row in json.loads(out)["rows"] if row["error"]}
    assert code == 1 and list(refused) == ["shots"] and "10 support images cannot be 3" in refused["shots"]
