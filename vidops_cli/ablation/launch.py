"""Run cells as subprocesses, a few at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from vidops_cli.recipe import dump
from vidops_cli.record import write_text

from .grid import Cell
from .store import Store

Watch = Callable[[list[Cell], dict[str, int], list[Cell]], None]  # running, finished cell -> exit code, waiting


def run_cells(
    cells: list[Cell], store: Store, *, jobs: int, device: str, watch: Watch = lambda *_: None
) -> dict[str, int]:
    """Train the cells, `jobs` at a time; returns exit codes by key. A failed cell does not stop the others.

    Each cell is `python -m vidops_cli train RECIPE --out FOLDER`, its output in FOLDER/log.txt. Whatever
    ends this function early, the children are told to save and stop, and waited for.
    """
    waiting, running, codes = list(cells), {}, {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                cell = waiting.pop(0)
                running[cell.key] = (cell, _start(cell, store, device))
            for key, (_, process) in list(running.items()):
                if process.poll() is not None:
                    codes[key] = process.returncode
                    del running[key]
            watch([cell for cell, _ in running.values()], codes, waiting)
            time.sleep(0.2)
    except BaseException:  # whatever ends the parent must not leave cells without one
        for _, process in running.values():
            process.send_signal(signal.SIGTERM)
        for _, process in running.values():
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        raise
    return codes


def _start(cell: Cell, store: Store, device: str) -> subprocess.Popen:
    folder = store.folder(cell)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "cell.yaml", dump(cell.recipe))
    (folder / "status.json").unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "vidops_cli",
        "train",
        str(folder / "cell.yaml"),
        "--out",
        str(folder),
        "--device",
        device,
    ]
    with open(folder / "log.txt", "ab") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, env=_environment()
        )


def _environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}


def failure(folder: Path) -> str:
    """The last `error:` line of a cell's log, or its last line."""
    log = folder / "log.txt"
    lines = (
        [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    )
    errors = [line for line in lines if line.startswith("error:")]
    return (errors or lines or ["no output"])[-1]
