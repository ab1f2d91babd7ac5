"""What changes training clips beyond a crop and a mirror; every change is the same for all frames of a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from . import colour
from .colour import Blur, Jitter
from .crops import MultiScale, ResizedCrop, random_box
from .rand_augment import RandAugment


@dataclass(frozen=True)
class Erase:
    """With probability p a box becomes the mean colour: a share `area` of the frame, width to height `ratio`.

    Zhong et al., Random Erasing, arXiv 1708.04896.
    """

    p: float
    area: list[float]
    ratio: list[float]

    def __call__(self, clip: Tensor, rng: np.random.Generator) -> Tensor:
        """Of a normalised clip (T, H, W, 3), whose mean is 0."""
        box = random_box(*clip.shape[1:3], self.area, self.ratio, rng) if rng.random() < self.p else None
        if box is not None:
            top, left, height, width = box
            clip = clip.clone()
            clip[:, top : top + height, left : left + width] = 0
        return clip


@dataclass(frozen=True)
class Augment:
    """Steps in their order; the names and meanings of a recipe's `data.augment`."""

    multi_scale: MultiScale | None = None
    resized_crop: ResizedCrop | None = None
    rand_augment: RandAugment | None = None
    jitter: Jitter | None = None
    grey: float = 0.0
    blur: Blur | None = None
    erase: Erase | None = None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Augment:
        """From the section of a recipe."""
        return cls(**{key: PARTS[key](**value) if isinstance(value, dict) else value for key, value in told.items()})

    @property
    def crop(self) -> MultiScale | ResizedCrop | None:
        return self.multi_scale or self.resized_crop

    def recolour(self, clip: Tensor, rng: np.random.Generator) -> Tensor:
        """The steps between mirroring and normalisation, on frames (T, H, W, 3) from 0 to 255."""
        if not (self.rand_augment or self.jitter or self.grey or self.blur):
            return clip
        images = clip.permute(0, 3, 1, 2).float() / 255
        if self.rand_augment:
            images = self.rand_augment(images, rng)
        if self.jitter:
            images = self.jitter(images, rng)
        if self.grey and rng.random() < self.grey:
            images = colour.grey(images)
        if self.blur:
            images = self.blur(images, rng)
        return (255 * images).permute(0, 2, 3, 1).contiguous()


PARTS = {
    "multi_scale": MultiScale,
    "resized_crop": ResizedCrop,
    "rand_augment": RandAugment,
    "jitter": Jitter,
    "blur": Blur,
    "erase": Erase,
}


def mirrored_labels(
    classes: Sequence[str], keep: Sequence[int | str], swap: Sequence[Sequence[int | str]]
) -> tuple[set[int], dict[int, int]]:
    """Labels whose clips are never mirrored, and what mirroring turns others into. ValueError on one that is none."""

    def number(told: int | str) -> int:
        found = told if isinstance(told, int) else classes.index(told) if told in classes else -1
        if not 0 <= found < len(classes):
            what = f"data.flip_keep, data.flip_swap: {told!r} is no label of the {len(classes)} classes"
            raise ValueError(what, "a number from 0 on, or the name of a class")
        return found

    pairs = [(number(one), number(other)) for one, other in swap]
    return set(map(number, keep)), dict(pairs) | {other: one for one, other in pairs}
