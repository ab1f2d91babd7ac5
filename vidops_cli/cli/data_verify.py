"""vidops data verify"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import Form, check_format, console, print_json, print_table
from .live import Counter, stoppable
from .splits import SHOWN, Division, Links, Name, Root, card_of, root_of, splits_of

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
    links: Links = False,
    sample: Annotated[int, typer.Option(min=0, help="Files of each split in which decoders are compared.")] = 16,
    digest: Annotated[bool, typer.Option("--hash/--no-hash", help="Read files whole, for their SHA-256.")] = True,
    format: Form = "table",
) -> None:
    """Look whether a data set is whole: counts, classes, and the first, middle and last frame of each file.

    Writes a manifest of each split; exit code 1 if anything lacks, a file cannot be used, or decord, which would read
    it, differs from PyAV. What was stopped goes on where it was.

    Example: vidops data verify mini_motion --root datasets/mini_motion
    """
    from vidops_cli.data.check import manifest
    from vidops_cli.report.table import Table

    check_format(format)
    card, where = card_of(name), root_of(name, root)
    found, absent = splits_of(name, root, split, division, links)
    named = "-".join(["manifest", name, *([division] if division else [])])
    body: list[list[str]] = []
    every: list[dict[str, Any]] = []
    wrong = _classes(card, found)
    for one, listed in found.items():
        with stoppable():
            rows = manifest(
                listed,
                (out or where) / f"{named}-{one}.jsonl",
                processes=jobs,
                timeout=timeout,
                digest=digest,
                sample=sample,
                progress=Counter(f"looking at {one}"),
            )
        good = [row for row in rows if "bad" not in row]
        gone = [row for row in rows if row.get("bad") == "missing"]
        if len(gone) > len(rows) // 2:
            what = f"{len(gone):,} of {len(rows):,} files are missing, the first is {where / gone[0]['path']}"
            wrong.append(f"{one}: {what}: check --root, and unpack all parts of the archives below {where}")
        every += [row for row in rows if row.get("bad") != "missing" or len(gone) <= len(rows) // 2]
        official = card.size(one, {"train": division} if division else {})
        if official not in (None, len(rows)):
            wrong.append(f"{one} lists {len(rows):,} clips, officially {official:,}")
        body.append(
            [
                one,
                f"{len(rows)}",
                "-" if official is None else f"{official}",
                f"{len(listed.classes)}",
                f"{len(good)}/{len(rows)}",
                _range(good, "frames"),
                _sizes(good),
                _decoders(good),
            ]
        )
    head = ["split", "listed", "official", "classes", "good", "frames", "pixels", "decoders agree"]
    notes = [f"manifests: {out or where}/{named}-SPLIT.jsonl", *(f"not there: {why}" for why in absent)]
    table = Table(f"{name} at {where}", head, body, [*notes, *_foreseen(every)])
    wrong += [f"{row['path']}: decord, which reads it, differs from PyAV: {row['decoders']}" for row in _alarms(every)]
    wrong += [f"{row['path']}: {row[what]}" for what in ("cut", "bad") for row in every if row.get(what)]
    if format == "json":
        rows = [dict(zip(head, line, strict=True)) for line in body]
        print_json({"data": name, "root": str(where), "rows": rows, "notes": table.notes, "not_whole": wrong})
        raise typer.Exit(1 if wrong else 0)
    print_table(table)
    for line in wrong[:SHOWN]:
        console().print(f"not whole: {line}", soft_wrap=True)
    if len(wrong) > SHOWN:
        console().print(f"... and {len(wrong) - SHOWN} more, in the manifests", soft_wrap=True)
    if wrong:
        raise typer.Exit(1)


def _alarms(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row.get("decoders") and row["read_by"] == "decord"]


def _foreseen(rows: list[dict[str, Any]]) -> list[str]:
    """What is as it has to be, and should be known."""
    other = [row for row in rows if row.get("decoders") and row["read_by"] == "pyav"]
    told = f"decord would differ in {len(other)} of the sample, which PyAV reads for that reason"
    notes = [told] if other else []
    lacking = [row for row in rows if "no_joints" in row]
    notes += [f"{len(lacking)} clips have no joints, the first is {lacking[0]['path']}"] if lacking else []
    return notes


def _classes(card: DataSet, found: dict[str, Annotations]) -> list[str]:
    """Where there are not as many as in the official release, whose number is that of its train split."""
    split = "train" if "train" in card.sizes or "train" in found else "test"
    count = len(found[split].classes) if split in found else card.classes
    return [] if card.classes in (None, count) else [f"{split} has {count} classes, officially {card.classes}"]


def _decoders(rows: list[dict[str, Any]]) -> str:
    """Of those compared that decord reads."""
    told = [row["decoders"] for row in rows if "decoders" in row and row["read_by"] == "decord"]
    return f"{told.count('')}/{len(told)}" if told else "-"


def _range(rows: list[dict[str, Any]], key: str) -> str:
    values = [row[key] for row in rows]
    return "-" if not values else f"{min(values)} to {max(values)}" if len(set(values)) > 1 else f"{values[0]}"


def _sizes(rows: list[dict[str, Any]]) -> str:
    """Width x height, where it is one."""
    sizes = {(row["width"], row["height"]) for row in rows}
    return "-" if not sizes else "x".join(map(str, sizes.pop())) if len(sizes) == 1 else f"{len(sizes)} sizes"
