from __future__ import annotations

import numpy as np
import pytest

from vidops_cli.data.corruption import CORRUPTIONS, Corruption, corrupt

GREY = np.full((8, 24, 32, 3), 128, np.uint8)


def changed(frames: np.ndarray, told: Corruption, index: int = 3) -> list[int]:
    """Which frames are not as they were."""
    found = corrupt(frames, told, index)
    assert found.shape == frames.shape and found.dtype == np.uint8
    return np.flatnonzero((found != frames).any((1, 2, 3))).tolist()


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, GREY.shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("frames", "wanted"), [(None, list(range(8))), (8, list(range(8))), (1, [3]), (2, [3, 4]), (3, [2, 3, 4])]
)
@pytest.mark.parametrize(("name", "amount"), [("noise", 20), ("blur", 1.5), ("occlusion", 0.5)])
def test_the_middle_frames_are_spoilt(name, amount, frames, wanted):
    assert changed(picture(), Corruption(name, amount, frames)) == wanted
    assert {"noise", "blur", "occlusion"} == set(CORRUPTIONS)


def test_the_frames_given_are_left_as_they_are():
    frames = picture()
    corrupt(frames, Corruption("noise", 50), 0)
    assert np.array_equal(frames, picture())


def test_noise_has_the_deviation_and_hangs_on_the_index():
    found = corrupt(GREY, Corruption("noise", 20), 3).astype(float) - 128
    assert abs(found.mean()) < 1 and abs(found.std() - 20) < 1
    assert np.array_equal(found + 128, corrupt(GREY, Corruption("noise", 20), 3))
    assert not np.array_equal(found + 128, corrupt(GREY, Corruption("noise", 20), 4))


def test_noise_stays_in_grey_levels():
    found = corrupt(picture(), Corruption("noise", 255), 0)
    assert found.min() == 0 and found.max() == 255


def test_blur_spreads_a_point_as_a_gaussian():
    frames = np.zeros((2, 25, 25, 3), np.uint8)
    frames[:, 12, 12] = 255
    found = corrupt(frames, Corruption("blur", 2), 0).astype(float)
    offsets = np.arange(25) - 12
    weights = np.exp(-(offsets[:, None] ** 2 + offsets**2) / 8)
    assert np.abs(found - 255 * (weights / weights.sum())[..., None]).max() < 0.6
    assert np.array_equal(corrupt(GREY, Corruption("blur", 3), 0), GREY)


def test_occlusion_is_a_black_box_in_the_middle():
    found = corrupt(GREY, Corruption("occlusion", 0.5), 0)
    assert (found[:, 6:18, 10:22] == 0).all()
    found[:, 6:18, 10:22] = 128
    assert np.array_equal(found, GREY)
    assert not corrupt(GREY, Corruption("occlusion", 1), 0)[:, :, 4:28].any()


def test_more_frames_than_the_clip_has():
    with pytest.raises(ValueError, match="9 frames to corrupt, the clip has 8") as error:
        corrupt(GREY, Corruption("noise", 20, 9), 0)
    assert "data.corruption.frames" in error.value.args[1]
