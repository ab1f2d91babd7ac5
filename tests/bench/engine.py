"""What the training loop costs beside a bare one: same network, same batches in memory, same optimizer.

The loop is the engine's own, with its report on the terminal; only the batches are handed in. Each time it asks for the
next one, a bare step is timed in turn: the engine's step is all that happens from one batch to the next request.
"""

from __future__ import annotations

import copy
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import torch
import torch.nn.functional as F
from rows import Row, row
from torch import Tensor, nn

import vidops_cli.engine.loop as engine
from vidops_cli import stats
from vidops_cli.cli.common import load_recipe
from vidops_cli.cli.live import RunProgress
from vidops_cli.engine.setup import Setup
from vidops_cli.engine.stopping import Stop
from vidops_cli.engine.tasks import Classification
from vidops_cli.recipe import Recipe

RECIPE = Path(__file__).parents[2] / "recipes/quickstart.yaml"
CLASSES, SIZE = 4, 24
WARM, STEPS, MOST = 10, 300, 3.0  # pairs left out, pairs, per cent


def measure() -> Iterator[Row]:
    told = load_recipe(RECIPE, rows=False)
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        ours, bare = pairs(told, Path(folder))
    torch.set_num_threads(threads)  # the recipe pins them
    ratio = stats.paired_ratio(ours, bare)
    low, high = (None if end is None else 100 * (end - 1) for end in (ratio.low, ratio.high))
    over = 100 * (ratio.value - 1)
    ends = [1e3 * stats.quantile(times, 0.5) for times in (ours, bare)]
    yield row(
        "engine",
        "training step, over a bare one",
        "%",
        over,
        low=low,
        high=high,
        n=ratio.n,
        how="95 %",
        bar=f"at most {MOST:g} %",
        passed=over <= MOST,
        note=f"{told.model.name}, {told.train.batch} clips: {ends[0]:.1f} ms against {ends[1]:.1f} ms",
        engine_ms=ends[0],
        bare_ms=ends[1],
    )


def pairs(told: Recipe, folder: Path) -> tuple[list[float], list[float]]:
    """Seconds of the engine's steps, and of the bare steps beside them."""
    setup = Setup.of(told, "cpu")
    model = setup.build(CLASSES)
    step = bare_step(told, copy.deepcopy(model))
    batch = {
        "clip": torch.randn(told.train.batch, 3, told.data.num_frames, SIZE, SIZE),
        "label": torch.arange(told.train.batch) % CLASSES,
        "index": torch.arange(told.train.batch),
        "bad": [],
    }
    ours: list[float] = []
    bare: list[float] = []

    def batches(*_: object, **__: object) -> Iterator[dict[str, object]]:
        draw = random.Random(0)
        while True:
            first = draw.random() < 0.5
            spent = step(batch) if first else 0.0
            began = time.perf_counter()
            yield batch
            ours.append(time.perf_counter() - began)
            bare.append(spent if first else step(batch))

    listed = range((WARM + STEPS + 2) * told.train.batch)  # the epoch does not end before
    clips = SimpleNamespace(listed=listed, annotations=SimpleNamespace(fingerprint=""), met=lambda: ({}, None))
    with RunProgress(folder) as progress, patch.object(engine, "batches", batches):
        loop = engine.Loop(told, folder, setup, {"train": clips}, model, Classification(CLASSES), progress, "")
        loop.run_epochs(Stop(lambda: len(bare) == WARM + STEPS))
    return ours[WARM:], bare[WARM:]


def bare_step(told: Recipe, model: nn.Module):
    """A function of a batch: forward, loss, backward, step; the seconds it took."""
    optimizer = engine.make_optimizer(model, told.train.optimizer)
    model.train()

    def step(batch: dict[str, Tensor]) -> float:
        began = time.perf_counter()
        loss = F.cross_entropy(model(batch["clip"]), batch["label"])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return time.perf_counter() - began

    return step
