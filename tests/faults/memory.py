"""Memory that is too short, by a limit on the process, or for a batch that no GPU holds."""

from __future__ import annotations

import json
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from kill import ENDLESS, clear
from processes import begin, broken, prepare, refused, told

TRAIN = ("train", "one.yaml", "train.batch=24", "model.width=8", "--out", "run", "--device", "cpu")
SWEEP = ("profile", "--op", "non_local", "--channels", "16", "--sweep", "seq=64,16384", "--no-backward")
PROFILE = (*SWEEP, "--row-budget", "1", "--out", "run/rows.json", "--device", "cpu")
MIB = (100, 130, 160, 190, 220, 250)  # that the process may take beyond what it has when it begins


def rows(sizes: tuple[int, ...] = MIB) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        prepare(place)
        yield counted("out of memory, train (CPU)", place, TRAIN, sizes, of_training)
        yield counted("out of memory, profile (CPU)", place, PROFILE, (500, 700), of_profile)
        if torch.cuda.is_available():
            words = (*TRAIN[:3], "model.width=64", "data.resize=[512, 512]", "--out", "run", "--device", "cuda")
            yield counted("out of memory, train (GPU)", place, words, (None,), of_training)


def counted(
    kind: str, place: Path, words: tuple[str, ...], sizes: Any, judged: Callable[[BaseProcess, Path], list[str]]
) -> dict[str, Any]:
    """A row of as many limits in MiB. A process that a C library ends, which was given no memory, can tell nothing."""
    began, problems, silent = time.monotonic(), [], 0
    for size in sizes:
        clear(place / "run")
        process = begin(place, *words, first=size and partial(limit, size * 2**20))
        process.join(ENDLESS)
        died = process.exitcode in (-signal.SIGSEGV, -signal.SIGABRT)
        silent += died
        found = [] if died else judged(process, place)
        found += [f"{path} is cut" for path in broken(place / "run")]
        problems += [f"{size} MiB: {', '.join(found)}"] if found else []
    what = f"{judged.__doc__}; {silent} ended in a C library (SIGSEGV or SIGABRT), which tells nothing; no file is cut"
    what += f". Lost: {'; '.join(problems)}" if problems else ""
    counts = {"tries": len(sizes), "survived": len(sizes) - len(problems), "lost": len(problems)}
    return {"kind": kind, **counts, "seconds": time.monotonic() - began, "what": what}


def limit(more: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, -1))


def of_training(process: BaseProcess, place: Path) -> list[str]:
    """an error that names batch, frames and what to lower, where it does not end well"""
    if process.exitcode == 0:
        return []
    message = refused(process, place)
    return (
        []
        if all(word in message for word in ("memory", "train.batch=24", "data.num_frames=4"))
        else [told(place)[-200:]]
    )


def of_profile(process: BaseProcess, place: Path) -> list[str]:
    """a row for each size, of status oom where it does not fit"""
    if process.exitcode != 0:
        return [told(place)[-200:]]
    states = [row["status"] for row in json.loads((place / "run/rows.json").read_text())["rows"]]
    return [] if states == ["ok", "oom"] else [f"rows {states}"]
