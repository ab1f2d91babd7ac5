"""Joints of persons, and how they move with the frames that they stand in.

Pixels stand at whole numbers: the middle of the first is 0, its left edge -0.5.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from .card import Pairs

Size = tuple[int, int]  # height and width


@dataclass(frozen=True)
class Moved:
    """Where pixels have gone: what stood at (x, y) stands at `scale` times that plus `shift`."""

    scale: np.ndarray = field(default_factory=lambda: np.ones(2))
    shift: np.ndarray = field(default_factory=lambda: np.zeros(2))
    mirrored: bool = False

    def resized(self, before: Size, after: Size) -> Moved:
        """Edges of frames stay edges, as in F.interpolate with align_corners=False."""
        by = np.array(after[::-1]) / before[::-1]
        return replace(self, scale=by * self.scale, shift=by * (self.shift + 0.5) - 0.5)

    def cut(self, top: int, left: int) -> Moved:
        return replace(self, shift=self.shift - (left, top))

    def turned(self, width: int) -> Moved:
        """Left and right."""
        away = np.array([-1, 1])
        shift = away * self.shift + (width - 1, 0)
        return replace(self, scale=away * self.scale, shift=shift, mirrored=not self.mirrored)

    def __call__(self, joints: Float[np.ndarray, "T P J 3"], pairs: Pairs) -> Float[np.ndarray, "T P J 3"]:
        """x, y and score of joints after it. A mirror makes a left hand a right one, and so all `pairs`."""
        order = np.arange(joints.shape[2])
        for left, right in pairs if self.mirrored else ():
            order[[left, right]] = right, left
        moved = joints[:, :, order]
        moved[..., :2] = moved[..., :2] * self.scale + self.shift
        return moved


def beside(chosen: np.ndarray, length: int, count: int) -> np.ndarray:
    """Which of `count` poses stand where the chosen of `length` frames do: the same frames where both are as many."""
    return (2 * chosen + 1) * count // (2 * length)


@dataclass(frozen=True)
class Stored:
    """Joints of all clips in one .npy, (N, T, P, J, 3) float32, in pixels of the clips' own frames."""

    path: Path
    pairs: Pairs
    size: ClassVar[None] = None
    slack: ClassVar[float] = 0.0

    @cached_property
    def array(self) -> np.ndarray:
        try:
            found = np.load(self.path, allow_pickle=False)
        except (OSError, ValueError, EOFError, MemoryError) as error:
            raise ValueError(f"{self.path} holds no joints: {error}", "make the data set again") from None
        if np.ndim(found) != 5 or found.shape[-1] != 3:
            told = f"{self.path}: expected joints (N, T, P, J, 3), got {getattr(found, 'shape', 'an archive')}"
            raise ValueError(told, "make the data set again")
        return found

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.array[index]
