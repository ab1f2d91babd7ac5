"""Kinetics as CVDF hands it out, and Mimetics, its mimed actions.

Clips vanish from the web, so a copy is never whole: those of a list that are not there are counted, and as many as
data.max_bad may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from vidops_cli.data import Absent, Annotations
from vidops_cli.data.lists import (
    annotations,
    check_filled,
    check_inside,
    check_root,
    class_folders,
    files_below,
    find,
    label_of,
    numbered,
    read_rows,
)

from .openpose import Poses

PAGE = "docs/datasets/kinetics.md"
BELOW = ("annotations", "")
MIMETICS = "mimetics_v1.0.csv"
COLUMNS = ("label", "youtube_id", "time_start", "time_end")
RELEASED, OWN = "kinetics-skeleton", "poses"
TIMES = re.compile(r"_\d+_\d+$")


def read(root: Path, split: str, splits: Mapping[str, str]) -> Annotations:
    """ROOT/annotations/train.csv and ROOT/train/ID_000010_000020.mp4, in folders for each class or not.

    Without a table of the split, the class folders tell the labels. Classes are those of the train table, in the order
    of the alphabet. `splits` names another table. ValueError, with a hint, on what is not there or not sound.
    """
    check_root(root)
    told = any((root / folder / f"{part}.csv").is_file() for folder in BELOW for part in (split, "train"))
    folder = root / split
    if not told and not splits and folder.is_dir() and any(inner.is_dir() for inner in folder.iterdir()):
        paths, labels, classes = class_folders(root, folder)
        check_filled(folder, paths)
        return annotations(root, split, list(zip(paths, labels, strict=True)), classes)
    classes = sorted({row["label"] for _, row in _rows(_table(root, "train", splits))})
    return annotations(root, split, _listed(root, split, splits, classes), classes)


def read_kinetics50(root: Path, split: str, splits: Mapping[str, str]) -> Annotations:
    """As `read`, but of the 50 classes that ROOT/mimetics_v1.0.csv names: the others are left out."""
    classes = _mimed(root)
    clips = _listed(root, split, splits, classes, others=True)
    if lacking := set(classes) - {classes[label] for _, label in clips}:
        told = f"{_table(root, split, splits)} has no clip of {min(lacking)!r}, which is a class of {MIMETICS}"
        raise ValueError(told, "take the tables of Kinetics-400, whole")
    return annotations(root, split, clips, classes)


def read_mimetics(root: Path, split: str, splits: Mapping[str, str]) -> Annotations:
    """ROOT/mimetics_v1.0.csv and ROOT/videos/ID_000010_000020.mp4, in folders for each class or not.

    `val` and `test` are the same clips. ValueError, with a hint, on what is not there or not sound, and on `train`.
    """
    if split == "train":
        raise Absent("Mimetics is for testing, it has no train split", "train with data.name=kinetics50")
    source = find(root, [splits.get(split, MIMETICS)], "list of clips", PAGE)
    rows = _rows(source)
    classes = sorted({row["label"] for _, row in rows})
    return annotations(root, split, _clips(root, "videos", source, rows, classes), classes)


def read_mimetics400(root: Path, split: str, splits: Mapping[str, str]) -> Annotations:
    """As `read_mimetics`, with the labels of Kinetics-400, whose table ROOT/annotations/train.csv tells its classes."""
    found, table = read_mimetics(root, split, splits), _table(root, "train", splits)
    classes = sorted({row["label"] for _, row in _rows(table)})
    labels = [label_of(found.classes[label], numbered(classes), str(table)) for label in found.labels]
    return annotations(root, split, list(zip(found.paths, labels, strict=True)), classes)


def poses(root: Path, split: str, paths: Sequence[str]) -> Poses | None:
    """ROOT/kinetics-skeleton/kinetics_SPLIT/ID.json, or else ROOT/poses/CLIP.json, named as its video; None without."""
    released, names = root / RELEASED / f"kinetics_{split}", tuple(Path(path).stem for path in paths)
    if released.is_dir():
        return Poses(released, tuple(TIMES.sub("", name) for name in names))
    return Poses(root / OWN, names) if (root / OWN).is_dir() else None


def _mimed(root: Path) -> list[str]:
    return sorted(
        {row["label"] for _, row in _rows(find(root, [MIMETICS], "list of the 50 classes", PAGE, below=("", *BELOW)))}
    )


def _table(root: Path, split: str, splits: Mapping[str, str]) -> Path:
    below = ("",) if split in splits else BELOW
    return find(root, [splits.get(split, f"{split}.csv")], f"table of {split}", PAGE, below=below)


def _rows(source: Path) -> list[tuple[int, dict[str, str]]]:
    return read_rows(source, COLUMNS)


def _listed(
    root: Path, split: str, splits: Mapping[str, str], classes: Collection[str], *, others: bool = False
) -> list[tuple[str, int]]:
    """Clips of a table. With `others`, rows of other classes are passed over; else they are a ValueError."""
    source = _table(root, split, splits)
    rows = _rows(source)
    if others:
        rows = [(number, row) for number, row in rows if row["label"] in classes]
    return _clips(root, split, source, rows, classes)


def _clips(
    root: Path, folder: str, source: Path, rows: list[tuple[int, dict[str, str]]], classes: Collection[str]
) -> list[tuple[str, int]]:
    """(path, label) of rows; a file may be an .mp4, .mkv or .webm, and its times written with or without zeros."""
    found, labels, clips = files_below(root, folder), numbered([*classes]), []
    for number, row in rows:
        where = f"{source}:{number}"
        try:
            start, end = (int(float(row[key])) for key in ("time_start", "time_end"))
        except (ValueError, OverflowError):  # inf
            told = f"{where}: expected seconds, got {row['time_start']!r} and {row['time_end']!r}"
            raise ValueError(told, "get the file again") from None
        name = f"{row['youtube_id']}_{start:06d}_{end:06d}"
        path = found.get(name) or found.get(f"{row['youtube_id']}_{start}_{end}") or f"{folder}/{name}.mp4"
        clips.append((check_inside(path, where), label_of(row["label"], labels, where)))
    check_filled(source, clips)
    return clips
