from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vidops_cli.data.mini import long_range
from vidops_cli.data.mini.long_range import Dials, draw_scene, positions, relabelled, render, reverse

DIALS = Dials(directions=4, frames=8, radius=8, noise=0)
OTHERS = Dials(directions=8, frames=11, size=32, gap=4, radius=32, speed=3.7, noise=0)


def scenes(dials: Dials, count: int, key: int = 11) -> list[long_range.Scene]:
    drawn = (np.random.default_rng([key, i]) for i in range(count))
    return [draw_scene(dials, rng, i % dials.directions, "train") for i, rng in enumerate(drawn)]


def steps(scene: long_range.Scene, dials: Dials, apart: int) -> np.ndarray:
    """From each position to that `apart` frames later, the short way."""
    xy = positions(scene, dials)
    return (xy[apart:] - xy[:-apart] + dials.size / 2) % dials.size - dials.size / 2


def moved_along(clips: np.ndarray, apart: int, speed: float, directions: int) -> np.ndarray:
    """A solver of whole-frame motion: the direction in which frames resemble those `apart` frames later most."""
    images = clips[..., 0].astype(float)
    spectrum = np.fft.fft2(images - images.mean((2, 3), keepdims=True))
    alike = np.fft.ifft2(spectrum[:, apart:] * spectrum[:, :-apart].conj()).real.mean(1)
    angles = 2 * np.pi * np.arange(directions) / directions
    x, y = np.rint(speed * np.cos(angles)).astype(int), np.rint(speed * np.sin(angles)).astype(int)
    return alike[:, y, x].argmax(1)


# --- what tells the label ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dials", [DIALS, OTHERS], ids=["default", "others"])
def test_objects_move_in_the_direction_of_the_label_from_view_to_view(dials):
    for scene in scenes(dials, 2 * dials.directions):
        angle = 2 * np.pi * scene.label / dials.directions
        wanted = dials.speed * np.array([np.cos(angle), np.sin(angle)])
        assert np.allclose(steps(scene, dials, dials.gap), wanted, atol=1e-9)


def test_frames_that_lie_the_gap_apart_tell_the_label():
    """And those nearer tell a solver of the same kind nothing: 400 clips, four deviations around 1/4."""
    dials = replace(DIALS, radius=DIALS.size)
    drawn = scenes(dials, 400)
    clips, labels = np.stack([render(scene, dials) for scene in drawn]), np.array([scene.label for scene in drawn])
    right = {apart: (moved_along(clips, apart, dials.speed, dials.directions) == labels).mean() for apart in (1, 2, 3)}
    assert right[3] > 0.98
    assert abs(right[1] - 0.25) < 0.09 and abs(right[2] - 0.25) < 0.09


def test_two_frames_off_is_no_control():
    """Frames t - 2 and t + 1 show the same scene: a window from -2 to 2 holds what one from -1 to 1 does not."""
    shown = np.arange(DIALS.frames) % DIALS.gap
    assert all(len(set(shown[t - 1 : t + 2])) == 3 for t in range(1, 7))
    assert all(len(set(shown[t - 2 : t + 3])) == 3 < 5 for t in range(2, 6))


# --- what cannot help -------------------------------------------------------------------------------------------------


def test_cannot_help_neighbours():
    """Any `gap` consecutive frames are, bit by bit, those of a clip of every other label."""
    for dials in (DIALS, Dials(), Dials(gap=2, occlusion=0.3), Dials(gap=5, frames=12, directions=8, noise=0)):
        scene = scenes(dials, 6)[5]
        frames = render(scene, dials).astype(int)
        for first in range(dials.frames - dials.gap + 1):
            for label in range(dials.directions):
                other = relabelled(scene, dials, label, first)
                apart = np.abs(render(other, dials).astype(int) - frames).max((1, 2, 3))
                assert other.label == label and other.textures == scene.textures
                assert apart[first : first + dials.gap].max() <= 1  # a grey level, of rounding
                if label != scene.label:
                    assert apart.max() > 40  # the clip as a whole is another
    # such clips are equally likely: starts are uniform for every label, and those of one clip independent
    for label in range(DIALS.directions):
        rngs = (np.random.default_rng([5, i]) for i in range(1500))
        starts = np.array([draw_scene(DIALS, rng, label, "train").starts for rng in rngs]) / DIALS.size
        assert starts.shape == (1500, 3, 2)
        ordered = np.sort(starts.reshape(1500, 6), axis=0)
        assert np.abs(ordered - (np.arange(1500)[:, None] + 0.5) / 1500).max() < 2 / 1500**0.5
        turned = np.exp(2j * np.pi * starts)
        for a, b in ((0, 1), (0, 2), (1, 2)):
            assert np.abs((turned[:, a] * turned[:, b].conj()).mean(0)).max() < 4 / 1500**0.5


def test_cannot_help_one_frame():
    """Each frame alone is that of a clip of every other label, and equally likely under each."""
    scene = scenes(DIALS, 7)[6]
    frames = render(scene, DIALS).astype(int)
    for t in range(DIALS.frames):
        for label in range(DIALS.directions):
            first = min(t, DIALS.frames - DIALS.gap)
            other = render(relabelled(scene, DIALS, label, first), DIALS).astype(int)
            assert np.abs(other[t] - frames[t]).max() <= 1
    for label in range(DIALS.directions):
        rngs = (np.random.default_rng([6, i]) for i in range(1500))
        xy = np.array([positions(draw_scene(DIALS, rng, label, "train"), DIALS) for rng in rngs]) / DIALS.size
        ordered = np.sort(xy.reshape(1500, -1), axis=0)
        assert np.abs(ordered - (np.arange(1500)[:, None] + 0.5) / 1500).max() < 2.2 / 1500**0.5


def test_cannot_help_frames_without_order():
    """A clip backwards has the same set of frames and the opposite label: at most every other clip is told."""
    for dials in (DIALS, OTHERS, Dials(gap=2, frames=9, noise=0)):
        for scene in scenes(dials, 4):
            back = reverse(scene, dials)
            assert (back.label - scene.label) % dials.directions == dials.directions // 2
            frames, backwards = render(scene, dials).astype(int), render(back, dials).astype(int)
            assert np.abs(frames - backwards[::-1]).max() <= 1
            again = reverse(back, dials)
            assert again.label == scene.label and np.allclose(again.starts, scene.starts)


# --- frames -----------------------------------------------------------------------------------------------------------


def test_frames_are_grey_and_the_object_is_camouflaged():
    drawn = scenes(DIALS, 100)
    frames = np.stack([render(scene, DIALS) for scene in drawn])
    assert frames.shape == (100, 8, 24, 24, 3) and frames.dtype == np.uint8
    assert (frames == frames[..., :1]).all() and 30 < frames.std() < 45
    xy = np.stack([positions(scene, DIALS) for scene in drawn]).reshape(-1, 2)
    cover = long_range.covered(xy, DIALS.radius, DIALS.size).reshape(100, 8, 24, 24)
    inside, outside = frames[cover == 1][:, 0], frames[cover == 0][:, 0]
    assert abs(inside.mean() - outside.mean()) < 2 and abs(inside.std() - outside.std()) < 2


def test_neighbouring_frames_are_unrelated_and_the_ground_of_a_view_comes_again():
    frames = np.stack([render(scene, DIALS)[..., 0].astype(float) for scene in scenes(DIALS, 60)])
    flat = frames.reshape(60, 8, -1)
    flat = (flat - flat.mean(-1, keepdims=True)) / flat.std(-1, keepdims=True)
    alike = [(flat[:, apart:] * flat[:, :-apart]).mean() for apart in (1, 2, 3)]
    assert abs(alike[0]) < 0.02 and abs(alike[1]) < 0.02 and alike[2] > 0.4


@pytest.mark.parametrize("occlusion", [0.25, 0.5])
def test_occlusion_covers_its_share_of_each_frame(occlusion):
    dials = replace(DIALS, occlusion=occlusion)
    for scene in scenes(DIALS, 5):
        clear, hidden = render(scene, DIALS).astype(int), render(scene, dials).astype(int)
        assert np.allclose((clear != hidden).mean((1, 2, 3)), occlusion, atol=0.06)


def test_noise_and_the_scene_decide_the_bytes():
    scene, noisy = scenes(DIALS, 1)[0], replace(DIALS, noise=0.5, occlusion=0.2)
    assert 10 < np.abs(render(scene, DIALS).astype(int) - render(scene, replace(DIALS, noise=0.5))).mean() < 25
    assert render(scene, noisy).tobytes() == render(scene, noisy).tobytes()
    assert render(scene, noisy).tobytes() != render(replace(scene, seed=scene.seed + 1), noisy).tobytes()
    assert render(scene, DIALS).tobytes() != render(replace(scene, textures=(1, 2, 3)), DIALS).tobytes()


@pytest.mark.parametrize(
    "dials",
    [
        {"directions": 3},
        {"directions": 0},
        {"size": 14},
        {"size": 25},
        {"gap": 0},
        {"gap": 8},
        {"frames": 3},
        {"radius": 0.0},
        {"radius": 25.0},
        {"radius": float("nan")},
        {"speed": 0.0},
        {"speed": 12.0},
        {"occlusion": -0.1},
        {"occlusion": 1.0},
        {"noise": -0.1},
        {"noise": float("nan")},
        {"crf": 19},
    ],
    ids=str,
)
def test_dials_that_make_no_benchmark(dials):
    with pytest.raises(ValueError, match="expected"):
        Dials(**dials).check()


def test_names_of_labels_and_floors():
    assert long_range.classes(DIALS, "test") == ("0 degrees", "90 degrees", "180 degrees", "270 degrees")
    assert long_range.floors(DIALS) == {"chance": 1 / 4, "order-blind": 1 / 2}
