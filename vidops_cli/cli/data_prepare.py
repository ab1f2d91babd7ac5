"""vidops data prepare"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .common import Form, check_format, tell
from .live import Counter, stoppable
from .splits import SHOWN, Division, Links, Name, Root, card_of, splits_of


def command(
    name: Name,
    root: Root = None,
    division: Division = None,
    links: Links = False,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder to write. Default: datasets/NAME-frames, -video.", show_default=False),
    ] = None,
    to: Annotated[Literal["frames", "video"], typer.Option(help="JPEG frames, or H.264.")] = "frames",
    side: Annotated[int, typer.Option(min=0, help="Pixels of the shorter side; 0 leaves it.")] = 256,
    quality: Annotated[int, typer.Option(min=1, max=95, help="Of JPEGs.")] = 90,
    crf: Annotated[int, typer.Option(min=0, max=51, help="Of H.264; less is better.")] = 18,
    split: Annotated[
        list[str] | None, typer.Option(help="train, val or test; repeat it. Default: all there are.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that decode and encode.")] = 2,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that a video may take.")] = 600.0,
    format: Form = "table",
) -> None:
    """Write a data set once more, as frames or smaller videos, which recipes read under its name from there.

    What was stopped goes on where it was; exit code 1 if a video cannot be decoded.

    Example: vidops data prepare mini_motion --to frames --side 0 --out datasets/mini_motion_frames
    """
    from vidops_cli.data.prepare import Told, prepare

    check_format(format)
    card = card_of(name)
    found, _ = splits_of(name, root, split, division, links)
    where = out or Path("datasets") / f"{name}-{to}"
    told = Told(to=to, side=side, quality=quality, crf=crf)
    with stoppable():
        bad = prepare(
            name,
            found,
            where,
            told,
            processes=jobs,
            timeout=timeout,
            progress=Counter(f"writing {where}"),
            division=card.division({"train": division} if division else {}),
        )
    count = sum(len(listed.paths) for listed in found.values())
    told = {"written": str(where), "splits": list(found), "clips": count - len(bad), "of": count, "bad": bad}
    made = f"{where}: {count - len(bad)}/{count} clips of {', '.join(found)}; data.root: {where}"
    tell(format, told, [made, *(f"bad: {path}: {reason}" for path, reason in list(bad.items())[:SHOWN])])
    if bad:
        raise typer.Exit(1)
