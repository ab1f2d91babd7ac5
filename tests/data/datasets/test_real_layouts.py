"""Every data set that is shipped a card for: its miniature is read, described, looked through, and trained on for one
epoch by the recipe that is shipped for it, of which only sizes are made small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from miniatures import MINIATURES, Told

from vidops_cli.cli.common import known
from vidops_cli.data import DATASETS
from vidops_cli.data.clips import open_file
from vidops_cli.data.datasets import REAL
from vidops_cli.engine.evaluate import evaluate_checkpoint
from vidops_cli.engine.train import train
from vidops_cli.recipe import Recipe, load

REPOSITORY = Path(__file__).parents[3]
FEW_SHOT = {"miniimagenet", "tieredimagenet", "cub", "cifar_fs"}
RECIPES = {
    "something_v1": "motionsqueeze/ssv1_8f.yaml",
    "something_v2": "rsa/ssv2_8f.yaml",
    "kinetics400": "sifa/table2_kinetics.yaml",
    "kinetics600": "motionsqueeze/kinetics400_8f.yaml",  # none of its own
    "kinetics50": "integral_action/streams.yaml",
    "mimetics": "integral_action/readme_mimetics50.yaml",
    "ucf101": "motionsqueeze/hmdb51_8f.yaml",  # none of its own
    "hmdb51": "motionsqueeze/hmdb51_8f.yaml",
    "diving48_v1": "selfy/diving48.yaml",
    "diving48_v2": "rsa/diving48.yaml",
    "gym99": "rsa/finegym99.yaml",
    "gym288": "rsa/finegym288.yaml",
    "imagenet": "lisa/imagenet.yaml",
    "cub": "renet/cub_1shot.yaml",
    "miniimagenet": "renet/mini_imagenet_1shot.yaml",
    "cifar_fs": "renet/cifar_fs_1shot.yaml",
    "tieredimagenet": "renet/tiered_imagenet_1shot.yaml",
    "ntu60": "integral_action/table3_ntu.yaml",
}
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
        assert f"datasets/{card.folder or card.name}" in page
        for size in card.sizes.values():
            assert f"{size:,}" in page, (card.name, size)
        for split in card.sizes:
            assert card.size(split.split()[-1], {"train": split.split()[0]} if card.divisions else {})


def test_recipes_look_where_the_pages_say():
    found = set()
    for path in (REPOSITORY / "recipes").rglob("*.yaml"):
        told = yaml.safe_load(path.read_text(encoding="utf-8")).get("data", {})
        if (card := DATASETS.get(told.get("name"))) in REAL and "root" in told:
            assert told["root"] == f"datasets/{card.folder or card.name}", path
            found.add(card.name)
    assert len(found) > 10


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


@pytest.mark.parametrize("name", MINIATURES)
def test_looked_through(laid, vidops, tmp_path, name):
    root, told = laid(name)
    division = ["--division", told.splits["train"]] if told.splits else []
    named = "-".join(["manifest", name, *told.splits.values()][:3])
    code, out, err = vidops("data", "verify", name, "--root", root, "--out", tmp_path, *division)
    assert code == int("not whole" in out), err
    for split, clips in told.clips.items():
        row = next(line for line in out.splitlines() if line.startswith(f"│ {split} "))
        cells = [cell.strip() for cell in row.strip("│").split("│")]
        official = DATASETS[name].size(split, told.splits)
        assert cells[1:5] == [
            f"{len(clips)}",
            f"{official or '-'}",
            f"{len(told.names(split))}",
            f"{len(clips)}/{len(clips)}",
        ]
        rows = [json.loads(line) for line in (tmp_path / f"{named}-{split}.jsonl").read_text("utf-8").splitlines()]
        assert [(row["path"], row["label"]) for row in rows] == clips
        assert all(row["frames"] > 0 and row["height"] == 32 for row in rows)
    counts = [len(told.names(split)) for split in told.clips]
    assert (" classes, officially" in out) == (DATASETS[name].classes not in counts)  # a miniature has fewer
    assert (" clips, officially" in out) == bool(DATASETS[name].sizes)


def present(name: str, split: str, told: Told) -> str:
    """Of the official release, where its size is known."""
    clips = len(told.clips[split])
    return f"{clips}/{DATASETS[name].size(split, told.splits) or clips}"


def small(name: str, root: Path, told: Told, recipe: str, *more: str) -> Recipe:
    chosen = [f"data.name={name}", f"data.root={root}", f"data.splits={json.dumps(told.splits)}"]
    chosen += [f"data.classes={len(told.names('train'))}", "data.resize=28", "data.crop=24", "eval.crop=null"]
    chosen += ["data.workers=0", "train.epochs=1", "train.batch=2", "train.threads=1", *more]
    if DATASETS[name].mirrors is False:
        chosen.append("data.flip_keep=[0]")  # the recipe's are of all classes
    return load(REPOSITORY / "recipes" / recipe, known(), chosen, rows=False)


@pytest.mark.parametrize("name", sorted({*MINIATURES} - FEW_SHOT - RENUMBERED))
def test_trained_on_for_an_epoch(laid, tmp_path, name):
    trained = TESTED_ALONE.get(name, name)
    root, told = laid(trained)
    network = ["model.name=resnet_tiny", "model.ops=[{op: tsm}]", "data.num_frames=2"]
    recipe = small(trained, root, told, RECIPES[trained], *network)
    summary = train(recipe, tmp_path / "run", device="cpu")
    assert summary["metrics"]["present"] == present(trained, "val", told)
    if trained != name:
        other, tested = laid(name)
        again = small(name, other, told, RECIPES[name], *network, "eval.split=test")
        found = evaluate_checkpoint(again, tmp_path / "run" / "last.pt", "cpu", lambda done, total: None)
        assert found["metrics"]["n"] == len(tested.clips["test"])


@pytest.mark.parametrize("name", sorted(FEW_SHOT))
def test_trained_on_in_episodes_for_an_epoch(laid, tmp_path, name):
    root, told = laid(name)
    ops = "[{op: scr, at: res4, options: {planes: [8, 8, 8]}}, {op: cca, options: {reduced: 8, planes: [2, 1]}}]"
    episodes = "episodes={ways: 2, shots: 1, queries: 2, eval: 4}"
    recipe = small(name, root, told, RECIPES[name], "model.name=renet_tiny", f"model.ops={ops}", episodes)
    summary = train(recipe, tmp_path / "run", device="cpu")
    assert summary["metrics"]["present"] == present(name, "test", told)
