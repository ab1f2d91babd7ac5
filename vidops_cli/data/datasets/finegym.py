"""FineGym: elements of gymnastics, of 99 classes (Gym99) or 288 (Gym288, of very unequal size)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from vidops_cli.data import Annotations
from vidops_cli.data.lists import annotations, check_inside, files_below, find, read_list

PAGE = "docs/datasets/finegym.md"
BELOW = ("annotations", "")
FOLDER = "subactions"
CLASS = re.compile(r"Clabel:\s*(\d+)\s*;[^;]*;[^;]*;\s*(.+)")


def read_gym99(root: Path, split: str, splits: Mapping[str, str]) -> Annotations:
    """Lists gym99_train_element_v1.1.txt and gym99_val_element.txt, and gym99_categories.txt; see `_read`."""
    return _read(root, split, splits, "gym99")


def read_gym288(root: Path, split: str, splits: Mapping[str, str]) -> Annotations:
    """Lists gym288_train_element_v1.1.txt and gym288_val_element.txt, and gym288_categories.txt; see `_read`."""
    return _read(root, split, splits, "gym288")


def _read(root: Path, split: str, splits: Mapping[str, str], name: str) -> Annotations:
    """ROOT/annotations/ with lines `ELEMENT label`, and a video ROOT/subactions/ELEMENT.mp4 for each.

    There is no test split: `val` and `test` are the same clips. `splits` names another list. ValueError, with a hint,
    on what is not there or not sound, lists of the other data set by their name among it.
    """
    usual = f"{name}_train_element_v1.1.txt" if split == "train" else f"{name}_val_element.txt"
    for given in splits.values():
        if (other := "gym288" if name == "gym99" else "gym99") in Path(given).name:
            raise ValueError(f"{root / given} is a list of {other}, data.name is {name}", f"data.name={other}")
    below = ("",) if split in splits else BELOW
    source = find(root, [splits.get(split, usual)], f"{split} list", PAGE, below=below)
    classes = _classes(find(root, [f"{name}_categories.txt"], "list of classes", PAGE, below=(*BELOW, "categories")))
    found, clips = files_below(root, FOLDER), []
    for number, line in read_list(source):
        where = f"{source}:{number}"
        element, _, label = line.rpartition(" ")
        if not element or not (label.isascii() and label.isdigit()):
            raise ValueError(f"{where}: expected `ELEMENT label`, got {line[:60]!r}", "get the file again")
        if int(label) >= len(classes):
            raise ValueError(f"{where}: {label} is no label of {len(classes)} classes", f"take the list of {name}")
        element = element.strip()
        clips.append((check_inside(found.get(element, f"{FOLDER}/{element}.mp4"), where), int(label)))
    return annotations(root, split, clips, classes)


def _classes(source: Path) -> list[str]:
    """Names of lines `Clabel: 0; set: 1; Glabel: 1; NAME`, which count from 0."""
    names = []
    for number, line in read_list(source):
        told = CLASS.fullmatch(line)
        if told is None or int(told[1]) != len(names):
            raise ValueError(f"{source}:{number}: expected `Clabel: {len(names)}; ...; NAME`", "get the file again")
        names.append(told[2])
    return names
