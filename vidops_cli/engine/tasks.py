"""What a batch means: the loss to train with, the metrics to report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Classification:
    """One label a clip. Batches hold "clip" and "label"."""

    def __init__(self, classes: int, label_smoothing: float = 0.0):
        self.classes = classes
        self.label_smoothing = label_smoothing

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """Mean cross-entropy of the batch, and what to log beside it."""
        logits = model(batch["clip"]).float()
        loss = F.cross_entropy(logits, batch["label"], label_smoothing=self.label_smoothing)
        return loss, {"accuracy": (logits.argmax(1) == batch["label"]).float().mean().item()}

    @torch.no_grad()
    def metrics(self, model: nn.Module, batches: Iterable[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
        """(name, value): top1, top5 and mean_class accuracy in percent, cross-entropy loss, n, the clips counted, and
        right: of each of them, in their order, whether top1 counts it.

        top5 is the share of clips whose label is among the five best, of at most all classes.
        """
        right = torch.zeros(self.classes, dtype=torch.float64)
        total = torch.zeros(self.classes, dtype=torch.float64)
        among = loss = 0.0
        hits: list[bool] = []
        for batch in batches:
            if "clip" not in batch:  # all of its videos were bad
                continue
            logits = model(batch["clip"]).float().cpu()
            label = batch["label"].cpu()
            loss += F.cross_entropy(logits, label, reduction="sum").item()
            hit = logits.argmax(1) == label
            hits += hit.tolist()
            right.index_add_(0, label, hit.double())
            total.index_add_(0, label, torch.ones_like(label, dtype=torch.float64))
            best = logits.topk(min(5, self.classes), dim=1).indices
            among += (best == label[:, None]).any(1).sum().item()
        n = total.sum().item()
        if not n:
            raise ValueError("no clip was evaluated", "check the split and data.max_bad")
        seen = total > 0
        yield "top1", 100 * right.sum().item() / n
        yield "top5", 100 * among / n
        yield "mean_class", 100 * (right[seen] / total[seen]).mean().item()
        yield "loss", loss / n
        yield "n", n
        yield "right", hits
