"""Networks that see joints, from the data set to the metrics."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from vidops_cli.cli import app
from vidops_cli.data import DATASETS
from vidops_cli.data.mini import benchmark, out_of_context
from vidops_cli.engine.evaluate import evaluate_checkpoint
from vidops_cli.engine.setup import Setup, open_clips
from vidops_cli.engine.train import train
from vidops_cli.models import MODELS
from vidops_cli.ops import OPS
from vidops_cli.recipe import Known, RecipeError, load

KNOWN = Known(ops=OPS, models=MODELS, datasets=DATASETS)
GATE = "{op: integral_action, options: {gate: pose}}"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("out_of_context")
    dials = out_of_context.Dials(actions=4, frames=4, size=16, limb=3.0, missing=0.5, crf=0)
    sizes = {"train": 32, "val": 8, "test": 8}
    benchmark.generate("mini_out_of_context", root, dials=dials, sizes=sizes)
    return root


@pytest.fixture
def recipe(root, tmp_path):
    def make(*overrides: str, name="two_stream_tiny", data="mini_out_of_context", path=tmp_path / "recipe.yaml"):
        path.write_text(
            f"""
scale: mini
data: {{name: {data}, root: {root}, num_frames: 4}}
model: {{name: {name}, ops: [{{op: tsm}}]}}
train: {{epochs: 1, batch: 8, optimizer: {{name: adamw, lr: 4e-3}}, recalibrate_bn: 2, threads: 1}}
eval: {{batch: 8}}
"""
        )
        return load(path, KNOWN, list(overrides))

    return make


def test_joints_come_from_the_benchmark(root, recipe):
    told = recipe()
    clips = open_clips(told, "train", train=True)
    manifest = benchmark.read_manifest("mini_out_of_context", root, "train")
    dials = out_of_context.Dials(**manifest["dials"])
    for index in (0, 5, 9):
        scene = out_of_context.Scene(**manifest["clips"][index]["scene"])
        wanted = torch.from_numpy(out_of_context.joints(scene, dials))
        item = clips[0, index]
        assert torch.equal(item["coords"], wanted[..., :2]) and torch.equal(item["scores"], wanted[..., 2])
    assert len(clips.joints) == 32 and 0 < (clips.joints.array[..., 2].max((1, 2, 3)) == 0).sum() < 32


@pytest.mark.parametrize("name", ["two_stream_tiny", "pose_tiny"])
def test_trained_and_tested_again(recipe, tmp_path, name):
    told = recipe(name=name)
    summary = train(told, tmp_path / "run", device="cpu")
    assert summary["metrics"]["n"] == 8 and summary["metrics"]["present"] == "8/8"
    assert summary["floors"]["order-blind"] == 0.5
    again = evaluate_checkpoint(told, tmp_path / "run" / "last.pt", "cpu", lambda done, total: None)
    assert again["metrics"] == summary["metrics"]
    agree = recipe("data.splits={test: test_agree}", name=name)
    other = evaluate_checkpoint(agree, tmp_path / "run" / "last.pt", "cpu", lambda done, total: None)
    assert other["data"] != summary["data"] and other["metrics"]["n"] == 8


def test_the_push_of_the_gate_is_trained_with(recipe, tmp_path):
    losses = []
    for weight in ("0", "1.5"):
        told = recipe(f"train.gate_weight={weight}", f"model.ops=[{{op: tsm}}, {GATE}]")
        losses.append(train(told, tmp_path / weight, device="cpu")["train"]["train_loss"])
    assert losses[1] > losses[0] + 0.5  # -log of a gate that begins half open is 0.7
    assert recipe("train.gate_weight=0").hash() == recipe().hash() != recipe("train.gate_weight=1").hash()


def test_a_network_that_sees_joints_wants_data_that_have_them(recipe):
    with pytest.raises(RecipeError, match="pose_tiny sees joints, of which mini_motion has none") as refused:
        recipe(name="pose_tiny", data="mini_motion")
    assert "mini_out_of_context" in str(refused.value.problems[0].hint)
    recipe(name="resnet_tiny")  # frames alone do not mind


def test_the_plan_and_the_tree_count_both_streams(recipe, tmp_path, monkeypatch):
    told, path = recipe(), tmp_path / "recipe.yaml"
    result = CliRunner().invoke(app, ["train", str(path), "--dry-run"])
    assert result.exit_code == 0 and "two_stream_tiny" in result.output
    result = CliRunner().invoke(app, ["profile", str(path), "--format", "json"])
    assert result.exit_code == 0, result.output
    rows = {row["name"]: row for row in json.loads(result.stdout)["rows"]}
    params = sum(p.numel() for p in Setup.of(told, "cpu").build(4).parameters())
    assert rows[""]["params"] == params
    assert 0 < rows["rgb"]["macs"] < rows[""]["macs"] and rows["pose"]["macs"] > rows["rgb"]["macs"]
