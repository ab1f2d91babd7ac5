"""UCF101 and HMDB51: AVI files in a folder for each class, and three splits into clips to train and to test on.

Neither has a validation split: `val` and `test` are the same clips.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from vidops_cli.data import Annotations
from vidops_cli.data.lists import (
    annotations,
    check_filled,
    check_inside,
    check_root,
    find,
    label_of,
    numbered,
    read_list,
)

UCF_PAGE = "docs/datasets/ucf101.md"
HMDB_PAGE = "docs/datasets/hmdb51.md"


def read_ucf101(root: Path, split: str, division: str) -> Annotations:
    """ROOT/UCF-101/CLASS/*.avi and ROOT/ucfTrainTestlist/{classInd,trainlist01,testlist01}.txt.

    `division` is split1, split2 or split3. ValueError, with a hint, on what is not there or not sound.
    """
    lists, part = ("ucfTrainTestlist",), "train" if split == "train" else "test"
    listed = find(root, ["classInd.txt"], "list of classes", UCF_PAGE, below=lists)
    classes = {}
    for line_number, line in read_list(listed):
        label, _, name = line.partition(" ")
        if label != str(len(classes) + 1) or not name:
            told = f"{listed}:{line_number}: expected `{len(classes) + 1} CLASS`, got {line[:60]!r}"
            raise ValueError(told, "get the file again")
        classes[name.strip()] = len(classes)
    source = find(root, [f"{part}list0{division[-1]}.txt"], f"{part} list of {division}", UCF_PAGE, below=lists)
    videos, clips = _videos(root, "UCF-101"), []
    for line_number, line in read_list(source):
        where = f"{source}:{line_number}"
        path, _, label = line.partition(".avi")
        path = check_inside(f"{path}.avi", where)
        found = label_of(PurePosixPath(path).parent.name, classes, where)
        if label.strip() not in ("", str(found + 1)):
            told = f"{where}: {path} has the label {label.strip()}, {listed.name} says {found + 1}"
            raise ValueError(told, "list and classes are of different releases; get both again")
        clips.append((f"{videos}{path}", found))
    return annotations(root, split, clips, [*classes])


def read_hmdb51(root: Path, split: str, division: str) -> Annotations:
    """ROOT/hmdb51_org/CLASS/*.avi and ROOT/testTrainMulti_7030_splits/CLASS_test_split1.txt, of lines `NAME.avi 1`.

    1 is a clip to train on, 2 one to test on, 0 neither. `division` is split1, split2 or split3. Classes are in the
    order of the alphabet. ValueError, with a hint, on what is not there or not sound.
    """
    check_root(root)
    ending, wanted = f"_test_{division}.txt", "1" if split == "train" else "2"
    folder = root / "testTrainMulti_7030_splits"
    sources = sorted(folder.glob(f"*{ending}")) if folder.is_dir() else []
    if not sources:
        raise ValueError(
            f"no lists of {division}: {folder}/CLASS{ending} are not there", f"how to lay it out: {HMDB_PAGE}"
        )
    names = sorted(source.name.removesuffix(ending) for source in sources)
    classes, videos, clips = numbered(names), _videos(root, "hmdb51_org"), []
    for source in sources:
        name = source.name.removesuffix(ending)
        for number, line in read_list(source):
            path, _, use = line.rpartition(" ")
            where = f"{source}:{number}"
            if not path or use not in ("0", "1", "2"):
                raise ValueError(
                    f"{where}: expected `NAME.avi 1`, got {line[:60]!r}", "a use is 0, 1 (train) or 2 (test)"
                )
            if use == wanted:
                clips.append((check_inside(f"{videos}{name}/{path.strip()}", where), classes[name]))
    check_filled(folder, clips)
    return annotations(root, split, clips, names)


def _videos(root: Path, name: str) -> str:
    """`name/` below the root, or "" where the class folders stand in the root itself."""
    return f"{name}/" if (root / name).is_dir() or not any(root.glob("*/*.avi")) else ""
