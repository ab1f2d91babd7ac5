"""Joints move exactly as the pixels they stand on: a bright dot is drawn, both are transformed, and found again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vidops_cli.data import Annotations
from vidops_cli.data.augment import Augment
from vidops_cli.data.clips import ClipOptions, Clips
from vidops_cli.data.crops import MultiScale, ResizedCrop
from vidops_cli.data.datasets import ntu, openpose
from vidops_cli.data.mini import out_of_context
from vidops_cli.data.poses import Moved, Stored, beside
from vidops_cli.data.transforms import prepare
from vidops_cli.data.video import write_video
from vidops_cli.ops.pose_maps import SKELETONS

HEIGHT, WIDTH = 60, 90
PLAIN = {"resize": None, "crop": None, "flip": 0.0, "mean": [0.0] * 3, "std": [1 / 255] * 3}
MOVES = {
    "nothing": {},
    "smaller": {"resize": 40},
    "larger": {"resize": 97},
    "another shape": {"resize": [100, 70]},
    "the middle": {"crop": 51},
    "mirrored": {"flip": 1.0},
    "smaller, the middle, mirrored": {"resize": 50, "crop": 45, "flip": 1.0},
    "multi-scale": {
        "resize": 80,
        "crop": 64,
        "flip": 0.5,
        "augment": Augment(multi_scale=MultiScale([1, 0.9, 0.8], 1, "fixed")),
    },
    "multi-scale anywhere": {
        "crop": 50,
        "flip": 0.5,
        "augment": Augment(multi_scale=MultiScale([0.9, 0.8], 1, "random")),
    },
    "resized crop": {
        "resize": 70,
        "crop": 64,
        "flip": 0.5,
        "augment": Augment(resized_crop=ResizedCrop([0.4, 1.0], [0.75, 4 / 3])),
    },
}


def dot(x: float, y: float, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A frame with a small bright dot on black."""
    rows, columns = np.mgrid[:height, :width]
    level = 250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 2.0**2))
    return np.repeat(level.round().astype(np.uint8)[None, :, :, None], 3, 3)


def middle(clip: torch.Tensor) -> tuple[float, float]:
    """x and y of the dot in a clip of one frame."""
    level = clip[0, 0].clamp(min=0).double()
    rows, columns = (torch.arange(side, dtype=torch.float64) for side in level.shape)
    return (level.sum(0) @ columns / level.sum()).item(), (level.sum(1) @ rows / level.sum()).item()


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", MOVES)
def test_a_dot_and_its_joint_move_alike(name, train):
    inside = 0
    for i in range(30):
        rng = np.random.default_rng(i)
        x, y = rng.uniform(0.35, 0.65) * WIDTH, rng.uniform(0.35, 0.65) * HEIGHT
        clip, moved = prepare(dot(x, y), **{**PLAIN, **MOVES[name]}, rng=rng if train else None)
        ((found,),) = moved(np.array([[[[x, y, 1.0]]]], np.float32), ())[0]
        if all(9 < place < side - 10 for place, side in zip(found, clip.shape[:1:-1], strict=False)):
            assert middle(clip) == pytest.approx(found[:2].tolist(), abs=0.06)
            inside += 1
    assert inside >= 10


def test_the_corners_of_a_frame_stay_its_corners():
    moved = Moved().resized((1080, 1920), (240, 320))
    edges = np.array([[[[-0.5, -0.5, 1], [1919.5, 1079.5, 1]]]], np.float32)
    assert moved(edges, ())[0, 0].tolist() == [[-0.5, -0.5, 1], [319.5, 239.5, 1]]
    assert (Moved().turned(8).turned(8)(edges, ((0, 1),)) == edges).all()
    where = np.random.default_rng(0).normal(size=(3, 2, 4, 3)).astype(np.float32)
    assert (Moved()(where, ((0, 1),)) == where).all()


def test_a_mirror_swaps_left_and_right_of_every_person_and_frame():
    joints = np.random.default_rng(0).uniform(0, 20, (3, 2, 5, 3)).astype(np.float32)
    joints[1, 1, 3, 2] = 0
    found = Moved().turned(24)(joints, ((1, 4), (2, 3)))
    assert np.array_equal(found[..., 1:], joints[:, :, [0, 4, 3, 2, 1], 1:])
    assert np.allclose(found[..., 0], 23 - joints[:, :, [0, 4, 3, 2, 1], 0])
    assert found[1, 1, 2, 2] == 0 and (found[..., 2] == 0).sum() == 1


@pytest.mark.parametrize(
    "skeleton, pairs",
    [("ntu25", ntu.PAIRS), ("openpose18", openpose.Poses.pairs), ("stick9", out_of_context.PAIRS)],
)
def test_a_mirrored_skeleton_is_one_still(skeleton, pairs):
    """Each joint is in one pair at most, and a mirrored limb is a limb."""
    joints, limbs = SKELETONS[skeleton]
    mirror = dict(pairs) | {right: left for left, right in pairs}
    assert len(mirror) == 2 * len(pairs) and max(mirror) < joints
    known = {frozenset(limb) for limb in limbs}
    assert {frozenset(mirror.get(joint, joint) for joint in limb) for limb in limbs} == known
    assert len(mirror) == {"ntu25": 20, "openpose18": 16, "stick9": 8}[skeleton]


def test_frames_take_the_poses_of_their_place():
    every = np.arange(250)
    assert np.array_equal(beside(every, 250, 250), every)
    for count in (300, 100, 1, 251):
        found = beside(every, 250, count)
        assert found.min() >= 0 and found.max() < count and (np.diff(found) >= 0).all()
        assert np.abs((found + 0.5) / count - (every + 0.5) / 250).max() <= 0.5 / count + 1e-9


# --- whole clips ------------------------------------------------------------------------------------------------------

OPTIONS = ClipOptions(4, None, None, 0.0, PLAIN["mean"], PLAIN["std"], "ordered", False, 0)
CLIPS = 6


class Elsewhere:
    """Joints in pixels of frames twice as wide and thrice as high as the file's; the first is on the dot."""

    size, pairs, slack = (3 * HEIGHT, 2 * WIDTH), ((1, 2),), 0.5

    def __init__(self, places):
        self.places = places

    def __len__(self):
        return len(self.places)

    def __getitem__(self, index):
        x, y = self.places[index]
        place = [2 * (x + 0.5) - 0.5, 3 * (y + 0.5) - 0.5, 1]
        return np.array([[place, [0, 0, 0.25], [0, 0, 0.75]]] * 10, np.float32)[:, None]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    places = [(rng.uniform(0.4, 0.6) * WIDTH, rng.uniform(0.4, 0.6) * HEIGHT) for _ in range(CLIPS)]
    for i, place in enumerate(places):
        write_video(root / f"{i}.mp4", np.repeat(dot(*place), 8, 0), crf=0)
    paths = tuple(f"{i}.mp4" for i in range(CLIPS))
    told = Annotations(root, "train", paths, (0,) * CLIPS, ("a",), "", joints=Elsewhere(places))
    return lambda train, **options: Clips(told, replace(OPTIONS, **options), train=train)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", MOVES)
def test_joints_of_another_size_are_on_the_dot_of_the_clip(clips, name, train):
    told = clips(train, **MOVES[name])
    turned = 0
    for index in range(CLIPS):
        item = told[0, index]
        x, y = item["coords"][0, 0, 0].tolist()
        assert item["coords"].shape == (4, 1, 3, 2) and (item["coords"] == item["coords"][:1]).all()
        if 9 < x < item["clip"].shape[3] - 10 and 9 < y < item["clip"].shape[2] - 10:
            assert middle(item["clip"]) == pytest.approx((x, y), abs=0.15)  # decoding rounds
        scores = item["scores"][0, 0].tolist()
        assert scores in ([1, 0.25, 0.75], [1, 0.75, 0.25])
        turned += scores[1] == 0.75
    flip = MOVES[name].get("flip", 0) if train else 0
    assert turned == CLIPS * flip if flip in (0, 1) else 0 < turned < CLIPS


def test_joints_outside_of_a_crop_are_kept(clips):
    item = clips(False, crop=8)[0, 0]
    x, y = item["coords"][0, 0, 1].tolist()
    assert x < -30 and y < -20 and item["scores"][0, 0, 1] == 0.25


def test_a_file_that_holds_no_joints(tmp_path):
    np.save(tmp_path / "joints.npy", np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"joints\.npy: expected joints") as refused:
        len(Stored(tmp_path / "joints.npy", ()))
    assert len(refused.value.args) == 2
