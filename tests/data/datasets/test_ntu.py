"""Skeletons of NTU RGB+D: what is read of a file, what of it reaches a batch, and what is a bad one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from miniatures import MINIATURES, skeleton, text

from vidops_cli.cli.common import known
from vidops_cli.data import DATASETS, Annotations
from vidops_cli.data.clips import ClipOptions, Clips
from vidops_cli.data.datasets.ntu import Skeletons, read_skeleton
from vidops_cli.data.prepare import Told, prepare
from vidops_cli.data.video import write_video
from vidops_cli.engine.setup import open_clips
from vidops_cli.recipe import load

PLAIN = ClipOptions(4, None, None, 0.0, [0.5] * 3, [0.2] * 3, "ordered", False, 0)


@pytest.fixture
def recipe(tmp_path):
    def recipe(*overrides):
        told = f'data: {{name: ntu60, root: "{tmp_path}", num_frames: 2}}\n'
        told += "model: {name: two_stream_tiny, skeleton: ntu25}\n"
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
    frames = [{"7": 600.0}, {"7": 1200.0}, {"7": 1320.0}, {"7": 1800.0}]
    text(tmp_path / "nturgb+d_skeletons/S002C001P003R001A001.skeleton", skeleton(*frames))
    item = open_clips(recipe(), "val", train=False)[0, 0]
    assert item["clip"].shape == (3, 2, 32, 32) and item["label"] == 0
    assert item["coords"].shape == (2, 6, 25, 2) and item["scores"].shape == (2, 6, 25)
    first = item["coords"][:, 0, 0]  # the videos have 32 x 32 pixels, where a Kinect's have 1920 x 1080
    wanted = torch.tensor([[1200.5 / 60, 600.5 / 33.75], [1800.5 / 60, 900.5 / 33.75]]) - 0.5
    assert torch.allclose(first, wanted, atol=1e-4)
    assert torch.equal(item["scores"][:, 0], torch.ones(2, 25)) and not item["scores"][:, 1:].any()


def test_frames_alone_need_no_joints(tmp_path, recipe):
    MINIATURES["ntu60"](tmp_path)
    for file in (tmp_path / "nturgb+d_skeletons").iterdir():
        file.unlink()
    told = recipe("model.name=resnet_tiny", "model.skeleton=null", "data.resize=28", "data.crop=24")
    assert "coords" not in open_clips(told, "val", train=False)[0, 0]
    (clip,) = (open_clips(recipe(), "val", train=False)[0, 0],)
    assert "cannot be read" in clip["bad"]
    (tmp_path / "nturgb+d_skeletons").rmdir()
    assert "coords" not in open_clips(told, "val", train=False)[0, 0]
    with pytest.raises(ValueError, match=r"sees joints, of which ntu60 at .+ has none") as refused:
        open_clips(recipe(), "val", train=False)
    assert "ntu-rgbd.md" in refused.value.args[1]


def test_a_network_of_another_skeleton(tmp_path, recipe):
    MINIATURES["ntu60"](tmp_path)
    with pytest.raises(ValueError, match="persons of openpose18, those of ntu60 are ntu25") as refused:
        open_clips(recipe("model.skeleton=openpose18"), "val", train=False)
    assert refused.value.args[1] == "set model.skeleton=ntu25"


def test_prepared_clips_find_their_joints(tmp_path, recipe):
    """Frames of another size, with the folder of skeletons put beside them."""
    (tmp_path / "data").mkdir()
    MINIATURES["ntu60"](tmp_path / "data")
    card, out = DATASETS["ntu60"], tmp_path / "out"
    told = Told(to="frames", side=24, quality=90, crf=18)
    listed = {"val": card.read(tmp_path / "data", "val")}
    prepare("ntu60", listed, out, told, processes=1, timeout=60, progress=lambda *_: None, division="cross_subject")
    assert card.read(out, "val").joints is None
    (out / "nturgb+d_skeletons").symlink_to(tmp_path / "data" / "nturgb+d_skeletons")
    items = [open_clips(recipe(f"data.root={root}"), "val", train=False)[0, 0] for root in (tmp_path / "data", out)]
    assert [item["clip"].shape[2:] for item in items] == [(32, 32), (24, 24)]
    assert torch.allclose((items[0]["coords"] + 0.5) * 24 / 32, items[1]["coords"] + 0.5, atol=1e-4)


def test_a_skeleton_a_few_frames_longer_or_shorter(tmp_path):
    video = Annotations(tmp_path, "val", ("a.mp4",), (0,), ("a",), "", joints=Skeletons(tmp_path, ("a",)))
    write_video(tmp_path / "a.mp4", np.zeros((40, 16, 16, 3), np.uint8))
    for count in (37, 40, 43, 35, 45):
        text(tmp_path / "nturgb+d_skeletons/a.skeleton", skeleton(*({"7": 960.0 + t} for t in range(count))))
        item = Clips(video, PLAIN, train=False)[0, 0]
        if abs(count - 40) > 4:
            assert item["bad"] == f"a.mp4: 40 frames, but joints of {count}"
        else:
            frames = (item["coords"][:, 0, 0, 0] + 0.5) * 120 - 960.5
            assert torch.allclose(frames, torch.tensor([5.0, 15, 25, 35]) * count / 40, atol=1.1)


def test_joints_of_another_length(tmp_path, recipe):
    MINIATURES["ntu60"](tmp_path)
    text(tmp_path / "nturgb+d_skeletons/S002C001P003R001A001.skeleton", skeleton(*3 * [{"7": 1.0}]))
    assert "4 frames, but joints of 3" in open_clips(recipe(), "val", train=False)[0, 0]["bad"]
