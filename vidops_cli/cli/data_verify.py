"""vidops data verify"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import console, print_table
from .live import Counter

if TYPE_CHECKING:
    from vidops_cli.data import Annotations, DataSet

SPLITS = ("train", "val", "test")
SHOWN = 10  # bad files told by name


Name = Annotated[str, typer.Argument(help="A data set of `vidops list datasets`.", show_default=False)]
Division = Annotated[
    str | None, typer.Option(help="One of the official ways to divide it, as split2.", show_default=False)
]
Root = Annotated[Path | None, typer.Option(help="The folder it is in. Default: datasets/NAME.", show_default=False)]


def command(
    name: Name,
    root: Root = None,
    split: Annotated[
        list[str] | None, typer.Option(help="train, val or test; repeat it. Default: all there are.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the manifests. Default: the data's.", show_default=False)
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that decode.")] = 2,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that a file may take.")] = 60.0,
    division: Division = None,
    sample: Annotated[int, typer.Option(min=0, help="Files of each split in which decoders are compared.")] = 16,
    digest: Annotated[bool, typer.Option("--hash/--no-hash", help="Read files whole, for their SHA-256.")] = True,
) -> None:
    """Look whether a data set is whole: counts, and the first, middle and last frame of each file.

    Writes a manifest of each split and names the files that cannot be used; exit code 1 if there are any. What was
    stopped goes on where it was.

    Example: vidops data verify mini_motion --root datasets/mini_motion
    """
    from vidops_cli.data.check import manifest
    from vidops_cli.report.table import Table

    card, where = card_of(name), root or Path("datasets") / name
    found, absent = splits_of(name, root, split, division)
    body: list[list[str]] = []
    bad: list[str] = []
    differ: list[str] = []
    for one, listed in found.items():
        path = (out or where) / f"manifest-{one}.jsonl"
        rows = manifest(
            listed,
            path,
            processes=jobs,
            timeout=timeout,
            digest=digest,
            sample=sample,
            progress=Counter(f"looking at {one}"),
        )
        good = [row for row in rows if "bad" not in row]
        differ += [f"{row['path']}: {row['decoders']}" for row in good if row.get("decoders")]
        bad += [f"{row['path']}: {row['bad']}" for row in rows if "bad" in row]
        body.append(
            [
                one,
                f"{len(rows)}",
                _official(card, one, division),
                f"{len(good)}/{len(rows)}",
                _range(good, "frames"),
                _sizes(good),
                _decoders(good),
            ]
        )
    notes = [f"manifests: {out or where}/manifest-SPLIT.jsonl", *(f"not there: {told}" for told in absent)]
    head = ["split", "listed", "official", "good", "frames", "pixels", "decoders agree"]
    print_table(Table(f"{name} at {where}", head, body, notes))
    for told in differ[:SHOWN]:
        console().print(f"decoders differ: {told}", soft_wrap=True)
    for told in bad[:SHOWN]:
        console().print(f"bad: {told}", soft_wrap=True)
    if len(bad) > SHOWN:
        console().print(f"... and {len(bad) - SHOWN} more, in the manifests", soft_wrap=True)
    if bad:
        raise typer.Exit(1)


def card_of(name: str) -> DataSet:
    from vidops_cli.data import DATASETS

    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}", "see `vidops list datasets`")
    return DATASETS[name]


def opened(name: str, root: Path | None, split: str, division: str | None) -> Annotations:
    """What a data set lists of a split. ValueError if there is none."""
    card = card_of(name)
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}", f"splits: {', '.join(SPLITS)}")
    if division and not card.divisions:
        raise ValueError(f"{name} is divided in one way only", "leave --division out")
    return card.read(root or Path("datasets") / name, split, {"train": division} if division else {})


def splits_of(
    name: str, root: Path | None, splits: list[str] | None, division: str | None
) -> tuple[dict[str, Annotations], list[str]]:
    """Those asked for, or all that are there, and why others are not. ValueError if there is none."""
    found, absent = {}, []
    for split in splits or SPLITS:
        try:
            found[split] = opened(name, root, split, division)
        except ValueError as error:
            if splits:
                raise
            if not re.search(r"\bno .*split|not there", str(error.args[0])):
                raise  # it is there, and not sound
            absent.append(error)
    if not found:
        raise absent[0]
    return found, [f"{error.args[0]}" for error in absent]


def _official(card: DataSet, split: str, division: str | None) -> str:
    size = card.size(split, {"train": division} if division else {})
    return "-" if size is None else f"{size}"


def _decoders(rows: list[dict[str, Any]]) -> str:
    """Of those compared."""
    told = [row["decoders"] for row in rows if "decoders" in row]
    return f"{told.count('')}/{len(told)}" if told else "-"


def _range(rows: list[dict[str, Any]], key: str) -> str:
    values = [row[key] for row in rows]
    return "-" if not values else f"{min(values)} to {max(values)}" if len(set(values)) > 1 else f"{values[0]}"


def _sizes(rows: list[dict[str, Any]]) -> str:
    """Width x height, where it is one."""
    sizes = {(row["width"], row["height"]) for row in rows}
    return "-" if not sizes else "x".join(map(str, sizes.pop())) if len(sizes) == 1 else f"{len(sizes)} sizes"
