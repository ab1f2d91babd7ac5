"""Scores of clips, or results of episodes: averaged over views, kept in a file, put together, compared."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vidops_cli import stats
from vidops_cli.record import check_claims, write_bytes

AXES = {"paths": 1, "labels": 1, "classes": 1, "scores": 2, "episodes": 3, "accuracy": 1}  # of the arrays of a file
Part = tuple[Tensor, Tensor, Tensor]  # scores (B, classes), labels (B,), indices of the clips (B,)


def averaged(parts: Iterable[Part], views: int, how: str) -> Iterator[Part]:
    """Scores of clips from those of their views, which come one after the other. A clip that lacks one is left out.

    logits: their mean. softmax: the logarithm of the mean of their softmax, so that a softmax gives it back.
    """
    index, count, label, total = -1, 0, None, None
    for scores, labels, indices in parts:
        whole: list[tuple[Tensor, Tensor, int]] = []
        given = scores if how == "logits" else scores.log_softmax(1)
        for one, here, at in zip(given.double(), labels, indices.tolist(), strict=True):
            if at != index:
                index, count, label, total = at, 0, here, None
            count += 1
            join = torch.add if how == "logits" else torch.logaddexp
            total = one if total is None else join(total, one)
            if count == views:
                whole.append((total / views if how == "logits" else total - np.log(views), label, at))
        if whole:
            rows, found, at = zip(*whole, strict=True)
            yield torch.stack(rows).to(scores.dtype), torch.stack(found), torch.tensor(at)


def together(scores: Sequence[Float[Tensor, "n classes"]], how: str) -> Float[Tensor, "n classes"]:
    """An ensemble's: the mean of logits, or the logarithm of the mean of softmax, as views are averaged."""
    if how == "logits":
        return torch.stack(list(scores)).double().mean(0).to(scores[0].dtype)
    logs = torch.stack([one.double().log_softmax(1) for one in scores])
    return (logs.logsumexp(0) - np.log(len(scores))).to(scores[0].dtype)


@dataclass(frozen=True)
class Kept:
    """What a file of scores holds. Of clips `scores` (n, classes); of episodes `episodes` and `accuracy`."""

    kind: str
    """clips or episodes"""
    paths: np.ndarray
    """of the clips scored, in their order; of episodes, of all images that could be used"""
    labels: np.ndarray
    classes: np.ndarray
    """names"""
    checkpoint: str
    """sha256 of the file, its first 12 digits; several stand with a + between"""
    recipe: str
    """hash"""
    average: str
    views: int
    split: str
    present: str
    scores: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """of one view logits; of more, averaged: logits, or logarithms of probabilities"""
    episodes: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0), np.int64))
    """(episodes, shots + queries, ways), places in `paths`"""
    accuracy: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """of each episode, from 0 to 1"""
    loss: float = 0.0
    """of the queries of all episodes"""

    def save(self, path: Path) -> None:
        """Whole or not at all, as an .npz of plain arrays. ValueError if it cannot be written."""
        buffer = io.BytesIO()
        np.savez(buffer, **asdict(self))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, buffer.getvalue())
        except OSError as error:
            told = f"{path} cannot be written: {error.strerror or error}"
            raise ValueError(told, "name a file in a folder that you may write to") from None

    @classmethod
    def load(cls, path: Path) -> Kept:
        """ValueError if it is not there, cut short, or another file."""
        hint = "name a file that `vidops eval RUN --dump` wrote"
        try:
            check_claims(path)
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as found:
                told: dict[str, Any] = {key: found[key] for key in found.files}
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror or error}", hint) from None
        except (ValueError, TypeError, KeyError, EOFError, MemoryError, zipfile.BadZipFile):  # TypeError: one array
            raise ValueError(f"{path} is cut short, or no file of scores", hint) from None
        names = cls.__dataclass_fields__
        if set(told) != set(names):
            raise ValueError(f"{path} is no file of scores: it holds {', '.join(sorted(told)[:5]) or 'nothing'}", hint)
        plain = {key: value.item() for key, value in told.items() if value.ndim == 0}
        kept = cls(**told | plain)
        if not kept._fits():
            raise ValueError(f"{path} is no file of scores: its parts do not fit each other", hint)
        if not np.isfinite(kept.scores if kept.kind == "clips" else kept.loss).all():
            raise ValueError(f"{path} holds scores that are not finite", "its network has diverged: take another one")
        return kept

    def _fits(self) -> bool:
        """Whether its parts are of the kinds and shapes that `save` writes."""
        words = (self.kind, self.checkpoint, self.recipe, self.average, self.split, self.present)
        if (
            not all(isinstance(word, str) for word in words)
            or type(self.views) is not int
            or type(self.loss) is not float
        ):
            return False
        if any(np.ndim(getattr(self, name)) != axes for name, axes in AXES.items()) or len(self.paths) != len(
            self.labels
        ):
            return False
        if self.kind not in ("clips", "episodes") or self.average not in ("softmax", "logits"):
            return False
        if self.kind == "clips":
            shapes = self.scores.shape == (len(self.paths), len(self.classes)) and len(self.paths) > 0
            whole = np.issubdtype(self.labels.dtype, np.integer) and np.issubdtype(self.scores.dtype, np.floating)
            return shapes and whole and bool(((self.labels >= 0) & (self.labels < len(self.classes))).all())
        shares = np.issubdtype(self.accuracy.dtype, np.floating) and bool(
            ((self.accuracy >= 0) & (self.accuracy <= 1)).all()
        )
        return shares and len(self.episodes) == len(self.accuracy) > 0

    def same(self, other: Kept, here: Path, there: Path) -> None:
        """ValueError unless both are of the same clips, labels and classes, or of the same episodes."""
        hint = "evaluate both on the same split, episodes and data"
        if self.kind != other.kind:
            raise ValueError(f"{here} is of {self.kind}, {there} of {other.kind}", hint)
        if not np.array_equal(self.paths, other.paths):
            common = len(set(self.paths) & set(other.paths))
            apart = f"{len(self.paths)} and {len(other.paths)} of them, {common} in common"
            if len(self.paths) == len(other.paths) == common:
                apart = "the same clips in another order"
            raise ValueError(f"{here} and {there} are of other lists: {apart}", hint)
        if not np.array_equal(self.labels, other.labels):
            count = int((self.labels != other.labels).sum())
            raise ValueError(f"{here} and {there} have other labels, of {count} of {len(self.paths)} clips", hint)
        if not np.array_equal(self.classes, other.classes):
            told = f"{here} and {there} have other classes: {len(self.classes)} and {len(other.classes)} of them"
            raise ValueError(told, hint)
        if not np.array_equal(self.episodes, other.episodes):
            raise ValueError(f"{here} and {there} are of other episodes", hint)

    @property
    def right(self) -> np.ndarray:
        """Share of each clip, or episode, that is right."""
        if self.kind == "episodes":
            return self.accuracy
        return (torch.from_numpy(self.scores).argmax(1).numpy() == self.labels).astype(float)

    def metrics(self) -> dict[str, float]:
        """top1, top5 and mean_class in percent, loss; of episodes top1 with its 95 % interval, and loss."""
        if self.kind == "episodes":
            return {"top1": 100 * float(self.accuracy.mean()), "loss": self.loss} | episode_interval(self.accuracy)
        scores, labels = torch.from_numpy(self.scores), torch.from_numpy(self.labels)
        found = dict(tally([(scores, labels, labels)], len(self.classes)))
        return {name: found[name] for name in ("top1", "top5", "mean_class", "loss")}

    def per_class(self) -> list[dict[str, Any]]:
        """{"class", "n", "top1"} of each that has clips, the best first. ValueError of episodes, whose classes vary."""
        if self.kind == "episodes":
            raise ValueError("episodes have no classes of their own", "leave --per-class out")
        right = self.right
        rows = [
            {"class": str(self.classes[label]), "n": int(mine.sum()), "top1": 100 * float(right[mine].mean())}
            for label in np.unique(self.labels)
            for mine in [self.labels == label]
        ]
        return sorted(rows, key=lambda row: (-row["top1"], row["class"]))


def tally(parts: Iterable[Part], classes: int) -> Iterator[tuple[str, Any]]:
    """(name, value): top1, top5 and mean_class accuracy in percent, cross-entropy loss, n, the clips counted, and
    right: of each of them, in their order, whether top1 counts it.

    top5 is the share of clips whose label is among the five best, of at most all classes. ValueError for no clip.
    """
    right = torch.zeros(classes, dtype=torch.float64)
    total = torch.zeros(classes, dtype=torch.float64)
    among = loss = 0.0
    hits: list[bool] = []
    for scores, label, _ in parts:
        loss += F.cross_entropy(scores, label, reduction="sum").item()
        hit = scores.argmax(1) == label
        hits += hit.tolist()
        right.index_add_(0, label, hit.double())
        total.index_add_(0, label, torch.ones_like(label, dtype=torch.float64))
        best = scores.topk(min(5, classes), dim=1).indices
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


def episode_interval(accuracy: Sequence[float]) -> dict[str, float]:
    """{"low", "high"} in percent: mean +- 1.96 s / sqrt(n) over episodes, as few-shot papers print it; of 2 or more."""
    spread = stats.std([100 * float(one) for one in accuracy])
    if spread is None:
        return {}
    centre, margin = 100 * float(np.mean(accuracy)), 1.96 * spread / len(accuracy) ** 0.5
    return {"low": centre - margin, "high": centre + margin}


def ensemble(kept: Sequence[Kept], names: Sequence[Path], how: str | None) -> Kept:
    """Of one or more files one, their scores put together. `how` is that of their views, unless told.

    ValueError for episodes, files of other lists, labels or classes, and logits that were not kept.
    """
    first = kept[0]
    if len(kept) == 1 and how in (None, first.average):
        return first
    if first.kind == "episodes":
        raise ValueError("results of episodes cannot be put together: they hold no scores", "compare them: --against")
    for one, name in zip(kept[1:], names[1:], strict=True):
        first.same(one, names[0], name)
    ways = {one.average for one in kept}
    if how is None and len(ways) > 1:
        raise ValueError("the files were averaged over views in two ways", "say --average softmax, or logits")
    how = how or first.average
    for one, name in zip(kept, names, strict=True):
        if how == "logits" and one.average != "logits" and one.views > 1:
            told = f"{name} holds softmax averaged over {one.views} views: its logits were not kept"
            raise ValueError(told, "dump it again with eval.average=logits, or say --average softmax")
    scores = together([torch.from_numpy(one.scores) for one in kept], how).numpy()
    views = sum(one.views for one in kept)
    joined = {key: "+".join(getattr(one, key) for one in kept) for key in ("checkpoint", "recipe")}
    return replace(first, scores=scores, average=how, views=views, **joined)


def compared(a: Kept, b: Kept, names: tuple[Path, Path]) -> dict[str, Any]:
    """a - b in points of top1 on the same clips or episodes, its 95 % interval (paired bootstrap over them), and n.

    only_a, only_b: how many one alone has right; of episodes, in how many one is ahead. ValueError if they differ.
    """
    a.same(b, *names)
    apart = 100 * (a.right - b.right)
    counts = {"n": len(apart), "only_a": int((apart > 0).sum()), "only_b": int((apart < 0).sum())}
    low, high = stats.bootstrap(apart, "mean")
    return {"kind": a.kind, "difference": float(apart.mean()), "low": low, "high": high, **counts}
