"""Evaluation of one network on one split."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vidops_cli.data import Progress
from vidops_cli.data.clips import Clips, batches
from vidops_cli.data.episodes import Episode, fixed
from vidops_cli.data.views import View
from vidops_cli.recipe import Recipe
from vidops_cli.record import digest

from . import checkpoint, made_of
from .distributed import ALONE, Group
from .few_shot import FewShot
from .scores import Kept, Part, averaged, episode_interval, tally
from .setup import Setup, open_clips, to_device
from .tasks import Classification


def nobody(done: int, total: int) -> None:
    """Progress that is not asked for."""


def evaluate(
    model: nn.Module,
    clips: Clips,
    task: Classification | FewShot,
    recipe: Recipe,
    device: torch.device,
    *,
    views: Sequence[View] | None = None,
    kept: list[Part] | None = None,
    group: Group = ALONE,
    progress: Progress = nobody,
) -> dict[str, Any]:
    """Metrics of the task over all clips, every one counted, `present` as n/N, and which clips were right.

    `correct` is that in hexadecimal: the i-th listed clip is bit i, the most significant of a byte first. Of episodes
    (`group`) a bit is a query, in their order. `views` are those of the clips' options unless told: how many is told,
    and of more than one what was averaged; they go through the network in batches of eval.batch views. `kept` takes
    the averaged scores. Each process of a `group` runs some of the clips, and all know the metrics. `progress` is told
    how many views of how many this process has run.
    """
    model.eval()
    seen: list[int] = []
    views = clips.options.views if views is None else views
    keys = [(view, index) for index in clips.listed[group.rank :: group.size] for view in views]

    def told() -> Iterator[dict[str, Any]]:
        size = recipe.eval.batch
        for step, batch in enumerate(batches(clips, keys, size, workers=recipe.data.workers), start=1):
            if isinstance(task, FewShot) and "clip" in batch:
                seen.extend(batch["index"].tolist())
            yield to_device(batch, device)
            progress(min(step * size, len(keys)), len(keys))

    def noted(parts: Iterable[Part]) -> Iterator[Part]:
        for part in parts:
            seen.extend(part[2].tolist())
            if kept is not None:
                kept.append(part)
            yield part

    if isinstance(task, FewShot):
        values = dict(task.metrics(model, told()))
    else:
        parts = task.scored(model, told())
        parts = parts if len(views) == 1 else averaged(parts, len(views), recipe.eval.average)
        if group.size > 1:
            parts = [part for theirs in group.gather(list(parts)) for part in theirs]
            agree(clips, group)
        values = dict(tally(noted(parts), task.classes))
    right, values["n"] = values.pop("right"), int(values["n"])
    correct = np.zeros(values["n"] if "group" in values else len(clips.listed), dtype=bool)
    correct[... if "group" in values else seen] = right
    values |= {"views": len(views), **({"average": recipe.eval.average} if len(views) > 1 else {})}
    return {**values, "present": clips.present, "correct": np.packbits(correct).tobytes().hex()}


def agree(clips: Clips, group: Group) -> None:
    """What each process has met of bad videos, and of what decoded the others, is known to all. ValueError as there."""
    for theirs in group.gather(clips.met()):
        clips.meet(*theirs)


def evaluate_checkpoint(
    recipe: Recipe,
    path: Path,
    device: str,
    progress: Progress,
    dump: Path | None = None,
    *,
    per_class: bool = False,
    testing: Progress = nobody,
    other_network: bool = False,
) -> dict[str, Any]:
    """Build the recipe's network, fill it from a checkpoint, evaluate it on `eval.split`.

    `progress` is told of decoding, where clips are cached, `testing` of what has gone through the network. Scores, or
    the results of episodes, are kept in the file `dump`. `per_class`: the accuracy of each class is told too.
    `other_network`: weights that are told to be of other operators are tested, as far as they fit. ValueError if they
    are not to be (`made_of.OtherNetwork`), or the file cannot be written.
    """
    state = checkpoint.load(path)
    if not other_network:
        made_of.check(state.get("made_of"), recipe, path)
    setup = Setup.of(recipe, device)
    clips = open_clips(recipe, recipe.eval.split, train=False)
    classes = state.get("classes", len(clips.annotations.classes))
    if len(clips.annotations.classes) > classes and not recipe.episodes:
        told = f"the data has {len(clips.annotations.classes)} classes, {path} was trained on {classes}"
        raise ValueError(told, "use the data set it was trained on")
    model = setup.build(classes)
    checkpoint.load_model(model, {**state, "model": checkpoint.tested(state)}, path)
    began = time.perf_counter()
    if recipe.data.cache != "none":
        clips.decode_all(progress, workers=recipe.data.workers, keep=recipe.data.cache == "disk")
    kept: list[Part] = []
    task, device = setup.task(classes), setup.device
    values = evaluate(model.to(device), clips, task, recipe, device, kept=kept, progress=testing)
    if not math.isfinite(values["loss"]):
        raise ValueError(f"the scores of {path} are not finite: the loss is {values['loss']}", "test another one")
    told: dict[str, Any] = {}
    if recipe.episodes:
        accuracy = _of_episodes(values)
        told = {"interval": episode_interval(accuracy), "episodes": len(accuracy)}
    if dump is not None or per_class:
        found = _kept(clips, recipe, kept, values, digest(path))
        if dump is not None:
            found.save(dump)
        if per_class:
            told["per_class"] = found.per_class()
    return {
        "split": recipe.eval.split,
        "checkpoint": checkpoint.told(state, path),
        "metrics": values,
        **told,
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


def _of_episodes(values: dict[str, Any]) -> np.ndarray:
    """The share of the queries of each episode that were told right."""
    packed = np.frombuffer(bytes.fromhex(values["correct"]), np.uint8)
    return np.unpackbits(packed, count=values["n"]).reshape(-1, values["group"]).mean(1)


def _kept(clips: Clips, recipe: Recipe, parts: list[Part], values: dict[str, Any], checkpoint: str) -> Kept:
    names = list(clips.annotations.classes)
    if shape := recipe.episodes:
        used = [index for index in clips.listed if index not in clips.excluded]
        labels = clips.labels[used]
        drawn = fixed(labels, shape.eval, Episode(shape.ways, shape.shots, shape.queries))
        found: dict[str, Any] = {"kind": "episodes", "episodes": np.stack(list(drawn)), "loss": values["loss"]}
        found["accuracy"] = _of_episodes(values)
    else:
        scores, told, index = (torch.cat(one) for one in zip(*parts, strict=True))
        used, labels, found = index.tolist(), told.numpy(), {"kind": "clips", "scores": scores.numpy()}
        names += map(str, range(len(names), scores.shape[1]))  # a network may tell more apart than the split has
    return Kept(
        **found,
        paths=np.array([clips.annotations.paths[i] for i in used]),
        labels=labels,
        classes=np.array(names),
        checkpoint=checkpoint,
        recipe=recipe.hash(),
        average=recipe.eval.average,
        views=values["views"],
        split=recipe.eval.split,
        present=values["present"],
    )
