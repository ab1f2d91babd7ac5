"""What decoding adds to a training step where workers do it beside: the same network on the same batches, decoded from
H.264 files as it goes, and held in memory.

That is free only where cores are left over from the step. Whether they are is measured: the processor's time that a
batch takes to decode, against the cores that are idle while steps run on tensors. Where they are not nothing is judged.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from decoding import PLAIN, films
from engine import CLASSES, RECIPE, bare_step
from rows import Row, row

from vidops_cli import stats
from vidops_cli.cli.common import load_recipe
from vidops_cli.data.clips import ClipOptions, Clips, Order, batches, collate
from vidops_cli.data.folder import read
from vidops_cli.engine.setup import Setup

NETWORK, CLIP, BATCH, CROP, WORKERS = "resnet18", 8, 4, 96, 2  # a step of about a second on one core
WARM, STEPS, ROUNDS = 2 * WORKERS + 1, 6, 6  # steps until what was loaded ahead is used up, steps timed, times
MOST, SPARE = 10.0, 0.8  # per cent; share of the idle cores that decoding may take


def measure() -> Iterator[Row]:
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        yield fed(Path(folder))
    torch.set_num_threads(threads)  # the recipe pins them


@dataclass
class Cores:
    """In cores, but `wanted` and `had`, which are clips a second."""

    all: int
    needed: float
    """processor's seconds of decoding a batch over the seconds of a step"""
    left: float
    """beside steps on tensors, and all else that the machine does"""
    wanted: float
    had: float
    """by the workers, without steps beside them"""

    @property
    def allow(self) -> bool:
        return self.needed <= min(SPARE * self.left, WORKERS)

    def told(self) -> str:
        words = f"{self.all} cores, of which {self.left:.2f} idle beside the step; {WORKERS} workers take "
        words += f"{self.needed:.2f}: {self.wanted:.1f} clips/s needed, {self.had:.1f} had"
        return words if self.allow else f"{words}; not judged: cores do not allow"


def fed(folder: Path) -> Row:
    told = load_recipe(RECIPE, [f"model.name={NETWORK}", "train.threads=1"], rows=False)
    step = bare_step(told, Setup.of(told, "cpu").build(CLASSES))
    films(folder, "train", (WARM + STEPS + 2 * WORKERS + 1) * BATCH)  # workers are busy to the last step timed
    plain = {**PLAIN, "crop": CROP}
    options = ClipOptions(num_frames=CLIP, frames="ordered", shuffle_labels=False, max_bad=0, timeout=60, **plain)
    clips = Clips(read(folder, "train", {}), options, train=True)
    order = Order(clips.listed, epoch=0, seed=0)
    kept = list(islice(batches(clips, order, BATCH), WARM + STEPS))[WARM:]
    by_hand = spent(lambda: collate([clips[key] for key in order.keys[: 2 * BATCH]]))[1] / 2
    began = time.perf_counter()
    had = sum(len(batch["label"]) for batch in batches(clips, order, BATCH, workers=WORKERS))
    had /= time.perf_counter() - began

    def decoded() -> float:
        found = batches(clips, order, BATCH, workers=WORKERS)
        for batch in islice(found, WARM):
            step(batch)
        began = time.perf_counter()
        for batch in islice(found, STEPS):
            step(batch)
        return (time.perf_counter() - began) / STEPS

    beside: list[tuple[float, float, float]] = []

    def at_hand() -> float:
        beside.append(spent(lambda: [step(batch) for batch in kept]))
        return beside[-1][0] / STEPS

    step(kept[0])
    draw, times = random.Random(0), ([], [])
    for _ in range(ROUNDS):
        for side in draw.sample((0, 1), 2):
            times[side].append((decoded, at_hand)[side]())
    wall, ours, idle = (sum(one) for one in zip(*beside, strict=True))
    seconds, every = wall / (ROUNDS * STEPS), len(os.sched_getaffinity(0))
    left = min(every - ours / wall, idle / wall)
    return judged(times, Cores(every, by_hand / seconds, max(0.0, left), BATCH / seconds, had))


def judged(times: tuple[list[float], list[float]], cores: Cores) -> Row:
    ratio = stats.paired_ratio(*times)
    low, high = (None if end is None else 100 * (end - 1) for end in (ratio.low, ratio.high))
    over, ends = 100 * (ratio.value - 1), [stats.quantile(one, 0.5) for one in times]
    what = f"{NETWORK}, {BATCH} clips of {CLIP} frames of {CROP}: {ends[0]:.2f} s against {ends[1]:.2f} s"
    return row(
        "feeding",
        "training step on clips as they are decoded, over tensors",
        "%",
        over,
        low=low,
        high=high,
        n=ratio.n,
        how=None if low is None else "95 %",
        bar=f"at most {MOST:g} % where cores allow",
        passed=over <= MOST if cores.allow else None,
        note=f"{what}; {cores.told()}",
        cores=cores.all,
        cores_left=cores.left,
        cores_needed=cores.needed,
        workers=WORKERS,
        clips_per_s_needed=cores.wanted,
        clips_per_s_had=cores.had,
    )


def spent(work: Callable[[], Any]) -> tuple[float, float, float]:
    """Seconds of the clock, of the processor by this process, and those that cores of the machine were idle."""
    before = time.perf_counter(), time.process_time(), idle()
    work()
    after = time.perf_counter(), time.process_time(), idle()
    return tuple(end - start for start, end in zip(before, after, strict=True))


def idle() -> float:
    """Seconds that all cores together have been idle, or waited for a disk."""
    first = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return (int(first[4]) + int(first[5])) / os.sysconf("SC_CLK_TCK")
