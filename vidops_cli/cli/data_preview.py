"""vidops data preview"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import Form, check_format, tell
from .splits import Division, Links, Name, Root, opened


def command(
    name: Name,
    root: Root = None,
    division: Division = None,
    links: Links = False,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "train",
    clips: Annotated[int, typer.Option(min=1, max=64, help="Clips, drawn at random.")] = 8,
    frames: Annotated[int, typer.Option(min=1, max=32, help="Frames of each, one of as many equal segments.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw.")] = 0,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that a file may take.")] = 60.0,
    out: Annotated[Path | None, typer.Option(help="The image. Default: NAME-SPLIT.png.", show_default=False)] = None,
    format: Form = "table",
) -> None:
    """Draw some clips of a data set, with their classes, onto a contact sheet.

    Example: vidops data preview mini_motion --split val --out sheet.png
    """
    import numpy as np

    from vidops_cli.data.pool import Failed, each
    from vidops_cli.data.sheet import Asked, contact_sheet, strip

    check_format(format)
    listed, path = opened(name, root, split, division, links), out or Path(f"{name}-{split}.png")
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ValueError(f"{path} is no image", "end --out in .png or .jpg")
    rows, bad = [], dict[str, str]()
    drawn = np.random.default_rng(seed).permutation(len(listed.paths))
    asked = [Asked(listed.root / listed.paths[index], frames) for index in drawn]
    for number, found in each(strip, asked, timeout=timeout):  # in a process that may hang; in order, as it is one
        clip, kind = listed.paths[drawn[number]], listed.classes[listed.labels[drawn[number]]]
        if isinstance(found, Failed):
            bad[clip] = found.reason
        else:
            rows.append((f"{kind}   {clip}   {found[0]} frames", found[1]))
        if len(rows) == clips or len(bad) > clips:
            break
    if not rows:
        first = ": ".join(next(iter(bad.items())))
        raise ValueError(f"no clip of {listed.root} can be decoded: {first}", f"vidops data verify {name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(rows).save(path)
    told = {"written": str(path), "split": split, "clips": len(rows), "of": len(listed.paths), "bad": bad}
    made = f"written: {path}, {len(rows)} of {len(listed.paths)} clips of {split}"
    tell(format, told, [made, *(f"bad: {clip}: {reason}" for clip, reason in bad.items())])
