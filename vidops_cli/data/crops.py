"""Boxes that training clips are cut along, the same for all frames. A box is (top, left, height, width)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Box = tuple[int, int, int, int]
TRIES = 10  # as in the released code of both papers below
FIXED = [(i, j) for i in range(5) for j in range(5) if (i % 2, j % 2) in ((0, 0), (1, 1))]  # in quarters of the slack


@dataclass(frozen=True)
class MultiScale:
    """Sides that are shares of the shorter side, at most `max_distort` steps of the list apart.

    At one of 13 places, or anywhere. Wang et al., Temporal Segment Networks, arXiv 1608.00859.
    """

    scales: list[float]
    max_distort: int
    offsets: str

    def box(self, height: int, width: int, size: int, rng: np.random.Generator) -> Box:
        """A box of a frame; a side less than 3 pixels from `size` is `size`, so that nothing is scaled."""
        sides = [int(min(height, width) * scale) for scale in self.scales]
        sides = [size if abs(side - size) < 3 and size <= min(height, width) else max(side, 1) for side in sides]
        pairs = [
            (high, wide)
            for i, high in enumerate(sides)
            for j, wide in enumerate(sides)
            if abs(i - j) <= self.max_distort
        ]
        high, wide = pairs[rng.integers(len(pairs))]
        if self.offsets == "random":
            return int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1)), high, wide
        down, right = FIXED[rng.integers(len(FIXED))]
        return down * ((height - high) // 4), right * ((width - wide) // 4), high, wide


@dataclass(frozen=True)
class ResizedCrop:
    """A share `scale` of the area, width to height `ratio`. Szegedy et al., Going Deeper, arXiv 1409.4842."""

    scale: list[float]
    ratio: list[float]

    def box(self, height: int, width: int, size: int, rng: np.random.Generator) -> Box:
        """Where none fits in a few tries the largest in the middle that keeps the ratio."""
        found = random_box(height, width, self.scale, self.ratio, rng)
        if found is not None:
            return found
        low, high = self.ratio
        wide, tall = min(width, round(height * high)), min(height, round(width / low))
        return (height - tall) // 2, (width - wide) // 2, tall, wide


def random_box(height: int, width: int, area: list[float], ratio: list[float], rng: np.random.Generator) -> Box | None:
    """A box with a share of the area drawn evenly and a ratio whose logarithm is; None if none fits in a few tries."""
    for _ in range(TRIES):
        pixels = rng.uniform(*area) * height * width
        shape = np.exp(rng.uniform(*np.log(ratio)))
        wide, tall = round(np.sqrt(pixels * shape)), round(np.sqrt(pixels / shape))
        if 0 < wide <= width and 0 < tall <= height:
            return int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1)), tall, wide
    return None
