"""Every data set that is shipped a card for: its miniature is read, described, and trained on for one epoch."""

from __future__ import annotations

from pathlib import Path

import pytest
from miniatures import MINIATURES

from vidops_cli.cli.common import known
from vidops_cli.data import DATASETS
from vidops_cli.data.clips import open_file
from vidops_cli.data.datasets import REAL
from vidops_cli.engine.evaluate import evaluate_checkpoint
from vidops_cli.engine.train import train
from vidops_cli.recipe import load

REPOSITORY = Path(__file__).parents[3]
FEW_SHOT = {"miniimagenet", "tieredimagenet", "cub", "cifar_fs"}
TESTED_ALONE = {"mimetics": "kinetics50"}  # and what it is trained on
RENUMBERED = {"mimetics400"}  # among classes that no miniature has


@pytest.fixture(scope="module")
def laid(tmp_path_factory):
    """name -> (root, what is told of it), made once."""
    found = {}

    def laid(name):
        if name not in found:
            root = tmp_path_factory.mktemp("data sets") / "größe"
            root.mkdir()
            found[name] = root, MINIATURES[name](root)
        return found[name]

    return laid


def test_each_has_a_miniature_and_a_page():
    assert [card.name for card in REAL] == [*MINIATURES]
    assert len(REAL) == 19
    index = (REPOSITORY / "docs/datasets/README.md").read_text(encoding="utf-8")
    for card in REAL:
        page = (REPOSITORY / card.page).read_text(encoding="utf-8")
        assert f"`{card.name}`" in page and f"`{card.name}`" in index and Path(card.page).name in index, card.name
        assert card.classes and not card.generated
        for size in card.sizes.values():
            assert f"{size:,}" in page, (card.name, size)
        for split in card.sizes:
            assert card.size(split.split()[-1], {"train": split.split()[0]} if card.divisions else {})


@pytest.mark.parametrize("name", MINIATURES)
def test_read(laid, name):
    root, told = laid(name)
    for split, clips in told.clips.items():
        found = DATASETS[name].read(root, split, told.splits)
        assert list(zip(found.paths, found.labels, strict=True)) == clips
        assert list(found.classes) == told.names(split)
        assert (found.root, found.split, found.floors) == (root, split, {"chance": 1 / len(found.classes)})
        for path in found.paths:
            assert len(open_file(root / path)) > 0
        assert DATASETS[name].read(root, split, told.splits).fingerprint == found.fingerprint


@pytest.mark.parametrize("name", MINIATURES)
def test_what_is_not_there(tmp_path, name):
    for root in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(ValueError, match=r"not there|no such folder|is empty") as error:
            DATASETS[name].read(root, "val")
        message, hint = error.value.args
        assert str(root) in message and ("data.root" in hint or DATASETS[name].page in hint), (message, hint)


@pytest.mark.parametrize("name", [name for name in MINIATURES if name not in FEW_SHOT | RENUMBERED])
def test_trained_on_for_an_epoch(laid, tmp_path, name):
    trained = TESTED_ALONE.get(name, name)
    root, told = laid(trained)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"""
scale: mini
data: {{name: {trained}, root: "{root}", num_frames: 2, resize: 28, crop: 24}}
model: {{name: resnet_tiny, ops: [{{op: tsm}}]}}
train: {{epochs: 1, batch: 2, optimizer: {{name: adamw, lr: 1e-3}}, threads: 1}}
eval: {{split: val, batch: 4}}
""",
        encoding="utf-8",
    )
    chosen = [f"data.splits={{{key}: {value}}}" for key, value in told.splits.items()]
    summary = train(load(recipe, known(), chosen), tmp_path / "run", device="cpu")
    clips = len(told.clips["val"])
    assert summary["metrics"]["present"] == f"{clips}/{clips}"
    if trained != name:
        other, tested = laid(name)
        again = load(recipe, known(), [f"data.name={name}", f"data.root={other}", "eval.split=test"])
        found = evaluate_checkpoint(again, tmp_path / "run" / "last.pt", "cpu", lambda done, total: None)
        assert found["metrics"]["n"] == len(tested.clips["test"])


@pytest.mark.parametrize("name", sorted(FEW_SHOT))
def test_trained_on_in_episodes_for_an_epoch(laid, tmp_path, name):
    root, told = laid(name)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"""
scale: mini
data: {{name: {name}, root: "{root}", num_frames: 1, resize: 28, crop: 24}}
model:
  name: renet_tiny
  ops:
    - {{op: scr, at: res4, options: {{planes: [8, 8, 8]}}}}
    - {{op: cca, options: {{reduced: 8, planes: [2, 1]}}}}
train: {{epochs: 1, batch: 6, optimizer: {{name: adamw, lr: 1e-3}}, threads: 1}}
episodes: {{ways: 2, shots: 1, queries: 2, eval: 4}}
""",
        encoding="utf-8",
    )
    summary = train(load(recipe, known()), tmp_path / "run", device="cpu")
    assert summary["metrics"]["present"] == f"{len(told.clips['test'])}/{len(told.clips['test'])}"
