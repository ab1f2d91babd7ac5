"""Keys of sampling, mirroring and augmentation that do not go together."""

from __future__ import annotations

import pytest
from texts import GOOD, line, the_one

from vidops_cli.recipe import keys

AUGMENT = GOOD.replace("root: videos", "root: videos\n  crop: 16\n  augment:\n    multi_scale: {}\n    grey: 0.2")
FLIP = GOOD.replace("root: videos", "root: videos\n  flip: 0.5\n  flip_keep: [2, up]\n  flip_swap: [[0, 1]]")


def test_values_and_defaults(read):
    told = read(AUGMENT).data.augment
    assert told.multi_scale.scales == [1, 0.875, 0.75, 0.66] and told.multi_scale.max_distort == 1
    assert (told.grey, told.jitter, told.resized_crop) == (0.2, None, None)
    assert read(FLIP).data.flip_keep == [2, "up"] and read(FLIP).data.flip_swap == [[0, 1]]
    assert read(GOOD, "data.resize=[240, 320]").data.resize == [240, 320]


def test_every_key_is_told():
    told = {key: (kind, default, meaning) for key, kind, default, meaning in keys()}
    assert told["data.augment.jitter"] == ("keys below, or null", "null", "of colours")
    assert told["data.augment.erase.p"][:2] == ("number >= 0, <= 1", "0.5")
    new = [
        key
        for key in told
        if key.startswith(("data.augment", "data.flip_", "data.sam", "data.stri", "train.mixup", "train.cut"))
    ]
    assert len(new) == 31 and all(told[key][2] for key in new), new


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.sampling=dense", "data.sampling: dense frames need a stride"),
        ("data.stride=2", "data.stride is of dense sampling"),
        ("data.augment.resized_crop={}", "multi_scale and resized_crop both say"),
        ("data.crop=null", "data.augment.multi_scale: its boxes are scaled to data.crop"),
        ("data.augment.blur={sigma: [2, 1]}", "data.augment.blur.sigma: the first is above the second"),
        ("data.augment.erase={area: [0.5, 0.1]}", "data.augment.erase.area: the first is above the second"),
        ("data.flip_keep=[1]", "data.flip_keep is of data.flip, which is 0"),
        ("data.flip_swap=[[1, 2]]", "data.flip_swap is of data.flip, which is 0"),
        ("data.augment.multi_scale.scales=[]", "data.augment.multi_scale.scales: expected"),
        ("data.augment.multi_scale.scales=[1.1]", "data.augment.multi_scale.scales.0: expected"),
        ("data.augment.rand_augment={m: 31}", "data.augment.rand_augment.m: expected"),
        ("data.augment.jitter={hue: 0.6}", "data.augment.jitter.hue: expected"),
        ("data.augment.jitter={hues: 0.1}", "unknown key 'data.augment.jitter.hues'"),
        ("data.augment.grey=1.5", "data.augment.grey: expected"),
        ("data.resize=[240]", "data.resize: expected"),
        ("train.mixup=-1", "train.mixup: expected"),
    ],
)
def test_what_does_not_go_together(problems, override, message):
    problem = the_one(problems(AUGMENT, override))
    assert message in f"{problem.where.partition('=')[0]}: {problem.message}"
    assert "constrained" not in problem.message


def test_a_size_is_one_number_or_two(problems):
    found = [problem.message for problem in problems(GOOD, "data.resize=[240, 0]")]
    assert found[-1] == "data.resize.1: expected greater than or equal to 1, got 0"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.flip_swap=[[0, 1], [1, 3]]", "data.flip_swap: label 1 stands twice"),
        ("data.flip_swap=[[0, 2]]", "label 2 are never mirrored"),
        ("data.flip_swap=[[0, 1, 3]]", "data.flip_swap.0: expected"),
        ("data.flip_keep=[-1]", "data.flip_keep.0"),
        ("data.classes=2", "data.flip_keep: no label 2 among 2 classes"),
    ],
)
def test_labels_of_mirroring(problems, override, message):
    assert message in the_one(problems(FLIP, override)).message


def test_problems_name_their_lines(problems):
    assert line(the_one(problems(AUGMENT.replace("grey: 0.2", "resized_crop: {}")))) == 8
    assert line(the_one(problems(AUGMENT.replace("grey: 0.2", "grey: x")))) == 8
    assert line(the_one(problems(FLIP.replace("flip: 0.5", "flip: 0")).__getitem__(slice(0, 1)))) == 6


def test_directions_may_be_mirrored_with_their_labels(read, problems):
    directions = ("data.name=mini_motion", "data.flip=0.5")
    problem = the_one(problems(GOOD, *directions))
    assert "another label" in problem.message and "flip_swap" in problem.hint
    assert read(GOOD, *directions, "data.flip_swap=[[0, 2]]").data.flip_swap == [[0, 2]]


SEEN = ("data.name=mini_out_of_context", "model.name=two_stream_tiny", "data.crop=16")


def test_joints_move_with_pixels_but_not_with_any_operation(problems, read):
    problem = the_one(problems(GOOD, *SEEN, "data.augment.rand_augment={}"))
    assert "joints" in problem.message
    read(GOOD, *SEEN[::2], "data.augment.rand_augment={}")  # nobody sees them
    for key in ("multi_scale", "resized_crop"):
        read(GOOD, *SEEN, f"data.augment={{{key}: {{}}, jitter: {{}}, grey: 0.1, blur: {{}}, erase: {{}}}}")


@pytest.mark.parametrize("key", ["mixup", "cutmix"])
def test_neither_joints_nor_episodes_are_mixed(problems, read, key):
    assert "joints" in the_one(problems(GOOD, *SEEN, f"train.{key}=1")).message
    read(GOOD, *SEEN[::2], f"train.{key}=1")
    few = GOOD.replace("resnet_tiny", "renet_tiny").replace("  ops:\n    - op: tsm\n      options: {fold_div: 4}\n", "")
    few = few.replace("root: videos", "root: videos\n  num_frames: 1")
    assert "episode" in the_one(problems(few + "episodes: {}\n", f"train.{key}=1")).message
