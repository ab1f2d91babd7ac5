"""What `vidops_cli` offers to notebooks and scripts."""

from __future__ import annotations

import logging
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

import vidops_cli
from vidops_cli import create_model, create_op, load_recipe, profile
from vidops_cli.cli.common import known
from vidops_cli.models import MODELS
from vidops_cli.ops import OPS
from vidops_cli.own import BUILT_IN
from vidops_cli.profiling.profile import Settings
from vidops_cli.recipe import load

ROOT = Path(__file__).parents[1]
QUICKSTART, BASE = ROOT / "recipes/quickstart.yaml", ROOT / "recipes/base/mini_motion.yaml"
MOTION = {"op": "motion_squeeze", "at": "res3", "options": {"max_displacement": 2}}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Few passes are timed."""
    monkeypatch.setattr("vidops_cli.profiling.tree.MOST", 3)
    monkeypatch.setattr("vidops_cli.profiling.profile.Settings", partial(Settings, budget=0.01))


def test_names_are_there_without_torch():
    source = "import sys, vidops_cli\nassert {*vidops_cli.__all__} <= {*dir(vidops_cli)}\n"
    source += "vidops_cli.create_op, vidops_cli.load_recipe\nassert 'torch' not in sys.modules\n"
    source += "from vidops_cli import *\nassert callable(create_model) and not hasattr(vidops_cli, 'creat_op')\n"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert set(vidops_cli.__all__) == {"__version__", "create_model", "create_op", "load_recipe", "profile"}
    for name in set(vidops_cli.__all__) - {"__version__"}:
        told = getattr(vidops_cli, name)
        assert told.__name__ == name and "ValueError" in told.__doc__ and told.__annotations__["return"]


def test_an_operator_is_that_of_the_zoo():
    torch.manual_seed(0)
    op = create_op("conv3d", 8, kernel=(1, 3, 3), out_channels=4)
    torch.manual_seed(0)
    other = OPS["conv3d"].load()(8, kernel=(1, 3, 3), out_channels=4)
    x = torch.randn(2, 8, 3, 4, 5)
    assert torch.equal(op(x), other(x)) and op(x).shape == (2, 4, 3, 4, 5) and op.training


def test_a_network_is_that_of_a_recipe(tmp_path):
    torch.manual_seed(0)
    model = create_model("resnet_tiny", 4, [MOTION], dropout=0.1, places={"middle": "res3"})
    torch.manual_seed(0)
    other = MODELS["resnet_tiny"].build(classes=4, ops=[MOTION], dropout=0.1)
    assert {k: v.tolist() for k, v in model.state_dict().items()} == {
        k: v.tolist() for k, v in other.state_dict().items()
    }
    told = load_recipe(BASE, ["model.ops=[{op: tsm}]"])
    made = create_model(told, 4)
    assert made.operators == create_model("resnet_tiny", 4, [{"op": "tsm"}]).operators != ()
    assert made.operators == create_model("resnet_tiny", 4, "tsm").operators
    assert made.operators == create_model("resnet_tiny", 4, ["tsm"]).operators
    torch.save({"model": model.state_dict()}, tmp_path / "model.pt")
    again = create_model("resnet_tiny", 4, [MOTION], weights=tmp_path / "model.pt")
    assert torch.equal(again.fc.weight, model.fc.weight)


def test_a_recipe_is_read_as_the_command_line_does():
    told = load_recipe(str(QUICKSTART), ["train.epochs=2"])
    assert told == load(QUICKSTART, known(), ["train.epochs=2"]) and told.train.epochs == 2
    assert told == load_recipe(QUICKSTART, "train.epochs=2")


def test_an_operator_is_profiled():
    (row,) = profile("tsm", (1, 8, 4, 6, 6), fold_div=4, backward=False, device="cpu")
    assert (row["op"], row["options"], row["shape"], row["status"]) == ("tsm", "fold_div=4", "1x8x4x6x6", "ok")
    assert row["macs"] == 0 and row["fwd_ms"] > 0 and row["bound_ms"] > 0 and row["fwdbwd_ms"] is None


def test_a_module_is_profiled_as_it_is():
    model = create_model("resnet_tiny", 4, [MOTION])
    rows = profile(model, (1, 3, 4, 24, 24), depth=1)
    assert rows[0]["params"] == sum(p.numel() for p in model.parameters()) and rows[0]["ms"] > 0
    assert "MotionSqueeze" in {row["kind"] for row in rows} and model.training
    (row,) = profile(create_op("se", 16, reduction=4), inputs=[torch.randn(1, 16, 1, 4, 4)], depth=0)
    assert row["kind"] == "SE" and row["macs"] > 0


@pytest.mark.parametrize(
    ("call", "message", "hint"),
    [
        (lambda: create_op("rsaa", 64), "unknown operator 'rsaa'", "did you mean 'rsa'?"),
        (lambda: create_op("rsa", 64, head=4), "rsa has no option 'head'", "its options: heads"),
        (lambda: create_op("rsa", 64, heads="x"), "rsa: heads: expected an integer", "vidops show rsa"),
        (lambda: create_op("rsa", 60), "rsa: 8 heads do not divide 60 channels", "vidops show rsa"),
        (lambda: create_op("rsa", 0), "channels: expected a number from 1", "channels=64"),
        (lambda: create_op("nowhere:Op", 8), "no module named 'nowhere'", "looked in"),
        (lambda: create_model("resnet", 4), "unknown model 'resnet'", "did you mean"),
        (lambda: create_model("resnet_tiny", 4, ["tsn"]), "unknown operator 'tsn'", "did you mean 'tsm'?"),
        (lambda: create_model("resnet_tiny", 4, [3]), "ops: expected names of operators, or mappings, got [3]", "tsm"),
        (lambda: create_model("resnet_tiny", 0), "classes: expected", "classes=64"),
        (lambda: create_model("resnet_tiny", 4, [{"op": "tsm", "att": "res2"}]), "unknown key 'ops.0.att'", "'at'"),
        (lambda: create_model("resnet_tiny", 4, drop=1), "unknown key 'drop'", "did you mean 'dropout'?"),
        (lambda: create_model("resnet_tiny", 4, dropout=1.5), "dropout: expected less than 1", "show recipe"),
        (lambda: create_model("resnet_tiny", 4, weights="x.pt"), "no such checkpoint: x.pt", "name a .pt that"),
        (lambda: create_model(load_recipe(QUICKSTART), 4, [MOTION]), "a recipe says", "load_recipe(path"),
        (lambda: load_recipe("nowhere.yaml"), "no such recipe: nowhere.yaml", "vidops list recipes"),
        (lambda: profile("tsm", (1, 2, 3)), "shape is (B, C, T, H, W)", "T = 1"),
        (lambda: profile("tsm", inputs=[]), "inputs are made", "shape="),
        (lambda: profile("tsm", dtype="int8"), "unknown dtype 'int8'", "bfloat16"),
        (lambda: profile("tsm", device="tpu"), "unknown device 'tpu'", "cuda"),
        (lambda: profile("tsm", baseline="tsn"), "unknown operator 'tsn'", "did you mean 'tsm'?"),
        (lambda: profile(create_op("tsm", 8)), "on inputs of a size", "shape="),
        (lambda: profile(create_op("tsm", 8), (1, 8, 2, 2, 2), heads=2), "heads means nothing", "leave it out"),
    ],
)
def test_errors_read_well(call, message, hint):
    """The hint is in args, as the command line takes it, and on a line of its own where a notebook prints it."""
    with pytest.raises(ValueError) as refused:
        call()
    assert message in refused.value.args[0] and hint in refused.value.args[1]
    assert str(refused.value) == f"{refused.value.args[0]}\nhint: {refused.value.args[1]}"
    assert refused.value.__suppress_context__


def test_a_clip_that_is_none_is_refused_in_two_lines():
    with pytest.raises(ValueError, match=r"^a clip is \(B, 3, T, H, W\), got .*\nhint: .* T = 1$"):
        create_model("resnet_tiny", 4)(torch.zeros(3, 8, 32, 32))


def test_every_problem_of_a_recipe_is_told():
    with pytest.raises(ValueError) as refused:
        load_recipe(QUICKSTART, ["train.epoch=2", "model.name=resnet_tin"])
    told = str(refused.value).splitlines()
    assert told[0].startswith("train.epoch=2: unknown key 'train.epoch'; did you mean")
    assert told[1].startswith("model.name=resnet_tin: unknown model 'resnet_tin'")
    assert told[2] == "hint: did you mean 'resnet_tiny'?"


def test_a_class_of_ones_own(tmp_path, monkeypatch, caplog):
    (tmp_path / "api_ops.py").write_text(
        "from torch import nn\nclass Half(nn.Module):\n    def __init__(self, channels, by: float = 2.0):\n"
        "        super().__init__()\n        self.by = by\n    def forward(self, x):\n        return x / self.by\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    try:
        assert create_op("api_ops:Half", 4, by=4.0)(torch.ones(1)).item() == 0.25
        model = create_model("resnet_tiny", 4, [{"op": "api_ops:Half", "slot": "after_stage", "at": "res2"}])
        assert model.operators and not caplog.records
        del OPS["api_ops:Half"]
        with caplog.at_level(logging.WARNING):
            told = load_recipe(BASE, ["model.ops=[{op: 'api_ops:Half', slot: after_stage}]"])
        assert told.model.ops[0].op == "api_ops:Half"
        assert [record.message for record in caplog.records] == [
            f"own operator api_ops:Half from {tmp_path / 'api_ops.py'}"
        ]
        (row,) = profile("api_ops:Half", (1, 4, 1, 2, 2), backward=False, by=3.0)
        assert row["cost_from"] == "aten" and row["status"] == "ok"
    finally:
        sys.modules.pop("api_ops", None)
        for name in [name for name in OPS if name not in BUILT_IN]:
            del OPS[name]
