"""Your own videos: `path label` lists, or one folder for each class."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from . import Annotations
from .video import VIDEO_SUFFIXES


def read(root: Path, split: str, splits: dict[str, str]) -> Annotations:
    """ROOT/SPLIT.txt with a line `path label` for each video (labels are numbers), or ROOT/SPLIT/CLASS/*.mp4.

    `splits` names another list or folder for a split. ValueError, with a hint, on what is not there or not sound.
    """
    if not root.is_dir():
        raise ValueError(f"no such folder of videos: {root}", "set data.root to the folder that holds them")
    name = splits.get(split)
    source = root / name if name else root / f"{split}.txt"
    if not name and not source.is_file():
        source = root / split
    if source.is_file():
        paths, labels, classes = _from_list(source)
    elif source.is_dir():
        paths, labels, classes = _from_folders(root, source)
    else:
        wanted = f"{root / name}" if name else f"{root / split}.txt nor {root / split}/"
        raise ValueError(
            f"no {split} split: neither {wanted} is there" if not name else f"no {split} split: {wanted} is not there",
            "write a list of `path label` lines, or one folder for each class",
        )
    if not paths:
        raise ValueError(f"{source} names no video", f"videos end in {', '.join(VIDEO_SUFFIXES)}")
    sizes = [file.stat().st_size if (file := root / path).is_file() else None for path in paths]
    told = json.dumps([paths, labels, sizes]).encode()
    return Annotations(
        root=root,
        split=split,
        paths=tuple(paths),
        labels=tuple(labels),
        classes=tuple(classes),
        fingerprint=hashlib.sha256(told).hexdigest()[:12],
        floors={"chance": 1 / len(classes)},
    )


def _from_list(source: Path) -> tuple[list[str], list[int], list[str]]:
    paths, labels = [], []
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{source} is not a text file", "a list has lines `path label`, in UTF-8") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        path, _, label = line.strip().rpartition(" ")
        if not path or not (label.isascii() and label.isdigit()):
            raise ValueError(
                f"{source}:{number}: expected `path label`, got {line.strip()!r}", "labels are numbers from 0"
            )
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise ValueError(f"{source}:{number}: {path} leaves the data folder", "paths are relative to data.root")
        if len(label) > 6:
            raise ValueError(f"{source}:{number}: {label} is no label", "labels count classes from 0")
        paths.append(path)
        labels.append(int(label))
    return paths, labels, [str(i) for i in range(max(labels, default=-1) + 1)]


def _from_folders(root: Path, source: Path) -> tuple[list[str], list[int], list[str]]:
    classes = sorted(folder.name for folder in source.iterdir() if folder.is_dir())
    paths, labels = [], []
    for label, name in enumerate(classes):
        for file in sorted((source / name).iterdir()):
            if file.suffix.lower() in VIDEO_SUFFIXES:
                paths.append(file.relative_to(root).as_posix())
                labels.append(label)
    return paths, labels, classes
