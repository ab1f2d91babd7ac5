"""One process writes in a run's folder, whatever becomes of it."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys

import pytest

from vidops_cli.engine import checkpoint
from vidops_cli.engine.claim import Claim
from vidops_cli.engine.stopping import Stop
from vidops_cli.engine.train import train
from vidops_cli.record import read_lines

HOLD = """
import os, sys, time
from pathlib import Path
from vidops_cli.engine.claim import Claim
with Claim(Path(sys.argv[1])) as claim:
    claim.take()
    if os.fork() == 0:
        time.sleep(60)  # a worker that outlives it
    print("held", os.getpid(), flush=True)
    time.sleep(60)
"""


def test_a_folder_is_held_until_its_process_dies(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline().startswith("held")
    children = subprocess.run(["pgrep", "-P", str(holder.pid)], capture_output=True, text=True).stdout.split()
    with Claim(tmp_path) as claim, pytest.raises(ValueError, match="another process trains in") as error:
        claim.take()
    assert "--out" in error.value.args[1] and os.listdir(tmp_path) == []
    holder.kill()
    holder.wait()
    with Claim(tmp_path) as claim:
        claim.take()
        claim.take()
    with Claim(tmp_path) as claim:  # the one before has left
        claim.take()
    os.kill(int(children[0]), signal.SIGKILL)
    holder.stdout.close()


def test_a_run_is_refused_whose_folder_is_held_and_nothing_is_changed(recipe, tmp_path):
    run = tmp_path / "run"
    train(recipe("train.epochs=1"), run, device="cpu")
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with Claim(run) as claim:
        claim.take()
        for resume in (True, False):
            with pytest.raises(ValueError, match="another process trains in"):
                train(recipe("train.epochs=1"), run, device="cpu", resume=resume)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_who_comes_second_to_a_new_folder_is_refused(recipe, tmp_path):
    """It was not there when the second began, which must not remove what the first has made since."""
    run = tmp_path / "run"
    with Claim(run) as late:
        late.take()
        train(recipe("train.epochs=1"), run, device="cpu")
        with pytest.raises(ValueError, match="another process trains in"):
            late.make()
    assert checkpoint.load(run / "last.pt")["step"] == 5


def test_a_shared_folder_without_locks_is_used(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EBADF, "no locks here")

    monkeypatch.setattr("fcntl.flock", refuse)
    with Claim(tmp_path / "a" / "run") as claim:
        claim.take()
        claim.make()
        assert (tmp_path / "a" / "run").is_dir()


def test_what_a_killed_process_had_not_finished_writing_is_removed(tmp_path):
    for name in (".last.pt.abc.partial", ".summary.json.x_y.partial", ".other.pt.abc.partial", "last.pt"):
        (tmp_path / name).touch()
    with Claim(tmp_path) as claim:
        claim.take()
    assert sorted(os.listdir(tmp_path)) == [".other.pt.abc.partial", "last.pt"]


def test_a_folder_that_is_removed_is_told_and_not_made_again(recipe, tmp_path):
    run = tmp_path / "run"

    def remove(status):
        if status["phase"] == "training" and status["done"] == 7:
            shutil.rmtree(run)

    with pytest.raises(ValueError, match=r"run is gone, with all that was saved there"):
        train(recipe(), run, device="cpu", report=remove)
    assert not run.exists()


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_kill_around_an_epochs_end_leaves_each_epoch_once(recipe, tmp_path, monkeypatch, at):
    """Before and after each of the checkpoints and rows that are written there."""
    whole = train(recipe(), tmp_path / "whole", device="cpu")
    written = []

    def dies(write):
        def wrapper(*given):
            written.append(1)
            if len(written) == at:
                raise KeyboardInterrupt
            write(*given)

        return wrapper

    with monkeypatch.context() as patch:
        patch.setattr("vidops_cli.engine.checkpoint.save", dies(checkpoint.save))
        patch.setattr("vidops_cli.engine.loop.append_line", dies(sys.modules["vidops_cli.record"].append_line))
        with pytest.raises(KeyboardInterrupt):
            train(recipe(), tmp_path / "run", device="cpu")
    again = train(recipe(), tmp_path / "run", device="cpu")
    assert again["metrics"] == whole["metrics"]
    assert read_lines(tmp_path / "run/metrics.jsonl") == read_lines(tmp_path / "whole/metrics.jsonl")


def test_what_was_met_of_the_files_outlives_a_restart(recipe, clips_root, tmp_path):
    """Told to leave when all is trained: the second process reads no file of train."""
    shutil.copytree(clips_root, tmp_path / "data")
    for name in ("train/00003.mp4", "val/00001.mp4"):
        (tmp_path / "data" / name).write_bytes(b"no video")
    told = recipe(f"data.root={tmp_path / 'data'}", "data.max_bad=1")
    whole, phases = train(told, tmp_path / "whole", device="cpu"), []
    asked = Stop(lambda: phases[-1:] == ["epoch"] and phases.count("epoch") == 2)
    report = lambda status: phases.append(status["phase"])  # noqa: E731
    assert train(told, tmp_path / "run", device="cpu", stop=asked, report=report) is None
    again = train(told, tmp_path / "run", device="cpu")
    for key in ("bad", "present", "backends", "metrics"):
        assert again[key] == whole[key], key
    assert sorted(again["bad"]) == ["train/00003.mp4", "val/00001.mp4"]
