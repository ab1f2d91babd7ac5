"""Mini out of context: what its clips show, what misleads in them, and what they cannot tell."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest

from vidops_cli.data.mini import out_of_context as ooc
from vidops_cli.data.video import VideoFile, write_video
from vidops_cli.ops.pose_maps import SKELETONS

DIALS = ooc.Dials(actions=8, context=0.9, colour=40.0, hidden=0.0)
SPLITS = ("train", "val", "test", "test_agree", "test_absent")


def scenes(split: str, count: int, dials: ooc.Dials = DIALS) -> list[ooc.Scene]:
    rngs = [np.random.default_rng([7, SPLITS.index(split), i]) for i in range(count)]
    return [ooc.draw_scene(dials, rng, i % dials.actions, split) for i, rng in enumerate(rngs)]


# --- what there is to see -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dials", [DIALS, ooc.Dials(actions=4)], ids=["eight", "four"])
def test_the_limbs_go_where_the_name_says(dials):
    """y of a hand or foot falls as it rises; but for the frames in which it begins anew."""
    names = ooc.classes(dials, "test")
    assert len(set(names)) == dials.actions
    ends = {"left arm": (3,), "right arm": (4,), "arms": (3, 4), "legs": (7, 8)}
    for scene in scenes("train", 5 * dials.actions, dials):
        height = np.diff(ooc.heights(scene, dials), axis=0)
        xy = ooc.skeleton(scene.centre, ooc.angles(ooc.heights(scene, dials), dials), dials.limb)
        y = np.diff(xy[..., 1], axis=0)
        for told in names[scene.label].split(", "):
            limb, _, way = told.rpartition(" ")
            for joint in ends[limb]:
                on = np.abs(height[:, {3: 0, 4: 1, 7: 2, 8: 3}[joint]]) < 0.5
                assert on.sum() >= 4
                assert ((y[on, joint] < 0) == (way == "up")).mean() > 0.5  # a leg that passes below rises either way
        assert np.allclose(np.minimum(np.abs(height), 1 - np.abs(height)), dials.step / dials.swing)


def test_angles_are_clockwise_as_seen():
    """From pointing right, a quarter clockwise points down: y grows downwards. Half way up, arms point outwards."""
    xy = ooc.skeleton((10.0, 10.0), np.radians([[0.0, 0, 0, 0], [90.0, 0, 0, 0]]), 4.0)
    shoulder, hand = xy[:, 1], xy[:, 3]
    assert np.allclose(hand - shoulder, [(4, 0), (0, 4)])
    assert np.allclose(xy[:, [1, 2, 5, 6]], [(8, 8), (12, 8), (8, 12), (12, 12)])
    half = ooc.skeleton((10.0, 10.0), ooc.angles(np.full((1, 4), 0.5), DIALS), 4.0)[0]
    assert np.allclose(half[[3, 4]], [(4, 8), (16, 8)])
    up = ooc.skeleton((10.0, 10.0), ooc.angles(np.full((1, 4), 0.7), DIALS), 4.0)[0]
    assert (up[[3, 4, 7, 8], 1] < half[[3, 4, 7, 8], 1]).all()


def test_joints_stand_where_the_figure_is_drawn():
    dials = ooc.Dials(texture=0.0, missing=0.0, wrong=0.0, hidden=0.0)
    for scene in scenes("test_absent", 24, dials):
        frames, joints = ooc.render(scene, dials).astype(float), ooc.joints(scene, dials)
        assert joints.shape == (dials.frames, 1, 9, 3) and joints.dtype == np.float32
        assert joints[..., :2].min() >= 0 and joints[..., :2].max() <= dials.size - 1
        assert (joints[..., 2] == 1).all()
        for t, person in enumerate(joints[:, 0]):
            for bone in ooc.BONES:
                x, y = np.rint(person[list(bone), :2].mean(0)).astype(int)
                assert abs(frames[t, y, x, 0] - 128) > 0.5 * dials.ink
        away = np.abs(frames - 128).max((0, 3)) > 1
        assert away[[0, -1]].sum() + away[:, [0, -1]].sum() < 20  # mostly inside


def test_the_skeleton_is_that_of_the_operator():
    skeleton = SKELETONS["stick9"]
    assert skeleton.joints == 9 and tuple(skeleton.limbs) == ooc.BONES


def test_shares_of_poses():
    found = [scene.pose for scene in scenes("val", 3000)]
    assert found.count("missing") / 3000 == pytest.approx(DIALS.missing, abs=0.04)
    assert found.count("wrong") / 3000 == pytest.approx(DIALS.wrong, abs=0.03)


def test_missing_and_wrong_poses():
    scene = scenes("train", 1)[0]
    right, missing, wrong = (ooc.joints(replace(scene, pose=pose), DIALS) for pose in ("found", "missing", "wrong"))
    assert not missing.any()
    assert np.array_equal(wrong[:, :, [0, 1, 2, 5, 6]], right[:, :, [0, 1, 2, 5, 6]])
    assert np.abs(wrong - right)[:, :, [3, 4, 7, 8]].mean() > 1
    same = replace(scene, label=(scene.label + 3) % 8, pose="wrong")
    assert np.array_equal(ooc.joints(same, DIALS), wrong)  # they tell nothing of the label


def test_a_hidden_figure_leaves_its_joints():
    drawn = scenes("train", 2000, replace(DIALS, hidden=0.3))
    assert np.mean([not scene.drawn for scene in drawn]) == pytest.approx(0.3, abs=0.04)
    both = [scene.pose == "missing" and not scene.drawn for scene in drawn]
    assert np.mean(both) == pytest.approx(0.3 * DIALS.missing, abs=0.03)  # one tells nothing of the other
    scene = next(scene for scene in drawn if not scene.drawn and scene.pose == "found")
    frames, seen = ooc.render(scene, DIALS), ooc.render(replace(scene, drawn=True), DIALS)
    assert (frames == frames[:1]).all() and (seen != frames).any()
    assert np.array_equal(ooc.joints(scene, DIALS), ooc.joints(replace(scene, drawn=True), DIALS))


def test_the_ground_agrees_disagrees_or_is_absent():
    share = {}
    for split in SPLITS:
        drawn = scenes(split, 2000)
        share[split] = np.mean([scene.ground == scene.label for scene in drawn])
        grounds = {scene.ground for scene in drawn}
        assert grounds == ({ooc.NO_SCENE} if split == "test_absent" else set(range(8)))
    assert [share[split] for split in SPLITS[2:]] == [0, 1, 0]
    assert share["train"] == pytest.approx(DIALS.context, abs=0.03)
    assert share["val"] == pytest.approx(DIALS.context, abs=0.03)
    off = [(scene.ground - scene.label) % 8 for scene in scenes("test", 7000)]
    assert np.bincount(off, minlength=8)[1:].min() > 850  # each other scene as often: 1000 are expected


def ground_of(scene: ooc.Scene) -> np.ndarray:
    """The mean hue: figure and texture are grey."""
    colour = ooc.render(scene, DIALS)[:1].mean((0, 1, 2))
    return colour - colour.mean()


def test_the_ground_alone_scores_its_floors():
    """Mean hues, by the nearest median of the training clips."""
    drawn = {split: scenes(split, 400) for split in SPLITS}
    colour = {split: np.array([ground_of(scene) for scene in found]) for split, found in drawn.items()}
    label = {split: np.array([scene.label for scene in found]) for split, found in drawn.items()}
    own = [np.median(colour["train"][label["train"] == k], axis=0) for k in range(8)]
    score = {}
    for split in SPLITS:
        nearest = ((colour[split][:, None] - own) ** 2).sum(-1).argmin(1)
        score[split] = (nearest == label[split]).mean()
    floors = ooc.floors(DIALS)
    assert score["val"] == pytest.approx(floors["ground alone, as in training"], abs=0.06)
    assert score["test"] == pytest.approx(floors["ground alone, out of context"], abs=0.03)
    assert score["test_agree"] > 0.97
    assert score["test_absent"] < 0.25  # chance is 0.125


def test_a_compressed_clip_still_shows_the_figure(tmp_path):
    scene = scenes("train", 3)[2]
    frames = ooc.render(scene, DIALS)
    write_video(tmp_path / "clip.mp4", frames, crf=DIALS.crf)
    read = VideoFile(tmp_path / "clip.mp4").read(np.arange(DIALS.frames)).astype(float)
    bare = np.median(read, axis=0)
    change = np.abs(read - bare).mean(-1)
    xy = np.rint(ooc.skeleton(scene.centre, ooc.angles(ooc.heights(scene, DIALS), DIALS), DIALS.limb)).astype(int)
    ends = [change[t, xy[t, joint, 1], xy[t, joint, 0]] for t in range(DIALS.frames) for joint in (3, 4, 7, 8)]
    assert np.median(ends) > 5 * np.median(change)


# --- what cannot help -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [0, 3, 7])
def test_cannot_help_one_frame(frame):
    """Each frame, pixels and joints, is a frame of a clip of every other action, and as likely: heights are uniform."""
    for i, scene in enumerate(scenes("test_absent", 8)):
        pictures, joints = ooc.render(scene, DIALS), ooc.joints(scene, DIALS)
        label = (scene.label + 1 + i) % DIALS.actions
        other = ooc.at_frame(scene, DIALS, frame, label, there=5)
        assert other.label == label and other.ground == scene.ground
        assert np.abs(ooc.render(other, DIALS)[5].astype(int) - pictures[frame]).max() <= 1
        if scene.pose != "wrong":  # drawn anew in every frame
            assert np.allclose(ooc.joints(other, DIALS)[5], joints[frame], atol=1e-4)
    drawn = scenes("train", 1500)
    for label in (0, 5):
        mine = [ooc.heights(replace(scene, label=label), DIALS)[frame] for scene in drawn]
        assert np.abs(np.sort(mine, axis=0) - np.linspace(0, 1, 1500)[:, None]).max() < 2 / 1500**0.5


def test_cannot_help_frames_without_order():
    """Played backwards, a clip is one of the opposite action: blind to order one is right every other time."""
    for scene in scenes("test_absent", 16):
        back = ooc.reverse(scene, DIALS)
        assert back.label == DIALS.actions - 1 - scene.label
        assert np.abs(ooc.render(back, DIALS)[::-1].astype(int) - ooc.render(scene, DIALS)).max() <= 1
        if scene.pose == "found":
            assert np.allclose(ooc.joints(back, DIALS)[::-1], ooc.joints(scene, DIALS), atol=1e-4)
    assert ooc.floors(DIALS)["order-blind"] == 0.5


@pytest.mark.parametrize("split", SPLITS)
def test_cannot_help_place(split):
    """Place, heights at the start, pose found or not, texture: the same draws whatever the label."""
    for i in range(20):
        drawn = [ooc.draw_scene(DIALS, np.random.default_rng(i), label, split) for label in range(DIALS.actions)]
        assert len({astuple(replace(scene, label=0, ground=0)) for scene in drawn}) == 1


def test_cannot_help_ground_when_absent():
    """Pixels beyond the figure's reach are the same for all labels."""
    for i in range(10):
        drawn = [ooc.draw_scene(DIALS, np.random.default_rng(i), label, "test_absent") for label in range(8)]
        pictures = np.stack([ooc.render(scene, DIALS) for scene in drawn]).astype(int)
        y, x = np.mgrid[: DIALS.size, : DIALS.size]
        far = np.hypot(x - drawn[0].centre[0], y - drawn[0].centre[1]) > 2 * DIALS.limb + 2
        assert far.sum() > 50 and (pictures[0] != pictures[1]).any()
        assert (pictures[..., far, :] == pictures[:1, :, far]).all()
        assert (pictures.max(-1) == pictures.min(-1)).all()  # grey


# --- dials ----------------------------------------------------------------------------------------------------------


def test_rendering_is_of_the_scene_alone():
    scene = scenes("test", 1)[0]
    dials = ooc.Dials(noise=10.0, size=32, frames=5, actions=8)
    assert np.array_equal(ooc.render(scene, dials), ooc.render(scene, dials))
    assert ooc.render(scene, dials).shape == (5, 32, 32, 3) and ooc.render(scene, dials).dtype == np.uint8
    assert ooc.joints(scene, dials).shape == (5, 1, 9, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"actions": 5}, {"frames": 1}, {"size": 15}, {"limb": 6.0}, {"step": 50.0}, {"swing": 190.0},
        {"context": 0.1}, {"context": 1.1}, {"crf": 19}, {"noise": -1.0},
        {"hidden": 1.5}, {"missing": 0.7, "wrong": 0.4}, {"missing": -0.1},
    ],
)  # fmt: skip
def test_dials_that_make_no_benchmark(wrong):
    with pytest.raises(ValueError, match="expected") as refused:
        ooc.Dials(**wrong).check()
    assert len(refused.value.args) == 2


@pytest.mark.parametrize("dials", [ooc.Dials(), ooc.Dials(size=32, limb=7.5), ooc.Dials(size=16, limb=3.5)])
def test_the_figure_stays_inside(dials):
    dials.check()
    ends = np.concatenate([ooc.joints(scene, replace(dials, missing=0.0)) for scene in scenes("val", 200, dials)])
    assert ends[..., :2].min() >= -1 and ends[..., :2].max() <= dials.size
