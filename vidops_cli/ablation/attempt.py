"""Who runs a cell. Each attempt is a numbered file that one process alone can make, and keeps fresh while it lives.

Attempt 2 takes over from attempt 1 only when that is dead: on this machine when its process is gone, elsewhere when its
file was not touched for a while. Files are made by a hard link, which one of two processes gets, on shared folders too.
"""

from __future__ import annotations

import os
import platform
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from vidops_cli.record import read_json, write_json

# what a cell's process is told: to write a log, and (glibc) to keep freed memory for its next step
ENVIRONMENT = {
    "COLUMNS": "120",
    "NO_COLOR": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_TOP_PAD_": str(2**28),
}

BEAT, DEAD = 10.0, 120.0  # seconds between touches of the file, and without one
INTERRUPTED = (75, 130)  # exit codes of what was told to stop: of a training that has saved, of all else


@dataclass(frozen=True)
class Attempt:
    """One process that has run a cell, or runs it. `told`: host, pid, began, gpu, and when it ended code, seconds."""

    path: Path
    told: dict[str, Any]

    @property
    def number(self) -> int:
        return int(self.path.stem)

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs, and if it was killed."""
        return self.told.get("code")

    @property
    def here(self) -> bool:
        return self.told["host"] == host()

    @property
    def alive(self) -> bool:
        if self.code is not None:
            return False
        if self.here and self.told["began"] is not None:
            return began(self.told["pid"]) == self.told["began"]
        try:
            return time.time() - self.path.stat().st_mtime < DEAD
        except FileNotFoundError:  # set aside
            return False


def last(folder: Path) -> Attempt | None:
    """The newest attempt at the cell in a folder."""
    try:
        numbers = [int(name[:-5]) for name in os.listdir(folder / "attempts") if name.endswith(".json")]
    except FileNotFoundError:
        return None
    if not numbers:
        return None
    path = folder / "attempts" / f"{max(numbers)}.json"
    try:
        return Attempt(path, read_json(path))
    except FileNotFoundError:  # set aside just now
        return None


def take(folder: Path) -> Attempt | None:
    """Begin an attempt in the name of this process. None if another is at work, or was faster."""
    before = last(folder)
    if before is not None and before.alive:
        return None
    path = folder / "attempts" / f"{before.number + 1 if before else 1}.json"
    told = {"host": host(), "pid": os.getpid(), "began": began(os.getpid())}
    told["gpu"] = os.environ.get("CUDA_VISIBLE_DEVICES")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as place:
        write_json(Path(place) / "draft", told)
        try:
            os.link(Path(place) / "draft", path)
        except FileExistsError:
            return None
    return Attempt(path, told)


def end(mine: Attempt, code: int, seconds: float) -> None:
    """Note that this process is done with the cell."""
    if mine.path.exists():  # else the cell was set aside
        write_json(mine.path, {**mine.told, "code": code, "seconds": round(seconds, 2)})


def beat(mine: Attempt, stop: Event) -> None:
    """Keep the attempt fresh until `stop`. Who was taken for dead, after a long sleep, must not write any more."""
    newer = mine.path.with_name(f"{mine.number + 1}.json")
    while not stop.wait(BEAT):
        try:
            os.utime(mine.path)
            lost = newer.exists()
        except FileNotFoundError:
            lost = True
        except OSError:  # a shared folder may be away for a moment
            continue
        if lost:
            os.kill(os.getpid(), signal.SIGKILL)


def host() -> str:
    """This machine since it was started, and its space of process numbers: elsewhere a pid means another process."""
    try:
        since = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {since} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def began(pid: int) -> str | None:
    """When a process of this machine began, in its own ticks; None if it is gone, or where there is no /proc."""
    try:
        state, *others = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else others[18]
