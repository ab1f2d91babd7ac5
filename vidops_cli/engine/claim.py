"""Who writes in the folder of a run: one process, for as long as it lives.

It holds the system's lock on the folder itself, which leaves nothing behind and ends with the process, however it does.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from vidops_cli.record import sweep

WRITTEN = ("recipe.yaml", "metrics.jsonl", "last.pt", "best.pt", "summary.json")
_HELD: set[int] = set()


def _let_go() -> None:
    """A worker that outlives a run which was killed must not hold its folder."""
    while _HELD:
        os.close(_HELD.pop())


os.register_at_fork(after_in_child=_let_go)


class Claim:
    """To be taken before anything is written in the folder, at once if it is there. Left as a context."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: int | None = None

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.held is not None:
            _HELD.discard(self.held)
            os.close(self.held)
            self.held = None

    def take(self) -> None:
        """ValueError if another process has it; a second time, and where there is no folder yet, nothing is done."""
        if self.held is not None or not self.folder.is_dir():
            return
        self.held = os.open(self.folder, os.O_RDONLY)
        _HELD.add(self.held)
        try:
            fcntl.flock(self.held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._taken() from None
        except OSError:  # a shared folder that knows no such locks
            return
        sweep(self.folder, *WRITTEN)

    def make(self) -> None:
        """Make the folder and take it. ValueError if another process has begun a run in it meanwhile."""
        if self.held is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.take()
            if (self.folder / "recipe.yaml").exists():
                raise self._taken()

    def _taken(self) -> ValueError:
        told = f"another process trains in {self.folder}"
        return ValueError(told, "wait until it has left, or stop it; or name another folder with --out")


def check_there(folder: Path) -> None:
    """ValueError if the folder is gone: what is written now would be a part of a run."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is gone, with all that was saved there", "the same command begins anew")
