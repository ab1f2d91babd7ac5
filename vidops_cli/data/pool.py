"""Work on many files in processes that may hang or crash without taking the rest along."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any


@dataclass(frozen=True)
class Failed:
    """Why an item has no result. `gone`: its process went with it."""

    reason: str
    gone: bool = False


@dataclass
class _Worker:
    """A process, and the item that it has until a time; -1 while it starts."""

    process: Any
    line: Connection
    index: int = -1
    until: float = math.inf


def each(
    work: Callable[[Any], Any], items: Sequence[Any], *, processes: int = 1, timeout: float = 60.0
) -> Iterator[tuple[int, Any]]:
    """(index, work(item)) as they are done; Failed in place of a result where it raised, took too long or died.

    `work` is a function of a module, items and results can be pickled. A process that hangs is killed after `timeout`
    seconds, as decoders that hold the interpreter's lock cannot be interrupted.
    """
    left = iter(enumerate(items))
    busy = [_start(work) for _ in range(min(processes, len(items)))]
    try:
        while busy:
            first = min(worker.until for worker in busy)
            ready = wait(
                [worker.line for worker in busy], None if first == math.inf else max(0, first - time.monotonic())
            )
            for worker in [w for w in busy if w.line in ready or time.monotonic() > w.until]:
                found = (
                    _answer(worker) if worker.line in ready else Failed(f"no answer within {timeout:g} s", gone=True)
                )
                index = worker.index
                if isinstance(found, Failed) and found.gone:
                    _end(worker)
                    busy[busy.index(worker)] = _start(work)
                elif (told := next(left, None)) is None:
                    _end(worker)
                    busy.remove(worker)
                else:
                    worker.index, worker.until = told[0], time.monotonic() + timeout
                    with contextlib.suppress(OSError):  # it died meanwhile, which its line will tell
                        worker.line.send(told[1])
                if index >= 0:
                    yield index, found
    finally:
        for worker in busy:
            _end(worker)


def _start(work: Callable[[Any], Any]) -> _Worker:
    context = multiprocessing.get_context("spawn")  # decoders do not survive a fork
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(work, theirs), daemon=True)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; this one ends the others
    process.start()
    signal.signal(signal.SIGINT, before)
    theirs.close()
    return _Worker(process, ours)


def _end(worker: _Worker) -> None:
    worker.line.close()
    worker.process.kill()
    worker.process.join()


def _answer(worker: _Worker) -> Any:
    try:
        return worker.line.recv()
    except (EOFError, OSError):
        worker.process.join()
        if worker.index < 0:
            raise RuntimeError(f"a process could not be started (exit code {worker.process.exitcode})") from None
        return Failed(f"its process died (exit code {worker.process.exitcode})", gone=True)


def _serve(work: Callable[[Any], Any], line: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):  # the process at the other end has gone
        line.send(None)  # it has started
        while True:
            item = line.recv()
            try:
                found = work(item)
            except Exception as error:
                told = error.args[0] if isinstance(error, ValueError) and error.args else error  # without its hint
                found = Failed(str(told) or type(error).__name__)
            line.send(found)
