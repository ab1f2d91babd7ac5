"""vidops train --track: what TensorBoard and Weights & Biases get of a run, and what becomes of a run without them."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types
from itertools import count

import pytest
import torch
from terminal import told_errors, tree

from vidops_cli.cli import trackers
from vidops_cli.cli.common import load_recipe
from vidops_cli.cli.trackers import Trackers
from vidops_cli.engine.train import train
from vidops_cli.record import read_lines

STEPS = list(range(1, 7))  # 24 clips in batches of 8, two epochs
STEP = {"phase": "training", "done": 1, "step_loss": 1.0, "step_accuracy": 50.0, "lr": 0.1}


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run(place, name, *, killed_at=None, resume=True):
    """Train two epochs with a tracker, or as far as a step after which the process dies unsaved."""
    told = load_recipe(place / "one.yaml", ["train.epochs=2"], rows=False)
    with Trackers([name], place / "run", told, "c0de") as tracked:

        def report(status):
            tracked(status)
            if status["phase"] == "training" and status["done"] == killed_at:
                raise KeyboardInterrupt

        summary = train(told, place / "run", device="cpu", resume=resume, report=report)
        tracked.tested(summary)
    return told, summary


def killed(place, name):
    with pytest.raises(KeyboardInterrupt):
        run(place, name, killed_at=5)


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    scalars = {tag: {e.step: e.value for e in found.Scalars(tag)} for tag in found.Tags()["scalars"]}
    assert all(len(scalars[tag]) == len(found.Scalars(tag)) for tag in scalars)  # no step twice
    return scalars, [event.tensor_proto.string_val[0].decode() for event in found.Tensors("recipe")]


def check(found, place, summary):
    """Step -> value of every name, against metrics.jsonl and the summary."""
    rows = read_lines(place / "run/metrics.jsonl")
    assert [row["step"] for row in rows] == [3, 6]
    assert list(found["train/loss"]) == list(found["train/accuracy"]) == list(found["train/lr"]) == STEPS
    for row in rows:
        steps = range(row["step"] - 2, row["step"] + 1)
        assert sum(found["train/loss"][step] for step in steps) / 3 == pytest.approx(row["train_loss"])
        assert sum(found["train/accuracy"][step] for step in steps) / 3 == pytest.approx(row["train_top1"])
        for name in ("loss", "top1", "mean_class"):
            assert found[f"val/{name}"][row["step"]] == pytest.approx(row[f"val_{name}"])
    for name in ("loss", "top1", "top5", "mean_class"):
        assert found[f"test/{name}"] == {6: pytest.approx(summary["metrics"][name])}
    assert len(set(found["train/lr"].values())) > 3
    assert len(found) == 3 + 3 + 4


def test_tensorboard_has_each_step_once_where_a_run_was_killed(place):
    killed(place, "tensorboard")
    assert list(events(place / "run/tensorboard")[0]["train/loss"]) == STEPS[:5]
    told, summary = run(place, "tensorboard")
    found, texts = events(place / "run/tensorboard")
    check(found, place, summary)
    assert len(texts) == 2 and all(f"recipe {told.hash()}, code c0de" in text for text in texts)
    assert "      name: resnet_tiny\n" in texts[0]


def test_a_run_that_starts_over_has_no_events_of_the_one_before(place, vidops):
    killed(place, "tensorboard")
    words = ("train", "one.yaml", "train.epochs=1", "--out", "run", "--no-resume", "--device", "cpu")
    code, _, err = vidops(*words, "--track", "tensorboard,tensorboard")
    assert code == 0, err
    (file,) = (place / "run/tensorboard").iterdir()
    assert list(events(file.parent)[0]["train/loss"]) == STEPS[:3]


# --- Weights & Biases, a stand-in -------------------------------------------------------------------------------------


@pytest.fixture
def wandb(monkeypatch):
    """A module of this name that keeps what it is told; `fails` is the call that raises."""
    module = types.ModuleType("wandb")
    module.__spec__ = importlib.machinery.ModuleSpec("wandb", None, origin="here")
    module.told, module.fails = [], None

    def note(what, **words):
        module.told.append((what, words))
        if what == module.fails:
            raise RuntimeError("the network\nis gone")

    def init(**words):
        note("init", **words)
        return types.SimpleNamespace(
            log=lambda numbers, step: note("log", numbers=numbers, step=step),
            finish=lambda exit_code: note("finish", code=exit_code),
        )

    module.init, module.Settings = init, dict
    monkeypatch.setitem(sys.modules, "wandb", module)
    for name in ("WANDB_PROJECT", "WANDB_NAME"):
        monkeypatch.delenv(name, raising=False)
    return module


def test_wandb_goes_on_with_the_same_run(place, wandb):
    killed(place, "wandb")
    assert wandb.told[-1] == ("finish", {"code": 1})
    first = len(wandb.told)
    told, summary = run(place, "wandb")
    (_, begun), (_, again) = wandb.told[0], wandb.told[first]
    assert begun == again and begun["resume"] == "allow" and len(begun["id"]) == 12
    assert (begun["project"], begun["name"]) == ("vidops", "run") and begun["dir"] == str(place / "run")
    config = begun["config"]
    assert (config["recipe_hash"], config["code_hash"]) == (told.hash(), "c0de")
    assert config["train"]["epochs"] == 2 and config["model"]["name"] == "resnet_tiny"
    found: dict[str, dict[int, float]] = {}
    for _, words in (call for call in wandb.told if call[0] == "log"):
        for name, value in words["numbers"].items():
            found.setdefault(name, {}).setdefault(words["step"], value)  # what comes again is dropped
    check(found, place, summary)
    assert wandb.told[-1] == ("finish", {"code": 0})


def test_a_run_that_starts_over_is_another_one(place, wandb):
    killed(place, "wandb")
    run(place, "wandb", resume=False)
    first, second = (words["id"] for what, words in wandb.told if what == "init")
    assert first != second


@pytest.mark.parametrize(("fails", "calls"), [("init", ["init"]), ("log", ["init", "log", "finish"]), ("finish", None)])
def test_a_tracker_that_fails_ends_no_run(place, wandb, vidops, fails, calls):
    wandb.fails = fails
    words = ("train", "one.yaml", "--out", "run", "--device", "cpu", "--track", "wandb", "--track", "tensorboard")
    code, out, err = vidops(*words)
    assert code == 0 and "top1" in out
    assert err.count("wandb: the network is gone; the run goes on without it\n") == 1
    told = [what for what, _ in wandb.told]
    assert told == (calls or ["init", *["log"] * 5, "finish"])
    assert list(events(place / "run/tensorboard")[0]["train/loss"]) == STEPS[:3]  # the other goes on


def test_a_full_disk_ends_the_events_alone(tmp_path, capsys, monkeypatch, place, full_disk):
    monkeypatch.setattr(trackers, "FLUSH", -1.0)
    tracked = Trackers(["tensorboard"], tmp_path, load_recipe(place / "one.yaml", rows=False), "c0de")
    with full_disk(64):
        tracked(STEP)
        tracked(STEP)
    assert capsys.readouterr().err == "tensorboard: [Errno 27] File too large; the run goes on without it\n"


def test_numbers_reach_the_disk_before_the_end(tmp_path, monkeypatch, place):
    clock = count(0.0, 4.0)
    monkeypatch.setattr(trackers.time, "monotonic", lambda: next(clock))
    with Trackers(["tensorboard"], tmp_path, load_recipe(place / "one.yaml", rows=False), "c0de") as tracked:
        sizes = []
        for step in range(1, 5):
            tracked({**STEP, "done": step})
            (file,) = (tmp_path / "tensorboard").iterdir()
            sizes.append(file.stat().st_size)
    assert sizes[0] == sizes[1] == 0 < sizes[2] == sizes[3] < file.stat().st_size


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["train", "ablate"])
def test_what_is_not_there_is_told_before_anything_is_trained(place, vidops, verb, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wandb" else find(name))
    before = tree(place)
    for names, told, advice in (
        ("tensorboard,wandb", "--track wandb: wandb is not installed", "pip install 'vidops[tracking]'"),
        ("tensorbord", "unknown tracker 'tensorbord'", "tensorboard or wandb"),
    ):
        code, out, err = vidops(verb, "two.yaml", "--track", names, "--device", "cpu")
        assert (code, out) == (2, "")
        assert told_errors(err) == [(told, advice)]
    assert tree(place) == before


def test_a_folder_of_that_name_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "nobodys_tracker").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(trackers.TRACKERS, "nobodys_tracker", trackers.WandB)
    with pytest.raises(ValueError, match="nobodys_tracker is not installed"):
        trackers.chosen(["nobodys_tracker"])


def test_without_names_nothing_is_imported_or_written(tmp_path, place):
    with Trackers([], tmp_path / "run", load_recipe(place / "one.yaml", rows=False), "c0de") as tracked:
        tracked(STEP)
    assert not (tmp_path / "run").exists() and trackers.chosen(None) == ()
