"""RandAugment: n operations out of a list, all of one magnitude. Cubuk et al., arXiv 1909.13719."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import colour

STRONGEST = 30


@dataclass(frozen=True)
class RandAugment:
    """`n` of the paper's 14 operations, drawn with replacement, at magnitude `m` of 30.

    What a magnitude means is as in torchvision's RandAugment; what has a direction goes either way. What is moved in
    from outside is black; pixels are read bilinearly.
    """

    n: int
    m: float

    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        for name in rng.choice(list(OPERATIONS), self.n):
            sign = 1 if rng.random() < 0.5 else -1
            images = OPERATIONS[name](images, self.m / STRONGEST, sign)
        return images


def affine(images: Tensor, matrix: tuple[float, float, float, float, float, float]) -> Tensor:
    """The pixel at (x, y), in pixels from the upper left corner, is that at (a x + b y + c, d x + e y + f)."""
    height, width = images.shape[2:]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    a, b, c, d, e, f = matrix
    grid = torch.stack([2 * (a * x + b * y + c) / width - 1, 2 * (d * x + e * y + f) / height - 1], dim=-1)
    return F.grid_sample(images, grid.expand(len(images), -1, -1, -1), "bilinear", "zeros", align_corners=False)


def rotate(images: Tensor, degrees: float) -> Tensor:
    """About the middle."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    y, x = images.shape[2] / 2, images.shape[3] / 2
    return affine(images, (cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y))


TRANSLATION = 150 / 331  # of the side

OPERATIONS: dict[str, Callable[[Tensor, float, int], Tensor]] = {
    "identity": lambda images, level, sign: images,
    "shear_x": lambda images, level, sign: affine(images, (1, sign * 0.3 * level, 0, 0, 1, 0)),
    "shear_y": lambda images, level, sign: affine(images, (1, 0, 0, sign * 0.3 * level, 1, 0)),
    "translate_x": lambda images, level, sign: affine(
        images, (1, 0, sign * TRANSLATION * level * images.shape[3], 0, 1, 0)
    ),
    "translate_y": lambda images, level, sign: affine(
        images, (1, 0, 0, 0, 1, sign * TRANSLATION * level * images.shape[2])
    ),
    "rotate": lambda images, level, sign: rotate(images, sign * 30 * level),
    "brightness": lambda images, level, sign: colour.brightness(images, 1 + sign * 0.9 * level),
    "color": lambda images, level, sign: colour.saturation(images, 1 + sign * 0.9 * level),
    "contrast": lambda images, level, sign: colour.contrast(images, 1 + sign * 0.9 * level),
    "sharpness": lambda images, level, sign: colour.sharpness(images, 1 + sign * 0.9 * level),
    "posterize": lambda images, level, sign: colour.posterize(images, 8 - round(4 * level)),
    "solarize": lambda images, level, sign: colour.solarize(images, 1 - level) if level else images,
    "autocontrast": lambda images, level, sign: colour.autocontrast(images),
    "equalize": lambda images, level, sign: colour.equalize(images),
}
