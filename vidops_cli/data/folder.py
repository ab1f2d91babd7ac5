"""Your own videos: `path label` lists, or one folder for each class."""

from __future__ import annotations

from pathlib import Path

from . import Absent, Annotations
from .lists import annotations, check_inside, check_root, class_folders, read_lines
from .video import VIDEO_SUFFIXES


def read(root: Path, split: str, splits: dict[str, str]) -> Annotations:
    """ROOT/SPLIT.txt with a line `path label` for each video (labels are numbers), or ROOT/SPLIT/CLASS/*.mp4.

    `splits` names another list or folder for a split. ValueError, with a hint, on what is not there or not sound.
    """
    check_root(root)
    name = splits.get(split)
    source = root / name if name else root / f"{split}.txt"
    if not name and not source.is_file():
        source = root / split
    if source.is_file():
        paths, labels, classes = _from_list(source)
    elif source.is_dir():
        paths, labels, classes = class_folders(root, source)
    else:
        wanted = f"{root / name}" if name else f"{root / split}.txt nor {root / split}/"
        raise Absent(
            f"no {split} split: neither {wanted} is there" if not name else f"no {split} split: {wanted} is not there",
            "write a list of `path label` lines, or one folder for each class",
        )
    if not paths:
        raise ValueError(f"{source} names no video", f"videos end in {', '.join(VIDEO_SUFFIXES)}")
    return annotations(root, split, list(zip(paths, labels, strict=True)), classes)


def _from_list(source: Path) -> tuple[list[str], list[int], list[str]]:
    paths, labels = [], []
    for number, line in read_lines(source):
        path, _, label = line.rpartition(" ")
        if not path or not (label.isascii() and label.isdigit()):
            raise ValueError(f"{source}:{number}: expected `path label`, got {line!r}", "labels are numbers from 0")
        if len(label) > 6:
            raise ValueError(f"{source}:{number}: {label} is no label", "labels count classes from 0")
        paths.append(check_inside(path, f"{source}:{number}"))
        labels.append(int(label))
    return paths, labels, [str(i) for i in range(max(labels, default=-1) + 1)]
