"""A step on the meta device: it is the step that training takes, and what it says of memory is what autograd holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vidops_cli.cli.common import known
from vidops_cli.engine.dry import META, dry_step
from vidops_cli.engine.few_shot import FewShot
from vidops_cli.engine.moving import make_optimizer
from vidops_cli.engine.setup import Setup
from vidops_cli.recipe import load, resolve

RECIPES = Path(__file__).parents[2] / "recipes"
OPS = "model.ops=[{op: selfy, at: res3}]"


def told(name: str, *overrides: str):
    return load(RECIPES / name, known(), list(overrides), rows=False)


def test_what_is_kept_and_held_is_what_a_step_on_the_cpu_keeps_and_holds():
    recipe, clip = told("quickstart.yaml", "train.batch=4", "eval.batch=2", OPS), (3, 8, 24, 24)
    found = dry_step(recipe, 4, clip)
    setup = Setup.of(recipe, "cpu")
    model = setup.build(4).train()
    optimizer = make_optimizer(model, recipe.train.optimizer)
    own = {x.untyped_storage().data_ptr() for x in (*model.parameters(), *model.buffers())}
    kept = {}

    def note(x):
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage()  # held, so that no other takes its place
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        loss, _ = setup.task(4).loss(model, {"clip": torch.randn(4, *clip), "label": torch.zeros(4, dtype=torch.long)})
    loss.backward()
    optimizer.step()
    whole = sum(x.nbytes() for key, x in kept.items() if key not in own)
    assert found.params == sum(p.numel() for p in model.parameters())
    assert found.kept == pytest.approx(whole, rel=0.02)  # a CPU's batch norm has no reserve
    moments = sum(x.nbytes for state in optimizer.state.values() for x in state.values())
    assert found.state == moments + sum(x.nbytes for x in (*model.parameters(), *model.buffers())) + 4 * found.params


@pytest.mark.parametrize(
    "changes",
    [("train.accumulate=2",), ("train.mixup=0.2",), ("train.ema=0.9",), ("train.activation_checkpointing=true",)],
)
def test_the_step_is_that_of_the_recipe(changes):
    plain = dry_step(told("quickstart.yaml", "train.batch=4", "eval.batch=2"), 4, (3, 8, 24, 24))
    found = dry_step(told("quickstart.yaml", "train.batch=4", "eval.batch=2", *changes), 4, (3, 8, 24, 24))
    assert found.params == plain.params
    less = ("train.accumulate=2", "train.activation_checkpointing=true")
    assert (found.kept < 0.6 * plain.kept) == (changes[0] in less)
    assert (found.state > plain.state) == (changes[0] == "train.ema=0.9")


def test_an_episode_and_a_clip_with_joints(monkeypatch):
    seen = []
    loss = FewShot.loss
    monkeypatch.setattr(FewShot, "loss", lambda *given: seen.append(given[2]) or loss(*given))
    dry_step(told("claims/renet.yaml", "train.batch=6", "eval.batch=4"), 64, (3, 1, 32, 32))
    assert seen[0]["clip"].shape == (5 * 6 + 6, 3, 1, 32, 32) and seen[0]["clip"].device == META
    table = load(RECIPES / "claims/integral_action.yaml", known())
    recipe = resolve(table, table.ablation.rows[-1], 0, known())
    assert dry_step(recipe, 4, (3, 8, 24, 24)).kept > 0


def test_shapes_that_do_not_fit_and_nothing_to_train():
    with pytest.raises(ValueError, match="frames need"):
        dry_step(told("claims/renet.yaml"), 64, (3, 1, 4, 4))
    with pytest.raises(ValueError, match="leaves nothing to train"):
        dry_step(told("quickstart.yaml", "train.frozen=[conv1, bn1, layer1, layer2, layer3, fc]"), 4, (3, 8, 24, 24))
