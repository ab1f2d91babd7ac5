"""A contact sheet: a row of frames for each clip, under its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .files import open_file
from .sampling import segments

SIDE = 112  # pixels of a frame's shorter side on the sheet
GAP, LINE = 4, 16


@dataclass(frozen=True)
class Asked:
    """A clip to show, by a frame of each of `frames` equal segments."""

    path: Path
    frames: int


def strip(asked: Asked) -> tuple[int, np.ndarray]:
    """How many frames a clip has, and those to show, small. ValueError if it cannot be decoded."""
    clip = open_file(asked.path)
    frames = clip.read(segments(len(clip), asked.frames))
    return len(clip), np.stack([np.asarray(_scaled(frame)) for frame in frames])


def contact_sheet(rows: Sequence[tuple[str, np.ndarray]]) -> Any:
    """A Pillow image of (title, frames (T, H, W, 3) uint8) rows."""
    from PIL import Image, ImageDraw

    scaled = [(title, [_scaled(frame) for frame in frames]) for title, frames in rows]
    width = max(sum(image.width + GAP for image in images) for _, images in scaled) + GAP
    height = sum(LINE + max(image.height for image in images) + GAP for _, images in scaled) + GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    y = GAP
    for title, images in scaled:
        draw.text((GAP, y), title.encode("latin-1", "replace").decode("latin-1"), fill="black")  # what its font has
        x = GAP
        for image in images:
            sheet.paste(image, (x, y + LINE))
            x += image.width + GAP
        y += LINE + max(image.height for image in images) + GAP
    return sheet


def _scaled(frame: np.ndarray) -> Any:
    from PIL import Image

    image = Image.fromarray(frame)
    scale = SIDE / min(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR if scale < 1 else Image.Resampling.NEAREST)
