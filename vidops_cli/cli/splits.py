"""A data set and its splits, as the commands of `vidops data` name them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vidops_cli.data import Annotations, DataSet

SPLITS = ("train", "val", "test")
SHOWN = 10  # bad files told by name

Name = Annotated[str, typer.Argument(help="A data set of `vidops list datasets`.", show_default=False)]
Division = Annotated[
    str | None, typer.Option(help="One of the official ways to divide it, as split2.", show_default=False)
]
Root = Annotated[
    Path | None, typer.Option(help="The folder it is in. Default: the one of its page.", show_default=False)
]
Links = Annotated[bool, typer.Option("--links", help="Read clips to which a link leads out of the folder.")]
OPTIONS = {
    "data.splits.train": "--division",
    "data.root": "--root",
    "data.links=true": "--links",
}  # what hints call by the keys of recipes


def card_of(name: str) -> DataSet:
    from vidops_cli.data import DATASETS

    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}", "see `vidops list datasets`")
    return DATASETS[name]


def root_of(name: str, root: Path | None) -> Path:
    return root or card_of(name).root


def opened(name: str, root: Path | None, split: str, division: str | None, links: bool) -> Annotations:
    """What a data set lists of a split. ValueError, as of `DataSet.read`, with hints that name options."""
    from vidops_cli.data.lists import check_links

    card = card_of(name)
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}", f"splits: {', '.join(SPLITS)}")
    if division and not card.divisions:
        raise ValueError(f"{name} is divided in one way only", "leave --division out")
    try:
        found = card.read(root_of(name, root), split, {"train": division} if division else {})
        if not links:
            check_links(found)
        return found
    except ValueError as error:
        hint = error.args[1] if len(error.args) > 1 else "see the page of the data set"
        for key, option in OPTIONS.items():
            hint = hint.replace(key, option)
        raise type(error)(error.args[0], hint) from None


def splits_of(
    name: str, root: Path | None, splits: list[str] | None, division: str | None, links: bool
) -> tuple[dict[str, Annotations], list[str]]:
    """Those asked for, or all that are there, and why others are not.

    ValueError if there is none, or one of them is not sound.
    """
    from vidops_cli.data import Absent

    found, absent = {}, []
    for split in splits or SPLITS:
        try:
            found[split] = opened(name, root, split, division, links)
        except Absent as error:
            if splits:
                raise
            absent.append(error)
    if not found:
        raise absent[0]
    return found, [f"{error.args[0]}" for error in absent]
