"""Mini dots: what its clips show, and what they cannot tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vidops_cli.data.mini import dots

DIALS = dots.Dials()
EASY = dots.Dials(coherence=1.0, life=8)


def scenes(dials: dots.Dials, per_label: int) -> list[dots.Scene]:
    return [
        dots.draw_scene(dials, np.random.default_rng([11, i]), i % dials.directions, "train")
        for i in range(per_label * dials.directions)
    ]


def steps_of(scene: dots.Scene, dials: dots.Dials) -> np.ndarray:
    """Steps (T - 1, N, 2) of the dots, the short way round."""
    steps = np.diff(dots.positions(scene, dials)[0], axis=0)
    return (steps + dials.size / 2) % dials.size - dials.size / 2


@pytest.mark.parametrize("label", range(4))
@pytest.mark.parametrize("backward", [False, True])
def test_coherent_dots_move_in_their_direction(label, backward):
    steps = steps_of(dots.Scene(label, backward, 5), EASY)
    wanted = EASY.speed * np.array([(1, 0), (0, 1), (-1, 0), (0, -1)][label])
    alive = np.abs(steps - wanted).max(axis=-1) < 1e-9
    assert alive.mean() >= 1 - 1 / 7  # each dot is born anew once at most


def test_dots_live_as_told_and_a_share_is_coherent():
    dials = dots.Dials(coherence=0.3, life=4)
    same, ahead, alive = 0, 0, 0
    for scene in scenes(dials, 100):
        steps = steps_of(scene, dials)
        kept = np.abs(np.hypot(*steps.T).T - dials.speed) < 1e-6
        angle = 2 * np.pi * scene.label / 4
        along = steps @ np.array([np.cos(angle), np.sin(angle)]) > dials.speed - 1e-6
        same, alive, ahead = same + kept.sum(), alive + kept.size, ahead + (along & kept).sum()
    assert abs(same / alive - 3 / 4) < 0.01
    assert abs(ahead / same - 0.3) < 0.02


def test_cannot_help_one_frame():
    """Places are uniform whatever the label, in every frame, alone and by pairs of axes; so are signs."""
    for dials in (DIALS, EASY):
        drawn = scenes(dials, 60)
        for label in range(dials.directions):
            xy, sign = (
                np.stack(part)
                for part in zip(*(dots.positions(scene, dials) for scene in drawn if scene.label == label), strict=True)
            )
            assert xy.min() >= 0 and xy.max() < dials.size
            assert abs(sign.mean()) < 0.1
            for t in range(dials.frames):
                cells, _, _ = np.histogram2d(*xy[:, t].reshape(-1, 2).T, bins=4, range=[[0, dials.size]] * 2)
                expected = xy[:, t].size / 2 / 16
                assert ((cells - expected) ** 2 / expected).sum() < 44.3  # chi-square, 15 degrees of freedom, 0.01 %


def test_the_bound_sees_places_that_are_not_uniform():
    places = np.random.default_rng(0).uniform(2, DIALS.size - 2, (1440, 2))
    cells, _, _ = np.histogram2d(*places.T, bins=4, range=[[0, DIALS.size]] * 2)
    assert ((cells - 90) ** 2 / 90).sum() > 44.3


@pytest.mark.parametrize(
    "dials", [DIALS, EASY, dots.Dials(directions=8, frames=5, size=32, speed=3.3, spread=2)], ids=str
)
def test_cannot_help_frames_without_order(dials):
    """Reversal keeps the frames, so any statistic of their set, and takes the opposite label; half are drawn so."""
    drawn = scenes(dials, 50)
    for scene in drawn[:8]:
        back = dots.reverse(scene, dials)
        assert (back.label - scene.label) % dials.directions == dials.directions // 2
        frames, backwards = dots.render(scene, dials), dots.render(back, dials)
        assert (frames == backwards[::-1]).all() and (frames != backwards).any()
        assert (np.sort(frames, axis=0) == np.sort(backwards, axis=0)).all()
        assert dots.reverse(back, dials) == scene
    for label in range(dials.directions):
        assert 10 < sum(scene.backward for scene in drawn if scene.label == label) < 40


def shift_ahead(dials: dots.Dials, apart: int) -> float:
    """Mean shift of the dots along the label between frames so far apart, in deviations of a mean of nothing."""
    told = []
    for scene in scenes(dials, 150):
        xy = dots.positions(scene, dials)[0]
        away = (xy[apart:] - xy[:-apart] + dials.size / 2) % dials.size - dials.size / 2
        angle = 2 * np.pi * scene.label / 4
        told.append(float((away @ np.array([np.cos(angle), np.sin(angle)])).mean()))
    return float(np.mean(told) / (np.std(told) / len(told) ** 0.5))


def test_cannot_help_frames_a_life_apart():
    dials = dots.Dials(coherence=1.0, life=3)
    assert abs(shift_ahead(dials, 3)) < 4
    assert abs(shift_ahead(dials, 4)) < 4
    assert shift_ahead(dials, 1) > 20


def test_what_a_solver_can_do():
    """Correlation of neighbouring frames at one step each way finds the direction of coherent dots."""
    for dials, least in ((EASY, 0.95), (DIALS, 0.6)):
        right = []
        for scene in scenes(dials, 25):
            frames = dots.render(scene, dials)[..., 0].astype(float) - 128
            moved = [np.roll(frames[:-1], (2 * y, 2 * x), (1, 2)) for x, y in ((1, 0), (0, 1), (-1, 0), (0, -1))]
            right.append(int(np.argmax([(frames[1:] * each).sum() for each in moved])) == scene.label)
        assert np.mean(right) > least


def test_speeds_of_clips():
    dials = dots.Dials(coherence=1.0, life=8, speed=5.0, spread=3.0)
    drawn = scenes(dials, 10)
    paces = []
    for scene in drawn:
        lengths = np.hypot(*steps_of(scene, dials).T)
        paces.append(np.median(lengths))
        assert abs(paces[-1] - (5 - 3 * scene.pace)) < 1e-6
    assert 2 <= min(paces) < 3 and 4 < max(paces) <= 5


def test_frames_are_grey_and_equal_bytes_come_of_equal_scenes():
    scene = dots.Scene(1, True, 99)
    for dials in (DIALS, dots.Dials(noise=0.3)):
        frames = dots.render(scene, dials)
        assert frames.shape == (8, 24, 24, 3) and frames.dtype == np.uint8
        assert (frames == frames[..., :1]).all()
        assert frames.tobytes() == dots.render(scene, dials).tobytes()
        assert frames.tobytes() != dots.render(replace(scene, seed=100), dials).tobytes()
    assert 10 < np.abs(frames.astype(int) - dots.render(scene, DIALS)).mean() < 40


@pytest.mark.parametrize(
    "wrong",
    [
        {"directions": 3},
        {"frames": 1},
        {"size": 15},
        {"dots": 0},
        {"radius": 0.2},
        {"speed": 12.0},
        {"spread": 2.0},
        {"life": 1},
        {"life": 9},
        {"coherence": 0.0},
        {"coherence": 1.1},
        {"noise": float("nan")},
        {"crf": 30},
    ],
    ids=str,
)
def test_dials_that_make_no_benchmark(wrong):
    with pytest.raises(ValueError, match="expected"):
        dots.Dials(**wrong).check()
