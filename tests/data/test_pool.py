"""Processes that hang, die or raise, and the others that go on."""

import os
import signal
import time

import pytest

from vidops_cli.data.pool import Failed, each


def work(item):
    if item == "hang":
        time.sleep(60)
    if item == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "exit":
        os._exit(3)
    if item == "raise":
        raise ValueError("broken file", "a hint")
    return item * 2


@pytest.mark.parametrize("processes", [1, 3])
def test_all_are_worked_on_whatever_one_of_them_does(processes):
    items = [1, "raise", 2, "die", "hang", 3, "exit", 4]
    began = time.monotonic()
    found = dict(each(work, items, processes=processes, timeout=1.0))
    assert time.monotonic() - began < 45
    assert sorted(found) == list(range(8))
    assert [found[i] for i in (0, 2, 5, 7)] == [2, 4, 6, 8]
    assert found[1] == Failed("broken file")
    assert found[3] == Failed("its process died (exit code -9)", gone=True)
    assert found[4] == Failed("no answer within 1 s", gone=True)
    assert found[6] == Failed("its process died (exit code 3)", gone=True)


def test_more_processes_than_items_and_none():
    assert dict(each(work, [5], processes=4)) == {0: 10}
    assert list(each(work, [], processes=4)) == []


def test_an_unfinished_one_leaves_no_process():
    results = each(work, [1, "hang", "hang"], processes=3, timeout=60)
    assert next(results) == (0, 2)
    began = time.monotonic()
    results.close()
    assert time.monotonic() - began < 10
