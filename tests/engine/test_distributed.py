"""Two processes, by Gloo on a CPU, against one."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from vidops_cli.data import DATASETS
from vidops_cli.data.mini import benchmark, motion
from vidops_cli.engine import checkpoint
from vidops_cli.engine.distributed import Group, group
from vidops_cli.engine.launching import launch
from vidops_cli.engine.train import train
from vidops_cli.models import MODELS
from vidops_cli.ops import OPS
from vidops_cli.recipe import Known, load
from vidops_cli.record import read_lines

KNOWN = Known(ops=OPS, models=MODELS, datasets=DATASETS)
SGD, SLOW = "{name: sgd, lr: 2e-2, weight_decay: 1e-3}", "{name: sgd, lr: 5e-3}"
DROPOUT, CUT = "{name: resnet_tiny, dropout: 0.5}", {"optimizer": SGD, "mixup": 0.2, "recalibrate_bn": 2}
CASES = {  # network, the training's words, the data's
    "vit": ("{name: vit_micro}", {"optimizer": SGD, "epochs": 4, "clip_norm": 1.0}, {}),
    "tail": ("{name: vit_micro}", {"optimizer": SGD, "batch": 14, "accumulate": 2, "ema": 0.9}, {"num_frames": 2}),
    "sync": ("{name: resnet_tiny}", {"optimizer": SLOW, "epochs": 4, "batch_norm": "sync", "recalibrate_bn": 2}, {}),
    "bad": ("{name: vit_micro}", {"optimizer": SGD}, {"root": "DAMAGED", "max_bad": 7, "workers": 1}),
    "parts": (
        "{name: resnet_tiny}",
        {"optimizer": SLOW, "batch_norm": "sync", "accumulate": 4},
        {"root": "DAMAGED", "max_bad": 7},
    ),
    "too_bad": ("{name: vit_micro}", {"optimizer": SGD}, {"root": "DAMAGED", "max_bad": 6}),
    **{name: (DROPOUT, {**CUT, "accumulate": 2}, {}) for name in ("whole", "cut", "amid")},
}


def written(folder: Path, root: Path, damaged: Path, name: str) -> Path:
    model, train, data = CASES[name]
    told = {"epochs": 2, "batch": 8, "threads": 1, **train}
    place = {"name": "mini_motion", "root": str(root), "num_frames": 4, **data}
    if place["root"] == "DAMAGED":
        place["root"] = str(damaged)
    lines = ["scale: mini", f"model: {model}", "eval: {batch: 16}", "data:", *(f"  {k}: {v}" for k, v in place.items())]
    lines += ["train:", *(f"  {k}: {v}" for k, v in told.items())]
    path = folder / f"{name}.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Folders of the runs by two processes, and by one: {"two": ..., "one": ...}"""
    folder = tmp_path_factory.mktemp("processes")
    root, damaged = folder / "data", folder / "damaged"
    for place in (root, damaged):
        dials = motion.Dials(frames=4, size=16, radius=4.0, speed=4.0, crf=0)
        benchmark.generate("mini_motion", place, dials=dials, sizes={"train": 40, "val": 7, "test": 15})
    order = np.random.default_rng([0, 0, 1]).permutation(40)[:8]  # of the first step: the second process's part, ...
    for index in (*order[4:], *order[:1]):
        (damaged / f"train/{index:05d}.mp4").write_bytes(b"not a video")
    for split, index in (("train", int(order[1])), ("train", int(np.setdiff1d(range(40), order)[0]))):
        (damaged / f"{split}/{index:05d}.mp4").write_bytes(b"")
    two, one = folder / "two", folder / "one"
    for place in (two, one):
        place.mkdir()
    for name in CASES:
        written(two, root, damaged, name)
    (two / "cut.stop").write_text("1 7 2")
    (two / "amid.stop").write_text("1 7 5")  # after a part, between the parts, and after the other's forward pass
    before = dict(os.environ)
    assert launch([str(Path(__file__).with_name("two_processes.py")), str(two)], 2) == 0
    os.environ.clear()
    os.environ.update(before)
    with pytest.MonkeyPatch.context() as smooth:
        smooth.setattr(torch.Tensor, "relu", lambda x: torch.nn.functional.softplus(x))  # as two_processes.py
        for name in ("vit", "tail", "sync", "bad"):
            summary = train(load(written(one, root, damaged, name), KNOWN), one / name, device="cpu")
            (one / f"{name}.told-0.json").write_text(json.dumps(summary))
    return {"two": two, "one": one}


def told(folder: Path, name: str, rank: int = 0) -> dict:
    return json.loads((folder / f"{name}.told-{rank}.json").read_text())


def weights(folder: Path, name: str, key: str = "model") -> dict:
    return checkpoint.load(folder / name / "last.pt")[key]


@pytest.mark.parametrize("name", ["vit", "tail", "sync", "bad"])
def test_two_processes_equal_one(both, name):
    """Weights, statistics of norms and losses after 10 or 20 steps; those of 'tail' end in one of 12, go in parts."""
    for key in ("model", "mean") if name == "tail" else ("model",):
        one, two = (weights(both[place], name, key) for place in ("one", "two"))
        assert one.keys() == two.keys()
        for weight in one:
            assert torch.allclose(two[weight].double(), one[weight].double(), rtol=1e-6, atol=1e-6), weight
    rows = [read_lines(both[place] / name / "metrics.jsonl") for place in ("one", "two")]
    assert len(rows[0]) == len(rows[1]) == CASES[name][1].get("epochs", 2)
    for mine, theirs in zip(*rows, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("name", ["vit", "sync", "bad"])
def test_every_clip_is_tested_once(both, name):
    """15 clips by two processes: none twice, none left out, and all processes know."""
    one, two = (told(both[place], name)["metrics"] for place in ("one", "two"))
    assert two["n"] == 15 and two["present"] == "15/15"
    assert two == pytest.approx(one, abs=1e-6)
    assert told(both["two"], name, 1)["metrics"] == two
    assert told(both["two"], name)["processes"] == 2 and "processes" not in told(both["one"], name)


def test_bad_videos_that_either_process_meets_are_known_to_both(both):
    """Of the first step the second process has no clip that it can use, and is lent one."""
    one, two = (told(both[place], "bad") for place in ("one", "two"))
    assert one["bad"] == two["bad"] == told(both["two"], "bad", 1)["bad"]
    assert len(two["bad"]) == 7 and two["present"]["train"] == "33/40" and two["backends"] == one["backends"]


def test_processes_with_fewer_clips_take_as_many_parts_of_a_step(both):
    """Norms of all processes meet in each part. Of the first step one has 2 clips, the other is lent one."""
    assert told(both["two"], "parts")["metrics"]["n"] == 15 and told(both["two"], "parts")["steps"] == 10


def test_more_bad_videos_than_allowed_are_told_by_both(both):
    for rank in (0, 1):
        message, _ = told(both["two"], "too_bad", rank)["error"]
        assert "7 videos of split train cannot be used, max_bad is 6" in message


@pytest.mark.parametrize("name", ["cut", "amid"])
def test_a_run_that_one_process_was_asked_to_leave_goes_on_exactly(both, name):
    """Before a step, and amid a long one. Dropout and mixup have each process's own random numbers."""
    assert (both["two"] / f"{name}.left").read_text() == "7"
    whole, cut = (weights(both["two"], each) for each in ("whole", name))
    assert all(torch.equal(whole[key], cut[key]) for key in whole)
    rows = [read_lines(both["two"] / each / "metrics.jsonl") for each in ("whole", name)]
    assert rows[0] == rows[1] and len(rows[0]) == 2
    states = checkpoint.load(both["two"] / "whole" / "last.pt")["rng"]
    assert len(states) == 2 and not torch.equal(*states)


def test_another_number_of_processes_is_refused(both):
    recipe = load(both["two"] / "vit.yaml", KNOWN)
    with pytest.raises(ValueError, match="written by 2 processes, this is 1") as error:
        train(recipe, both["two"] / "vit", device="cpu")
    assert "go on with 2" in error.value.args[1]


@pytest.mark.parametrize(
    ("size", "words", "message", "hint"),
    [
        (3, [], "3 processes cannot share a batch of 8 clips", "take 2 processes, or set train.batch to a multiple"),
        (16, [], "16 processes cannot share a batch of 8 clips", "take 8 processes"),
        (48, ["train.batch=48"], "48 processes, and 40 clips to train on", "take fewer processes"),
        (4, ["train.accumulate=4"], "the 2 clips of a process have no 4 parts", "by the number of processes: 1"),
    ],
)  # fmt: skip
def test_batches_that_cannot_be_shared(recipe, tmp_path, size, words, message, hint):
    with pytest.raises(ValueError, match=message) as error:
        train(recipe(*words), tmp_path / "run", device="cpu", group=Group(size=size))
    assert hint in error.value.args[1]


@pytest.mark.parametrize(("count", "batch", "size"), [(40, 8, 2), (41, 8, 4), (3, 8, 8), (17, 16, 16)])
def test_parts_of_batches(count, batch, size):
    """Together they are the batches, in order; the first process has a clip of each."""
    keys = list(range(count))
    parts = [Group(rank=rank, size=size).part(keys, batch) for rank in range(size)]
    each = batch // size
    for step, start in enumerate(range(0, count - count % batch, batch)):
        assert [key for part in parts for key in part[step * each : (step + 1) * each]] == keys[start : start + batch]
    assert sorted(key for part in parts for key in part) == keys
    last = [part[count // batch * each :] for part in parts]
    assert [key for part in last for key in part] == keys[count - count % batch :]
    assert not count % batch or last[0]


@pytest.mark.parametrize(("name", "local", "seen", "found"), [("auto", 1, 2, "cuda:1"), ("cuda", 0, 2, "cuda:0"),
    ("auto", 1, 0, "cpu"), ("cpu", 1, 2, "cpu"), ("cuda", 2, 2, "--nproc 2"), ("cuda", 0, 0, "--device cpu"),
    ("cuda:1", 0, 2, "--device cuda")])  # fmt: skip
def test_each_process_has_a_device(monkeypatch, name, local, seen, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(seen))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: seen)
    mine = Group(rank=local, size=4, local=local)
    if found.startswith("--"):
        with pytest.raises(ValueError) as error:
            mine.device(name)
        assert found in error.value.args[1]
    else:
        assert mine.device(name) == found


def test_a_place_that_is_half_told(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ValueError, match="WORLD_SIZE=4, and RANK is not told"), group("cpu"):
        pass
