"""What is wrong with lists, labels and folders: one line that names the file, one that says what to do."""

from __future__ import annotations

import pytest
from miniatures import MINIATURES, text

from vidops_cli.cli.common import known
from vidops_cli.data import DATASETS
from vidops_cli.engine.setup import open_clips
from vidops_cli.recipe import RecipeError, load

EMPTY = {
    "something_v1": ["something-something-v1-labels.csv", "something-something-v1-train.csv"],
    "something_v2": ["labels/labels.json", "labels/train.json"],
    "kinetics400": ["annotations/train.csv"],
    "kinetics50": ["mimetics_v1.0.csv", "annotations/train.csv"],
    "mimetics": ["mimetics_v1.0.csv"],
    "mimetics400": ["mimetics_v1.0.csv", "annotations/train.csv"],
    "ucf101": ["ucfTrainTestlist/classInd.txt", "ucfTrainTestlist/trainlist01.txt"],
    "hmdb51": ["testTrainMulti_7030_splits/wave_test_split1.txt"],
    "diving48_v1": ["Diving48_vocab.json", "Diving48_train.json"],
    "diving48_v2": ["Diving48_vocab.json", "Diving48_V2_train.json"],
    "gym99": ["annotations/gym99_categories.txt", "annotations/gym99_train_element_v1.1.txt"],
    "cub": ["images.txt", "image_class_labels.txt", "classes.txt", "split/train.csv"],
    "miniimagenet": ["split/train.csv"],
}
WRONG = [
    ("something_v1", "something-something-v1-train.csv", "100218", ":1: expected `ID;label`"),
    ("something_v1", "something-something-v1-train.csv", "100218;Dancing", "'Dancing' is none of the 3 classes"),
    ("something_v1", "something-something-v1-train.csv", "../1;Holding something", "leaves the data folder"),
    ("something_v2", "labels/labels.json", '{"a": "0", "b": "2"}', "2 classes are not numbered from 0 on"),
    ("something_v2", "labels/labels.json", '{"a": "zero"}', "expected a number for each class"),
    ("something_v2", "labels/labels.json", '["a"]', "expected a dict, got a list"),
    ("something_v2", "labels/train.json", "[{]", "is not JSON"),
    ("something_v2", "labels/train.json", '[{"id": "1420"}]', "entry 1: expected an id and a template"),
    ("something_v2", "labels/train.json", '[{"id": "1", "template": "x"}]', "'x' is none of the 2 classes"),
    ("something_v2", "labels/train.json", "[7]", "entry 1: expected an id and a template, got 7"),
    ("kinetics400", "annotations/train.csv", "a,b,c\n1,2,3", "has no column label, youtube_id, time_start, time_end"),
    (
        "kinetics400",
        "annotations/train.csv",
        "label,youtube_id,time_start,time_end\nx,y",
        ":2: expected 4 columns, got 2",
    ),
    ("kinetics400", "annotations/train.csv", "label,youtube_id,time_start,time_end\nx,y,a,b", ":2: expected seconds"),
    (
        "mimetics400",
        "annotations/train.csv",
        "label,youtube_id,time_start,time_end\narchery,y,1,2",
        "train.csv: 'juggling balls' is none of the 1 classes",
    ),
    ("kinetics50", "annotations/train.csv", "label,youtube_id,time_start,time_end\narchery,y,1,2", "'juggling balls'"),
    ("kinetics400", "annotations/train.csv", "label,youtube_id,time_start,time_end\nx,y,inf,9", ":2: expected seconds"),
    (
        "kinetics400",
        "annotations/train.csv",
        f'label,youtube_id,time_start,time_end\n"x,{"y" * 200_000}',
        "is no table",
    ),
    ("something_v2", "labels/train.json", "[" * 200_000, "is not JSON"),
    ("something_v2", "labels/train.json", '[{"id": null, "template": "a"}]', "entry 1: expected an id and a template"),
    ("diving48_v1", "Diving48_vocab.json", "[1, 2]", "expected lists of words, got 1"),
    ("diving48_v1", "Diving48_vocab.json", '["ab"]', "expected lists of words, got ab"),
    ("diving48_v1", "Diving48_train.json", '[{"vid_name": null, "label": 1}]', "expected a vid_name and a label"),
    ("ucf101", "ucfTrainTestlist/classInd.txt", "0 YoYo", ":1: expected `1 CLASS`, got '0 YoYo'"),
    ("ucf101", "ucfTrainTestlist/trainlist01.txt", "Dance/v.avi 1", "'Dance' is none of the 2 classes"),
    ("ucf101", "ucfTrainTestlist/trainlist01.txt", "YoYo/v.avi 1", "has the label 1, classInd.txt says 2"),
    ("ucf101", "ucfTrainTestlist/trainlist01.txt", "/YoYo/v.avi 2", "leaves the data folder"),
    ("hmdb51", "testTrainMulti_7030_splits/wave_test_split1.txt", "a.avi 3", ":1: expected `NAME.avi 1`"),
    ("diving48_v2", "Diving48_V2_train.json", '[{"vid_name": "a"}]', "entry 1: expected a vid_name and a label"),
    ("diving48_v2", "Diving48_V2_train.json", '[{"vid_name": "a", "label": 2}]', "2 is no label of 2 classes"),
    ("diving48_v1", "Diving48_train.json", '[{"vid_name": "a", "label": "1"}]', "'1' is no label of 2 classes"),
    ("diving48_v1", "Diving48_train.json", '[{"vid_name": "../a", "label": 1}]', "leaves the data folder"),
    ("gym99", "annotations/gym99_categories.txt", "Clabel: 1; set: 1; x", ":1: expected `Clabel: 0; ...; NAME`"),
    ("gym288", "annotations/gym288_train_element_v1.1.txt", "a", ":1: expected `ELEMENT label`"),
    ("gym288", "annotations/gym288_train_element_v1.1.txt", "a 2", ":1: 2 is no label of 2 classes"),
    ("cub", "image_class_labels.txt", "1 1", "image 2 of images.txt has no class in image_class_labels.txt"),
    ("cub", "classes.txt", "1", ":1: expected an id and a name"),
    ("cub", "split/train.csv", "filename,label\nnone.jpg,1", ":2: images.txt has no image 'none.jpg'"),
    ("miniimagenet", "split/train.csv", "name,wnid\na,b", "has no column filename, label"),
    ("miniimagenet", "split/train.csv", "filename,label\n../../a.jpg,b", "leaves the data folder"),
]


def refused(name, root, split=None, splits=None):
    split = split or ("train" if "train" in DATASETS[name].splits else "test")
    with pytest.raises(ValueError, match=r"\w") as error:
        DATASETS[name].read(root, split, splits)
    message, hint = error.value.args
    assert hint and "\n" not in message + hint
    return message


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, files in EMPTY.items() for file in files])
def test_empty_files(tmp_path, name, file):
    MINIATURES[name](tmp_path)
    (tmp_path / file).write_bytes(b"")
    message = refused(name, tmp_path)
    assert str(tmp_path / file) in message and (
        "is empty" in message or "not JSON" in message or "no column" in message
    )


def test_lists_that_are_not_there_are_named_as_on_the_page(tmp_path):
    MINIATURES["something_v2"](tmp_path)
    (tmp_path / "labels/test-answers.csv").unlink()
    assert f"{tmp_path}/labels/test-answers.csv is not there" in refused("something_v2", tmp_path, "test")
    (tmp_path / "labels/labels.json").unlink()
    assert f"{tmp_path}/labels/labels.json is not there" in refused("something_v2", tmp_path)


@pytest.mark.parametrize(("name", "file"), [(name, files[0]) for name, files in EMPTY.items()])
def test_files_that_are_no_text(tmp_path, name, file):
    MINIATURES[name](tmp_path)
    (tmp_path / file).write_bytes(b"\xff\xfe\x00a")
    message = refused(name, tmp_path)
    assert str(tmp_path / file) in message and ("not a text file" in message or "not JSON" in message)


@pytest.mark.parametrize(("name", "file", "content", "message"), WRONG)
def test_wrong_files(tmp_path, name, file, content, message):
    MINIATURES[name](tmp_path)
    text(tmp_path / file, content)
    told = refused(name, tmp_path)
    assert message in told and (tmp_path / file).name in told


def test_lists_as_windows_writes_them(tmp_path):
    told = MINIATURES["ucf101"](tmp_path)
    for file in (tmp_path / "ucfTrainTestlist").iterdir():
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    found = DATASETS["ucf101"].read(tmp_path, "train", told.splits)
    assert list(zip(found.paths, found.labels, strict=True)) == told.clips["train"]


def test_splits_without_labels(tmp_path):
    MINIATURES["something_v1"](tmp_path)
    assert "have no labels" in refused("something_v1", tmp_path, "test")
    told = {"test": "something-something-v1-test.csv"}
    assert "expected `ID;label`" in refused("something_v1", tmp_path, "test", told)
    assert "has no train split" in refused("mimetics", tmp_path, "train")


def test_a_list_by_another_name(tmp_path):
    MINIATURES["something_v2"](tmp_path)
    (tmp_path / "labels/train.json").rename(tmp_path / "mine.json")
    assert "no train list" in refused("something_v2", tmp_path)
    assert len(DATASETS["something_v2"].read(tmp_path, "train", {"train": "mine.json"}).paths) == 2
    MINIATURES["kinetics400"](tmp_path)
    (tmp_path / "annotations/val.csv").rename(tmp_path / "mine.csv")
    found = DATASETS["kinetics400"].read(tmp_path, "val", {"val": "mine.csv"})
    assert found.classes[found.labels[0]] == "air drumming"


@pytest.mark.parametrize("name", ["ucf101", "hmdb51"])
def test_divisions(tmp_path, name):
    MINIATURES[name](tmp_path)
    card = DATASETS[name]
    for split in ("train", "test"):
        found = {card.read(tmp_path, split, splits).paths for splits in ({}, {"train": "split1"}, {"test": "split1"})}
        assert len(found) == 1
        assert card.read(tmp_path, split, {"train": "split3"}).paths not in found
    assert "mixes split1 and split2" in refused(name, tmp_path, "train", {"train": "split1", "test": "split2"})
    assert "not divided by 'split4'" in refused(name, tmp_path, "train", {"train": "split4"})


def test_class_folders_in_the_root(tmp_path):
    told = MINIATURES["hmdb51"](tmp_path)
    for folder in (tmp_path / "hmdb51_org").iterdir():
        folder.rename(tmp_path / folder.name)
    (tmp_path / "hmdb51_org").rmdir()
    found = DATASETS["hmdb51"].read(tmp_path, "train")
    assert [f"hmdb51_org/{path}" for path in found.paths] == [path for path, _ in told.clips["train"]]


def test_versions_of_diving48_are_never_mixed(tmp_path):
    for version in ("v1", "v2"):
        MINIATURES[f"diving48_{version}"](tmp_path)
    listed = {version: DATASETS[f"diving48_{version}"].read(tmp_path, "train") for version in ("v1", "v2")}
    assert listed["v1"].labels != listed["v2"].labels and listed["v1"].paths == listed["v2"].paths
    for split in ("train", "test"):
        told = {"train": "Diving48_train.json"}
        assert "is a list of Diving48 V1" in refused("diving48_v2", tmp_path, split, told)
        told = {"train": "Diving48_V2_train.json"}
        assert "is a list of Diving48 V2" in refused("diving48_v1", tmp_path, split, told)
    for version, size in (("v1", 15_027), ("v2", 2_096)):  # renamed, but of the other's number of clips
        text(tmp_path / f"Diving48_{version.upper()}_x.json".replace("_V1", ""), "[" + "{}, " * (size - 1) + "{}]")
        told = {"train": f"Diving48_{version.upper()}_x.json".replace("_V1", "")}
        assert "is a list of Diving48" in refused(f"diving48_{version}", tmp_path, "train", told)


def test_lists_of_gym99_and_gym288_are_told_apart(tmp_path):
    MINIATURES["gym99"](tmp_path)
    told = {"val": "annotations/gym99_val_element.txt"}
    assert "is a list of gym99, data.name is gym288" in refused("gym288", tmp_path, "train", told)


def test_images_that_lie_flat(tmp_path):
    MINIATURES["imagenet"](tmp_path)
    for folder in (tmp_path / "val").iterdir():
        for file in folder.iterdir():
            file.rename(tmp_path / "val" / file.name)
        folder.rmdir()
    assert "not in folders of their classes" in refused("imagenet", tmp_path, "val")
    assert "have no labels" in refused("imagenet", tmp_path, "test")


@pytest.mark.parametrize(
    ("name", "folder"), [("imagenet", "train"), ("tieredimagenet", "val"), ("cifar_fs", "meta-test")]
)
def test_class_folders_that_were_not_unpacked(tmp_path, name, folder):
    MINIATURES[name](tmp_path)
    (tmp_path / folder / "n9").mkdir()
    message = refused(name, tmp_path, folder.removeprefix("meta-"))
    assert "1 of the" in message and "hold no image, the first is n9" in message


def recipe_of(root, *overrides):
    told = f'data: {{name: hmdb51, root: "{root}", num_frames: 2}}\nmodel: {{name: resnet_tiny}}\n'
    (root / "recipe.yaml").write_text(f"{told}train: {{epochs: 1, batch: 2, optimizer: {{lr: 0.1}}}}\n")
    return load(root / "recipe.yaml", known(), list(overrides))


@pytest.mark.parametrize(
    ("splits", "message"),
    [("{train: split1, val: split2}", "mixes split1 and split2"), ("{train: split1_train.txt}", "is not divided by")],
)
def test_a_recipe_is_refused_before_data_are_looked_at(tmp_path, splits, message):
    with pytest.raises(RecipeError, match=message) as error:
        recipe_of(tmp_path, f"data.splits={splits}")
    (problem,) = error.value.problems
    assert "data.splits.train" in problem.hint


def test_an_archive_of_which_a_part_was_unpacked(tmp_path):
    MINIATURES["hmdb51"](tmp_path)
    for file in (tmp_path / "hmdb51_org/wave").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="1 of 2 videos of split train are missing, the first is") as error:
        open_clips(recipe_of(tmp_path), "train", train=True)
    assert "data.max_bad=1" in error.value.args[1]
    assert (
        open_clips(recipe_of(tmp_path, "data.max_bad=1"), "train", train=True).present == "1/3570"
    )  # of the official release
    for file in (tmp_path / "hmdb51_org/brush_hair").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="2 of 2 videos") as error:
        open_clips(recipe_of(tmp_path), "train", train=True)
    assert "unpack all parts" in error.value.args[1] and str(tmp_path) in error.value.args[1]
