"""Videos that are corrupt, and decoders that hang or crash: each costs its own file, and nothing else."""

from __future__ import annotations

import ctypes
import re
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from kill import TRAIN, clear, finish, outcomes
from processes import begin, prepare

import vidops_cli.data.clips

FILES = ("train/00003.mp4", "train/00017.mp4", "val/00002.mp4", "test/00000.mp4")
WORDS = (*TRAIN, "data.max_bad=1", "data.timeout=2.0")


def refuse() -> None:
    raise ValueError("corrupt")


def hang() -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")  # holds Python's lock for years


def crash() -> None:
    ctypes.string_at(0)


WAYS = {"corrupt file": refuse, "decoder hangs": hang, "decoder crashes (SIGSEGV)": crash}


def spoil(file: str, way: str) -> None:
    """In this process and its workers."""
    opened = vidops_cli.data.clips.open_file

    def spoiled(path: Path) -> Any:
        if path.as_posix().endswith(file):
            WAYS[way]()
        return opened(path)

    vidops_cli.data.clips.open_file = spoiled


def rows(files: tuple[str, ...] = FILES) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        prepare(place)
        expected = {file: found(place, file, "corrupt file", workers=0) for file in files}
        for way in WAYS:
            began = time.monotonic()
            problems = [problem for file in files if (problem := tried(place, file, way, expected[file]))]
            counts = {"tries": len(files), "survived": len(files) - len(problems), "lost": len(problems)}
            what = "the file is named with its reason, left out and counted; weights and metrics are those without it"
            what += f". Lost: {'; '.join(problems)}" if problems else ""
            yield {"kind": way, **counts, "seconds": time.monotonic() - began, "what": what}


def tried(place: Path, file: str, way: str, expected: dict[str, Any]) -> str:
    try:
        (result,) = found(place, file, way, workers=2).values()
    except RuntimeError as error:
        return f"{file}: {error}"
    (other,) = expected.values()
    if list(result["bad"]) != [file]:
        return f"{file}: told of {list(result['bad'])}"
    differs = [key for key in other if key != "bad" and result.get(key) != other[key]]
    return f"{file}: another {differs[0]}" if differs else ""


def found(place: Path, file: str, way: str, *, workers: int) -> dict[str, Any]:
    """What a run ends with; RuntimeError if it does not end well."""
    clear(place / "run")
    finish(begin(place, *WORDS, f"data.workers={workers}", first=partial(spoil, file, way)), place)
    return outcomes(place / "run")
