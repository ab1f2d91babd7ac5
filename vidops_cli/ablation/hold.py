"""python -m vidops_cli.ablation.hold FOLDER FILE MODULE WORDS...: run a cell, unless another process does.

The process that works is the one that holds the cell: it may outlive the launcher, and when it dies the cell is free.
FILE in FOLDER is what MODULE, called with WORDS, writes when it has finished.
"""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path
from threading import Event, Thread

from .attempt import beat, end, take


def hold(folder: Path, result: str, module: str, words: list[str]) -> None:
    """Returns at once if another has the cell, or has finished it."""
    mine = take(folder)
    if mine is None:
        return
    start, code, stop = time.monotonic(), 0, Event()
    try:
        if not (folder / result).exists():
            Thread(target=beat, args=(mine, stop), daemon=True).start()
            sys.argv = [module, *words]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except BaseException as error:
        told = getattr(error, "code", 1)  # of a SystemExit: a number, a word, or None
        code = told if isinstance(told, int) else int(told is not None)
        raise
    finally:
        stop.set()
        end(mine, 0 if (folder / result).exists() else code or 1, time.monotonic() - start)


if __name__ == "__main__":
    hold(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
