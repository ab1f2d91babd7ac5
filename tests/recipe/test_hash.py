"""What a recipe's hash tells, and its way back to a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from texts import GOOD, ROWS, the_one

from vidops_cli.cli.common import known
from vidops_cli.recipe import Recipe, RecipeError, dump, load

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize(
    "override",
    [
        "title=other",
        "claim=other",
        "paper=other",
        "data.root=/elsewhere",
        "data.workers=3",
        "data.timeout=9",
        "train.save_every=7",
        "train.activation_checkpointing=true",
        "train.optimizer.layer_decay=1.0",
        "train.compile=false",
        "model.drop_path=0",
        "model.fresh_blocks=false",
    ],
)
def test_hash_is_kept(read, override):
    assert read(GOOD, override).hash() == read(GOOD).hash()


def test_hash_is_kept_by_rows(read):
    assert read(GOOD + ROWS).hash() == read(GOOD).hash()


@pytest.mark.parametrize(
    "override",
    [
        "train.optimizer.lr=2e-3",
        "train.seed=1",
        "train.epochs=3",
        "model.ops.0.options.fold_div=8",
        "model.ops.0.at=res2",
        "model.name=resnet18",
        "model.inflate=true",
        "model.drop_path=0.2",
        "model.fresh_blocks=true",
        "train.optimizer.layer_decay=0.75",
        "train.compile=true",
        "data.num_frames=4",
        "data.frames=reversed",
        "data.corruption={name: noise, amount: 40}",
        "data.splits={train: other.txt}",
        "eval.split=val",
    ],
)
def test_hash_is_changed(read, override):
    assert read(GOOD, override).hash() != read(GOOD).hash()


def test_a_key_that_came_later_is_not_in_the_hash_at_its_default(read):
    """Results of before it hold."""
    assert read(GOOD, "model.inflate=false").hash() == read(GOOD).hash()
    assert "inflate" not in read(GOOD).identity()["model"]
    assert read(dump(read(GOOD, "model.inflate=true"))).model.inflate
    assert not {"weights", "frozen"} & {key for told in read(GOOD).identity().values() for key in told}
    hashes = [read(GOOD, *words).hash() for words in ((), ("model.weights={rgb: a.pt}",), ("train.frozen=[rgb]",))]
    assert len(set(hashes)) == 3


def test_weights_that_are_no_file(problems):
    (problem,) = problems(GOOD.replace("  name: resnet_tiny", "  name: resnet_tiny\n  weights: 3"))
    assert problem.message == "model.weights: expected a valid string or a valid dictionary, got 3"


def test_hash_of_a_published_recipe():
    """The first cell of results/claims/motionsqueeze.jsonl's table: a key that comes later must not change it."""
    assert load(RECIPES / "claims" / "motionsqueeze.yaml", known(), rows=False).hash() == "bbc25388d10d"


LATER = {
    "data.sampling=segments": "data.sampling=dense data.stride=2",
    "data.stride=null": "data.sampling=dense data.stride=1",
    "data.flip_keep=[]": "data.flip=0.5 data.flip_keep=[3]",
    "data.flip_swap=[]": "data.flip=0.5 data.flip_swap=[[3,4]]",
    "data.augment=null": "data.crop=8 data.augment.multi_scale={}",
    "data.augment={}": "data.augment.grey=0.5",
    "train.mixup=0": "train.mixup=0.2",
    "train.cutmix=0": "train.cutmix=0.2",
}


@pytest.mark.parametrize("default", LATER)
def test_sampling_and_augmentation_are_in_the_hash_where_they_are_told(read, default):
    plain = read(GOOD)
    assert read(GOOD, default).hash() == plain.hash()
    changed = read(GOOD, *LATER[default].split())
    assert changed.hash() != plain.hash()
    assert read(dump(changed)) == changed


CORRUPTION = "data.corruption={name: noise, amount: 40, frames: 2}"


def test_corruption(read):
    told = read(GOOD, CORRUPTION).data.corruption
    assert (told.name, told.amount, told.frames) == ("noise", 40, 2)
    assert read(GOOD).data.corruption is None and "corruption" not in read(GOOD).identity()["data"]
    assert read(GOOD, CORRUPTION, "data.corruption.frames=3").hash() != read(GOOD, CORRUPTION).hash()
    assert read(dump(read(GOOD, CORRUPTION))).data.corruption == told


@pytest.mark.parametrize(
    "change",
    [
        "name=rain",
        "amount=0",
        "amount=-1",
        "amount=256",
        "frames=0",
        "frames=9",
        "{name: occlusion, amount: 1.1}",
        "{name: blur, amount: 65}",
        "{name: blur}",
        "{amount: 3}",
        "noise",
    ],
)
def test_corruption_that_is_none(problems, change):
    change = change if "=" not in change else f".{change}"
    text = f"data.corruption{change}" if change[0] == "." else f"data.corruption={change}"
    problem = the_one(problems(GOOD, CORRUPTION, text))
    assert "data.corruption" in f"{problem.where.partition('=')[0]}: {problem.message}"


def test_hash_does_not_tell_how_a_number_is_written(read):
    assert read(GOOD.replace("1e-3", "0.001")).hash() == read(GOOD).hash()


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["data.crop=16", "data.splits={train: a.txt}", "train.clip_norm=1", "title='ü: # \"x\"'"],
        ["model.ops=[{op: lisa, slot: conv2, at: [res3, res4], options: {window: null, heads: 4}}]"],
        ["model.ops=[{op: lisa, slot: conv2, options: {window: [1, 3, 3], rpe: fourier}}]"],
        ["model.ops=[{op: motion_squeeze, at: res2, options: {sigma: 1e-5}}]"],
    ],
)
def test_dump_is_read_back(read, overrides):
    told = read(GOOD + ROWS, *overrides)
    again = read(dump(told))
    assert isinstance(again, Recipe)
    assert again.hash() == told.hash()
    assert again == told


def test_dump_keeps_a_row_that_sets_nothing(read):
    told = read(
        GOOD.replace("root: videos", "root: videos\n  crop: 16")
        + ROWS.replace("train.optimizer.lr: 1e-4", "data.crop: null")
    )
    assert read(dump(told)) == told


def test_without_rows_the_ablation_is_left_out(write):
    """One run of a table's recipe may be given what a row sets."""
    path = write(GOOD + ROWS)
    told = load(path, known(), ["train.optimizer.lr=1e-4"], rows=False)
    assert (told.ablation, told.train.optimizer.lr) == (None, 1e-4)


@pytest.mark.parametrize(
    ("placed", "word"),
    [
        ("{op: conv2d, options: {kernel: 4}}", "odd"),
        ("{op: conv2d, options: {stride: 2}}", "size of the map"),
        ("{op: conv3d, options: {kernel: [1, -1, 3]}}", "at least 1"),
        ("{op: motion_squeeze, at: res2, options: {max_displacement: 0}}", "at least 1"),
        ("{op: motion_squeeze, at: res2, options: {sigma: 0}}", "more than 0"),
        ("{op: tsm, at: []}", "at least 1 item"),
    ],
)
def test_what_cannot_be_built_is_not_valid(write, placed, word):
    with pytest.raises(RecipeError, match=word):
        load(write(GOOD), known(), [f"model.ops=[{placed}]"])


def test_a_benchmark_of_directions_is_not_mirrored(write):
    with pytest.raises(RecipeError, match="mirrored"):
        load(write(GOOD), known(), ["data.name=mini_motion", "data.flip=0.5"])
