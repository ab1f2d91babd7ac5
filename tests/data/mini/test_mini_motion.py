"""Mini motion: what its clips show, and what they cannot tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vidops_cli.data.mini import motion

DIALS = motion.Dials()
HARD = motion.Dials(directions=8, speed=3.3, spread=2.0, radius=4, drift=1.7, others=3)


def scenes(dials: motion.Dials, count: int) -> list[motion.Scene]:
    return [
        motion.draw_scene(dials, np.random.default_rng([11, i]), i % dials.directions, "train")
        for i in range(count * dials.directions)
    ]


def distance_from_uniform(values: np.ndarray, size: int) -> float:
    """Largest distance between the distribution of the values and the uniform one on [0, size)."""
    ordered = np.sort(values.ravel()) / size
    ranks = np.arange(len(ordered) + 1) / len(ordered)
    return max(np.abs(ordered - ranks[:-1]).max(), np.abs(ordered - ranks[1:]).max())


@pytest.mark.parametrize("dials", [DIALS, motion.Dials(directions=8, speed=3.3, size=32)], ids=["default", "eight"])
def test_cannot_help_one_frame(dials):
    """Uniform for every label, in every frame and so pooled over time: 1.63 / sqrt(n) is the KS bound at 1 %."""
    per_label = 1500
    drawn = scenes(dials, per_label)
    for label in range(dials.directions):
        mine = np.stack([motion.positions(scene, dials) for scene in drawn if scene.label == label])
        assert mine.shape == (per_label, dials.frames, 2)
        assert mine.min() >= 0 and mine.max() < dials.size
        for axis in (0, 1):
            assert distance_from_uniform(mine[..., axis], dials.size) < 1.63 / per_label**0.5
            for t in range(dials.frames):
                assert distance_from_uniform(mine[:, t, axis], dials.size) < 2 / per_label**0.5
        cells, _, _ = np.histogram2d(*mine[:, -1].T, bins=4, range=[[0, dials.size]] * 2)
        expected = per_label / 16
        assert ((cells - expected) ** 2 / expected).sum() < 37.7  # chi-square, 15 degrees of freedom, 0.1 %


def test_the_bound_sees_a_start_that_is_not_uniform():
    drawn = np.random.default_rng(0).uniform(2, DIALS.size - 2, 1500)
    assert distance_from_uniform(drawn, DIALS.size) > 2 / 1500**0.5


@pytest.mark.parametrize("label", range(4))
def test_the_disc_moves_in_its_direction(label):
    scene = motion.Scene(label, (3.0, 20.0), 5)
    steps = np.diff(motion.positions(scene, DIALS), axis=0)
    steps = (steps + DIALS.size / 2) % DIALS.size - DIALS.size / 2
    wanted = DIALS.speed * np.array([(1, 0), (0, 1), (-1, 0), (0, -1)][label])
    assert np.allclose(steps, wanted, atol=1e-9)


@pytest.mark.parametrize(
    "dials",
    [
        DIALS,
        motion.Dials(directions=8, speed=3.7, frames=5, size=32, radius=9),
        motion.Dials(directions=2, speed=1.1),
        HARD,
    ],
    ids=["default", "eight", "two", "hard"],
)
def test_cannot_help_frames_without_order(dials):
    """A clip and its reversal have the same frames, so any statistic of their set is that of both labels."""
    for scene in scenes(dials, 2):
        back = motion.reverse(scene, dials)
        assert back.label != scene.label
        assert (back.label - scene.label) % dials.directions == dials.directions // 2
        frames, backwards = motion.render(scene, dials), motion.render(back, dials)
        assert np.abs(frames.astype(int) - backwards[::-1]).max() <= 1
        assert np.abs(np.sort(frames, axis=0).astype(int) - np.sort(backwards, axis=0)).max() <= 1
        assert np.abs(frames[0].astype(int) - frames[-1]).max() > 20
        assert motion.reverse(back, dials).label == scene.label


@pytest.mark.parametrize("name", ["ground", "others"])
def test_cannot_help_what_is_not_the_disc(name):
    """Ground and other discs stand and go as they do whatever the label: uniform places, steps of any direction."""
    per_label, dials = 800, HARD
    drawn = scenes(dials, per_label)
    for label in range(dials.directions):
        mine = [scene for scene in drawn if scene.label == label]
        tracks = [track for scene in mine for track in (scene.others if name == "others" else [scene.ground])]
        assert len(tracks) == per_label * (dials.others if name == "others" else 1)
        places, angles = np.array([track[:2] for track in tracks]), np.array([track[2:] for track in tracks])
        assert distance_from_uniform(places, dials.size) < 2 / (2 * len(tracks)) ** 0.5
        first, last = angles[:, 0], angles[:, -1]
        assert distance_from_uniform(first, 2 * np.pi) < 2 / len(tracks) ** 0.5
        same = np.abs(np.exp(1j * (first - last)).mean())
        assert same > 1 - 1e-9 if name == "ground" else same < 0.1  # one drift a clip; steps of other discs are apart


def test_cannot_help_one_step_of_a_disc():
    """All discs step as far in a frame; only one goes on in its direction."""
    scene = motion.draw_scene(HARD, np.random.default_rng(3), 5, "train")
    for track in scene.others:
        steps = np.diff(motion.along(track, motion.speed(scene, HARD), HARD), axis=0)
        steps = (steps + HARD.size / 2) % HARD.size - HARD.size / 2
        assert np.allclose(np.hypot(*steps.T), motion.speed(scene, HARD))
        assert np.abs(steps.mean(axis=0)).max() < HARD.speed / 2


def test_cannot_help_speed():
    """Speeds are uniform from speed - spread to speed whatever the label."""
    drawn = scenes(HARD, 800)
    for label in range(HARD.directions):
        speeds = np.array([motion.speed(scene, HARD) for scene in drawn if scene.label == label])
        assert distance_from_uniform(speeds - (HARD.speed - HARD.spread), HARD.spread) < 2 / 800**0.5
    for scene in drawn[:8]:
        steps = np.diff(motion.positions(scene, HARD), axis=0)
        steps = (steps + HARD.size / 2) % HARD.size - HARD.size / 2
        assert np.allclose(np.hypot(*steps.T), motion.speed(scene, HARD))


def test_ground_and_other_discs_move():
    scene = motion.draw_scene(HARD, np.random.default_rng(3), 5, "train")
    frames = motion.render(scene, HARD).astype(int)
    still = motion.render(replace(scene, ground=motion.Scene.ground), HARD).astype(int)
    fewer = motion.render(replace(scene, others=()), replace(HARD, others=0)).astype(int)
    assert np.abs(frames - still).mean() > 10
    assert 2 < np.abs(frames - fewer).mean() < np.abs(frames - still).mean()
    plain = replace(HARD, others=0, drift=0.0)
    ground = motion.render(replace(scene, ground=motion.Scene.ground, others=()), plain)
    assert (np.ptp(ground[..., 0], axis=0) == 0).any()  # where the disc never comes


def test_the_first_benchmark_is_what_it_was():
    """Some pixels of the quickstart's first clip, whatever dials were added; a grey level for another FFT."""
    frames = motion.render(motion.draw_scene(DIALS, np.random.default_rng([0, 0, 0]), 0, "train"), DIALS)[..., 0]
    assert np.abs(frames[0, 0, :8].astype(int) - [164, 130, 109, 125, 139, 112, 77, 89]).max() <= 1
    assert np.abs(frames[7, 12, :8].astype(int) - [123, 124, 135, 149, 150, 138, 113, 121]).max() <= 1


def test_frames_are_grey_and_the_disc_is_camouflaged():
    frames = np.stack([motion.render(scene, DIALS) for scene in scenes(DIALS, 50)])
    assert frames.shape == (200, 8, 24, 24, 3) and frames.dtype == np.uint8
    assert (frames == frames[..., :1]).all()
    centre, corner = frames[:, :, 10:14, 10:14], frames[:, :, :4, :4]
    assert abs(float(centre.mean()) - float(corner.mean())) < 2
    assert abs(float(centre.std()) - float(corner.std())) < 2
    assert 30 < frames.std() < 45


@pytest.mark.parametrize("dials", [DIALS, motion.Dials(noise=0.3, flicker=0.2)], ids=["default", "noisy"])
def test_a_scene_always_gives_the_same_bytes(dials):
    scene = motion.Scene(1, (4.5, 7.25), 99)
    assert motion.render(scene, dials).tobytes() == motion.render(scene, dials).tobytes()
    assert motion.render(scene, dials).tobytes() != motion.render(replace(scene, seed=100), dials).tobytes()


def test_noise_and_flicker_change_the_frames():
    scene = motion.Scene(1, (4.5, 7.25), 99)
    plain = motion.render(scene, DIALS).astype(int)
    noisy = motion.render(scene, motion.Dials(noise=0.5)).astype(int)
    assert 10 < np.abs(plain - noisy).mean() < 25
    flickering = motion.render(scene, motion.Dials(flicker=0.3)).astype(int)
    assert np.abs(plain - flickering).mean((1, 2, 3)).max() > 3
