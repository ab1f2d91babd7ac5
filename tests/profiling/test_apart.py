"""Parts of a profile in processes of their own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from vidops_cli.ops import OPS
from vidops_cli.profiling import profile as module
from vidops_cli.profiling.apart import Ended, apart
from vidops_cli.profiling.cases import Case, Shape
from vidops_cli.profiling.profile import Settings, profile

CASE = Case(OPS["tsm"], Shape(1, 8, (2, 4, 4)), baseline="textbook")
QUICK = Settings(torch.device("cpu"), budget=0.01)


def where(case, *given):
    return os.getpid(), torch.get_num_threads(), case, given


def raises(case, error):
    raise error


def is_killed(case, number):
    os.kill(os.getpid(), number)


class Odd(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def test_the_process_is_another_with_the_same_case_and_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        (first, threads, case, given), (second, *_) = (apart(where, CASE, 1, "two") for _ in range(2))
    finally:
        torch.set_num_threads(before)
    assert len({first, second, os.getpid()}) == 3
    assert (threads, given) == (before + 1, (1, "two"))
    assert (case.card.name, case.shape, case.baseline) == ("tsm", CASE.shape, "textbook")


def test_what_it_raises_is_raised():
    with pytest.raises(ValueError, match="no") as refused:
        apart(raises, CASE, ValueError("no", "hint"))
    assert refused.value.args == ("no", "hint")
    assert "in raises" in str(refused.value.__cause__)
    with pytest.raises(torch.OutOfMemoryError, match="too much"):
        apart(raises, CASE, torch.OutOfMemoryError("too much"))


def odd(case):
    raise Odd(1, 2)


def test_an_error_that_cannot_be_sent_is_told():
    with pytest.raises(RuntimeError, match="Odd: 1 and 2"):
        apart(odd, CASE)


@pytest.mark.parametrize("number, by_memory", [(signal.SIGKILL, True), (signal.SIGSEGV, False)])
def test_a_process_that_is_ended(number, by_memory):
    with pytest.raises(Ended, match=f"ended by {number.name}") as ended:
        apart(is_killed, CASE, number)
    assert ended.value.by_memory == by_memory


@pytest.mark.parametrize("part", [module.examine, module.time])
def test_a_row_whose_process_is_ended(part):
    def run(what, case, settings):
        return apart(is_killed, case, signal.SIGKILL) if what is part else what(case, settings)

    row = profile(CASE, QUICK, run=run)
    assert (row["status"], row["error"]) == ("oom", "its process was ended by SIGKILL")
    assert row["fwd_ms"] is None and (row["macs"] is None) == (part is module.examine)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_profile_that_is_asked_to_end_leaves_nobody(tmp_path):
    words = ["--op", "lisa", "--grid", "8x96x96", "--channels", "64", "--processes", "1", "--no-backward"]
    command = [sys.executable, "-m", "vidops_cli", "profile", *words]
    asked = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert waited(lambda: len(of_group(asked.pid)) > 3, 60), "its server, its tracker and its process never came"
    asked.terminate()
    told = asked.communicate(timeout=60)[1]
    assert asked.returncode == 130 and "stopped: 0 of 1 rows" in told and "Traceback" not in told
    assert waited(lambda: not of_group(asked.pid), 30)


def of_group(group):
    """Processes of a group that are not zombies."""
    stats = [path.read_text().rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
    return [stat for stat in stats if int(stat[2]) == group and stat[0] != "Z"]


def waited(done, seconds):
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        time.sleep(0.05)
    return done()
