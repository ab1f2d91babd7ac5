"""A training that is told to stop: it leaves within ten seconds, says "resume me" by its exit code, and goes on."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from vidops_cli.engine.stopping import RESUME

LEAVES = 10.0  # seconds


def begin(place, *words):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "120"}
    words = [sys.executable, "-m", "vidops_cli", "train", *words]
    return subprocess.Popen(words, cwd=place, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def until(process, file, told):
    """Wait until the run's status says so; that status."""
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        if file.exists() and told in (status := file.read_text()):
            return json.loads(status)
        time.sleep(0.02)
    raise AssertionError(process.communicate())


def leave(process, number):
    process.send_signal(number)
    asked = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - asked < LEAVES
    return out, err


@pytest.mark.parametrize(("processes", "number"), [(1, signal.SIGINT), (2, signal.SIGTERM)])
def test_a_signal_saves_and_the_same_command_goes_on(place, processes, number):
    words = ["one.yaml", "train.epochs=400", "--nproc", str(processes), "--out", "run"]
    process = begin(place, *words)
    until(process, place / "run/status.json", '"training"')
    out, err = leave(process, number)
    assert (process.returncode, out) == (RESUME, ""), err
    assert err.count("stopped; the same command continues from run/last.pt") == 1
    assert "Traceback" not in err and "error" not in err
    (place / "run/status.json").unlink()
    process = begin(place, *words)
    done = until(process, place / "run/status.json", '"training"')["done"]
    _, err = leave(process, signal.SIGHUP)
    assert process.returncode == RESUME and done > 1, err
    assert not (place / "run/summary.json").exists()


def test_who_is_left_alone_leaves(place):
    """The parent of two processes is killed: they leave, and the same command goes on."""
    words = ["one.yaml", "train.epochs=4000", "--nproc", "2", "--out", "run"]
    process = begin(place, *words)
    until(process, place / "run/status.json", '"training"')
    process.kill()
    process.communicate(timeout=60)  # its output is closed when the last of them has left
    (place / "run/status.json").unlink()
    process = begin(place, *words)
    assert until(process, place / "run/status.json", '"training"')["done"] > 1
    leave(process, signal.SIGTERM)
    assert process.returncode == RESUME


def test_an_error_of_several_processes_is_told_once(place):
    process = begin(place, "one.yaml", "train.batch=9", "--nproc", "2", "--out", "run")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (2, "")
    assert err.count("error: 2 processes cannot share a batch of 9 clips evenly") == err.count("hint: ") == 1, err
    assert "Traceback" not in err


def test_a_process_that_is_killed_is_told(place):
    process = begin(place, "one.yaml", "train.epochs=400", "--nproc", "2", "--out", "run")
    until(process, place / "run/status.json", '"training"')
    children = subprocess.run(["pgrep", "-P", str(process.pid), "-f", "vidops_cli"], capture_output=True, text=True)
    os.kill(int(children.stdout.split()[1]), signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2 and "error: process 1 of 2 was killed by SIGKILL" in err
    assert err.count("error: ") == err.count("hint: ") == 1 and "Traceback" not in err, err
