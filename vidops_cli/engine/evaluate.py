"""Evaluation of one network on one split."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vidops_cli.data import Progress
from vidops_cli.data.clips import Clips, Order, batches
from vidops_cli.recipe import Recipe

from . import checkpoint
from .few_shot import FewShot
from .setup import Setup, open_clips, to_device
from .tasks import Classification


def evaluate(
    model: nn.Module, clips: Clips, task: Classification | FewShot, recipe: Recipe, device: torch.device
) -> dict[str, Any]:
    """Metrics of the task over all clips, every one counted, `present` as n/N, and which clips were right.

    `correct` is that in hexadecimal: the i-th listed clip is bit i, the most significant of a byte first. Of episodes
    (`group`) a bit is a query, in their order.
    """
    model.eval()
    seen: list[int] = []

    def told() -> Iterator[dict[str, Any]]:
        for batch in batches(clips, Order(clips.listed), recipe.eval.batch, workers=recipe.data.workers):
            seen.extend(batch["index"].tolist() if "clip" in batch else [])
            yield to_device(batch, device)

    values = dict(task.metrics(model, told()))
    right, values["n"] = values.pop("right"), int(values["n"])
    correct = np.zeros(values["n"] if "group" in values else len(clips.listed), dtype=bool)
    correct[... if "group" in values else seen] = right
    return {**values, "present": clips.present, "correct": np.packbits(correct).tobytes().hex()}


def evaluate_checkpoint(recipe: Recipe, path: Path, device: str, progress: Progress) -> dict[str, Any]:
    """Build the recipe's network, fill it from a checkpoint, evaluate it on `eval.split`."""
    state = checkpoint.load(path)
    setup = Setup.of(recipe, device)
    clips = open_clips(recipe, recipe.eval.split, train=False)
    classes = state.get("classes", len(clips.annotations.classes))
    if len(clips.annotations.classes) > classes and not recipe.episodes:
        told = f"the data has {len(clips.annotations.classes)} classes, {path} was trained on {classes}"
        raise ValueError(told, "use the data set it was trained on")
    model = setup.build(classes)
    checkpoint.load_model(model, {"model": checkpoint.tested(state)}, path)
    began = time.perf_counter()
    if recipe.data.cache != "none":
        clips.decode_all(progress, keep=recipe.data.cache == "disk")
    values = evaluate(model.to(setup.device), clips, setup.task(classes), recipe, setup.device)
    return {
        "split": recipe.eval.split,
        "metrics": values,
        "bad": dict(clips.bad),
        "backends": {recipe.eval.split: clips.backends},
        "floors": clips.annotations.floors,
        "data": clips.annotations.fingerprint,
        "device": str(setup.device),
        "classes": classes,
        "clip": list(clips.shape()),
        "params": sum(p.numel() for p in model.parameters()),
        "seconds": round(time.perf_counter() - began, 2),
    }
