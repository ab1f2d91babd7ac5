"""Rates, groups, parts of a batch, norms that stay, and the mean of the weights."""

import copy
import math

import pytest
import torch
from torch import nn

from vidops_cli.engine import checkpoint
from vidops_cli.engine.evaluate import evaluate_checkpoint
from vidops_cli.engine.moving import averaged, learning_rate, make_optimizer, settle_norms
from vidops_cli.engine.setup import Setup
from vidops_cli.engine.stopping import Stop
from vidops_cli.engine.train import train
from vidops_cli.models import MODELS


def test_learning_rate_warms_up_and_falls_along_a_cosine(recipe):
    told = recipe("train.schedule.warmup=0.1", "train.schedule.final=0.01", "train.optimizer.lr=1.0")
    rates = [learning_rate(told, step, 100) for step in range(100)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert rates[9] == pytest.approx(1.0)
    assert rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.01 + 0.99 * 0.5)
    assert sorted(rates[10:], reverse=True) == rates[10:]
    assert 0.01 < rates[-1] < 0.012


def test_norms_and_biases_are_not_decayed(recipe):
    told = recipe()
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    groups = make_optimizer(model, told.train.optimizer).param_groups
    assert [len(group["params"]) for group in groups] == [1, 3]
    assert [group["weight_decay"] for group in groups] == [1e-2, 0.0]


def test_the_rate_falls_at_the_epochs_told(recipe):
    """MotionSqueeze's: a tenth after epochs 20 and 30 of 40."""
    told = recipe("train.epochs=40", "train.optimizer.lr=0.01", "train.schedule={name: step, at: [20, 30]}")
    rates = [learning_rate(told, step, 400) for step in range(400)]
    assert rates[:200] == [0.01] * 200
    assert rates[200:300] == pytest.approx([1e-3] * 100) and rates[300:] == pytest.approx([1e-4] * 100)
    other = recipe("train.epochs=40", "train.schedule={name: step, at: [20], by: 0.05}", "train.optimizer.lr=1.0")
    assert learning_rate(other, 399, 400) == pytest.approx(0.05)


def test_rates_by_epochs_are_those_of_the_released_log(recipe):
    """RSA on Something-Something: lr .02, 5 of 80 epochs of warm-up from 1e-3 of it, a cosine down to that."""
    schedule = "{per: epoch, warmup: 0.0625, start: 1e-3, final: 1e-3}"
    told = recipe("train.epochs=80", "train.optimizer.lr=0.02", f"train.schedule={schedule}")
    rates = [learning_rate(told, 10 * epoch + 7, 800) for epoch in range(80)]
    logged = {0: 0.00402, 1: 0.00801, 4: 0.02, 25: 0.01638, 49: 0.00692, 79: 0.00002}
    assert {epoch: round(rates[epoch], 5) for epoch in logged} == logged
    assert learning_rate(told, 70, 800) == learning_rate(told, 79, 800)


def test_a_warm_up_starts_where_it_is_told(recipe):
    told = recipe("train.optimizer.lr=1.0", "train.schedule={warmup: 0.1, start: 0.5}")
    assert [learning_rate(told, step, 100) for step in (0, 4, 9)] == pytest.approx([0.55, 0.75, 1.0])
    told = recipe("train.optimizer.lr=1.0", "train.epochs=100", "train.schedule={warmup: 0.07, per: epoch}")
    assert learning_rate(told, 6, 100) == 1.0 > learning_rate(told, 5, 100)  # 7 epochs, not 7.000000000000001


def test_groups_have_rates_and_decay_of_their_own(recipe, tmp_path):
    """Those of TSM's code: the classifier's weight five times, its bias ten, biases of convolutions twice."""
    groups = "[{of: [fc.weight], lr: 5}, {of: [fc.bias], lr: 10}, {kind: bias, lr: 2}, {kind: norm, weight_decay: 0}]"
    told = recipe(f"train.optimizer.groups={groups}", "train.optimizer.decay_norm_bias=true")
    model = Setup.of(told, "cpu").build(4)
    names = {id(weight): name for name, weight in model.named_parameters()}
    found = {}
    for group in make_optimizer(model, told.train.optimizer).param_groups:
        found |= {names[id(weight)]: (group["factor"], group["weight_decay"]) for weight in group["params"]}
    assert found.keys() == set(names.values())
    assert found["fc.weight"] == (5, 1e-2) and found["fc.bias"] == (10, 1e-2)
    assert found["bn1.bias"] == found["bn1.weight"] == (1, 0) and found["conv1.weight"] == (1, 1e-2)
    biased = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.LayerNorm(2))
    kinds = recipe("train.optimizer.groups=[{kind: bias, lr: 2}, {kind: norm, lr: 3}]").train.optimizer
    rates = [(group["factor"], len(group["params"])) for group in make_optimizer(biased, kinds).param_groups]
    assert sorted(rates) == [(1, 1), (2, 1), (3, 4)]
    still = recipe("train.optimizer.groups=[{of: ['layer*'], lr: 0}]", "train.epochs=1", "train.recalibrate_bn=0")
    train(still, tmp_path / "run", device="cpu")
    before = dict(Setup.of(still, "cpu").build(4).named_parameters())
    after = checkpoint.load(tmp_path / "run" / "last.pt")["model"]
    stayed = {name for name in before if torch.equal(before[name], after[name])}
    assert stayed == {name for name in before if name.startswith("layer")}
    with pytest.raises(ValueError, match=r"head\.weight \(all\) names no weight that is trained"):
        make_optimizer(model, recipe("train.optimizer.groups=[{of: [head.weight]}]").train.optimizer)


def test_rates_fall_block_by_block_from_the_head(recipe):
    """lr x decay ** depth, as BEiT's; it multiplies what a group says."""

    def rates(name, *overrides, **given):
        told, model = recipe("train.optimizer.layer_decay=0.5", *overrides), MODELS[name].build(classes=4, **given)
        names = {id(weight): name for name, weight in model.named_parameters()}
        groups = make_optimizer(model, told.train.optimizer).param_groups
        found = {names[id(weight)]: group["factor"] for group in groups for weight in group["params"]}
        assert found.keys() == set(names.values())
        return found

    vit = rates("vit_mini")
    wanted = [vit[f"{part}.weight"] for part in ("head", "norm", "blocks.3.mlp.fc1", "blocks.0.norm1", "patch_embed")]
    assert wanted == [1, 1, 0.5, 0.5**4, 0.5**5]
    ops = [{"op": "motion_squeeze", "at": "res3"}]
    resnet = rates("resnet_tiny", "train.optimizer.groups=[{of: ['layer3.*'], lr: 4}]", ops=ops)
    wanted = [resnet[f"{part}.weight"] for part in ("fc", "layer3.0.conv1", "layer1.0.bn2")]
    assert wanted == [1, 4 * 0.5, 0.5**3]
    assert resnet["conv1.weight"] == resnet["bn1.weight"] == 0.5**4
    assert {factor for name, factor in resnet.items() if name.startswith("after_res3.")} == {0.25}  # of res3's block
    streams = rates("two_stream_tiny")
    assert streams["rgb.conv1.weight"] == streams["pose.pose_input.conv.0.weight"] == 0.5**4
    assert streams["rgb.layer3.0.conv1.weight"] == streams["pose.resnet.layer3.0.conv1.weight"] == 0.5


def test_a_batch_in_parts_moves_the_weights_as_a_whole_one(recipe, tmp_path):
    """With norms that stay; 40 clips in batches of 16, so that parts and batches are of unlike sizes."""
    words = ("train.batch_norm=frozen", "train.recalibrate_bn=0", "train.batch=16", "model.dropout=0")
    words += ("train.optimizer.name=sgd", "train.optimizer.lr=0.1", "train.clip_norm=1.0")
    for parts in (1, 3):
        train(recipe(*words, f"train.accumulate={parts}"), tmp_path / f"{parts}", device="cpu")
    whole, split = (checkpoint.load(tmp_path / f"{parts}" / "last.pt")["model"] for parts in (1, 3))
    for key in whole:
        assert torch.allclose(whole[key].double(), split[key].double(), atol=1e-5), key
    start = Setup.of(recipe(*words), "cpu").build(4).state_dict()
    assert not torch.allclose(whole["conv1.weight"], start["conv1.weight"], atol=1e-3)


@pytest.mark.parametrize("told, moving", [("partial", {"bn1"}), ("frozen", set())])
def test_norms_that_stay(recipe, tmp_path, told, moving):
    given = recipe(f"train.batch_norm={told}", "train.recalibrate_bn=0", "train.epochs=1")
    train(given, tmp_path / "run", device="cpu")
    before = Setup.of(given, "cpu").build(4)
    after = checkpoint.load(tmp_path / "run" / "last.pt")["model"]
    norms = [name for name, module in before.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert norms[0] == "bn1" and len(norms) > 5
    state = before.state_dict()
    for norm in norms:
        same = [
            torch.equal(state[f"{norm}.{key}"], after[f"{norm}.{key}"]) for key in ("weight", "bias", "running_mean")
        ]
        assert all(same) == (norm not in moving) and any(same) == (norm not in moving), norm


def test_the_mean_of_the_weights(recipe, tmp_path):
    """decay x mean + (1 - decay) x weights after each step; it is what is tested, kept, and gone on with."""
    model = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    mean, wanted = averaged(model, 0.9), None
    for _ in range(3):
        with torch.no_grad():
            model[0].weight += 1
            model[1].running_mean += 1
        mean.update_parameters(model)
        now = [model[0].weight.clone(), model[1].running_mean.clone()]
        wanted = now if wanted is None else [0.9 * a + 0.1 * b for a, b in zip(wanted, now, strict=True)]
    assert torch.allclose(mean.module[0].weight, wanted[0]) and torch.allclose(mean.module[1].running_mean, wanted[1])

    told = recipe("train.ema=0.8")
    summary = train(told, tmp_path / "run", device="cpu")
    state = checkpoint.load(tmp_path / "run" / "last.pt")
    assert not torch.equal(state["mean"]["conv1.weight"], state["model"]["conv1.weight"])
    found = evaluate_checkpoint(told, tmp_path / "run" / "last.pt", "cpu", lambda done, total: None)
    assert found["metrics"] == summary["metrics"]
    raw = copy.deepcopy(state)
    raw["mean"] = None
    checkpoint.save(tmp_path / "raw.pt", raw)
    other = evaluate_checkpoint(told, tmp_path / "raw.pt", "cpu", lambda done, total: None)
    assert other["metrics"]["loss"] != summary["metrics"]["loss"]
    counted = []
    train(told, tmp_path / "cut", device="cpu", stop=Stop(lambda: len(counted) >= 7),
          report=lambda status: counted.append(1) if status["phase"] == "training" else None)  # fmt: skip
    again = train(told, tmp_path / "cut", device="cpu")
    assert again["metrics"] == summary["metrics"]
    fresh = Setup.of(recipe(), "cpu").build(4)
    checkpoint.start_from(fresh, tmp_path / "run" / "last.pt")
    assert torch.equal(fresh.conv1.weight, state["mean"]["conv1.weight"])


def test_float16_trains_with_a_scaled_loss(recipe, tmp_path):
    summary = train(recipe("train.precision=float16", "train.clip_norm=5"), tmp_path / "run", device="cpu")
    assert math.isfinite(summary["metrics"]["loss"])
    assert checkpoint.load(tmp_path / "run" / "last.pt")["scaler"]["scale"] > 1


def test_settled_norms_of_a_network_without_any():
    settle_norms(nn.Linear(2, 2), "frozen")


def test_activation_checkpointing_changes_nothing(recipe, tmp_path):
    """Bit for bit, with dropout, stochastic depth and norms that are renewed."""
    for again in ("false", "true"):
        told = recipe(f"train.activation_checkpointing={again}", "model.drop_path=0.3", "train.epochs=1")
        train(told, tmp_path / again, device="cpu")
    plain, other = (checkpoint.load(tmp_path / again / "last.pt") for again in ("false", "true"))
    assert plain["recipe"] == other["recipe"] and plain["sums"] == other["sums"]
    assert all(torch.equal(value, other["model"][key]) for key, value in plain["model"].items())
