"""What a batch of few-shot classification means: an episode, and images beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidops_cli.data.episodes import Episode, fixed

from .tasks import accuracy


class FewShot:
    """Tell a few new classes apart by a few images of each. Batches hold "clip" and "label".

    In training a batch is an episode, then other images: the episode's loss counts `weight` beside the classification
    of its queries and of the others among the base classes. Norms see the two apart, as in RENet's released code.
    """

    def __init__(self, classes: int, shape: Episode, *, weight: float, episodes: int, label_smoothing: float = 0.0):
        self.classes = classes
        self.shape = shape
        self.weight = weight
        self.episodes = episodes
        self.label_smoothing = label_smoothing

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """The sum of the three losses; accuracy is that of the episode. ValueError if an image could not be decoded."""
        if batch.get("bad"):
            told = f"{len(batch['bad'])} images of an episode cannot be used: {batch['bad'][0][1]}"
            raise ValueError(told, "mend them, or take them off the lists: episodes need all their images")
        shape, clip, label = self.shape, batch["clip"], batch["label"]
        support = shape.ways * shape.shots
        maps = model.maps(clip[: shape.size])
        scores = model.scores(maps[:support].unflatten(0, (shape.shots, -1)), maps[support:]).float()
        told = torch.cat([model.logits(maps[support:]).float(), model(clip[shape.size :]).float()])
        base = F.cross_entropy(told, label[support:], reduction="none", label_smoothing=self.label_smoothing)
        queries = shape.size - support
        way = torch.arange(shape.ways, device=clip.device).repeat(shape.queries)
        loss = self.weight * F.cross_entropy(scores, way) + base[:queries].mean() + base[queries:].mean()
        return loss, {"accuracy": accuracy(scores, way)}

    @torch.no_grad()
    def metrics(self, model: nn.Module, batches: Iterable[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
        """(name, value): top1 in percent and loss over the queries of all fixed episodes, n, their number, group, how
        many of them an episode has, and right: of each of them, episode by episode, whether top1 counts it.

        Maps are computed once for each image, and kept in the host's memory: all of a split are more than a GPU may
        hold. Episodes are drawn from the images that could be used.
        """
        kept: list[Tensor] = []
        labels: list[int] = []
        for batch in batches:
            if "clip" in batch:
                kept.extend(model.maps(batch["clip"]).cpu())
                labels.extend(batch["label"].tolist())
                device = batch["clip"].device
        if not kept:
            raise ValueError("no image was evaluated", "check the split and data.max_bad")
        shape, loss, hits = self.shape, 0.0, []
        support = shape.ways * shape.shots
        way = torch.arange(shape.ways, device=device).repeat(shape.queries)
        for episode in fixed(np.array(labels), self.episodes, shape):
            maps = torch.stack([kept[i] for i in episode.flatten()]).to(device)
            scores = model.scores(maps[:support].unflatten(0, (shape.shots, -1)), maps[support:]).float()
            loss += F.cross_entropy(scores, way, reduction="sum").item()
            hits += (scores.argmax(1) == way).tolist()
        yield "top1", 100 * sum(hits) / len(hits)
        yield "loss", loss / len(hits)
        yield "n", len(hits)
        yield "group", len(way)
        yield "right", hits
