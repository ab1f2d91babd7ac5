"""Image files: a clip of one frame. Frames are numpy uint8 arrays of shape (T, H, W, 3), RGB."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

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

    def __init__(self, path: Path):
        from PIL import Image

        self.path = path
        if not path.is_file():
            raise ValueError(f"no such image: {path}")
        try:
            with Image.open(path) as image:
                self._frame = np.asarray(image.convert("RGB"))
        except Exception as error:  # Pillow raises many kinds
            raise ValueError(f"cannot decode {path}: {str(error)[:160]}") from error

    def __len__(self) -> int:
        return 1

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Frames (len(indices), H, W, 3), uint8."""
        return np.repeat(self._frame[None], len(indices), axis=0)
