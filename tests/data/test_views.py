"""Clips and crops of a video that it is tested on."""

from __future__ import annotations

import numpy as np
import pytest

from vidops_cli.data.sampling import dense, segments
from vidops_cli.data.transforms import prepare
from vidops_cli.data.views import ONE, View, views

SHOWN = {"resize": None, "flip": 0.0, "mean": [0.0] * 3, "std": [1.0] * 3, "rng": None}


def test_the_one_view_is_the_middle():
    assert views() == (ONE,)
    for length in (3, 8, 57, 100):
        assert dense(length, 8, 4, view=views()[0]).tolist() == dense(length, 8, 4).tolist()
        assert segments(length, 8, view=views()[0]).tolist() == segments(length, 8).tolist()


def test_dense_clips_start_evenly_from_end_to_end():
    starts = [dense(100, 8, 8, view=view)[0] for view in views(10)]  # 57 frames: starts from 0 to 43
    assert starts == [0, 4, 9, 14, 19, 23, 28, 33, 38, 43]
    assert {dense(57, 8, 8, view=view)[0] for view in views(10)} == {0}
    assert dense(5, 4, 2, view=View(1, 2)).tolist() == [0, 2, 4, 1]  # too short: starts over


def test_clips_of_segments_share_each_segment():
    assert [segments(40, 4, view=view).tolist() for view in views(2)] == [[2, 12, 22, 32], [7, 17, 27, 37]]
    taken = np.stack([segments(40, 4, view=view) for view in views(10)])
    assert sorted(taken.ravel().tolist()) == list(range(40))


@pytest.mark.parametrize(("height", "width"), [(4, 10), (10, 4), (6, 11)])
def test_three_crops_along_the_longer_side(height, width):
    frames = np.arange(height * width, dtype=np.uint8).reshape(1, height, width, 1).repeat(3, 3)
    side, found = 4, []
    for view in views(1, 3):
        clip, moved = prepare(frames, crop=side, view=view, **SHOWN)
        left, top = (-moved.shift).astype(int)
        there = frames[0, top : top + side, left : left + side, 0].astype(np.float32)
        assert np.allclose(255 * clip[0, 0].numpy(), there)
        found.append((top, left))
    middle = ((height - side) // 2, (width - side) // 2)
    longer = int(width > height)
    ends = [[middle[0], middle[1]] for _ in range(2)]
    ends[0][longer], ends[1][longer] = 0, max(height, width) - side
    assert found == [tuple(ends[0]), middle, tuple(ends[1])]


def test_a_crop_of_its_own_size_and_one_that_does_not_fit():
    frames = np.zeros((2, 8, 12, 3), np.uint8)
    assert prepare(frames, crop=4, view=View(size=8), **SHOWN)[0].shape == (3, 2, 8, 8)
    with pytest.raises(ValueError, match="a 9 crop does not fit frames of 8 x 12"):
        prepare(frames, crop=4, view=View(size=9), **SHOWN)


def test_other_numbers_of_crops_are_refused():
    with pytest.raises(ValueError, match="2 clips x 5 crops"):
        views(2, 5)
