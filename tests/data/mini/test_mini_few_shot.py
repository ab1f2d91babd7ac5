"""Mini few-shot: what its images show, and what they cannot tell."""

from __future__ import annotations

from dataclasses import astuple, fields, replace
from itertools import combinations

import numpy as np
import pytest

from vidops_cli.data.mini import few_shot
from vidops_cli.data.mini.few_shot import COUNTS, STROKES, Dials, classes, draw_scene, glyphs, render

DIALS = Dials()
BARE = replace(DIALS, clutter=0, noise=0.0, bend=0.0)
LABELS = range(COUNTS["test"])


def draw(seed: int, label: int, dials: Dials = DIALS, split: str = "test") -> few_shot.Scene:
    return draw_scene(dials, np.random.default_rng([13, seed]), label, split)


def strokes(glyph: int) -> set[int]:
    return {stroke for stroke in range(20) if glyph >> stroke & 1}


def picture(scene: few_shot.Scene, dials: Dials = DIALS) -> np.ndarray:
    return render(scene, dials)[0, ..., 0].astype(float)


def features(scenes: list[few_shot.Scene]) -> np.ndarray:
    """What could tell a class without its form: mean, spread, ink, extremes and a coarse histogram of an image."""
    found = []
    for scene in scenes:
        image = picture(scene)
        bright = np.quantile(image, [0.5, 0.9, 0.99])
        found.append([image.mean(), image.std(), np.clip(image - 150, 0, None).sum(), *bright])
    return np.array(found)


# --- what a glyph is --------------------------------------------------------------------------------------------------


def test_a_glyph_is_six_strokes_that_hang_together():
    every = [glyph for chosen in glyphs().values() for glyph in chosen]
    assert len(every) == sum(COUNTS.values()) >= 148
    for glyph in every:
        chosen = strokes(glyph)
        assert (sum(s < 12 for s in chosen), sum(s >= 12 for s in chosen)) == (4, 2)
        reached, left = set(STROKES[min(chosen)]), [set(STROKES[s]) for s in chosen]
        while touching := [part for part in left if part & reached and not part <= reached]:
            reached |= touching[0]
        assert reached == set().union(*left)
        assert {p % 3 for p in reached} == {p // 3 for p in reached} == {0, 1, 2}


def test_strokes_are_those_between_neighbours():
    assert len(set(STROKES)) == len(STROKES) == 20
    length = [np.hypot(b % 3 - a % 3, b // 3 - a // 3) for a, b in STROKES]
    assert np.allclose(length, [1] * 12 + [2**0.5] * 8)


def test_an_image_shows_its_glyph_and_nothing_else_without_clutter():
    """Ink lies along the strokes: turned back, it is where they are."""
    for label in range(0, len(LABELS), 8):
        scene = replace(draw(label, label, BARE), turn=0.0, scale=1.0, x=16.0, y=16.0)
        image = picture(scene, BARE)
        ends = 16 + BARE.glyph * few_shot.POINTS
        middles = {s: ends[list(STROKES[s])].mean(0).round().astype(int) for s in range(12)}
        ground = np.median(image)
        for stroke, (x, y) in middles.items():
            inked = image[y, x] > ground + 15
            assert inked == (scene.glyph >> stroke & 1)


def test_images_are_made_again_bit_for_bit_and_differ():
    scene = draw(3, 5)
    assert np.array_equal(render(scene, DIALS), render(scene, DIALS))
    assert not np.array_equal(render(scene, DIALS), render(draw(4, 5), DIALS))
    image = render(scene, DIALS)
    assert image.shape == (1, 32, 32, 3)
    assert image.dtype == np.uint8


# --- what cannot help -------------------------------------------------------------------------------------------------


def test_cannot_help_classes_of_train():
    names = {split: set(classes(DIALS, split)) for split in COUNTS}
    assert all(len(names[split]) == count for split, count in COUNTS.items())
    for a, b in combinations(names.values(), 2):
        assert not a & b
    every = [strokes(glyph) for chosen in glyphs().values() for glyph in chosen]
    assert min(len(a - b) for a, b in combinations(every, 2)) >= 2
    seen = set().union(*(strokes(glyph) for glyph in glyphs()["train"]))
    assert seen == set(range(20))  # but all strokes are seen in training


def test_cannot_help_colour():
    for label in LABELS[::8]:
        image = render(draw(label, label), DIALS)
        assert (image == image[..., :1]).all()


def test_cannot_help_brightness():
    means = [picture(draw(i, i % len(LABELS))).mean() for i in range(128)]
    assert np.ptp(means) < 0.5  # of 255: rounding, and a clipped pixel now and then


def test_cannot_help_ink():
    """The same scene with another glyph has the same ink."""
    for seed in range(4):
        totals = []
        for label in LABELS:
            scene = draw(seed, label, BARE)
            image = picture(scene, BARE)
            totals.append((image - np.median(image)).sum() / scene.scale / scene.contrast)
        assert np.ptp(totals) < 0.02 * np.mean(totals)


def test_cannot_help_position():
    """Equal random numbers, another label: all of the scene but the glyph is equal, clutter too."""
    names = [field.name for field in fields(few_shot.Scene)]
    for seed in range(20):
        a, b = draw(seed, seed), draw(seed, seed + 1)
        told = dict(zip(names, zip(astuple(a), astuple(b), strict=True), strict=True))
        assert {name for name, (one, other) in told.items() if one != other} == {"label", "glyph"}
        away = picture(a) - picture(b)
        reach = few_shot._reach(DIALS) + 1
        y, x = np.mgrid[: DIALS.size, : DIALS.size]
        outside = np.maximum(abs(x - a.x), abs(y - a.y)) > reach
        assert outside.any()
        assert np.abs(away[outside]).max() <= 1.5  # the mean that is taken away, rounded


def test_simple_statistics_tell_no_class():
    """The nearest class mean of brightness, spread and ink, fitted on 12 images of each of 5 classes, is at chance."""
    right = total = 0
    for trial in range(40):
        chosen = np.random.default_rng(trial).choice(len(LABELS), 5, replace=False)
        drawn = [[draw(1000 * trial + 50 * way + i, int(label)) for i in range(16)] for way, label in enumerate(chosen)]
        found = features([scene for scenes in drawn for scene in scenes]).reshape(5, 16, -1)
        found = (found - found.mean((0, 1))) / (found.std((0, 1)) + 1e-9)
        means, tests = found[:, :12].mean(1), found[:, 12:]
        nearest = ((tests[:, :, None] - means) ** 2).sum(-1).argmin(-1)
        right, total = right + (nearest == np.arange(5)[:, None]).sum(), total + nearest.size
    assert right / total < 0.27  # 800 images: chance 0.2 is five deviations below


# --- dials ------------------------------------------------------------------------------------------------------------


def test_glyphs_fit_into_their_image():
    for dials in (DIALS, Dials(size=40, glyph=15.0, turn=45.0), Dials(glyph=8.0, scale=0.5)):
        dials.check()
        for seed in range(50):
            scene = draw(seed, seed, dials)
            ends = few_shot._placed(
                few_shot.POINTS, np.array([scene.x, scene.y]), np.array(scene.turn), np.array(dials.glyph * scene.scale)
            )
            assert ends.min() > 1
            assert ends.max() < dials.size - 1


@pytest.mark.parametrize(
    "dials",
    [{"size": 16}, {"glyph": 3.0}, {"turn": 60.0}, {"scale": 1.0}, {"contrast": -0.1}, {"clutter": -1}],
    ids=str,
)
def test_dials_that_make_no_benchmark_are_refused(dials):
    with pytest.raises(ValueError, match="expected") as refused:
        Dials(**dials).check()
    assert len(refused.value.args) == 2
