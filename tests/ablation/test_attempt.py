"""Who runs a cell, asked of real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from vidops_cli.ablation import attempt
from vidops_cli.ablation.hold import hold

TAKE = """
import sys, time
from pathlib import Path
from threading import Event, Thread
from vidops_cli.ablation import attempt
attempt.BEAT = 0.05
mine = attempt.take(Path(sys.argv[1]))
Thread(target=attempt.beat, args=(mine, Event()), daemon=True).start()
sys.stdout.write("taken\\n" if mine else "refused\\n")
sys.stdout.flush()
time.sleep(30)
"""


@pytest.fixture
def owner(tmp_path):
    """A process that has the cell in tmp_path."""
    process = subprocess.Popen([sys.executable, "-c", TAKE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "taken\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_cell_is_taken_once_while_its_owner_lives(tmp_path, owner):
    told = attempt.last(tmp_path)
    assert (told.number, told.told["pid"], told.alive, told.here, told.code) == (1, owner.pid, True, True, None)
    assert attempt.take(tmp_path) is None
    owner.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet waited for: a zombie
    assert not told.alive
    mine = attempt.take(tmp_path)
    assert (mine.number, mine.alive) == (2, True)
    assert attempt.take(tmp_path) is None


def test_a_process_of_the_same_number_is_another(tmp_path, owner):
    path = attempt.last(tmp_path).path
    path.write_text(json.dumps({**json.loads(path.read_text()), "began": "1"}))
    assert not attempt.last(tmp_path).alive


def test_what_has_ended_is_free_and_tells_how(tmp_path):
    mine = attempt.take(tmp_path)
    attempt.end(mine, 3, 1.234)
    told = attempt.last(tmp_path)
    assert (told.alive, told.code, told.told["seconds"]) == (False, 3, 1.23)
    assert attempt.take(tmp_path).number == 2


def elsewhere(folder, age: float) -> None:
    """An attempt of another machine, touched `age` seconds ago, whose process number is ours."""
    (folder / "attempts").mkdir()
    path = folder / "attempts" / "1.json"
    path.write_text(json.dumps({"host": "another", "pid": os.getpid(), "began": attempt.began(os.getpid())}))
    os.utime(path, (time.time() - age,) * 2)


@pytest.mark.parametrize(("age", "alive"), [(attempt.DEAD - 20, True), (attempt.DEAD + 20, False)])
def test_an_owner_on_another_machine_lives_as_long_as_it_is_heard(tmp_path, age, alive):
    elsewhere(tmp_path, age)
    assert (attempt.last(tmp_path).alive, attempt.last(tmp_path).here) == (alive, False)
    assert (attempt.take(tmp_path) is None) == alive


def test_of_many_that_take_over_at_once_one_does(tmp_path, monkeypatch):
    """All have found the owner dead before any of them takes the cell."""
    elsewhere(tmp_path, attempt.DEAD + 20)
    dead = attempt.last(tmp_path)
    monkeypatch.setattr(attempt, "last", lambda folder: dead)
    barrier, got = threading.Barrier(8), []

    def take() -> None:
        barrier.wait()
        got.append(attempt.take(tmp_path))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8
    assert [mine.number for mine in got if mine is not None] == [2]
    assert sorted(path.name for path in (tmp_path / "attempts").iterdir()) == ["1.json", "2.json"]


def test_an_owner_is_heard(tmp_path, owner):
    path = attempt.last(tmp_path).path
    os.utime(path, (0, 0))
    end = time.monotonic() + 10
    while path.stat().st_mtime == 0:
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("how", ["taken over", "set aside"])
def test_who_was_taken_for_dead_writes_no_more(tmp_path, owner, how):
    path = attempt.last(tmp_path).path
    if how == "taken over":
        (tmp_path / "attempts" / "2.json").write_text(path.read_text())
    else:
        path.parent.rename(tmp_path / "before")
    assert owner.wait(timeout=10) == -signal.SIGKILL


def test_a_result_decides_whether_a_cell_has_failed(tmp_path, monkeypatch):
    """Whatever the exit code of what ran: without a result it failed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    told = "import sys\nfrom pathlib import Path\nif sys.argv[1] == 'write': Path(sys.argv[2]).touch()\nsys.exit({})\n"
    for i, (code, word, wanted) in enumerate([(0, "no", 1), ("'a word'", "no", 1), (3, "no", 3), (0, "write", 0)]):
        (tmp_path / f"ends{i}.py").write_text(told.format(code))
        with pytest.raises(SystemExit):
            hold(tmp_path, "result", f"ends{i}", [word, str(tmp_path / "result")])
        assert (attempt.last(tmp_path).number, attempt.last(tmp_path).code) == (i + 1, wanted)
