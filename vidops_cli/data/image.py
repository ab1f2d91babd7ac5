"""Image files, clips of one frame, and folders of them, clips of many.

Frames are numpy uint8 arrays of shape (T, H, W, 3), RGB.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from .readers import check_size

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def write_image(path: Path, image: np.ndarray) -> None:
    """Write (H, W, 3) as PNG; equal input gives equal bytes."""
    from PIL import Image

    if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected a uint8 image of shape (H, W, 3), got {image.dtype} {image.shape}")
    partial = path.with_name(path.name + ".partial")
    Image.fromarray(image).save(partial, format="png", compress_level=1)
    os.replace(partial, path)


class ImageFile:
    """An image as a video of one frame: `len()` is 1, `read(indices)`. Any failure is a ValueError with the file."""

    backend = "pillow"

    def __init__(self, path: Path):
        from PIL import Image

        self.path = path
        if not path.is_file():
            raise ValueError(f"no such image: {path}")
        try:
            with Image.open(path) as image:
                check_size(*image.size)
                self._frame = np.asarray(image.convert("RGB"))
        except Exception as error:  # Pillow raises many kinds
            raise ValueError(f"cannot decode {path}: {str(error)[:160]}") from error

    def __len__(self) -> int:
        return 1

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Frames (len(indices), H, W, 3), uint8."""
        return np.repeat(self._frame[None], len(indices), axis=0)


class FrameFolder:
    """A folder of images as a video: `len()` frames, counted without decoding, `read(indices)`.

    Frames are in the order of the numbers in their names (2 before 10). Any failure is a ValueError with the folder.
    """

    backend = "pillow"

    def __init__(self, path: Path):
        self.path = path
        if not path.is_dir():
            raise ValueError(f"no such folder of frames: {path}")
        try:
            names = [entry.name for entry in os.scandir(path)]
        except OSError as error:
            raise ValueError(f"cannot read {path}: {error.strerror}") from error
        self._names = sorted((name for name in names if name.lower().endswith(IMAGE_SUFFIXES)), key=_natural)
        if not self._names:
            raise ValueError(f"cannot read {path}: it holds no frame ({', '.join(IMAGE_SUFFIXES)})")

    def __len__(self) -> int:
        return len(self._names)

    @property
    def files(self) -> list[Path]:
        """Its frames in their order."""
        return [self.path / name for name in self._names]

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Frames (len(indices), H, W, 3), uint8."""
        found: dict[int, np.ndarray] = {}
        for index in map(int, indices):
            if index not in found:
                found[index] = ImageFile(self.path / self._names[index]).read(np.zeros(1))[0]
        if len({frame.shape for frame in found.values()}) > 1:
            raise ValueError(f"cannot read {self.path}: its frames are of different sizes")
        return np.stack([found[int(index)] for index in indices])


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Key by which names sort as people count."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]
