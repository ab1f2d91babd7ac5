"""Diving48 with its first labels (V1) and its mended ones (V2): two data sets of the same videos, never mixed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vidops_cli.data import Annotations
from vidops_cli.data.lists import annotations, check_inside, find, read_parsed

PAGE = "docs/datasets/diving48.md"
SIZES = {"v1": {15_943: "train", 2_096: "test"}, "v2": {15_027: "train", 1_970: "test"}}
MARK = "_V2_"  # in the names of the mended lists


def read_v1(root: Path, split: str, splits: Mapping[str, str]) -> Annotations:
    """ROOT/rgb/NAME.mp4, Diving48_train.json, Diving48_test.json and Diving48_vocab.json; see `_read`."""
    return _read(root, split, splits, "v1")


def read_v2(root: Path, split: str, splits: Mapping[str, str]) -> Annotations:
    """ROOT/rgb/NAME.mp4, Diving48_V2_train.json, Diving48_V2_test.json and Diving48_vocab.json; see `_read`."""
    return _read(root, split, splits, "v2")


def _read(root: Path, split: str, splits: Mapping[str, str], version: str) -> Annotations:
    """There is no validation split: `val` and `test` are the same clips. `splits` names another list.

    ValueError, with a hint, on what is not there or not sound, and on a list of the other version: by its name, or by
    a number of clips that only the other has.
    """
    vocabulary = find(root, ["Diving48_vocab.json"], "list of classes", PAGE)
    classes = []
    for words in read_parsed(vocabulary, list):
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            told = f"{vocabulary}: expected lists of words, got {str(words)[:60]}"
            raise ValueError(told, "get the file again")
        classes.append("_".join(words))
    for name in splits.values():
        _refuse(root / name, version, (MARK in Path(name).name) != (version == "v2"))
    part = "train" if split == "train" else "test"
    usual = f"Diving48{MARK if version == 'v2' else '_'}{part}.json"
    source = find(root, [splits.get(split, usual)], f"{split} list of {version.upper()}", PAGE)
    items, clips = read_parsed(source, list), []
    _refuse(source, version, len(items) in SIZES["v1" if version == "v2" else "v2"])
    for number, item in enumerate(items, 1):
        where = f"{source}, entry {number}"
        if not isinstance(item, dict) or "label" not in item or not isinstance(item.get("vid_name"), str):
            raise ValueError(f"{where}: expected a vid_name and a label, got {str(item)[:60]}", "get the file again")
        label = item["label"]
        if type(label) is not int or not 0 <= label < len(classes):
            raise ValueError(
                f"{where}: {label!r} is no label of {len(classes)} classes", "get list and vocabulary again"
            )
        clips.append((check_inside(f"rgb/{item['vid_name']}.mp4", where), label))
    return annotations(root, split, clips, classes)


def _refuse(source: Path, version: str, foreign: bool) -> None:
    if foreign:
        other = "v1" if version == "v2" else "v2"
        told = f"{source} is a list of Diving48 {other.upper()}, whose labels differ from those of {version.upper()}"
        raise ValueError(told, f"data.name=diving48_{other}, or take the lists of {version.upper()} for all splits")
