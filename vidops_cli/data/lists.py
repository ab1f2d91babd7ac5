"""What readers of label files share: text, tables and JSON, any error with the file named; files found by name."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .card import Absent, Annotations
from .video import VIDEO_SUFFIXES


def check_root(root: Path) -> None:
    """ValueError, with a hint, unless it is a folder."""
    if not root.is_dir():
        raise ValueError(f"no such folder of videos: {root}", "set data.root to the folder that holds them")


def find(root: Path, names: Sequence[str], what: str, page: str, *, below: Sequence[str] = ("",)) -> Path:
    """The first of `names` that is a file below `root`, or in one of the folders `below` it.

    Absent, with `page` as the hint, if none is: `what` is missing.
    """
    check_root(root)
    for path in (root / folder / name for name in names for folder in below):
        if path.is_file():
            return path
    raise Absent(f"no {what}: {root / below[0] / names[0]} is not there", f"how to lay it out: {page}")


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Lines with their numbers, stripped, without the empty ones. ValueError on what is no text."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file", "a list is text in UTF-8; get or write it again") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}", "check its permissions") from None
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def read_list(path: Path) -> list[tuple[int, str]]:
    """As `read_lines`; ValueError on an empty one, too."""
    found = read_lines(path)
    check_filled(path, found)
    return found


def read_rows(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Rows of a table with a head, with their line numbers. ValueError unless it has the columns, and a row."""
    lines = read_lines(path)
    try:
        rows = iter([*csv.reader((line for _, line in lines), strict=True)])
    except csv.Error as error:
        raise ValueError(f"{path} is no table of comma-separated values: {error}", "get the file again") from None
    head = [name.strip() for name in next(rows, [])]
    if lacking := [name for name in columns if name not in head]:
        told = f"{path} has no column {', '.join(lacking)}: its first line is {','.join(head)[:80]!r}"
        raise ValueError(told, f"expected columns {', '.join(columns)}; get the file again")
    found = []
    for (number, _), row in zip(lines[1:], rows, strict=False):
        if len(row) < len(head):
            raise ValueError(f"{path}:{number}: expected {len(head)} columns, got {len(row)}", "get the file again")
        found.append((number, dict(zip(head, (word.strip() for word in row), strict=False))))
    check_filled(path, found)
    return found


def read_parsed(path: Path, kind: type) -> Any:
    """A JSON file of a list or mapping. ValueError on anything else, or an empty one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:  # of JSON and of UTF-8 alike
        raise ValueError(f"{path} is not JSON: {str(error)[:80]}", "get the file again") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}", "check its permissions") from None
    if not isinstance(value, kind):
        raise ValueError(f"{path}: expected a {kind.__name__}, got a {type(value).__name__}", "get the file again")
    check_filled(path, value)
    return value


def check_filled(path: Path, found: Any) -> None:
    """ValueError, with a hint, if nothing was found in the file."""
    if not found:
        raise ValueError(f"{path} is empty", "get the file again: a download may have been cut off")


def check_inside(path: str, where: str) -> str:
    """The path, if it is relative and stays in the data folder; ValueError, with a hint, if not."""
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise ValueError(f"{where}: {path} leaves the data folder", "paths are relative to data.root")
    return path


def check_links(found: Annotations) -> None:
    """ValueError, with a hint, on a clip that a link leads out of the data folder: an archive may hold one to anywhere.

    The frames in a folder of frames are not looked at one by one.
    """
    root, folders = os.path.realpath(found.root), dict[str, str]()
    for path in found.paths:
        above, name = os.path.split(path)
        if above not in folders:
            folders[above] = os.path.realpath(os.path.join(root, above))
        end = os.path.join(folders[above], name)
        end = os.path.realpath(end) if os.path.islink(end) else end
        if not end.startswith(os.path.join(root, "")):
            told = f"{path}: a link leads out of the data folder, to {end}"
            raise ValueError(told, "data.links=true follows it, where you have made it or know it")


def label_of(name: str, classes: Mapping[str, int], where: str) -> int:
    """The label of a class; ValueError, with a hint, if the list of classes has no such name."""
    if name not in classes:
        told = f"{where}: {name!r} is none of the {len(classes)} classes"
        raise ValueError(told, "list and classes are of different releases, or one of them is not whole")
    return classes[name]


def numbered(names: Sequence[str]) -> dict[str, int]:
    """Name -> label, in the given order."""
    return {name: label for label, name in enumerate(names)}


def files_below(root: Path, folder: str, suffixes: Sequence[str] = VIDEO_SUFFIXES) -> dict[str, str]:
    """Name without suffix -> path from `root` of the files in a folder and in the folders in it."""
    found: dict[str, str] = {}
    if not (root / folder).is_dir():
        return found
    for path, folders, names in os.walk(root / folder, followlinks=True):
        inside = Path(path).relative_to(root)
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in suffixes:
                found.setdefault(stem, (inside / name).as_posix())
        if inside != Path(folder):
            folders.clear()  # class folders are one deep
    return found


def class_folders(
    root: Path, source: Path, suffixes: Sequence[str] = VIDEO_SUFFIXES
) -> tuple[list[str], list[int], list[str]]:
    """Paths from `root`, labels and names of the classes of SOURCE/CLASS/FILE."""
    classes = sorted(folder.name for folder in source.iterdir() if folder.is_dir())
    paths, labels = [], []
    for label, name in enumerate(classes):
        for file in sorted((source / name).iterdir()):
            if file.suffix.lower() in suffixes:
                paths.append(file.relative_to(root).as_posix())
                labels.append(label)
    return paths, labels, classes


def annotations(root: Path, split: str, clips: Sequence[tuple[str, int]], classes: Sequence[str]) -> Annotations:
    """Annotations of (path, label) pairs. The fingerprint is of paths, labels and sizes; folders have no size."""
    paths, labels = tuple(path for path, _ in clips), tuple(label for _, label in clips)
    sizes = [os.path.getsize(root / path) if os.path.isfile(root / path) else None for path in paths]
    return Annotations(
        root=root,
        split=split,
        paths=paths,
        labels=labels,
        classes=tuple(classes),
        fingerprint=hashlib.sha256(json.dumps([paths, labels, sizes]).encode()).hexdigest()[:12],
        floors={"chance": 1 / len(classes)},
    )
