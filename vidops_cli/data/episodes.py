"""Episodes of few-shot classification: images of a few classes, some with their labels (support), some to be told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

FIXED = 2108  # seed of the episodes that networks are tested on


@dataclass(frozen=True)
class Episode:
    """The shape of episodes: `ways` classes, `shots` support images and `queries` others of each."""

    ways: int
    shots: int
    queries: int

    @property
    def size(self) -> int:
        return self.ways * (self.shots + self.queries)

    def members(self, labels: np.ndarray) -> list[np.ndarray]:
        """Indices of the images of each class that has enough; ValueError on fewer such classes than `ways`."""
        each = self.shots + self.queries
        found = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        enough = [indices for indices in found if len(indices) >= each]
        if len(enough) < self.ways:
            told = f"{len(enough)} of {len(found)} classes have the {each} images that an episode takes of each"
            raise ValueError(f"{told}, and it takes {self.ways} classes", "lower episodes.ways, .shots or .queries")
        return enough

    def draw(self, members: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """Indices (shots + queries, ways), support first; no image stands twice."""
        chosen = rng.choice(len(members), self.ways, replace=False)
        each = self.shots + self.queries
        return np.stack([rng.choice(members[way], each, replace=False) for way in chosen], axis=1)


def fixed(labels: np.ndarray, count: int, shape: Episode) -> Iterator[np.ndarray]:
    """`count` episodes that hang on nothing but the labels: every network of a table meets the same."""
    members = shape.members(labels)
    for i in range(count):
        yield shape.draw(members, np.random.default_rng([FIXED, i]))


class Beside:
    """Keys (epoch, index) of an epoch: of each step first an episode, then `batch` of the images of `order`.

    `order` are the keys from step `start` on. The episode hangs on seed, epoch and step alone.
    """

    def __init__(
        self,
        order: Sequence[tuple[int, int]],
        labels: np.ndarray,
        shape: Episode,
        *,
        batch: int,
        epoch: int,
        seed: int,
        start: int = 0,
    ):
        members, self.keys = shape.members(labels), []
        for first in range(0, len(order), batch):
            rng = np.random.default_rng([seed, epoch, 2, start + first // batch])
            self.keys += [(epoch, int(index)) for index in shape.draw(members, rng).flat]
            self.keys += order[first : first + batch]

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self.keys)
