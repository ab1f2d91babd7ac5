"""Data sets of images: ImageNet-1K, and those of few-shot classification as RENet's released code lays them out.

The classes of train, val and test of the latter are disjoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from vidops_cli.data import Absent, Annotations
from vidops_cli.data.image import IMAGE_SUFFIXES
from vidops_cli.data.lists import (
    annotations,
    check_inside,
    check_root,
    class_folders,
    find,
    label_of,
    numbered,
    read_list,
    read_rows,
)

PAGE = "docs/datasets/images.md"
SPLIT = ("split", "")


def read_imagenet(root: Path, split: str, splits: Mapping[str, str]) -> Annotations:
    """ROOT/train/WNID/*.JPEG and ROOT/val/WNID/*.JPEG. `splits` names another folder.

    ValueError, with a hint, on what is not there, and on images of val that are not in folders of their classes.
    """
    folder = root / splits.get(split, split)
    if split == "test" and "test" not in splits:
        raise Absent("the test images of ImageNet-1K have no labels", "papers test on val: eval.split=val")
    if folder.is_dir() and not any(inner.is_dir() for inner in folder.iterdir()) and any(folder.glob("*.JPEG")):
        told = f"the images in {folder} are not in folders of their classes, so that nothing tells their labels"
        raise ValueError(told, f"move each into {folder}/WNID/: {PAGE} tells how")
    return _folders(root, split, folder)


def read_tiered(root: Path, split: str, splits: Mapping[str, str]) -> Annotations:
    """ROOT/train/WNID/*.jpg, ROOT/val/... and ROOT/test/...: tieredImageNet. `splits` names another folder."""
    return _folders(root, split, root / splits.get(split, split))


def read_cifar_fs(root: Path, split: str, splits: Mapping[str, str]) -> Annotations:
    """ROOT/meta-train/CLASS/*.png, ROOT/meta-val/... and ROOT/meta-test/... `splits` names another folder."""
    return _folders(root, split, root / splits.get(split, f"meta-{split}"))


def _folders(root: Path, split: str, folder: Path) -> Annotations:
    check_root(root)
    if not folder.is_dir():
        raise Absent(f"no {split} split: {folder}/ is not there", f"how to lay it out: {PAGE}")
    paths, labels, classes = class_folders(root, folder, IMAGE_SUFFIXES)
    if lacking := [name for i, name in enumerate(classes) if i not in set(labels)]:
        told = (
            f"{len(lacking)} of the {len(classes)} class folders of {folder} hold no image, the first is {lacking[0]}"
        )
        raise ValueError(told, "unpack the archives of all classes")
    if not paths:
        raise ValueError(f"{folder} is empty: it has no class folders", f"how to lay it out: {PAGE}")
    return annotations(root, split, list(zip(paths, labels, strict=True)), classes)


def read_mini(root: Path, split: str, splits: Mapping[str, str]) -> Annotations:
    """ROOT/images/*.jpg and ROOT/split/train.csv, val.csv, test.csv with `filename,label`: miniImageNet.

    `splits` names another table. ValueError, with a hint, on what is not there or not sound.
    """
    source, rows = _table(root, split, splits)
    classes = numbered(sorted({row["label"] for _, row in rows}))
    clips = [
        (check_inside(f"images/{row['filename']}", f"{source}:{number}"), classes[row["label"]]) for number, row in rows
    ]
    return annotations(root, split, clips, [*classes])


def read_cub(root: Path, split: str, splits: Mapping[str, str]) -> Annotations:
    """CUB-200-2011 as it is (images/, images.txt, image_class_labels.txt, classes.txt), and ROOT/split/train.csv, ...

    A table of `filename,label` says which images a split has; where they lie and what they show is told by the data
    set's own lists. `splits` names another table. ValueError, with a hint, on what is not there or not sound.
    """
    lists = {name: _ids(root, f"{name}.txt") for name in ("images", "image_class_labels", "classes")}
    classes_of, names = lists["image_class_labels"], lists["classes"]
    if lacking := [key for key in lists["images"] if names.get(classes_of.get(key, "")) is None]:
        told = f"image {lacking[0]} of images.txt has no class in image_class_labels.txt and classes.txt"
        raise ValueError(told, "get CUB_200_2011.tgz again")
    by_name = {PurePosixPath(path).name: (path, names[classes_of[key]]) for key, path in lists["images"].items()}
    source, rows = _table(root, split, splits)
    found = []
    for number, row in rows:
        name = PurePosixPath(row["filename"]).name
        if name not in by_name:
            told = f"{source}:{number}: images.txt has no image {name!r}"
            raise ValueError(told, "take a split of CUB-200-2011, not of the older CUB-200")
        path, named = by_name[name]
        found.append((check_inside(f"images/{path}", f"{source}:{number}"), named))
    classes = numbered(sorted({named for _, named in found}))
    return annotations(root, split, [(path, label_of(named, classes, path)) for path, named in found], [*classes])


def _ids(root: Path, name: str) -> dict[str, str]:
    """id -> what a line `id words` says of it."""
    source = find(root, [name], f"list {name}", PAGE)
    found = {}
    for number, line in read_list(source):
        key, _, told = line.partition(" ")
        if not told:
            raise ValueError(f"{source}:{number}: expected an id and a name, got {line[:60]!r}", "get the file again")
        found[key] = told.strip()
    return found


def _table(root: Path, split: str, splits: Mapping[str, str]) -> tuple[Path, list[tuple[int, dict[str, str]]]]:
    below = ("",) if split in splits else SPLIT
    source = find(root, [splits.get(split, f"{split}.csv")], f"table of {split}", PAGE, below=below)
    return source, read_rows(source, ("filename", "label"))
