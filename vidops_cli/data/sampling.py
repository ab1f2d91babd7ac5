"""Which frames of a video make a clip."""

from __future__ import annotations

import numpy as np

from .views import ONE, View


def sample(
    length: int,
    num_frames: int,
    *,
    stride: int | None = None,
    rng: np.random.Generator | None = None,
    view: View = ONE,
) -> np.ndarray:
    """Indices of a clip's frames: dense with a stride, else of segments; at random with `rng`, else a view's."""
    return segments(length, num_frames, rng, view) if stride is None else dense(length, num_frames, stride, rng, view)


def segments(length: int, num_frames: int, rng: np.random.Generator | None = None, view: View = ONE) -> np.ndarray:
    """TSN sampling: one frame of each of `num_frames` equal segments; at random with `rng`, else the middle one.

    Several clips (`view`) take theirs at other places of each segment, evenly spread.
    A video shorter than the clip repeats frames. Wang et al., Temporal Segment Networks, arXiv 1608.00859.
    """
    _check(length, num_frames)
    edges = np.arange(num_frames + 1) * length / num_frames
    place = np.full(num_frames, view.place) if rng is None else rng.random(num_frames)
    return np.minimum(edges[:-1] + place * (length / num_frames), length - 1).astype(np.int64)


def dense(
    length: int, num_frames: int, stride: int, rng: np.random.Generator | None = None, view: View = ONE
) -> np.ndarray:
    """Frames `stride` apart: of a window of num_frames * stride frames anywhere with `rng`, else from the middle.

    Several clips (`view`) start evenly spread, from the first frame that they can to the last.
    A video shorter than that starts over, as in TSM's dense sampling, whose 64 // num_frames is `stride` (Lin et al.,
    arXiv 1811.08383; its code never draws the last start, this does).
    """
    _check(length, num_frames)
    if stride < 1:
        raise ValueError(f"frames of a clip are at least 1 apart, got {stride}")
    if rng is None:
        first = view.first(max(0, length - (num_frames - 1) * stride - 1))
    else:
        first = int(rng.integers(max(0, length - num_frames * stride) + 1))
    return (first + stride * np.arange(num_frames)) % length


def _check(length: int, num_frames: int) -> None:
    if length < 1 or num_frames < 1:
        raise ValueError(f"cannot sample {num_frames} frames of {length}")
