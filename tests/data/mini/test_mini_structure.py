from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from vidops_cli.data.mini import structure
from vidops_cli.data.mini.structure import CELL, CONTRAST, KINDS, PAIRS, Dials, rim

DIALS = Dials()
CONTENT = Dials(task="content")
BOARDS = [DIALS, Dials(size=48), Dials(size=24, places=3), Dials(size=48, places=4, shift=24)]
GLYPHS = np.stack(list(KINDS.values()))


def draw(seed: int, label: int, dials: Dials = DIALS) -> structure.Scene:
    return structure.draw_scene(dials, np.random.default_rng([7, seed]), label, "train")


def per_label(count: int, dials: Dials = DIALS) -> dict[int, list[structure.Scene]]:
    """Scenes of each label, from random numbers that no two of them share."""
    labels = range(len(structure.classes(dials, "train")))
    return {label: [draw(6 * i + label, label, dials) for i in range(count)] for label in labels}


def arrangements(dials: Dials) -> dict[int, Counter]:
    """How often each arrangement of the board comes in 800 scenes of a label."""
    return {label: Counter(scene.kinds for scene in scenes) for label, scenes in per_label(800, dials).items()}


def picture(scene: structure.Scene, dials: Dials = DIALS) -> np.ndarray:
    """(size, size), in contrasts of a part."""
    return (structure.render(scene, dials)[0, ..., 0] - 128.0) / CONTRAST


def kinds_of(board: np.ndarray) -> np.ndarray:
    """How much of each kind every cell of a board that is not rolled holds: (kinds, rows, columns), 1 in a part."""
    n = len(board) // CELL
    return np.einsum("yixj,kij->kyx", board.reshape(n, CELL, n, CELL), GLYPHS) / CELL**2


# --- what the label is ------------------------------------------------------------------------------------------------


def test_rim():
    assert rim(2) == [(0, 0), (0, 1), (1, 1), (1, 0)]
    assert rim(3) == [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    assert len(set(rim(5))) == 16


@pytest.mark.parametrize("dials", BOARDS, ids=str)
@pytest.mark.parametrize("label", range(3))
def test_the_label_is_the_kind_two_after_level(dials, label):
    for seed in range(20):
        kinds = draw(seed, label, dials).kinds
        around = len(kinds)
        for i, kind in enumerate(kinds):
            if kind == 0:
                assert kinds[(i + 2) % around] == kinds[i - 2] == label + 1
            assert kind == kinds[(i + 4) % around]


def test_every_arrangement_is_of_one_class():
    found = arrangements(DIALS)
    assert [len(of_label) for of_label in found.values()] == [8, 8, 8]
    assert len(set().union(*found.values())) == 24


@pytest.mark.parametrize("dials", [*BOARDS, CONTENT], ids=str)
def test_images_show_the_parts_of_their_scene(dials):
    plain = replace(dials, noise=0.0)
    cells = dials.size // dials.places // CELL
    for seed in range(20):
        scene = draw(seed, seed % 3, plain)
        seen = kinds_of(np.roll(picture(scene, plain), [-step for step in scene.shift], (0, 1)))
        wanted = np.zeros_like(seen)
        for kind, (y, x) in zip(scene.kinds, rim(dials.places), strict=True):
            wanted[kind, y * cells : (y + 1) * cells, x * cells : (x + 1) * cells] = 1
        np.testing.assert_array_equal(seen, wanted)


def test_images():
    frame = structure.render(draw(3, 1), DIALS)
    assert frame.shape == (1, 24, 24, 3) and frame.dtype == np.uint8
    assert (frame == frame[..., :1]).all()
    assert 40 < frame.std() < 50


def test_a_scene_always_gives_the_same_bytes():
    scene = draw(3, 1)
    assert scene == draw(3, 1)
    assert structure.render(scene, DIALS).tobytes() == structure.render(scene, DIALS).tobytes()
    other = structure.render(replace(scene, seed=scene.seed + 1), DIALS)
    assert structure.render(scene, DIALS).tobytes() != other.tobytes()


def test_noise_is_told_in_contrasts_of_a_part():
    scene = draw(3, 1)
    noise = picture(scene, replace(DIALS, noise=0.5)) - picture(scene, replace(DIALS, noise=0.0))
    assert 0.45 < noise.std() < 0.55


def test_classes_and_floors():
    assert structure.classes(DIALS, "train") == ("upright", "quarters", "checks")
    assert structure.floors(DIALS) == {"chance": 1 / 3, "bag of parts": 1 / 3}
    assert len(structure.classes(CONTENT, "test")) == len(PAIRS) == 6
    assert structure.classes(CONTENT, "test")[0] == "level-upright"
    assert structure.floors(CONTENT) == {"chance": 1 / 6}


# --- what cannot help -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dials", BOARDS, ids=str)
def test_cannot_help_parts(dials):
    """The bag of parts is one and the same in every image."""
    bags = {tuple(sorted(draw(seed, seed % 3, dials).kinds)) for seed in range(100)}
    assert bags == {tuple(sorted([*range(4)] * (dials.places - 1)))}


@pytest.mark.parametrize("dials", BOARDS, ids=str)
def test_cannot_help_one_kind(dials):
    """The places of all parts of one kind, taken together, are as often the same in every class."""
    for kind in range(4):
        of_label = [Counter() for _ in range(3)]
        for counts, seen in zip(of_label, arrangements(dials).values(), strict=True):
            for kinds in seen:
                counts[tuple(np.flatnonzero(np.equal(kinds, kind)))] += 1
        assert of_label[0] == of_label[1] == of_label[2] and len(of_label[0]) == 4


@pytest.mark.parametrize("dials", BOARDS, ids=str)
def test_cannot_help_sum_of_places(dials):
    """The table of kinds and places has the same mean in every class, and arrangements of a class are as frequent.

    So the gradient of the cross-entropy of scores that are sums over it is 0 at equal scores, its least value.
    """
    for seen in arrangements(dials).values():
        assert len(seen) == 8 and min(seen.values()) > 60  # of 100 expected, 4 standard errors
        tables = np.stack([np.equal(kinds, np.arange(4)[:, None]) for kinds in seen])
        assert (tables.mean(0) == 1 / 4).all()


def test_cannot_help_shift():
    """The board lies where it lies whatever the label, and anywhere within `shift`."""
    shifts = Counter()
    for seed in range(500):
        scenes = [draw(seed, label) for label in range(3)]
        assert len({(scene.shift, scene.seed) for scene in scenes}) == 1
        shifts[scenes[0].shift] += 1
    assert len(shifts) == 25 and max(max(shift) for shift in shifts) == 2 == -min(min(shift) for shift in shifts)


def test_cannot_help_brightness():
    """Without noise images have the same grey levels, as many of each; and kinds are of one mean and contrast."""
    assert (GLYPHS.sum((1, 2)) == 0).all() and (GLYPHS**2 == 1).all()
    for dials in BOARDS:
        plain = replace(dials, noise=0.0)
        images = [structure.render(draw(seed, label, plain), plain) for seed in range(5) for label in range(3)]
        assert len({np.bincount(image.ravel(), minlength=256).tobytes() for image in images}) == 1


def test_a_reader_of_the_order_solves_it():
    """What helps: the order around the board, by comparison with every arrangement, wherever it lies."""
    plain = replace(DIALS, noise=0.0)
    boards = {
        np.roll(picture(structure.Scene(label, kinds, (0, 0), 0), plain), (down, right), (0, 1)).tobytes(): label
        for label, seen in arrangements(DIALS).items()
        for kinds in seen
        for down in range(-2, 3)
        for right in range(-2, 3)
    }
    shown = np.stack([np.frombuffer(board).ravel() for board in boards])
    told = np.array(list(boards.values()))
    right = sum(
        told[np.argmax(shown @ picture(scene).ravel())] == label
        for label, scenes in per_label(60).items()
        for scene in scenes
    )
    assert right >= 178


def test_a_mirrored_board_keeps_its_label():
    for label in range(3):
        for seed in range(20):
            kinds = draw(seed, label).kinds
            mirrored = [kinds[rim(2).index((y, 1 - x))] for y, x in rim(2)]
            assert mirrored[(mirrored.index(0) + 2) % 4] == label + 1


# --- the control ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("places", [2, 3])
def test_content_is_which_two_kinds_are_there(places):
    for label, scenes in per_label(50, replace(CONTENT, places=places)).items():
        for scene in scenes:
            half = 2 * (places - 1)
            assert Counter(scene.kinds) == dict.fromkeys(PAIRS[label], half)


def test_content_is_arranged_without_the_label():
    for label, seen in arrangements(CONTENT).items():
        one, _ = PAIRS[label]
        first = Counter({tuple(np.equal(kinds, one)): count for kinds, count in seen.items()})
        assert len(first) == 6 and min(first.values()) > 85  # of 133 expected, 4.5 standard errors


# --- dials ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": "both"},
        {"size": 0},
        {"size": 20},
        {"size": 25},
        {"places": 1},
        {"places": 0},
        {"places": 5},
        {"shift": -1},
        {"shift": 13},
        {"noise": -0.1},
        {"noise": 3.5},
        {"noise": float("nan")},
    ],
    ids=str,
)
def test_dials_that_make_no_benchmark(wrong):
    with pytest.raises(ValueError, match=r"\w") as error:
        replace(DIALS, **wrong).check()
    assert len(error.value.args) == 2


@pytest.mark.parametrize("dials", [*BOARDS, CONTENT, Dials(shift=12), Dials(size=8, shift=4)], ids=str)
def test_dials_that_are_let_through_can_always_be_drawn(dials):
    dials.check()
    for seed in range(50):
        assert structure.render(draw(seed, seed % 3, dials), dials).shape == (1, dials.size, dials.size, 3)
