"""Poses of Kinetics and Mimetics: what is read of a file, what of it reaches a batch, and what is a bad one."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from miniatures import MINIATURES, poses, text

from vidops_cli.cli.cells import cells_of
from vidops_cli.cli.common import known
from vidops_cli.data import DATASETS
from vidops_cli.data.clips import Order, batches
from vidops_cli.data.datasets.openpose import read_poses
from vidops_cli.engine.evaluate import evaluate_checkpoint
from vidops_cli.engine.setup import open_clips
from vidops_cli.engine.train import train
from vidops_cli.recipe import RecipeError, load

NAME = "a" * 11


@pytest.fixture
def recipe(tmp_path):
    def recipe(*overrides, name="kinetics50"):
        (tmp_path / "recipe.yaml").write_text(
            f"""
scale: mini
data: {{name: {name}, root: "{tmp_path}/{name}", num_frames: 2}}
model: {{name: two_stream_tiny, skeleton: openpose18, ops: [{{op: tsm}}, {{op: integral_action}}]}}
train: {{epochs: 1, batch: 2, optimizer: {{name: adamw, lr: 1e-3}}, gate_weight: 1.5, threads: 1}}
eval: {{split: val, batch: 2}}
"""
        )
        return load(tmp_path / "recipe.yaml", known(), list(overrides))

    return recipe


@pytest.fixture
def lay(tmp_path):
    def lay(name="kinetics50"):
        (tmp_path / name).mkdir()
        MINIATURES[name](tmp_path / name)
        return tmp_path / name

    return lay


def test_the_best_persons_of_each_frame(tmp_path):
    poses(tmp_path / "a.json", [0.3], [], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    found = read_poses(tmp_path / "a.json")
    assert found.shape == (3, 5, 18, 3) and found.dtype == np.float32
    assert np.allclose(found[0, 0, 2], [0.3 + 0.02 - 0.5, 0.15 - 0.5, 0.1]) and not found[0, 1:].any()
    assert not found[1].any()
    assert np.allclose(found[2, :, 0, 0] + 0.5, [0.1, 0.2, 0.3, 0.4, 0.5])
    told = json.loads((tmp_path / "a.json").read_text())
    told["data"][2]["skeleton"].reverse()
    text(tmp_path / "b.json", json.dumps(told))
    assert np.array_equal(read_poses(tmp_path / "b.json")[:, :4], found[:, :4])  # by score, whatever their order


@pytest.mark.parametrize("first", [0, 1])
def test_frames_that_are_not_told_have_nobody(tmp_path, first):
    poses(tmp_path / "a.json", [0.3], [0.4], [0.5])
    told = json.loads((tmp_path / "a.json").read_text())
    for entry, frame in zip(told["data"], (first, first + 5, first + 2), strict=True):
        entry["frame_index"] = frame
    text(tmp_path / "a.json", json.dumps(told))
    found = read_poses(tmp_path / "a.json")
    assert found[..., 2].any((1, 2)).tolist() == [True, False, True, False, False, True]


def test_joints_without_a_number(tmp_path):
    poses(tmp_path / "a.json", [0.3, 0.4])
    told = json.loads((tmp_path / "a.json").read_text())
    one = told["data"][0]["skeleton"][0]
    one["pose"][8], one["pose"][11], one["score"][6] = float("nan"), None, float("inf")
    text(tmp_path / "a.json", json.dumps(told))
    found = read_poses(tmp_path / "a.json")
    assert np.isfinite(found).all()
    assert (found[0, 0] == 0).all(1).nonzero()[0].tolist() == [4, 5, 6] and found[0, 1, 5:, 2].all()


def one(frame: float, pose: object, score: object) -> str:
    return json.dumps({"data": [{"frame_index": frame, "skeleton": [{"pose": pose, "score": score}]}]})


BAD = {
    "": "is not whole",
    '{"data": [{"frame_index": 1, "skel': "is not whole",
    "[]": r"is not \{data",
    '{"label": "x"}': r"is not \{data",
    '{"data": [{"frame_index": 1}]}': r"is not \{data",
    one(1, 7, 8): r"is not \{data",
    one(1, 34 * [0], 17 * [0]): "a person has 17 joints at 34 numbers",
    one(1, 36 * ["x"], 18 * [0]): "could not convert",
    one(1e12, 36 * [0], 18 * [0]): "frame 1000000000000 is of no clip",
    '{"data": []}': "has nobody in 0 frames",
    '{"data": [{"frame_index": 1, "skeleton": []}, {"frame_index": 2, "skeleton": []}]}': "has nobody in 2 frames",
}


@pytest.mark.parametrize("content", BAD)
def test_an_unsound_file_makes_its_clip_a_bad_one(lay, recipe, content):
    path = lay() / f"kinetics-skeleton/kinetics_train/{NAME}.json"
    text(path, content)
    with pytest.raises(ValueError, match=rf"no poses: .*{NAME}\.json:? {BAD[content]}"):
        read_poses(path)
    clips = open_clips(recipe("data.max_bad=1"), "train", train=True)
    found = list(batches(clips, Order(clips.listed), 2))
    assert clips.present == "1/2" and len(found[0]["coords"]) == 1
    assert f"{NAME}.json" in clips.bad[f"train/{NAME}_000000_000010.mp4"]


def test_a_missing_file_makes_its_clip_a_bad_one(lay, recipe):
    (lay() / f"kinetics-skeleton/kinetics_train/{NAME}.json").unlink()
    clips = open_clips(recipe(), "train", train=True)
    with pytest.raises(ValueError, match=rf"1 videos .* max_bad is 0: no poses: .*{NAME}\.json cannot be read"):
        list(batches(clips, Order(clips.listed), 2))


def test_without_poses_networks_of_frames_alone_go_on(lay, recipe):
    shutil.rmtree(lay() / "kinetics-skeleton")
    frames = recipe("model={name: resnet_tiny}", "train.gate_weight=0")
    item = open_clips(frames, "train", train=True)[0, 0]
    assert "clip" in item and "coords" not in item
    with pytest.raises(ValueError, match="sees joints, of which kinetics50 at") as refused:
        open_clips(recipe(), "train", train=True)
    assert refused.value.args[1] == "how to lay them out: docs/datasets/kinetics.md"


def test_poses_of_the_same_place_in_pixels_of_the_frames(lay, recipe):
    """A video of 4 frames of 32 x 32 pixels, and 8 poses of shares of a frame: its 2nd and 4th are the 4th and 8th."""
    poses(lay() / f"kinetics-skeleton/kinetics_val/{'c' * 11}.json", *([0.1 * t] for t in range(8)))
    item = open_clips(recipe(), "val", train=False)[0, 0]
    assert item["coords"].shape == (2, 5, 18, 2) and item["scores"].shape == (2, 5, 18)
    assert torch.allclose(item["coords"][:, 0, 0, 0], 32 * torch.tensor([0.3, 0.7]) - 0.5, atol=1e-4)
    assert torch.allclose(item["coords"][:, 0, 0, 1], 16 * torch.tensor([0.3, 0.7]) - 0.5, atol=1e-4)
    assert (item["scores"][:, 1:] == 0).all()
    half = open_clips(recipe("data.resize=[64, 16]"), "val", train=False)[0, 0]
    assert torch.allclose(half["coords"][:, 0, 0, 0], 16 * torch.tensor([0.3, 0.7]) - 0.5, atol=1e-4)
    assert torch.allclose(half["coords"][:, 0, 0, 1], 32 * torch.tensor([0.3, 0.7]) - 0.5, atol=1e-4)


def test_where_they_are_looked_for(lay):
    root = lay("kinetics400")
    card = DATASETS["kinetics400"]
    (root / "poses").mkdir()
    told = [card.read(root, split).joints for split in ("train", "val")]
    (root / "kinetics-skeleton/kinetics_train").mkdir(parents=True)
    told += [card.read(root, split).joints for split in ("train", "val")]
    where = [(joints.folder.relative_to(root).as_posix(), joints.names[0]) for joints in told]
    own = [("poses", "-0abcdefghi_000007_000017"), ("poses", "bbbbbbbbbbb_000107_000117")]
    assert where == [*own, ("kinetics-skeleton/kinetics_train", "-0abcdefghi"), own[1]]


MOVED = ["data.resize=28", "data.crop=24", "data.flip=0.5"]


@pytest.mark.parametrize("name, skeleton", [("kinetics50", "openpose18"), ("ntu60", "ntu25")])
@pytest.mark.parametrize("network", ["two_stream_tiny", "pose_tiny"])
def test_trained_on_for_an_epoch(lay, recipe, tmp_path, name, skeleton, network):
    told = [*MOVED, f"model.skeleton={skeleton}", f"model.name={network}"]
    told += [
        "data.augment={multi_scale: {}}",
        *(["model.ops=[]", "train.gate_weight=0"] if network == "pose_tiny" else []),
    ]
    root = lay(name)
    summary = train(recipe(*told, name=name), tmp_path / "run", device="cpu")
    clips = {"kinetics50": 2, "ntu60": 1}[name]
    assert summary["metrics"]["n"] == clips
    if name == "kinetics50":
        lay("mimetics")
        other = recipe(*told, "eval.split=test", name="mimetics")
        found = evaluate_checkpoint(other, tmp_path / "run" / "last.pt", "cpu", lambda done, total: None)
        assert found["metrics"]["n"] == 2
    assert not [path for path in root.rglob("*") if path.suffix in (".npy", ".npz")]  # nothing is written there


def test_a_row_that_is_tested_on_mimetics_alone(lay, recipe, tmp_path):
    """It has no train split to tell the data by."""
    lay()
    lay("mimetics")
    other = f"{{data.name: mimetics, data.root: {tmp_path}/mimetics, eval.split: test}}"
    told = recipe(f"ablation={{rows: [{{name: trained}}, {{name: tested, kind: eval, of: trained, set: {other}}}]}}")
    trained, tested = cells_of(told, ["table.yaml"])
    assert not trained.lacking and not tested.lacking and tested.of == trained.key


def test_a_skeleton_that_cannot_be(recipe):
    for override, said in (
        ("model.skeleton=coco17", "unknown skeleton 'coco17'"),
        ("model={name: resnet_tiny, skeleton: ntu25}", "resnet_tiny sees no joints"),
    ):
        with pytest.raises(RecipeError, match=said):
            recipe(override)
    assert recipe("model.skeleton=null").hash() != recipe().hash()
