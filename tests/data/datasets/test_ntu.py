"""Skeletons of NTU RGB+D: what is read of a file, what of it reaches a batch, and what is a bad one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from miniatures import MINIATURES, skeleton, text

from vidops_cli.cli.common import known
from vidops_cli.data import DATASETS
from vidops_cli.data.datasets.ntu import read_skeleton
from vidops_cli.engine.setup import open_clips
from vidops_cli.recipe import load


@pytest.fixture
def recipe(tmp_path):
    def recipe(*overrides):
        told = f'data: {{name: ntu60, root: "{tmp_path}", num_frames: 2}}\nmodel: {{name: two_stream_tiny}}\n'
        (tmp_path / "recipe.yaml").write_text(f"{told}train: {{epochs: 1, batch: 2, optimizer: {{lr: 0.1}}}}\n")
        return load(tmp_path / "recipe.yaml", known(), list(overrides))

    return recipe


def test_bodies_keep_their_places(tmp_path):
    text(tmp_path / "a.skeleton", skeleton({"7": 100.0}, {}, {"9": 40.0, "7": 200.0}))
    found = read_skeleton(tmp_path / "a.skeleton")
    assert found.shape == (3, 6, 25, 3) and found.dtype == np.float32
    assert found[0, 0, 0].tolist() == [100, 50, 1] and found[0, 0, 24].tolist() == [124, 50, 1]
    assert not found[1].any() and not found[0, 1:].any()
    assert found[2, 0, 0].tolist() == [200, 100, 1] and found[2, 1, 0].tolist() == [40, 20, 1]


def test_joints_that_have_no_place_in_the_video(tmp_path):
    text(tmp_path / "a.skeleton", skeleton({"7": float("nan")}, {"7": 5.0}))
    found = read_skeleton(tmp_path / "a.skeleton")
    assert not found[0].any() and found[1, 0].all()


def test_more_bodies_than_a_kinect_follows(tmp_path):
    text(tmp_path / "a.skeleton", skeleton(*({str(i): 10.0 * i} for i in range(1, 9))))
    found = read_skeleton(tmp_path / "a.skeleton")
    assert found[..., 2].any(-1).sum(1).tolist() == [1] * 6 + [0, 0]


@pytest.mark.parametrize(
    "content", ["", "0", "2\n0\n0", skeleton({"7": 1.0})[:-9], "one", "-1", skeleton({"7": 1.0}, joints=3)]
)
def test_bad_skeletons(tmp_path, content):
    text(tmp_path / "a.skeleton", content)
    with pytest.raises(ValueError, match=r"no skeletons: .*a\.skeleton"):
        read_skeleton(tmp_path / "a.skeleton")


def test_divisions(tmp_path):
    MINIATURES["ntu60"](tmp_path)
    card = DATASETS["ntu60"]
    views = {split: card.read(tmp_path, split, {"train": "cross_view"}).paths for split in ("train", "test")}
    assert [path[13:21] for path in views["train"]] == ["S001C003"]
    assert [path[13:21] for path in views["test"]] == ["S001C001", "S002C001"]
    with pytest.raises(ValueError, match="mixes cross_subject and cross_view"):
        card.read(tmp_path, "train", {"train": "cross_view", "val": "cross_subject"})


def test_joints_come_with_the_frames(tmp_path, recipe):
    MINIATURES["ntu60"](tmp_path)
    frames = [{"7": 10.0}, {"7": 20.0}, {"7": 30.0}, {"7": 40.0}]
    text(tmp_path / "nturgb+d_skeletons/S002C001P003R001A001.skeleton", skeleton(*frames))
    item = open_clips(recipe(), "val", train=False)[0, 0]
    assert item["clip"].shape == (3, 2, 32, 32) and item["label"] == 0
    assert item["coords"].shape == (2, 6, 25, 2) and item["scores"].shape == (2, 6, 25)
    assert item["coords"][:, 0, 0, 0].tolist() in ([10, 30], [20, 40], [20, 30], [10, 40])
    assert torch.equal(item["scores"][:, 0], torch.ones(2, 25)) and not item["scores"][:, 1:].any()


def test_frames_alone_need_no_joints(tmp_path, recipe):
    MINIATURES["ntu60"](tmp_path)
    for file in (tmp_path / "nturgb+d_skeletons").iterdir():
        file.unlink()
    told = recipe("model.name=resnet_tiny", "data.resize=28", "data.crop=24")
    assert "coords" not in open_clips(told, "val", train=False)[0, 0]
    (clip,) = (open_clips(recipe(), "val", train=False)[0, 0],)
    assert "cannot be read" in clip["bad"]


def test_joints_of_another_length(tmp_path, recipe):
    MINIATURES["ntu60"](tmp_path)
    text(tmp_path / "nturgb+d_skeletons/S002C001P003R001A001.skeleton", skeleton(*3 * [{"7": 1.0}]))
    assert "4 frames, but joints of 3" in open_clips(recipe(), "val", train=False)[0, 0]["bad"]
