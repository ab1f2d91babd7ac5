"""Commands that are killed, or told to leave, at random moments, and begun again until they have finished."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from processes import begin, broken, kill, outcome, prepare, told

TRAIN = ("train", "one.yaml", "--out", "run", "--device", "cpu")
ABLATE = ("ablate", "table.yaml", "--store", "run", "--device", "cpu", "--jobs")
KILLS, SIGNALS = 100, 20
LEAVES, ENDLESS = 10.0, 300.0  # seconds after a signal, and for a command that should end by itself
SAME = "the same command then ends with the weights, metrics and rows of a run that was left alone, bit for bit"


def rows() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        prepare(place)
        yield row("SIGKILL, train", place, TRAIN, KILLS)
        for jobs in (1, 2):
            yield row(f"SIGKILL, ablate, jobs: {jobs}", place, (*ABLATE, str(jobs)), KILLS // 2)
        for number in (signal.SIGTERM, signal.SIGINT):
            yield row(f"{number.name}, train", place, TRAIN, SIGNALS, number)


def row(kind: str, place: Path, words: tuple[str, ...], tries: int, number: int = signal.SIGKILL) -> dict[str, Any]:
    began = time.monotonic()
    lost = list(tried(place, words, tries, number))
    whom = "the process"
    if words[0] == "ablate":
        whom = "the launcher and all cells, or in turn the launcher alone"
    more = "" if number == signal.SIGKILL else f"; it leaves within {LEAVES:g} s"
    what = f"{whom} at random moments; {SAME}; no file cut, no finished cell again, nothing left over{more}"
    seconds = time.monotonic() - began
    bad = [each for each in lost if each]
    what += f". Lost: {'; '.join(sorted(set(bad)))}" if bad else ""
    return {
        "kind": kind,
        "tries": tries,
        "survived": tries - len(bad),
        "lost": len(bad),
        "seconds": seconds,
        "what": what,
    }


def tried(place: Path, words: tuple[str, ...], tries: int, number: int, seed: int = 0) -> Iterator[str]:
    """For each try what was lost by it, empty if nothing. A command that has finished is begun in an empty folder."""
    chance, run, done = random.Random(seed), place / "run", 0
    clear(run)
    start = time.monotonic()
    finish(begin(place, *words), place)
    length, expected = time.monotonic() - start, outcomes(run)
    while done < tries:
        clear(run)
        problems, hits = [], 0
        finished: dict[str, int] = {}
        while done + hits < tries:
            process = begin(place, *words)
            process.join(chance.uniform(0, length))
            if not process.is_alive():
                break
            hits += 1
            problems += hit(process, number, children=bool(hits % 2))
            problems += [f"{path} is cut" for path in broken(run)]
            problems += repeated(run, finished)
        try:
            if process.is_alive() or process.exitcode != 0:
                finish(begin(place, *words), place)
            problems += repeated(run, finished)
            problems += differing(outcomes(run), expected)
            problems += [f"{path.name} is left" for path in run.rglob("*.partial")]
        except RuntimeError as error:
            problems.append(str(error))
        done += hits
        yield from ["; ".join(problems)] * hits


def hit(process: Any, number: int, *, children: bool) -> list[str]:
    if number == signal.SIGKILL:
        kill(process, children=children)
        return []
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)
    process.join(LEAVES)
    if process.is_alive():
        kill(process, children=True)
        return [f"at work {LEAVES:g} s after {signal.Signals(number).name}"]
    return [] if process.exitcode in (0, 75, -number) else [f"exit code {process.exitcode}"]


def finish(process: Any, place: Path) -> None:
    """RuntimeError unless it ends well by itself."""
    process.join(ENDLESS)
    if process.is_alive():
        kill(process, children=True)
        raise RuntimeError("it does not end")
    if process.exitcode != 0:
        raise RuntimeError(f"exit code {process.exitcode}: {told(place).strip()[-300:]}")


def clear(run: Path) -> None:
    import shutil

    shutil.rmtree(run, ignore_errors=True)


def outcomes(run: Path) -> dict[str, Any]:
    """Of a run, or of each cell of a table."""
    return {str(path.parent.relative_to(run)): outcome(path.parent) for path in sorted(run.rglob("summary.json"))}


def differing(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    if found.keys() != expected.keys():
        return [f"{len(found)} results instead of {len(expected)}"]
    pairs = ((found[run], expected[run]) for run in expected)
    return [f"another {key}" for one, other in pairs for key in other if one.get(key) != other[key]]


def repeated(run: Path, finished: dict[str, int]) -> list[str]:
    """Cells whose results were written once more since they were noted in `finished`, which grows."""
    now = {str(path): path.stat().st_mtime_ns for path in run.glob("cells/*/summary.json")}
    again = [f"{Path(path).parent.name} was run again" for path, when in finished.items() if now.get(path) != when]
    finished.update(now)
    return again
