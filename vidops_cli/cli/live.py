"""Work under way, on the terminal: what is done, loss, accuracy, time left."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vidops_cli.report.table import printable

from .common import console

if TYPE_CHECKING:
    from vidops_cli.ablation.grid import Cell
    from vidops_cli.ablation.store import Store


class Describe:
    """A run's status as a line of words, with the time left."""

    def __init__(self) -> None:
        self.began: dict[object, tuple[float, int]] = {}

    def __call__(self, status: dict[str, Any]) -> str:
        phase = status.get("phase", "starting")
        parts = [phase]
        if phase == "training":
            parts = [f"epoch {status['epoch']}/{status['epochs']}", f"step {status['done']}/{status['total']}"]
            parts += [f"loss {status['loss']:.3f}", f"accuracy {status['accuracy']:.1f} %"]
        elif "done" in status:
            parts.append(f"{status['done']}/{status['total']}")
        left = self._left(phase, status)
        return ", ".join([*parts, *([f"{left} left"] if left else [])])

    def _left(self, phase: str, status: dict[str, Any]) -> str:
        if "done" not in status:
            return ""
        key = phase if phase == "training" else (phase, status.get("epoch"))  # each validation is timed anew
        began, first = self.began.setdefault(key, (time.monotonic(), status["done"]))
        done = status["done"] - first
        if done <= 0:
            return ""
        return clock((time.monotonic() - began) / done * (status["total"] - status["done"]))


def clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"


@contextmanager
def stoppable(code: int = 130) -> Iterator[None]:
    """Work that is kept piece by piece: Ctrl-C, SIGTERM and SIGHUP stop it with one line and this exit code."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    except KeyboardInterrupt:
        console(stderr=True).print("stopped; the same command goes on")
        raise typer.Exit(code) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Counter:
    """`done of total` on one line that is written over, on a terminal; now and then a line, elsewhere."""

    def __init__(self, phase: str) -> None:
        self.phase, self.describe, self.console = phase, Describe(), console(stderr=True, note=True)
        self.live = self.console.is_terminal and not self.console.is_dumb_terminal
        self.last = 0.0 if self.live else time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        text = self.describe({"phase": self.phase, "done": done, "total": total})
        wait = 0.1 if self.live else 10.0
        if self.console.quiet or (time.monotonic() - self.last < wait and done < total):
            return
        self.last = time.monotonic()
        if self.live:
            self.console.file.write(
                f"\r{printable(text)}\x1b[K" + ("\n" if done == total else "")
            )  # rich would drop the \r
            self.console.file.flush()
        else:
            self.console.print(text)


class RunProgress:
    """Shows a run on the terminal, and leaves its status in the run's folder for `vidops ablate` to show."""

    def __init__(self, run: Path):
        from rich.progress import BarColumn, Progress, TextColumn

        self.status = run / "status.json"
        self.describe = Describe()
        self.last, self.phase = 0.0, ""
        self.console = console(stderr=True, note=True)
        columns = BarColumn(20), TextColumn("{task.description}", markup=False)
        self.bar = Progress(*columns, console=self.console, transient=True)
        self.task = self.bar.add_task("starting", total=None)

    def __enter__(self) -> RunProgress:
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.bar.stop()

    def __call__(self, status: dict[str, Any]) -> None:
        if status["phase"] == "started":
            self.console.print(status["told"], soft_wrap=True)
            return
        if status["phase"] == "epoch":
            self.console.print(
                f"epoch {status['epoch']}: loss {status['train_loss']:.3f}, accuracy {status['train_top1']:.1f} %; "
                f"val loss {status['val_loss']:.3f}, accuracy {status['val_top1']:.1f} %"
            )
            return
        line = self.describe(status)
        if status["phase"].startswith("decoding") and status["phase"] != self.phase and not self.console.is_terminal:
            self.console.print(f"{status['phase']}, {status['total']} clips, for data.cache", soft_wrap=True)
        now = time.monotonic()
        if now - self.last < 0.3 and status["phase"] == self.phase:
            return
        self.last, self.phase = now, status["phase"]
        self.bar.update(self.task, description=line, completed=status.get("done", 0), total=status.get("total"))
        if not self.status.parent.is_dir():  # nothing is written before the data is known to be good
            return
        partial = self.status.with_suffix(".partial")  # no fsync: a lost status harms nobody
        try:
            partial.unlink(missing_ok=True)  # a link would be written through
            partial.write_text(json.dumps({**status, "line": line}))
            partial.replace(self.status)
        except OSError:  # nor does one that a full disk has no room for
            partial.unlink(missing_ok=True)


class CellWatch:
    """The cells under way, on the terminal: epoch, loss, accuracy, time left. Elsewhere a line now and then."""

    def __init__(self, cells: list[Cell], store: Store):
        from rich.live import Live

        self.cells, self.store, self.total = {cell.key: cell for cell in cells}, store, len(cells)
        self.console = console(stderr=True, note=True)
        self.live = Live(console=self.console, transient=True, auto_refresh=False)
        self.began = self.last = time.monotonic()
        self.reported: set[str] = set()

    def __enter__(self) -> CellWatch:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def __call__(self, running: list[Cell], codes: dict[str, int], waiting: list[Cell]) -> None:
        for key, code in codes.items():
            if key not in self.reported:
                self.reported.add(key)
                self.console.print(self._ended(self.cells[key], code))
        wait = 0.5 if self.console.is_terminal else 15
        if time.monotonic() - self.last < wait:
            return
        self.last = time.monotonic()
        states = [(cell, self.store.status(cell)) for cell in running]
        part = sum(status["done"] / status["total"] for _, status in states if status.get("phase") == "training")
        share = (len(codes) + part) / self.total
        passed = time.monotonic() - self.began
        left = f", about {clock(passed / share * (1 - share))} left" if share > 0.02 else ""
        failed = sum(code != 0 for code in codes.values())
        told = f", {failed} failed" if failed else ""
        done = f"{len(codes) - failed} of {self.total} cells done, {len(running)} running{told}"
        lines = [f"{done}, {clock(passed)} so far{left}"]
        lines += [f"  {cell.label}, seed {cell.seed}: {status.get('line', 'starting')}" for cell, status in states]
        if self.console.is_terminal:
            from rich.text import Text

            self.live.update(Text("\n".join(lines)), refresh=True)
        else:
            self.console.print("\n".join(lines), soft_wrap=True)

    def _ended(self, cell: Cell, code: int) -> str:
        summary = self.store.summary(cell) if code == 0 else None
        if summary is None:
            return f"failed: {cell.label}, seed {cell.seed} (exit code {code})"
        if cell.kind == "profile":
            return f"done: {cell.row}: measured"
        score = f"top1 {summary['metrics']['top1']:.1f} %"
        return f"done: {cell.label}, seed {cell.seed}: {score} in {clock(summary['seconds'])}"
