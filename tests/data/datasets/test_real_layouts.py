"""Every data set that is shipped a card for: its miniature is read, described, looked through, and trained on for one
epoch by the recipes that are shipped for it, of which only sizes are made small: rows of the papers' tables with their
networks and operators, and, where no row is of a data set, its recipe with a small network."""

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
from vidops_cli.recipe import Recipe, load, resolve

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
ROWS = [  # data set, table, row: networks, operators and training as in the papers
    ("imagenet", "lisa/imagenet.yaml", "LiSA, 224 x 224"),
    ("kinetics400", "lisa/kinetics.yaml", "LiSA"),
    ("something_v2", "lisa/something_v2.yaml", "LiSA"),
    ("something_v1", "rsa/ssv1_8f.yaml", "RSANet-R50"),
    ("something_v2", "rsa/ssv2_8f.yaml", "RSANet-R50"),
    ("diving48_v2", "rsa/diving48.yaml", "RSANet-R50"),
    ("gym99", "rsa/finegym99.yaml", "RSANet-R50"),
    ("something_v1", "selfy/ssv1_8f.yaml", "SELFYNet-TSM-R50"),
    ("diving48_v1", "selfy/diving48.yaml", "SELFYNet-TSM-R50"),
    ("something_v1", "motionsqueeze/ssv1_8f.yaml", "MSNet-R50"),
    ("something_v2", "motionsqueeze/ssv2_8f.yaml", "MSNet-R50"),
    ("kinetics400", "motionsqueeze/kinetics400_8f.yaml", "MSNet-R50"),
    ("hmdb51", "motionsqueeze/hmdb51_8f.yaml", "MSNet-R50"),
    ("kinetics400", "sifa/table2_kinetics.yaml", "SIFA-Net-R50, 16 frames"),
    ("something_v1", "sifa/table4_ssv1.yaml", "SIFA-Net-R50, 16 frames"),
    ("something_v2", "sifa/table4_ssv2.yaml", "SIFA-Net-R50, 16 frames"),
    ("miniimagenet", "renet/mini_imagenet_1shot.yaml", "RENet"),
    ("tieredimagenet", "renet/tiered_imagenet_1shot.yaml", "RENet"),
    ("cub", "renet/cub_1shot.yaml", "RENet"),
    ("cifar_fs", "renet/cifar_fs_1shot.yaml", "RENet"),
]
STAGES = [  # of IntegralAction: RGB, pose, and both with a gate, which starts from them
    ("kinetics50", "streams.yaml", ("appearance only", "pose only", "gate driven by pose (IntegralAction)")),
    ("ntu60", "table3_ntu.yaml", ("RGB only", "pose only", "pose gate, lambda 1.5")),
]
PAPERS = {"lisa", "rsa", "selfy", "motionsqueeze", "sifa", "renet"}


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


def small(name: str, root: Path, told: Told, recipe: str, *more: str, row: str | None = None) -> Recipe:
    chosen = [f"data.name={name}", f"data.root={root}", f"data.splits={json.dumps(told.splits)}"]
    chosen += [f"data.classes={len(told.names('train'))}", "data.resize=28", "data.crop=24", "eval.crop=null"]
    chosen += ["data.workers=0", "train.epochs=1", "train.batch=2", "train.accumulate=1", "train.threads=1", *more]
    if DATASETS[name].mirrors is False and load(REPOSITORY / "recipes" / recipe, known(), rows=False).data.flip:
        chosen.append("data.flip_keep=[0]")  # the recipe's are of all classes
    found = load(REPOSITORY / "recipes" / recipe, known(), chosen, rows=row is not None)
    if row is None:
        return found
    return resolve(found, next(one for one in found.ablation.rows if one.name == row), 0, known())


@pytest.mark.parametrize("name", sorted({*MINIATURES} - {name for name, *_ in (*ROWS, *STAGES)} - RENUMBERED))
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


SMALLER = ("model.width=0.125", "data.resize=32", "data.crop=32", "eval.clips=1", "eval.crops=1", "eval.batch=2")
FEWER = ("model.width=0.125", "episodes.ways=2", "episodes.queries=2", "episodes.eval=4")


def test_rows_are_of_every_paper():
    assert {recipe.split("/")[0] for _, recipe, _ in ROWS} == PAPERS and len(ROWS) == 20
    assert {name for name, *_ in ROWS} >= FEW_SHOT


@pytest.mark.parametrize(("name", "recipe", "row"), ROWS, ids=lambda word: word.replace("/", " "))
def test_a_row_trains_for_an_epoch(laid, tmp_path, name, recipe, row):
    root, told = laid(name)
    more = FEWER if name in FEW_SHOT else SMALLER
    if recipe.startswith("lisa/"):
        more = (*more, "model.width=0.25")  # three heads divide its channels
    recipe = small(name, root, told, recipe, *more, row=row)
    summary = train(recipe, tmp_path / "run", device="cpu")
    assert summary["metrics"]["present"] == present(name, recipe.eval.split, told)
    assert summary["train"]["epoch"] == 1 and summary["params"] > 1e4


@pytest.mark.parametrize(("name", "recipe", "rows"), STAGES, ids=lambda word: str(word).replace("/", " "))
def test_three_stages_train_for_an_epoch_each(laid, tmp_path, name, recipe, rows):
    root, told = laid(name)
    weights = {}
    for part, row in zip(("rgb", "pose", "both"), rows, strict=True):
        stage = small(name, root, told, f"integral_action/{recipe}", *SMALLER, row=row)
        network = stage.model.model_copy(update={"weights": weights if part == "both" else {}})
        stage = stage.model_copy(update={"model": network})
        summary = train(stage, tmp_path / part, device="cpu")
        assert summary["metrics"]["present"] == present(name, "val", told)
        weights[part] = str(tmp_path / part / "last.pt")
