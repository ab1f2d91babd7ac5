"""Which frames of a video make a clip."""

from __future__ import annotations

import numpy as np


def segments(length: int, num_frames: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """TSN sampling: one frame of each of `num_frames` equal segments; at random with `rng`, else the middle one.

    A video shorter than the clip repeats frames. Wang et al., Temporal Segment Networks, arXiv 1608.00859.
    """
    if length < 1 or num_frames < 1:
        raise ValueError(f"cannot sample {num_frames} frames of {length}")
    edges = np.arange(num_frames + 1) * length / num_frames
    place = np.full(num_frames, 0.5) if rng is None else rng.random(num_frames)
    return np.minimum(edges[:-1] + place * (length / num_frames), length - 1).astype(np.int64)
