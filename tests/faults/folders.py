"""Folders that a run cannot write in: full, read-only, gone, or another process's."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from kill import ABLATE, ENDLESS, TRAIN, clear, differing, finish, outcomes
from processes import begin, broken, prepare, refused, told

TRIES = 20
NOBODY = 65534


def rows(tries: int = TRIES) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        prepare(place)
        table = (*ABLATE, "2")
        expected = {words: whole(place, words) for words in (TRAIN, table)}
        what = "one error; what was saved is whole; with room again the command ends as one that always had it"
        yield counted("full disk, train", full_disk, place, TRAIN, expected[TRAIN], tries, what)
        yield counted("full disk, ablate", full_disk, place, table, expected[table], tries // 4, what)
        what = "one error; no file is changed"
        yield counted("read-only folder, train", read_only, place, TRAIN, expected[TRAIN], 3, what)
        yield counted("read-only folder, ablate", read_only, place, table, expected[table], 3, what)
        what = "one error; nothing is put in its place; the same command begins anew"
        yield counted("folder removed, train", removed, place, TRAIN, expected[TRAIN], tries, what)
        what = "one of them trains, the other says so in one error"
        yield counted("two processes, train", two, place, TRAIN, expected[TRAIN], tries, what)
        what = "both end, each cell is run once"
        yield counted("two processes, ablate", two, place, table, expected[table], tries // 4, what)


def whole(place: Path, words: tuple[str, ...]) -> dict[str, Any]:
    clear(place / "run")
    finish(begin(place, *words), place)
    return outcomes(place / "run")


def counted(
    kind: str,
    fault: Callable[[Path, tuple[str, ...], random.Random], list[str]],
    place: Path,
    words: tuple[str, ...],
    expected: dict[str, Any],
    tries: int,
    what: str,
) -> dict[str, Any]:
    """A row of as many faults, after each of which the same command has to end with what is expected."""
    began, chance, problems = time.monotonic(), random.Random(0), []
    for _ in range(tries):
        clear(place / "run")
        found = fault(place, words, chance)
        found += [f"{path} is cut" for path in broken(place / "run")]
        try:
            finish(begin(place, *words), place)
            found += differing(outcomes(place / "run"), expected)
        except RuntimeError as error:
            found.append(str(error))
        problems += [found] if found else []
    lost = "; ".join(sorted({problem for found in problems for problem in found}))
    counts = {"tries": tries, "survived": tries - len(problems), "lost": len(problems)}
    return {
        "kind": kind,
        **counts,
        "seconds": time.monotonic() - began,
        "what": what + (f". Lost: {lost}" if lost else ""),
    }


def full_disk(place: Path, words: tuple[str, ...], chance: random.Random) -> list[str]:
    """From the start, or when a part is done: no file can grow beyond a size up to that of a checkpoint."""
    if chance.random() < 0.5:
        process = begin(place, *words)
        process.join(chance.uniform(1, 4))
        os.kill(process.pid, signal.SIGKILL) if process.is_alive() else None
        process.join()
    size = 10 ** chance.uniform(2, 6)
    process = begin(place, *words, first=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (int(size), -1)))
    process.join(ENDLESS)
    logs = [told(place), *(path.read_text(errors="replace") for path in (place / "run").glob("cells/*/log.txt"))]
    if any("Traceback" in log for log in logs):
        return ["a traceback"]
    fine = (0, 1) if words[0] == "ablate" else (0,)  # 1: cells have failed, each by itself
    if process.exitcode in fine or refused(process, place):
        return []
    return [f"exit code {process.exitcode}, no clear error"]


def read_only(place: Path, words: tuple[str, ...], chance: random.Random) -> list[str]:
    """A folder in which something is already, or an empty one, of another user."""
    run = place / "run"
    run.mkdir()
    if chance.random() < 0.5:
        process = begin(place, *words)
        process.join(chance.uniform(1, 4))
        os.kill(process.pid, signal.SIGKILL) if process.is_alive() else None
        process.join()
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    for path in (run, *before):
        path.chmod(0o555 if path.is_dir() else 0o444)
    process = begin(place, *words, first=be_nobody)
    process.join(ENDLESS)
    for path in (run, *before):
        path.chmod(0o755 if path.is_dir() else 0o644)
    found = [] if refused(process, place) else [f"exit code {process.exitcode}, no clear error"]
    return found + ([] if before == {path: path.stat().st_mtime_ns for path in run.rglob("*")} else ["files changed"])


def be_nobody() -> None:
    """Root may write everywhere."""
    if os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def removed(place: Path, words: tuple[str, ...], chance: random.Random) -> list[str]:
    run, process = place / "run", begin(place, *words)
    while process.is_alive() and not (run / "recipe.yaml").exists():
        time.sleep(0.01)
    process.join(chance.uniform(0, 2))
    gone = place / "gone"
    run.rename(gone)
    shutil.rmtree(gone)
    process.join(ENDLESS)
    if process.exitcode == 0:  # it had finished
        return []
    found = [] if "gone" in refused(process, place) or "No such file" in refused(process, place) else ["no clear error"]
    return found + (["something is left"] if run.exists() else [])


def two(place: Path, words: tuple[str, ...], chance: random.Random) -> list[str]:
    first = begin(place, *words)
    first.join(chance.uniform(0, 3))
    second = begin(place, *words)
    for process in (first, second):
        process.join(ENDLESS)
    codes = sorted((first.exitcode, second.exitcode))
    if codes == [0, 0]:
        numbers = [len(list(path.glob("*.json"))) for path in (place / "run").glob("cells/*/attempts")]
        return [] if words[0] == "train" or set(numbers) == {1} else ["a cell was run twice"]
    return [] if words[0] == "train" and codes == [0, 2] else [f"exit codes {codes}"]
