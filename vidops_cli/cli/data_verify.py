"""vidops data verify"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import console, print_table
from .live import Counter
from .splits import SHOWN, Division, Name, Root, card_of, splits_of

if TYPE_CHECKING:
    from vidops_cli.data import Annotations, DataSet


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
    """Look whether a data set is whole: counts, classes, and the first, middle and last frame of each file.

    Writes a manifest of each split and names the files that cannot be used, or end early; exit code 1 if there are any.
    What was stopped goes on where it was.

    Example: vidops data verify mini_motion --root datasets/mini_motion
    """
    from vidops_cli.data.check import manifest
    from vidops_cli.report.table import Table

    card, where = card_of(name), root or Path("datasets") / name
    found, absent = splits_of(name, root, split, division)
    body: list[list[str]] = []
    told: dict[str, list[str]] = {"decoders": [], "cut": [], "bad": []}
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
        for what, lines in told.items():
            lines += [f"{row['path']}: {row[what]}" for row in rows if row.get(what)]
        body.append(
            [
                one,
                f"{len(rows)}",
                _official(card, one, division),
                f"{len(listed.classes)}",
                f"{len(good)}/{len(rows)}",
                _range(good, "frames"),
                _sizes(good),
                _decoders(good),
            ]
        )
    notes = [f"manifests: {out or where}/manifest-SPLIT.jsonl", *(f"not there: {why}" for why in absent)]
    head = ["split", "listed", "official", "classes", "good", "frames", "pixels", "decoders agree"]
    print_table(Table(f"{name} at {where}", head, body, [*notes, *_classes(card, found)]))
    for what, meaning in (("decoders", "decoders differ"), ("cut", "ends early"), ("bad", "bad")):
        for line in told[what][:SHOWN]:
            console().print(f"{meaning}: {line}", soft_wrap=True)
        if len(told[what]) > SHOWN:
            console().print(f"... and {len(told[what]) - SHOWN} more, in the manifests", soft_wrap=True)
    if told["bad"] or told["cut"]:
        raise typer.Exit(1)


def _official(card: DataSet, split: str, division: str | None) -> str:
    size = card.size(split, {"train": division} if division else {})
    return "-" if size is None else f"{size}"


def _classes(card: DataSet, found: dict[str, Annotations]) -> list[str]:
    """A note where there are not as many as in the official release, whose number is that of its train split."""
    split = "train" if "train" in card.sizes or "train" in found else "test"
    count = len(found[split].classes) if split in found else card.classes
    return [] if card.classes in (None, count) else [f"classes of {split}: {count}, officially {card.classes}"]


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
