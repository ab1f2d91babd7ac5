"""vidops train where there is no room for what it writes: told with the file, nothing lost, and gone on with later."""

from __future__ import annotations

import pytest
from terminal import told_errors

from vidops_cli.cli.common import load_recipe
from vidops_cli.cli.live import RunProgress
from vidops_cli.engine import checkpoint
from vidops_cli.engine.train import train
from vidops_cli.record import append_line, read_lines

TRAIN = ("train", "one.yaml", "train.epochs=2", "--out", "run", "--device", "cpu", "--quiet")  # 2 x 3 steps


@pytest.fixture
def begun(place, vidops):
    """A run that was killed after its first epoch: last.pt is of step 3. `vidops` puts threads back."""

    def kill(status):
        if status["phase"] == "training" and status["done"] == 4:
            raise KeyboardInterrupt

    told = load_recipe(place / "one.yaml", ["train.epochs=2"], rows=False)
    with pytest.raises(KeyboardInterrupt):
        train(told, place / "run", device="cpu", report=kill)
    return place / "run"


def refused(done) -> str:
    code, out, err = done
    assert (code, out) == (2, "")
    ((error, hint),) = told_errors(err)
    assert "room" in hint or "full" in hint
    return error


def test_a_checkpoint_that_has_no_room(begun, vidops, full_disk):
    before = (begun / "last.pt").read_bytes()
    with full_disk(len(before) // 2):
        assert refused(vidops(*TRAIN)) == "run/last.pt cannot be written: File too large"
    assert (begun / "last.pt").read_bytes() == before and checkpoint.load(begun / "last.pt")["step"] == 3
    assert not [path.name for path in begun.iterdir() if path.name.startswith(".") or path.suffix == ".partial"]
    assert vidops(*TRAIN)[0] == 0
    assert vidops(*TRAIN[:4], "whole", *TRAIN[5:])[0] == 0
    assert read_lines(begun / "metrics.jsonl") == read_lines(begun.with_name("whole") / "metrics.jsonl")


def test_an_epoch_that_has_no_room_in_the_metrics(begun, vidops, full_disk):
    """They are made longer than any checkpoint, and reach the limit at the end of the second epoch."""
    rows, last = begun / "metrics.jsonl", begun / "last.pt"
    append_line(rows, {"step": 0, "pad": "x" * (last.stat().st_size + 10_000)})
    with full_disk(rows.stat().st_size + 20):
        assert refused(vidops(*TRAIN)) == "File too large: run/metrics.jsonl"
    assert [row["step"] for row in read_lines(rows)] == [3, 0] and checkpoint.load(last)["step"] == 6
    assert vidops(*TRAIN)[0] == 0
    assert [row["step"] for row in read_lines(rows)] == [3, 0, 6]


def test_no_room_from_the_start(place, vidops, full_disk):
    with full_disk(500):
        assert refused(vidops(*TRAIN)) == "File too large: run/recipe.yaml"
    assert [path.name for path in (place / "run").iterdir()] == ["metrics.jsonl"]


def test_a_status_without_room_is_no_error(tmp_path, full_disk):
    with full_disk(10):
        RunProgress(tmp_path)({"phase": "testing"})
    assert not list(tmp_path.iterdir())
