"""Something-Something V1 (folders of frames, tables) and V2 (WebM, JSON), as handed out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vidops_cli.data import Absent, Annotations
from vidops_cli.data.lists import annotations, check_inside, find, label_of, numbered, read_list, read_parsed

PAGE = "docs/datasets/something-something.md"
BELOW = ("", "labels", "annotations")
BELOW_V2 = ("labels", "", "annotations")  # the first is that of the page
NAMES = {"train": "train", "val": "validation", "test": "test"}
SPOKEN = str.maketrans("", "", "[]")


def read_v1(root: Path, split: str, splits: Mapping[str, str]) -> Annotations:
    """ROOT/20bn-something-something-v1/ID/00001.jpg and lines `ID;label` in something-something-v1-train.csv.

    Classes are in the order of the alphabet, as in the lists that are passed round. `splits` names another table.
    ValueError, with a hint, on what is not there or not sound.
    """
    if split == "test" and not splits.get(split):
        raise Absent("the test clips of Something-Something V1 have no labels", "papers test on val: eval.split=val")
    listed = find(root, ["something-something-v1-labels.csv"], "list of classes", PAGE, below=BELOW)
    classes = numbered(sorted({line for _, line in read_list(listed)}))
    source = _source(root, split, splits, [f"something-something-v1-{NAMES[split]}.csv"], BELOW)
    return annotations(root, split, _clips(source, classes, "20bn-something-something-v1/{}"), [*classes])


def read_v2(root: Path, split: str, splits: Mapping[str, str]) -> Annotations:
    """ROOT/20bn-something-something-v2/ID.webm, labels.json, train.json and validation.json, test-answers.csv.

    The files of labels stand in ROOT or in ROOT/labels; their older names, something-something-v2-train.json, do too.
    `splits` names another list. ValueError, with a hint, on what is not there or not sound.
    """
    names = ["labels.json", "something-something-v2-labels.json"]
    listed = find(root, names, "list of classes", PAGE, below=BELOW_V2)
    classes = _classes_v2(listed)
    name = f"{NAMES[split]}.json" if split != "test" else "test-answers.csv"
    source = _source(root, split, splits, [name, f"something-something-v2-{name}"], BELOW_V2)
    video = "20bn-something-something-v2/{}.webm"
    if source.suffix == ".csv":
        return annotations(root, split, _clips(source, classes, video), [*classes])
    clips = []
    for number, item in enumerate(read_parsed(source, list), 1):
        where = f"{source}, entry {number}"
        if not isinstance(item, dict) or not all(isinstance(item.get(key), str) for key in ("id", "template")):
            told = f"{where}: expected an id and a template, got {str(item)[:60]}"
            raise ValueError(told, "test.json has no labels: test-answers.csv has them")
        path = check_inside(video.format(item["id"]), where)
        clips.append((path, label_of(str(item["template"]).translate(SPOKEN), classes, where)))
    return annotations(root, split, clips, [*classes])


def _classes_v2(listed: Path) -> dict[str, int]:
    """Name -> label, in the order of labels; ValueError unless they count from 0 without a gap."""
    found = read_parsed(listed, dict)
    try:
        classes = {name: int(label) for name, label in sorted(found.items(), key=lambda item: int(item[1]))}
    except (TypeError, ValueError):
        raise ValueError(f"{listed}: expected a number for each class", "get the file again") from None
    if [*classes.values()] != [*range(len(classes))]:
        raise ValueError(f"{listed}: the {len(classes)} classes are not numbered from 0 on", "get the file again")
    return classes


def _source(root: Path, split: str, splits: Mapping[str, str], names: list[str], below: Sequence[str]) -> Path:
    below = ("",) if splits.get(split) else below
    return find(root, [splits[split]] if splits.get(split) else names, f"{split} list", PAGE, below=below)


def _clips(source: Path, classes: Mapping[str, int], path: str) -> list[tuple[str, int]]:
    """(path, label) of lines `ID;label`."""
    clips = []
    for number, line in read_list(source):
        where = f"{source}:{number}"
        name, semicolon, label = line.partition(";")
        if not semicolon or not name.strip():
            raise ValueError(
                f"{where}: expected `ID;label`, got {line[:60]!r}", "a list of a split with labels is needed"
            )
        clips.append((check_inside(path.format(name.strip()), where), label_of(label.strip(), classes, where)))
    return clips
