"""Opening what a data set lists, whatever it is."""

from pathlib import Path

from .image import IMAGE_SUFFIXES, FrameFolder, ImageFile
from .video import VideoFile


def open_file(path: Path) -> VideoFile | ImageFile | FrameFolder:
    """What has `len()` frames, `read(indices)` and the `backend` that reads it. ValueError if it cannot be opened."""
    if path.is_dir():
        return FrameFolder(path)
    return ImageFile(path) if path.suffix.lower() in IMAGE_SUFFIXES else VideoFile(path)
