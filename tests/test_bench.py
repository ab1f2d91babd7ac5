"""The parts of tests/bench that judge: bars, and what is held against what."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from vidops_cli.profiling.latency import Comparison, Latency
from vidops_cli.report.bench import bench_table


@pytest.fixture
def bench(monkeypatch):
    """A function of a name -> that module of tests/bench."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "bench"))
    return importlib.import_module


def test_a_median_over_its_bar_is_missed(bench):
    rows = bench("rows")
    found = [rows.timed("group", name, [1.0, seconds, 9.0], most=2.0) for name, seconds in (("a", 1.9), ("b", 2.1))]
    assert [row["name"] for row in rows.missed(found)] == ["b"]
    assert (found[0]["low"], found[0]["high"], found[0]["interval"]) == (1.0, 9.0, "range")
    assert rows.missed([rows.row("group", "without a bar", "s")]) == []
    env = {"torch": "2", "cpu": "c", "cores": 2, "commit": "0", "dirty": False}
    told = bench_table(found, env).markdown()
    assert "2.10 s" in told and "~ [1.00, 9.00]" in told and "| NO " in told


@pytest.mark.parametrize(
    ("value", "high", "passed"), [(0.8, 0.9, False), (0.9, 1.1, True), (1.5, 2.0, True), (0.9, None, False)]
)
def test_slower_is_an_interval_below_one(bench, value, high, passed):
    side = Latency.of([500.0] * 6)
    row = bench("networks").judged("name", Comparison(side, side, value, 0.7, high, 6, None), 2)
    assert row["passed"] is passed and row["clips_per_s"] == pytest.approx(4)


def small(networks, monkeypatch):
    monkeypatch.setitem(networks.CLIPS, "resnet_tiny", (2, 3, 4, 16, 16))
    monkeypatch.setitem(networks.PAIRS, "resnet_tiny", {"fewest": 2, "budget": 0.0})
    return networks.Case("resnet_tiny", [{"op": "tsm", "at": "res2"}])


def test_both_forms_are_timed(bench, monkeypatch):
    networks = bench("networks")
    first, second = networks.measure([small(networks, monkeypatch)])
    assert [first["name"], second["name"]] == ["resnet_tiny + tsm, training", "resnet_tiny + tsm, inference"]
    assert all(row["median"] > 0 and row["n"] == 2 and row["textbook_clips_per_s"] > 0 for row in (first, second))


def test_a_wrong_or_absent_form_has_no_ratio(bench, monkeypatch):
    networks = bench("networks")
    case = small(networks, monkeypatch)
    monkeypatch.setattr(networks, "textbook", lambda name: lambda op, x: x.flip(2))
    wrong = list(networks.measure([case]))
    assert [row["note"].split(":")[0] for row in wrong] == ["losses differ"] * 2
    monkeypatch.setattr(networks, "textbook", lambda name: importlib.import_module(f"vidops_cli.textbook.no_{name}"))
    absent = list(networks.measure([case]))
    assert all(row["note"].startswith("ModuleNotFoundError") for row in absent)
    assert all(row["median"] is None and row["passed"] is False for row in wrong + absent)


def test_every_network_has_both_forms(bench):
    networks = bench("networks")
    for case in networks.CASES:
        with torch.device("meta"):
            network = networks.MODELS[case.network].build(classes=4, ops=case.ops)
        twin = networks.in_textbook_form(network, {spec["op"] for spec in case.ops})
        assert sum("forward" in vars(module) for module in twin.modules()) >= len(case.ops)
        assert not any("forward" in vars(module) for module in network.modules())
    assert len(networks.CASES) == 8


def test_steps_of_the_engine_are_paired_with_bare_ones(bench, monkeypatch, tmp_path):
    engine = bench("engine")
    monkeypatch.setattr(engine, "WARM", 1)
    monkeypatch.setattr(engine, "STEPS", 3)
    told = engine.load_recipe(engine.RECIPE, ["train.batch=2", "train.threads=null"], rows=False)
    ours, bare = engine.pairs(told, tmp_path)
    assert len(ours) == len(bare) == 3 and min(ours + bare) > 0


def test_tables_have_all_their_rows(bench, monkeypatch):
    rendering = bench("rendering")
    monkeypatch.setattr(rendering, "ROWS", 40)
    for make in (rendering.ablation, rendering.profile):
        table, rows = make()
        assert len(table.body) == 40 and len({tuple(line) for line in table.body}) == 40 and len(rows) >= 40
        assert sorted(rendering.forms(table, rows)) == [
            "CSV",
            "LaTeX",
            "Markdown",
            "rich, 160 columns",
            "rich, 80 columns",
        ]


def test_the_guard_says_what_it_lacks(bench, monkeypatch, tmp_path):
    speed = bench("speed")
    monkeypatch.setattr(speed, "ROOT", tmp_path)
    (row,) = speed.measure()
    assert row["passed"] is None and row["note"].count(" no ") == 2


@pytest.mark.parametrize(
    ("first", "second", "passed", "note"),
    [
        (set(), None, True, "no row is worse twice"),
        ({"RSA res4", "SIFA res5"}, {"SIFA res5", "MS R50"}, False, "worse twice: SIFA res5"),
        ({"RSA res4"}, set(), True, "no row is worse twice"),
        (None, None, False, "failed"),
        ({"RSA res4"}, None, False, "failed"),
    ],
)
def test_the_guard_times_what_is_worse_a_second_time(bench, monkeypatch, tmp_path, first, second, passed, note):
    speed = bench("speed")
    told, timed = iter((first, second)), []
    monkeypatch.setattr(speed, "worse", lambda path: next(told))
    monkeypatch.setattr(speed, "profile", lambda suite, out: timed.append(yaml.safe_load(suite.read_text())["layers"]))
    (row,) = speed.measure(tmp_path)
    assert row["passed"] is passed and note in row["note"]
    assert [{layer["name"] for layer in layers} for layers in timed[1:]] == ([first] if first else [])
    assert len(timed[0]) == 23


def test_the_guard_finds_what_is_worse(bench, tmp_path):
    """A record against itself, with one speed-up a tenth of what it was."""
    speed = bench("speed")
    lines = (speed.ROOT / speed.RECORD).read_text().splitlines()
    rows = [json.loads(line) for line in lines[1:]]
    slow = rows[4]
    slow |= {key: slow[key] / 10 for key in ("fwd_speedup", "fwd_speedup_low", "fwd_speedup_high")}
    fresh = tmp_path / "fresh.jsonl"
    fresh.write_text("\n".join([lines[0], *map(json.dumps, rows)]) + "\n")
    assert speed.worse(fresh) == {slow["layer"]}
    assert speed.worse(speed.ROOT / speed.RECORD) == set() and speed.worse(tmp_path / "none.jsonl") is None


def test_reading_is_judged_by_every_frame(bench, monkeypatch, tmp_path):
    decoding = bench("decoding")
    kinds = ("VP9", "MPEG-4 part 2 in AVI, 2 B-frames")
    monkeypatch.setattr(decoding, "FILES", {kind: decoding.FILES[kind] for kind in kinds})
    fine, saved = decoding.exactness(tmp_path)
    assert fine["passed"] and fine["read_by"] == "decord" and fine["decord_wrong"] == fine["pyav_wrong"] == {}
    assert saved["passed"] and saved["read_by"] == "pyav" and saved["decord_wrong"] and saved["pyav_wrong"] == {}
    assert "decord alone: WRONG, up to " in saved["note"]
    monkeypatch.setattr(decoding, "answers", lambda path, truth, backend: {"tail": [2] * 8})
    spoiled, _ = decoding.exactness(tmp_path)
    assert spoiled["passed"] is False and spoiled["median"] < 100


def test_reading_is_held_against_a_bare_loop(bench, monkeypatch, tmp_path):
    decoding = bench("decoding")
    for name, value in {"WARM": 0, "PAIRS": 6, "FRAMES": 12, "SIZE": (48, 64)}.items():
        monkeypatch.setattr(decoding, name, value)
    row = decoding.throughput(tmp_path)
    assert row["n"] == 6 and row["median"] > 0 and row["ours_ms"] > 0 and row["bare_ms"] > 0


def test_workers_are_held_against_a_bare_loader(bench, monkeypatch, tmp_path):
    decoding = bench("decoding")
    for name, value in {"ROUNDS": 2, "LOADED": 4, "BATCH": 2, "FRAMES": 12, "SIZE": (48, 64)}.items():
        monkeypatch.setattr(decoding, name, value)
    monkeypatch.setitem(decoding.PLAIN, "crop", 32)
    row = decoding.loaded(tmp_path)
    assert row["n"] == 2 and row["median"] > 0 and row["clock"] > 0


def test_steps_on_decoded_clips_are_held_against_steps_on_tensors(bench, monkeypatch, tmp_path):
    feeding, decoding = bench("feeding"), bench("decoding")
    small = {"NETWORK": "resnet_tiny", "CLIP": 2, "BATCH": 1, "CROP": 32, "WARM": 1, "STEPS": 2, "ROUNDS": 2}
    for name, value in small.items():
        monkeypatch.setattr(feeding, name, value)
    for name, value in {"FRAMES": 12, "SIZE": (48, 64)}.items():
        monkeypatch.setattr(decoding, name, value)
    threads = torch.get_num_threads()
    row = feeding.fed(tmp_path)
    torch.set_num_threads(threads)
    assert row["n"] == 2 and row["median"] > -100 and row["workers"] == 2
    assert min(row["cores"], row["cores_needed"], row["clips_per_s_needed"], row["clips_per_s_had"]) > 0
    assert 0 <= row["cores_left"] <= row["cores"]


@pytest.mark.parametrize(
    ("needed", "left", "ours", "passed"),
    [
        (0.5, 1.0, 1.09, True),
        (0.5, 1.0, 1.2, False),
        (0.9, 1.0, 1.2, None),  # more than the share of the idle cores
        (0.5, 0.0, 1.0, None),
        (2.5, 8.0, 1.2, None),  # more than the workers are
    ],
)
def test_decoding_is_judged_where_cores_allow(bench, needed, left, ours, passed):
    feeding = bench("feeding")
    row = feeding.judged(([ours] * 6, [1.0] * 6), feeding.Cores(8, needed, left, wanted=4.0, had=9.0))
    assert row["passed"] is passed and row["median"] == pytest.approx(100 * (ours - 1))
    assert ("not judged: cores do not allow" in row["note"]) is (passed is None)
    assert "8 cores" in row["note"] and "4.0 clips/s needed, 9.0 had" in row["note"]


def test_an_unknown_group_is_refused():
    main = Path(__file__).parent / "bench"
    done = subprocess.run([sys.executable, main, "--only", "commands,nothing"], capture_output=True, text=True)
    assert done.returncode == 2 and "unknown group 'nothing'" in done.stderr
