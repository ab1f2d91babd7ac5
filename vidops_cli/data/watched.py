"""Batches from worker processes that may die: a file whose decoder crashes or hangs costs itself, and nothing else.

torch's loader cannot replace a worker. Where one died, the loader is made anew at the batch that was due; the file at
which the worker died is left out by then, as if it had been known to be bad.
"""

from __future__ import annotations

import gc
import multiprocessing.connection
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

Key = tuple[int, int]
OUTSIDE = {-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP, -signal.SIGKILL}  # as by a scheduler, or for want of memory
WAIT = 5.0  # seconds for a worker to be gone
MOST = 3  # deaths in a pass that no file is to blame for


class _Watched(Dataset):
    """Items of `clips`; each worker notes which it is at, and is killed by the system where that takes too long.

    An alarm without a handler ends a process whatever it does. A thread could not: decord hangs holding Python's lock.
    """

    def __init__(self, clips: Dataset, workers: int, timeout: float):
        self.clips = clips
        self.timeout = timeout
        self.at = torch.full((workers, 2), -1).share_memory_()  # process, index; -1 between items

    def start(self, worker: int) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        self.at[worker, 0] = os.getpid()

    def __getitem__(self, key: Key) -> dict[str, Any]:
        worker = get_worker_info().id
        self.at[worker, 1] = key[1]
        signal.setitimer(signal.ITIMER_REAL, self.timeout)
        try:
            return self.clips[key]
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.at[worker, 1] = -1

    def ended(self, processes: list[multiprocessing.Process]) -> list[tuple[int, int]]:
        """(index or -1, exit code) of the workers that died, or are about to: what a worker held breaks first."""
        dying = multiprocessing.connection.wait([one.sentinel for one in processes], WAIT)
        for one in processes:
            if one.sentinel in dying:
                one.join(WAIT)  # its files are closed before the system tells its exit code
        at = dict(self.at.tolist())
        return [(at.get(one.pid, -1), one.exitcode) for one in processes if one.exitcode is not None]


def watched(
    clips: Dataset,
    keys: list[Key],
    batch: int,
    collate: Callable[[list[dict[str, Any]]], dict[str, Any]],
    exclude: Callable[[dict[int, str]], None],
    *,
    workers: int,
    timeout: float,
) -> Iterator[dict[str, Any]]:
    """Batches of `keys` in their order. `exclude` is told index -> reason of files at which a worker died."""
    done, deaths = 0, Counter[int]()
    while done * batch < len(keys):
        watch = _Watched(clips, workers, timeout)
        loader = DataLoader(
            watch,
            batch,
            sampler=keys[done * batch :],
            num_workers=workers,
            collate_fn=collate,
            worker_init_fn=watch.start,
            generator=torch.Generator(),  # else each loader draws from torch's own, and a resumed run would differ
        )
        gc.collect()  # a decord reader that a forked worker collects waits for ever for threads left in the parent
        others, handler = multiprocessing.active_children(), signal.getsignal(signal.SIGCHLD)
        found = iter(loader)
        if signal.getsignal(signal.SIGCHLD) is not handler:
            signal.signal(signal.SIGCHLD, handler)  # torch's raises wherever we are when a worker dies, as amid a step
        processes = [one for one in multiprocessing.active_children() if one not in others]
        try:
            for one in found:
                yield one
                done += 1
        except (RuntimeError, OSError, EOFError):
            ended = watch.ended(processes)
            if not ended:
                raise
            exclude(_blamed(ended, deaths, timeout))
        del found  # ends the workers that are left


def _blamed(ended: list[tuple[int, int]], deaths: Counter[int], timeout: float) -> dict[int, str]:
    """Index -> reason. A file at which a worker is killed from outside has a second chance."""
    blamed = {}
    for index, code in ended:
        deaths[index] += 1
        if index >= 0 and (code not in OUTSIDE or deaths[index] > 1):
            blamed[index] = f"not read in {timeout:g} s" if code == -signal.SIGALRM else f"its decoder {_end(code)}"
        elif deaths[-1] > MOST:
            told = f"{deaths[-1]} processes that load clips died, none of them in a file; the last one {_end(code)}"
            raise ValueError(told, "lower data.workers or train.batch if memory is short")
    return blamed


def _end(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"left with exit code {code}"
