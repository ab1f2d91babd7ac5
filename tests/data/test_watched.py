"""Readers that hang, crash or raise cost their own file and nothing else."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import re
import signal
import time

import numpy as np
import pytest
import torch
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from vidops_cli.data import Annotations
from vidops_cli.data.clips import ClipOptions, Clips, Order, batches
from vidops_cli.data.pool import Failed
from vidops_cli.data.video import VideoFile, write_video

COUNT, SPOILED, OTHER = 16, 9, 12


def hang() -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")  # holds Python's lock for years


def crash() -> None:
    faulthandler.disable()  # pytest's would tell of it at length
    os.kill(os.getpid(), signal.SIGABRT)


def segfault() -> None:
    faulthandler.disable()
    ctypes.string_at(0)


def leave() -> None:
    os._exit(0)


def refuse() -> None:
    raise ValueError("9.mp4: no")


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """torch looks every 5 s for workers that died."""
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.2,))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for i in range(COUNT):
        write_video(root / f"{i}.mp4", np.random.default_rng(i).integers(0, 255, (8, 16, 32, 3), dtype=np.uint8))
    return root


@pytest.fixture
def spoil(monkeypatch):
    """Make the readers of these files (index -> function) do something else first."""

    def spoil(ways):
        def opened(path):
            ways.get(int(path.stem), lambda: None)()
            return VideoFile(path)

        monkeypatch.setattr("vidops_cli.data.clips.open_file", opened)

    return spoil


@pytest.fixture
def clips(root):
    def clips(max_bad: int = 2, timeout: float = 1.0, known: tuple[int, ...] = ()) -> Clips:
        paths = tuple(f"{i}.mp4" for i in range(COUNT))
        told = Annotations(root, "train", paths, tuple(i % 3 for i in range(COUNT)), ("a", "b", "c"), "")
        options = ClipOptions(4, None, 12, 0.5, [0.5] * 3, [0.5] * 3, "ordered", False, max_bad, timeout)
        found = Clips(told, options, train=True, seed=4)
        found.exclude({index: "known" for index in known})
        return found

    return clips


def read(clips: Clips, workers: int = 2) -> list[dict]:
    return list(batches(clips, Order(clips.listed, epoch=1, seed=4), 2, workers=workers))


def equal(one: list[dict], other: list[dict]) -> bool:
    """The same clips, pixel by pixel, in the same batches, and the same left out."""
    assert len(one) == len(other) == COUNT / 2
    for a, b in zip(one, other, strict=True):
        same = [index for index, _ in a["bad"]] == [index for index, _ in b["bad"]] and ("clip" in a) == ("clip" in b)
        same = same and all(torch.equal(a[key], b[key]) for key in ("clip", "label", "index") if key in a)
        if not same:
            return False
    return True


@pytest.mark.parametrize(
    ("way", "told"),
    [
        (hang, "not read in 1 s"),
        (crash, "its decoder was killed by SIGABRT"),
        (segfault, "its decoder was killed by SIGSEGV"),
        (leave, "its decoder left with exit code 0"),
        (refuse, "no"),
    ],
)
def test_only_the_file_is_left_out(clips, spoil, root, way, told):
    expected = read(clips(known=(SPOILED,)), workers=0)
    spoil({SPOILED: way})
    found = clips()
    began = time.monotonic()
    assert equal(read(found), expected)
    assert time.monotonic() - began < 15
    assert list(found.bad) == ["9.mp4"] and found.present == "15/16"
    assert found.bad["9.mp4"].endswith(f"9.mp4: {told}")
    assert equal(read(found), expected)  # known by now


def test_the_first_clip_may_hang_where_its_shape_is_asked_for(clips, spoil):
    spoil({0: hang})
    found = clips()
    assert found.shape(workers=2) == (3, 4, 12, 12)
    assert found.bad["0.mp4"].endswith("0.mp4: not read in 1 s")


def test_files_that_take_their_process_along_while_all_are_decoded(clips, monkeypatch):
    """`each` is tested with real processes."""
    asked = {}

    def each(work, files, **how):
        asked.update(how)
        for index in (3, *range(3), *range(4, len(files))):
            gone = Failed("no answer within 1 s", gone=True) if index == SPOILED else None
            refused = Failed(f"cannot decode {files[index]}") if index == OTHER else None
            yield index, gone or refused or work(files[index])

    monkeypatch.setattr("vidops_cli.data.clips.each", each)
    found, seen = clips(), []
    found.decode_all(lambda done, total: seen.append((done, total)), workers=3)
    assert asked == {"processes": 3, "timeout": 1.0} and seen[-1] == (COUNT, COUNT)
    assert found.bad["9.mp4"].endswith("9.mp4: no answer within 1 s")
    assert found.bad["12.mp4"].endswith("12.mp4") and list(found.bad) == ["9.mp4", "12.mp4"]
    expected = clips(known=(SPOILED, OTHER))
    expected.decode_all(lambda done, total: None)
    assert equal(read(found, workers=0), read(expected, workers=0)) and found.backends == expected.backends


def test_two_files_at_once(clips, spoil):
    expected = read(clips(known=(SPOILED, OTHER)), workers=0)
    spoil({SPOILED: hang, OTHER: crash})
    found = clips()
    assert equal(read(found), expected)
    assert sorted(found.bad) == ["12.mp4", "9.mp4"]


def test_more_than_allowed(clips, spoil):
    spoil({SPOILED: leave, OTHER: leave})
    with pytest.raises(ValueError, match=r"2 videos of split train cannot be used, max_bad is 1: .*9\.mp4"):
        read(clips(max_bad=1))


def test_a_worker_that_is_killed_from_outside_is_no_fault_of_a_file(clips, spoil, tmp_path):
    """Once: a file at which it happens again is left out."""

    def killed_once() -> None:
        if not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    expected = read(clips(), workers=0)
    spoil({SPOILED: killed_once})
    found = clips(max_bad=0)
    assert equal(read(found), expected) and found.bad == {}
    spoil({SPOILED: lambda: os.kill(os.getpid(), signal.SIGKILL)})
    found = clips()
    read(found)
    assert found.bad["9.mp4"].endswith("9.mp4: its decoder was killed by SIGKILL")


def test_a_slow_reader_is_waited_for(clips, spoil):
    spoil({SPOILED: lambda: time.sleep(1.2)})
    found = clips(timeout=0, max_bad=0)
    assert sum(len(batch["index"]) for batch in read(found)) == COUNT


def test_a_death_is_not_raised_amid_a_step(clips, spoil):
    """torch would raise it wherever the trainer is."""
    spoil({SPOILED: leave, OTHER: leave})
    for batch in batches(clips(), Order(range(COUNT)), 2, workers=2):
        time.sleep(0.1)
        assert "index" in batch or len(batch["bad"]) == 2


def test_an_error_of_ours_is_raised(clips, spoil):
    def stumble() -> None:
        raise RuntimeError("a bug")

    spoil({SPOILED: stumble})
    with pytest.raises(RuntimeError, match="a bug"):
        read(clips())


def test_deaths_outside_of_files_end(clips, monkeypatch):
    """As where memory is too short for any batch."""
    monkeypatch.setattr("vidops_cli.data.clips.collate", lambda items: os._exit(7))
    monkeypatch.setattr("vidops_cli.data.watched.MOST", 1)
    with pytest.raises(ValueError, match="none of them in a file; the last one left with exit code 7") as error:
        read(clips())
    assert "workers" in error.value.args[1]
