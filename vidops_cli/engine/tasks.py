"""What a batch means: the loss to train with, the metrics to report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidops_cli.models.listening import listening


class Classification:
    """One label a clip. Batches hold "label" and the network's `inputs`.

    `gate_weight` is lambda of IntegralAction (arXiv 2007.06317): loss + lambda mean(-log g), which pushes its gate g
    towards the pose. Streams whose scores are averaged learn apart: the loss is the sum of their own.
    """

    def __init__(
        self,
        classes: int,
        label_smoothing: float = 0.0,
        *,
        inputs: tuple[str, ...] = ("clip",),
        gate_weight: float = 0.0,
    ):
        self.classes = classes
        self.label_smoothing = label_smoothing
        self.inputs = inputs
        self.gate_weight = gate_weight

    def logits(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        """(B, classes). ValueError if the data have not what the network takes."""
        if absent := [name for name in self.inputs if name not in batch]:
            told = f"the network takes {', '.join(self.inputs)}, of which the data set has no {' and no '.join(absent)}"
            raise ValueError(told, "data sets with joints are mini_out_of_context, ntu60 and Kinetics")
        return model(*(batch[name] for name in self.inputs)).float()

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """Mean cross-entropy of the batch, and what to log beside it."""
        with listening(model) as said:
            logits = self.logits(model, batch)
        streams = [stream.float() for stream in said.streams] or [logits]
        loss = torch.stack([self._cross_entropy(stream, batch) for stream in streams]).sum()
        if self.gate_weight:
            if not said.gates:
                raise ValueError("train.gate_weight: the network has no gate", "set it to 0, or put integral_action in")
            pushes = [F.softplus(-gate.float()).mean() for gate in said.gates]
            loss = loss + self.gate_weight * torch.stack(pushes).mean()
        label = batch["label"] if batch.get("share", 1) >= 0.5 else batch["other"]  # what most of a mixed clip is
        return loss, {"accuracy": (logits.argmax(1) == label).float().mean().item()}

    def _cross_entropy(self, scores: Tensor, batch: dict[str, Any]) -> Tensor:
        """Of mixed clips (data/mixing.py) that to both labels by their shares: cross-entropy to the soft label."""
        loss = F.cross_entropy(scores, batch["label"], label_smoothing=self.label_smoothing)
        if "other" not in batch:
            return loss
        rest = F.cross_entropy(scores, batch["other"], label_smoothing=self.label_smoothing)
        return batch["share"] * loss + (1 - batch["share"]) * rest

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
            logits = self.logits(model, batch).cpu()
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
