from __future__ import annotations

from pathlib import Path

import pytest

from vidops_cli.data import DATASETS, Annotations

VIDEO_FOLDER = DATASETS["video_folder"]


@pytest.fixture
def make(tmp_path):
    """Write files, given as name -> text, below a folder."""

    def make(files: dict[str, str]) -> Path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path

    return make


def refused(root: Path, split: str = "train", splits: dict[str, str] | None = None) -> tuple[str, str]:
    with pytest.raises(ValueError, match=r"\w") as error:
        VIDEO_FOLDER.read(root, split, splits)
    assert len(error.value.args) == 2, error.value.args
    return error.value.args


# --- lists ------------------------------------------------------------------------------------------------------------


def test_lists(make):
    root = make({"train.txt": "b/2.mp4 1\na/1.webm 0\n\nsome name with spaces.mp4 2\n", "val.txt": "  a.mp4 2  \n"})
    found = VIDEO_FOLDER.read(root, "train")
    assert isinstance(found, Annotations)
    assert found.paths == ("b/2.mp4", "a/1.webm", "some name with spaces.mp4")
    assert found.labels == (1, 0, 2)
    assert found.classes == ("0", "1", "2")
    assert found.floors == {"chance": 1 / 3}
    assert (found.root, found.split) == (root, "train")
    assert VIDEO_FOLDER.read(root, "val").paths == ("a.mp4",)


def test_a_list_comes_before_a_folder(make):
    root = make({"train.txt": "x.mp4 0\n", "train/a/1.mp4": "", "train/b/1.mp4": ""})
    assert VIDEO_FOLDER.read(root, "train").paths == ("x.mp4",)


def test_a_list_by_another_name(make):
    root = make({"lists/first.txt": "x.mp4 0\ny.mp4 1\n", "train.txt": "z.mp4 0\n"})
    assert VIDEO_FOLDER.read(root, "train", {"train": "lists/first.txt"}).paths == ("x.mp4", "y.mp4")
    assert VIDEO_FOLDER.read(root, "train", {"val": "lists/first.txt"}).paths == ("z.mp4",)


@pytest.mark.parametrize(
    "line",
    [
        "clip.mp4",
        "clip.mp4 cat",
        "clip.mp4 -1",
        "clip.mp4 1.5",
        "clip.mp4 \N{SUPERSCRIPT TWO}",
        "7",
        "/videos/clip.mp4 1",
        "../clip.mp4 1",
        "a/../../clip.mp4 1",
    ],
)
def test_a_bad_line_is_named_by_its_number(make, line):
    root = make({"train.txt": f"good.mp4 0\n\n{line}\n"})
    message, _ = refused(root)
    assert f"{root / 'train.txt'}:3:" in message
    assert line.split(" ")[0] in message


def test_a_list_that_is_no_text(make):
    root = make({})
    (root / "train.txt").write_bytes(b"clip.mp4 0\n\xff\xfe.mp4 1\n")
    assert str(root / "train.txt") in refused(root)[0]


@pytest.mark.parametrize("text", ["", "\n\n  \n"])
def test_an_empty_list(make, text):
    root = make({"train.txt": text})
    message, hint = refused(root)
    assert str(root / "train.txt") in message
    assert ".mp4" in hint


# --- class folders ----------------------------------------------------------------------------------------------------


def test_class_folders(make):
    root = make(
        {
            "train/run/2.mp4": "",
            "train/run/1.MP4": "",
            "train/jump/9.avi": "",
            "train/jump/notes.txt": "",
            "train/readme.md": "",
        }
    )
    found = VIDEO_FOLDER.read(root, "train")
    assert found.paths == ("train/jump/9.avi", "train/run/1.MP4", "train/run/2.mp4")
    assert found.labels == (0, 1, 1)
    assert found.classes == ("jump", "run")
    assert found.floors == {"chance": 1 / 2}


def test_class_folders_by_another_name(make):
    root = make({"mine/a/1.mp4": "", "mine/b/1.mp4": ""})
    assert VIDEO_FOLDER.read(root, "val", {"val": "mine"}).paths == ("mine/a/1.mp4", "mine/b/1.mp4")


def test_class_folders_without_videos(make):
    root = make({"train/a/notes.txt": ""})
    assert str(root / "train") in refused(root)[0]


# --- what is not there ------------------------------------------------------------------------------------------------


def test_a_missing_root(tmp_path):
    message, hint = refused(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in message
    assert "data.root" in hint


def test_a_root_that_is_a_file(make):
    root = make({"file": "text"})
    assert str(root / "file") in refused(root / "file")[0]


def test_a_missing_split(make):
    root = make({"train.txt": "x.mp4 0\n"})
    message, hint = refused(root, "val")
    assert "no val split" in message
    assert str(root / "val.txt") in message and str(root / "val") in message
    assert "path label" in hint


def test_a_missing_list_by_another_name(make):
    root = make({"train.txt": "x.mp4 0\n"})
    assert str(root / "other.txt") in refused(root, "train", {"train": "other.txt"})[0]


# --- fingerprint ------------------------------------------------------------------------------------------------------


def test_fingerprint_follows_paths_and_labels_and_not_the_place(make, tmp_path):
    root = make(
        {"train.txt": "a.mp4 0\nb.mp4 1\n", "moved/train.txt": "a.mp4 0\nb.mp4 1\n", "val.txt": "a.mp4 1\nb.mp4 1\n"}
    )
    first = VIDEO_FOLDER.read(root, "train").fingerprint
    assert VIDEO_FOLDER.read(root / "moved", "train").fingerprint == first
    assert VIDEO_FOLDER.read(root, "val").fingerprint != first
    make({"train.txt": "a.mp4 0\nc.mp4 1\n"})
    assert VIDEO_FOLDER.read(root, "train").fingerprint != first


def test_a_replaced_video_changes_the_fingerprint(make):
    root = make({"train.txt": "a.mp4 0\nb.mp4 1\n"})
    (root / "a.mp4").write_bytes(b"one")
    before = DATASETS["video_folder"].read(root, "train").fingerprint
    assert DATASETS["video_folder"].read(root, "train").fingerprint == before
    (root / "a.mp4").write_bytes(b"another")
    assert DATASETS["video_folder"].read(root, "train").fingerprint != before
