"""Memory that is too short, by a limit on the process, or for a batch that no GPU holds."""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from kill import ENDLESS, clear
from processes import begin, broken, prepare, refused, told

TRAIN = ("train", "one.yaml", "train.batch=24", "model.width=8", "--out", "run", "--device", "cpu")
PROFILE = ("profile", "--op", "self_attention", "--channels", "64", "--sweep", "seq=64,16384", "--device", "cpu")
MIB = (20, 50, 100, 150, 200, 250)  # that the process may take beyond what it has when it begins


def rows(sizes: tuple[int, ...] = MIB) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        prepare(place)
        yield counted("out of memory, train (CPU)", place, TRAIN, sizes, of_training)
        yield counted("out of memory, profile (CPU)", place, (*PROFILE, "--format", "json"), (500, 700), of_profile)
        if torch.cuda.is_available():
            words = (*TRAIN[:2], "train.batch=24", "model.width=4096", *TRAIN[4:-1], "cuda")
            yield counted("out of memory, train (GPU)", place, words, (None,), of_training)


def counted(kind: str, place: Path, words: tuple[str, ...], sizes: Any, judged: Any) -> dict[str, Any]:
    began, problems, short = time.monotonic(), [], 0
    for size in sizes:
        clear(place / "run")
        process = begin(place, *words, first=size and partial(limit, size * 2**20))
        process.join(ENDLESS)
        found = judged(process, place) + [f"{path} is cut" for path in broken(place / "run")]
        short += process.exitcode != 0 or "oom" in told(place)
        problems += [f"{size} MiB: {', '.join(found)}"] if found else []
    what = (
        judged.__doc__
        + f" {short} of the tries were too short"
        + (f". Lost: {'; '.join(problems)}" if problems else "")
    )
    counts = {"tries": len(sizes), "survived": len(sizes) - len(problems), "lost": len(problems)}
    return {"kind": kind, **counts, "seconds": time.monotonic() - began, "what": what}


def limit(more: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, -1))


def of_training(process: Any, place: Path) -> list[str]:
    """an error that names batch, frames and what to lower, where it does not end well;"""
    if process.exitcode == 0:
        return []
    message = refused(process, place)
    return (
        []
        if all(word in message for word in ("memory", "train.batch=24", "data.num_frames=4"))
        else [told(place)[-200:]]
    )


def of_profile(process: Any, place: Path) -> list[str]:
    """a row for each size, of status oom where it does not fit;"""
    try:
        states = [
            row["status"] for row in json.loads(told(place).partition("{")[1] + told(place).partition("{")[2])["rows"]
        ]
    except ValueError:
        return [told(place)[-200:]]
    return [] if states == ["ok", "oom"] else [f"rows {states}"]
