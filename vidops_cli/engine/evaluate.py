"""Evaluation of one network on one split."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidops_cli.data import Progress
from vidops_cli.data.clips import Clips, Order, batches
from vidops_cli.recipe import Recipe

from . import checkpoint
from .setup import Setup, open_clips, to_device
from .tasks import Classification


def evaluate(
    model: nn.Module, clips: Clips, task: Classification, recipe: Recipe, device: torch.device
) -> dict[str, Any]:
    """Metrics of the task over all clips, every one counted, and `present` as n/N."""
    model.eval()
    found = batches(clips, Order(clips.listed), recipe.eval.batch, workers=recipe.data.workers)
    values = dict(task.metrics(model, (to_device(batch, device) for batch in found)))
    values["n"] = int(values["n"])
    return {**values, "present": clips.present}


def evaluate_checkpoint(recipe: Recipe, path: Path, device: str, progress: Progress) -> dict[str, Any]:
    """Build the recipe's network, fill it from a checkpoint, evaluate it on `eval.split`."""
    state = checkpoint.load(path)
    setup = Setup.of(recipe, device)
    clips = open_clips(recipe, recipe.eval.split, train=False)
    classes = state.get("classes", len(clips.annotations.classes))
    if len(clips.annotations.classes) > classes:
        told = f"the data has {len(clips.annotations.classes)} classes, {path} was trained on {classes}"
        raise ValueError(told, "use the data set it was trained on")
    model = setup.build(classes)
    checkpoint.load_model(model, state, path)
    began = time.perf_counter()
    if recipe.data.cache == "memory":
        clips.decode_all(progress)
    values = evaluate(model.to(setup.device), clips, Classification(classes), recipe, setup.device)
    return {
        "split": recipe.eval.split,
        "metrics": values,
        "bad": dict(clips.bad),
        "floors": clips.annotations.floors,
        "data": clips.annotations.fingerprint,
        "seconds": round(time.perf_counter() - began, 2),
    }
