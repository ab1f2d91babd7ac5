"""Dense clips; those of segments are in test_clips.py."""

from __future__ import annotations

import numpy as np
import pytest

from vidops_cli.data.sampling import dense, sample, segments


@pytest.mark.parametrize(
    ("length", "num_frames", "stride", "expected"),
    [
        (100, 8, 8, [21, 29, 37, 45, 53, 61, 69, 77]),  # 57 frames; 21 before them, 22 after
        (57, 8, 8, [0, 8, 16, 24, 32, 40, 48, 56]),
        (10, 4, 1, [3, 4, 5, 6]),
        (4, 4, 1, [0, 1, 2, 3]),
        (5, 4, 2, [0, 2, 4, 1]),  # too short: starts over
        (3, 4, 1, [0, 1, 2, 0]),
        (1, 3, 8, [0, 0, 0]),
        (9, 1, 5, [4]),
    ],
)
def test_dense_frames_of_the_middle(length, num_frames, stride, expected):
    assert dense(length, num_frames, stride).tolist() == expected


@pytest.mark.parametrize(
    ("length", "num_frames", "stride"), [(40, 4, 8), (37, 4, 8), (33, 4, 8), (32, 4, 8), (12, 6, 1)]
)
def test_dense_frames_start_anywhere_in_training(length, num_frames, stride):
    drawn = np.stack([dense(length, num_frames, stride, np.random.default_rng(i)) for i in range(300)])
    assert (np.diff(drawn, axis=1) == stride).all()
    assert set(drawn[:, 0].tolist()) == set(range(length - num_frames * stride + 1))


def test_a_video_shorter_than_the_window_has_one_clip():
    """As in TSM: 8 frames of a window of 64, over again from the first frame."""
    drawn = {tuple(dense(50, 8, 8, np.random.default_rng(i)).tolist()) for i in range(30)}
    assert drawn == {tuple((8 * i) % 50 for i in range(8))}


def test_sample_is_of_segments_without_a_stride():
    for rng in (None, 3):
        one, other = (None if rng is None else np.random.default_rng(rng) for _ in range(2))
        assert sample(40, 8, rng=one).tolist() == segments(40, 8, other).tolist()
    assert sample(40, 8, stride=2).tolist() == dense(40, 8, 2).tolist()


@pytest.mark.parametrize(("length", "num_frames", "stride"), [(0, 4, 1), (4, 0, 1), (4, 4, 0)])
def test_nothing_to_sample_densely(length, num_frames, stride):
    with pytest.raises(ValueError, match=r"sample|apart"):
        dense(length, num_frames, stride)
