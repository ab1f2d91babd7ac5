"""Mini displacement: what its clips show, and what they cannot tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vidops_cli.data.mini import displacement
from vidops_cli.data.video import VideoFile, write_video

CLEAN = displacement.Dials(clutter=0)
FAR = replace(CLEAN, near=10.0)
OTHER = displacement.Dials(discs=4, frames=3, size=48, radius=3.5, near=8, far=14)


def scenes(dials: displacement.Dials, count: int) -> list[displacement.Scene]:
    return [
        displacement.draw_scene(dials, np.random.default_rng([11, i]), i % dials.discs, "train") for i in range(count)
    ]


def read_marks(frames: np.ndarray, scene: displacement.Scene, dials: displacement.Dials) -> np.ndarray:
    """Mark of each hue in each frame, (T, discs), from the pixels around the places where discs stand."""
    found = np.empty((len(frames), dials.discs), int)
    grid, reach = np.arange(dials.size), dials.radius - 0.5
    hues = 2 * np.pi * (scene.hue + np.arange(dials.discs)[:, None] / dials.discs - np.arange(3) / 3)
    for t, (frame, places) in enumerate(zip(frames.astype(float), scene.places, strict=True)):
        for x0, y0 in places:
            x, y = ((grid - at + dials.size / 2) % dials.size - dials.size / 2 for at in (x0, y0))
            inside = np.hypot(x[None, :], y[:, None]) < reach
            disc = int((np.cos(hues) @ (frame[inside].mean(axis=0) - 128)).argmax())
            grey = frame.mean(axis=-1)[inside] - frame.mean(axis=-1)[inside].mean()
            x, y = (np.broadcast_to(each, inside.shape)[inside] for each in (x[None, :], y[:, None]))
            angles = np.pi * np.arange(dials.discs) / dials.discs
            waves = np.exp(2j * np.pi / dials.radius * (np.cos(angles)[:, None] * x + np.sin(angles)[:, None] * y))
            found[t, disc] = int(np.abs(waves @ grey).argmax())
    return found


def solved(frames: np.ndarray, scene: displacement.Scene, dials: displacement.Dials) -> bool:
    """Whether the step of most marks is the label."""
    steps = np.diff(read_marks(frames, scene, dials), axis=0) % dials.discs
    return int(np.bincount(steps.ravel()).argmax()) == scene.label


@pytest.mark.parametrize(
    "dials", [CLEAN, FAR, displacement.Dials(noise=0.3), OTHER], ids=["clean", "far", "noisy", "four"]
)
def test_hues_and_marks_tell_the_label(dials):
    """A solver that finds each hue again is right, from the pixels."""
    right = [solved(displacement.render(scene, dials), scene, dials) for scene in scenes(dials, 60)]
    assert sum(right) >= 57


def test_encoded_clips_tell_the_label(tmp_path):
    """H.264 keeps colours at half the size."""
    dials, right = displacement.Dials(), []
    for i, scene in enumerate(scenes(dials, 15)):
        path = tmp_path / f"{i}.mp4"
        write_video(path, displacement.render(scene, dials), crf=dials.crf)
        right.append(solved(VideoFile(path).read(np.arange(dials.frames)), scene, dials))
    assert sum(right) >= 14


@pytest.mark.parametrize("dials", [CLEAN, OTHER], ids=["default", "four"])
def test_cannot_help_one_frame(dials):
    """For each frame and label a scene, drawn as often, has this very frame."""
    for scene in scenes(dials, 2 * dials.discs):
        shown = displacement.render(scene, dials)
        for t in range(dials.frames):
            for label in range(dials.discs):
                first = (displacement.marks(scene, dials)[t] - label * t) % dials.discs
                assert sorted(first) == list(range(dials.discs))  # a permutation, and all are drawn alike
                other = replace(scene, label=label, marks=tuple(int(mark) for mark in first))
                assert (displacement.render(other, dials)[t] == shown[t]).all()


def test_cannot_help_colours_and_places():
    """All but the label is drawn before it counts: the same for every label."""
    for i in range(20):
        drawn = [displacement.draw_scene(OTHER, np.random.default_rng(i), label, "test") for label in range(4)]
        assert len({replace(scene, label=0) for scene in drawn}) == 1
        assert [scene.label for scene in drawn] == [0, 1, 2, 3]


@pytest.mark.parametrize("dials", [CLEAN, OTHER], ids=["default", "four"])
def test_cannot_help_marks_without_bearers(dials):
    """Every frame shows each mark once: which disc bears which is all that changes."""
    for scene in scenes(dials, 30):
        marks = displacement.marks(scene, dials)
        assert (np.sort(marks, axis=1) == np.arange(dials.discs)).all()
        assert (np.diff(marks, axis=0) % dials.discs == scene.label).all()


@pytest.mark.parametrize("dials", [CLEAN, OTHER], ids=["default", "four"])
def test_cannot_help_frames_without_order(dials):
    """Reversal keeps the frames and changes the label, unless the label is its own reverse."""
    changed = 0
    for scene in scenes(dials, 24):
        back = displacement.reverse(scene, dials)
        assert (back.label + scene.label) % dials.discs == 0
        assert (displacement.render(scene, dials) == displacement.render(back, dials)[::-1]).all()
        assert displacement.reverse(back, dials) == scene
        changed += back.label != scene.label
    groups = round(displacement.floors(dials)["order-blind"] * dials.discs)
    assert groups == len({frozenset((s, -s % dials.discs)) for s in range(dials.discs)})
    assert changed == 24 - 24 * (2 * groups - dials.discs) // dials.discs


@pytest.mark.parametrize("dials", [CLEAN, FAR, OTHER], ids=["default", "far", "four"])
def test_cannot_help_a_window_below_the_jump(dials):
    """Around the place of a disc, the next frame shows ground alone as far as a jump less a radius."""
    for scene in scenes(dials, 10):
        places = np.array(scene.places)
        assert dials.near <= scene.jump <= dials.far
        assert np.allclose(displacement.apart(places[1:], places[:-1], dials.size), scene.jump)
        assert displacement.apart(places[1:, :, None], places[:-1, None], dials.size).min() >= scene.jump - 1e-6
    if dials == FAR:
        frames = displacement.render(scene, dials).astype(int)
        grid = np.stack(np.meshgrid(np.arange(dials.size), np.arange(dials.size)), axis=-1)
        for now, then in zip(places[:-1], frames[1:], strict=True):
            window = displacement.apart(grid[:, :, None], now, dials.size).min(axis=-1) < scene.jump - dials.radius - 1
            assert window.sum() > 200 and (then[window] == 128).all()


def test_the_far_test_has_the_farther_jumps_alone():
    jumps = {
        split: [displacement.draw_scene(CLEAN, np.random.default_rng(i), 0, split).jump for i in range(200)]
        for split in ("train", "val", "test", "test_far")
    }
    assert jumps["train"] == jumps["val"] == jumps["test"]
    assert min(jumps["test"]) < 1 and 13 < max(jumps["test"]) <= 14
    assert 7 <= min(jumps["test_far"]) < 7.5 and 13 < max(jumps["test_far"]) <= 14


def test_places_are_uniform_and_discs_stand_apart():
    drawn = np.array([scene.places for scene in scenes(displacement.Dials(), 600)])
    assert drawn.shape == (600, 3, 3, 2) and drawn.min() >= 0 and drawn.max() < 36
    for t in range(3):
        cells = np.histogram2d(*drawn[:, t, 0].T, bins=4, range=[[0, 36]] * 2)[0]
        assert ((cells - 37.5) ** 2 / 37.5).sum() < 37.7  # chi-square, 15 degrees of freedom, 0.1 %
    between = displacement.apart(drawn[:, :, [0, 0, 1]], drawn[:, :, [1, 2, 2]], 36)
    assert between.min() >= 9 - 1e-6  # two radii and a pixel
    assert np.ptp(between, axis=1).mean() > 3  # each goes its own way


def test_frames_are_uint8_and_scenes_decide_them():
    dials = displacement.Dials(noise=0.2)
    scene = scenes(dials, 1)[0]
    frames = displacement.render(scene, dials)
    assert frames.shape == (3, 36, 36, 3) and frames.dtype == np.uint8
    assert frames.tobytes() == displacement.render(scene, dials).tobytes()
    assert frames.tobytes() != displacement.render(replace(scene, seed=scene.seed + 1), dials).tobytes()
    still = displacement.render(scene, replace(dials, noise=0.0)).astype(int)
    assert 2 < np.abs(frames - still).mean() < 12
    assert (np.ptp(still, axis=0) == 0).any()  # the ground stays


def test_classes_and_floors():
    assert displacement.classes(CLEAN, "test") == ("the mark stays", "60 degrees on", "120 degrees on")
    assert displacement.floors(CLEAN) == {"chance": pytest.approx(1 / 3), "order-blind": pytest.approx(2 / 3)}
    assert displacement.floors(OTHER) == {"chance": 0.25, "order-blind": 0.75}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"discs": 2}, "3 or 4 discs"),
        ({"frames": 1}, "at least 2 frames"),
        ({"size": 37}, "an even size"),
        ({"radius": 9.0}, "a radius"),
        ({"near": 15.0}, "near <= far"),
        ({"far": 20.0}, "near <= far"),
        ({"crf": 30}, "crf"),
        ({"noise": -1.0}, "noise"),
        ({"discs": 4, "far": 17.0}, "4 discs .* cannot jump 17 pixels"),
    ],
)
def test_dials_that_make_no_benchmark_are_refused(wrong, told):
    with pytest.raises(ValueError, match=told) as caught:
        replace(displacement.Dials(), **wrong).check()
    assert len(caught.value.args) == 2
