"""What a batch means: the loss to train with, the metrics to report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidops_cli.models.listening import listening

from .scores import Part, tally


def accuracy(scores: Tensor, label: Tensor) -> float:
    """Share of the rows of `scores` (B, K) that are highest at their label (B); of shapes alone it is not a number."""
    return math.nan if scores.is_meta else (scores.argmax(1) == label).float().mean().item()


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
        return loss, {"accuracy": accuracy(logits, label)}

    def _cross_entropy(self, scores: Tensor, batch: dict[str, Any]) -> Tensor:
        """Of mixed clips (data/mixing.py) that to both labels by their shares: cross-entropy to the soft label."""
        loss = F.cross_entropy(scores, batch["label"], label_smoothing=self.label_smoothing)
        if "other" not in batch:
            return loss
        rest = F.cross_entropy(scores, batch["other"], label_smoothing=self.label_smoothing)
        return batch["share"] * loss + (1 - batch["share"]) * rest

    @torch.no_grad()
    def scored(self, model: nn.Module, batches: Iterable[dict[str, Any]]) -> Iterator[Part]:
        """Scores, labels and indices of each batch; those of which all videos were bad are left out."""
        for batch in batches:
            if "clip" in batch:
                label = batch["label"].cpu()
                yield self.logits(model, batch).cpu(), label, batch.get("index", label).cpu()

    def metrics(self, model: nn.Module, batches: Iterable[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
        """As `tally` yields them, of batches of one view of each clip."""
        yield from tally(self.scored(model, batches), self.classes)
