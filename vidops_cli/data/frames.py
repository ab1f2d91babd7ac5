"""Frames to look at: of a file, or of what a network was given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from .files import open_file
from .sampling import dense
from .transforms import prepare


def read_frames(path: Path, count: int, *, every: int = 1, size: int | None = None) -> np.ndarray:
    """At most `count` frames of a file's middle, `every` apart: (T, H, W, 3) uint8; the shorter side is at most `size`.

    ValueError if the file cannot be decoded.
    """
    try:
        file = open_file(path)
        frames = file.read(dense(len(file), min(count, 1 + (len(file) - 1) // every), every))
    except ValueError as error:
        raise ValueError(error.args[0], "give a video, an image or a folder of frames") from None
    if size is None or min(frames.shape[1:3]) <= size:
        return frames
    return resized(frames, size)


def resized(frames: np.ndarray, size: int | list[int]) -> np.ndarray:
    """Frames of another shorter side, or of another height and width."""
    mean, std = [0.0] * 3, [1.0] * 3
    return as_frames(prepare(frames, resize=size, crop=None, flip=0.0, mean=mean, std=std, rng=None)[0], mean, std)


def as_frames(clip: Tensor, mean: list[float], std: list[float]) -> np.ndarray:
    """A clip (3, T, H, W), as `prepare` makes it, back as frames (T, H, W, 3), uint8."""
    colours = clip.permute(1, 2, 3, 0) * clip.new_tensor(std) + clip.new_tensor(mean)
    return (255 * colours).round().clamp(0, 255).byte().numpy()
