"""Run cells as subprocesses, a few at a time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from vidops_cli.recipe import Recipe, dump
from vidops_cli.record import write_text

from . import attempt
from .grid import Cell
from .store import RESULT, Store

Watch = Callable[[list[Cell], dict[str, int], list[Cell]], None]  # running, finished cell -> exit code, waiting
MODULE = "vidops_cli"  # what a cell runs, with a verb and its words
POLL = 0.2  # seconds


class Job(Protocol):
    def poll(self) -> int | None:
        """Its exit code, None while it has none."""


class Launcher(Protocol):
    def places(self, jobs: int, device: str) -> list[str | None]:
        """Where each of as many cells at a time runs: a GPU, or None for wherever it likes."""

    def start(self, commands: list[tuple[list[str], Path, str | None]]) -> list[Job]:
        """Start commands, each with the folder of its cell and its place."""

    def find(self, folder: Path) -> Job | None:
        """The job of a cell that an earlier launcher has started and that is still to be waited for."""

    def stop(self, jobs: list[Job]) -> None:
        """The launcher ends before they do."""


def run_cells(
    cells: list[Cell],
    store: Store,
    *,
    jobs: int,
    device: str,
    launcher: Launcher | None = None,
    track: Sequence[str] = (),
    nproc: int = 1,
    watch: Watch = lambda *_: None,
) -> dict[str, int]:
    """Run the cells, `jobs` at a time; returns exit codes by key. A failed cell does not stop the others.

    Each is a verb of `vidops` on FOLDER/cell.yaml, its output in FOLDER/log.txt. A cell that another process runs is
    waited for, and taken over if that dies. Whatever ends this function early, the children are told to save and stop,
    and waited for. ValueError, before any is started, where data are lacking or the store cannot be written.
    """
    for cell in cells:
        if cell.lacking:
            raise ValueError(*cell.lacking)
    store.check_writable()
    launcher = launcher or Local()
    run = _Run(cells, store, device, launcher, launcher.places(jobs, device), track, nproc)
    try:
        while run.waiting or run.running or run.elsewhere:
            run.collect()
            run.start()
            watch([*(cell for cell, *_ in run.running.values()), *run.elsewhere.values()], run.codes, run.waiting)
            time.sleep(POLL)
    except BaseException:  # whatever ends the parent must not leave cells without one
        launcher.stop([job for _, job, _ in run.running.values()])
        raise
    return run.codes


class _Run:
    """The cells by what is known of them: waiting, running for us, running elsewhere, ended with a code."""

    def __init__(
        self,
        cells: list[Cell],
        store: Store,
        device: str,
        launcher: Launcher,
        places: list[str | None],
        track: Sequence[str],
        nproc: int,
    ) -> None:
        self.store, self.device, self.launcher, self.places = store, device, launcher, places
        self.track, self.nproc = track, nproc
        self.running: dict[str, tuple[Cell, Job, str | None]] = {}
        self.codes: dict[str, int] = {}
        latest = {cell.key: attempt.last(store.folder(cell)) for cell in cells}
        self.elsewhere = {cell.key: cell for cell in cells if (found := latest[cell.key]) and found.alive}
        self.waiting = [cell for cell in cells if cell.key not in self.elsewhere]
        self.before = {key: found.number - (key in self.elsewhere) for key, found in latest.items() if found}

    def collect(self) -> None:
        """Note what has ended."""
        for key, (cell, job, _) in list(self.running.items()):
            code = job.poll()
            if code is not None:
                del self.running[key]
                if code == 0 and not self.store.finished(cell):  # another process has it
                    self.elsewhere[key] = cell
                else:
                    self.codes[key] = 0 if self.store.finished(cell) else code
        for key, cell in list(self.elsewhere.items()):
            latest = attempt.last(self.store.folder(cell))
            if latest is None or not latest.alive:
                del self.elsewhere[key]
                self.waiting.insert(0, cell)

    def start(self) -> None:
        """Start what waits, as far as there is room, in the order of the table."""
        pending = {cell.key for cell in self.waiting} | self.running.keys() | self.elsewhere.keys()
        chosen: list[tuple[Cell, str | None]] = []
        free = self._free()
        for cell in list(self.waiting):
            if len(chosen) == len(free):
                break
            told = self._settle(cell, pending)
            if told != "later":
                self.waiting.remove(cell)
            if told == "start":
                chosen.append((cell, free[len(chosen)]))
        if not chosen:
            return
        started = self.launcher.start([self._prepare(cell, place) for cell, place in chosen])
        for (cell, place), job in zip(chosen, started, strict=True):
            self.running[cell.key] = cell, job, place

    def _free(self) -> list[str | None]:
        """Places without a cell; one that another launcher on this machine has started takes one too."""
        taken = [place for *_, place in self.running.values()]
        for cell in self.elsewhere.values():
            latest = attempt.last(self.store.folder(cell))
            if latest is not None and latest.here:
                taken.append(latest.told["gpu"])
        free = list(self.places)
        for place in taken:
            if place in free:
                free.remove(place)
            elif free:
                free.pop()
        return free

    def _settle(self, cell: Cell, pending: set[str]) -> str:
        """What becomes of a cell whose turn it is: start, later (its weights are not there yet), or done with."""
        folder = self.store.folder(cell)
        if self.store.finished(cell):
            self.codes[cell.key] = 0
            return "done"
        if (job := self.launcher.find(folder)) is not None:
            self.running[cell.key] = cell, job, None
            return "done"
        latest = attempt.last(folder)
        if latest is not None and latest.alive:
            self.elsewhere[cell.key] = cell
            return "done"
        ended = latest is not None and latest.number > self.before.get(cell.key, 0)  # since we began
        if ended and latest.code not in (None, *attempt.INTERRUPTED):
            self.codes[cell.key] = latest.code
            return "done"
        lacking = self.store.lacking(cell)
        if not lacking:
            return "start"
        if pending.issuperset(lacking):
            return "later"
        self.codes[cell.key] = 1
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "log.txt", "a") as log:
            log.write(f"error: the cell whose weights it takes, {lacking[0]}, has not finished\n")
        return "done"

    def _prepare(self, cell: Cell, place: str | None) -> tuple[list[str], Path, str | None]:
        folder = self.store.folder(cell)
        write_text(folder / "cell.yaml", dump(with_weights(cell, self.store)))
        (folder / "status.json").unlink(missing_ok=True)
        return command(cell, self.store, self.device, self.track, self.nproc), folder, place


def with_weights(cell: Cell, store: Store) -> Recipe:
    """Its recipe, with the checkpoints that parts of the network start from."""
    files = {part: str(store.weights(cell, key)) for part, key in cell.weights.items()}
    if not files:
        return cell.recipe
    model = cell.recipe.model.model_copy(update={"weights": files})
    return cell.recipe.model_copy(update={"model": model})


def command(cell: Cell, store: Store, device: str, track: Sequence[str] = (), nproc: int = 1) -> list[str]:
    """The words that run a cell; of what is trained `track` are names of trackers, `nproc` how many processes do it."""
    folder, recipe = store.folder(cell), str(store.folder(cell) / "cell.yaml")
    words = {"train": ["train", recipe, "--out", str(folder), *(["--track", ",".join(track)] if track else [])]}
    words["train"] += ["--nproc", str(nproc)] if nproc > 1 and not cell.recipe.episodes else []
    if cell.kind == "eval":
        words["eval"] = ["eval", recipe, "--checkpoint", str(store.weights(cell, cell.of)), "--out", str(folder)]
        words["eval"] += ["--other-network"]  # where a row puts operators otherwise, it means to
    if cell.kind == "profile":
        classes = cell.recipe.data.classes
        words["profile"] = ["profile", recipe, "--depth", "0", "--out", str(folder / RESULT["profile"])]
        words["profile"] += ["--classes", str(classes)] if classes else []
    hold = [sys.executable, "-m", "vidops_cli.ablation.hold", str(folder), RESULT[cell.kind], MODULE]
    return [*hold, *words[cell.kind], "--device", device]


class Local:
    """Cells as children of this process, each in a session of its own: Ctrl-C reaches them by way of `stop`."""

    def places(self, jobs: int, device: str) -> list[str | None]:
        found = gpus() if device == "cuda" and jobs > 1 else []
        if found and jobs > len(found):
            told = f"--jobs {jobs} asks for a GPU each, and {len(found)} can be seen"
            raise ValueError(told, f"--jobs {len(found)}; CUDA_VISIBLE_DEVICES says which can be seen")
        return list(found[:jobs]) if found else [None] * jobs

    def start(self, commands: list[tuple[list[str], Path, str | None]]) -> list[Job]:
        return [self._start(*told) for told in commands]

    @staticmethod
    def _start(words: list[str], folder: Path, place: str | None) -> subprocess.Popen:
        env = {**os.environ, **attempt.ENVIRONMENT}
        if place is not None:
            env["CUDA_VISIBLE_DEVICES"] = place
        with open(folder / "log.txt", "ab") as log:
            return subprocess.Popen(
                words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, env=env
            )

    def find(self, folder: Path) -> Job | None:
        return None  # a child that has outlived its launcher holds its cell itself

    def stop(self, jobs: list[Job]) -> None:
        for process in jobs:
            process.send_signal(signal.SIGTERM)
        for process in jobs:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def gpus() -> list[str]:
    """Names of the GPUs that can be seen, as CUDA_VISIBLE_DEVICES takes them."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        return [name.strip() for name in told.split(",") if name.strip()]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    listed = subprocess.run([tool, "--list-gpus"], capture_output=True, text=True).stdout
    return [str(i) for i, line in enumerate(line for line in listed.splitlines() if line.startswith("GPU "))]


def failure(folder: Path) -> str:
    """The last `error:` line of a cell's log, or its last line."""
    log = folder / "log.txt"
    lines = (
        [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    )
    errors = [line for line in lines if line.startswith("error:")]
    return (errors or lines or ["no output"])[-1]
