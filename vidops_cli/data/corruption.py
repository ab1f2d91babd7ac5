"""Corrupted frames, to test networks that were trained on clean ones. Frames are uint8 (T, H, W, 3).

As SELFY's authors spoil clips (RSA/ops/transforms.py of their code: middle frames, a black box in the middle), but for
blur, which is Gaussian here and not along a line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Corruption:
    """noise: deviation in grey levels; blur: deviation in pixels; occlusion: side of a box, of the shorter side."""

    name: str
    amount: float
    frames: int | None = None
    """how many in the middle of the clip; None is all"""


def corrupt(frames: np.ndarray, told: Corruption, index: int) -> np.ndarray:
    """A copy with its middle frames corrupted; noise hangs on the clip's index alone, so all networks see the same."""
    count = len(frames) if told.frames is None else told.frames
    if count > len(frames):
        raise ValueError(f"{count} frames to corrupt, the clip has {len(frames)}", "lower data.corruption.frames")
    first = (len(frames) - count) // 2
    found = frames.copy()
    middle = found[first : first + count]
    middle[:] = CORRUPTIONS[told.name](middle, told.amount, np.random.default_rng([index, 5]))
    return found


def _noise(frames: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    return _grey_levels(frames + amount * rng.standard_normal(frames.shape))


def _blur(frames: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    reach = int(np.ceil(3 * amount))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / amount) ** 2)
    weights /= weights.sum()
    blurred = frames.astype(np.float64)
    for axis in (1, 2):
        width = [(reach, reach) if other == axis else (0, 0) for other in range(4)]
        shifted = np.lib.stride_tricks.sliding_window_view(np.pad(blurred, width, mode="edge"), len(weights), axis)
        blurred = shifted @ weights
    return _grey_levels(blurred)


def _occlusion(frames: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    height, width = frames.shape[1:3]
    side = round(amount * min(height, width))
    top, left = (height - side) // 2, (width - side) // 2
    frames = frames.copy()
    frames[:, top : top + side, left : left + side] = 0
    return frames


def _grey_levels(frames: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


CORRUPTIONS = {"noise": _noise, "blur": _blur, "occlusion": _occlusion}
