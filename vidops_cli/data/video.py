"""Encoded video files: written with PyAV (H.264), read with decord or PyAV.

Frames are numpy uint8 arrays of shape (T, H, W, 3), RGB.
"""

from __future__ import annotations

import functools
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from .readers import DecordReader, PyavReader, scan

VIDEO_SUFFIXES = (".mp4", ".webm", ".mkv", ".avi", ".mov", ".m4v")


def write_video(path: Path, frames: np.ndarray, *, fps: int = 8, crf: int = 12) -> None:
    """Encode frames (T, H, W, 3) as H.264 in MP4; equal input gives equal bytes."""
    import av

    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(f"expected uint8 frames of shape (T, H, W, 3), got {frames.dtype} {frames.shape}")
    partial = path.with_name(path.name + ".partial")
    with av.open(str(partial.absolute()), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        # without the last x264 reads memory that it never wrote, and equal frames give unequal bytes now and then
        stream.options = {"crf": str(crf), "preset": "veryfast", "x264-params": "cpu-independent=1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    os.replace(partial, path)


class VideoFile:
    """A video: `len()` frames, `read(indices)`; any failure is a ValueError that names the file.

    `backend` is what decodes it: decord where it is installed and known to be right, else PyAV, or the one asked for.
    """

    def __init__(self, path: Path, *, backend: Literal["decord", "pyav"] | None = None):
        self.path = path
        if not path.is_file():
            raise ValueError(f"no such video: {path}")
        try:
            if path.stat().st_size == 0:
                raise ValueError("it is empty")
            path = path.absolute()  # else FFmpeg takes `a:b.mp4` for a protocol
            index = scan(path)
            self.backend = backend or ("decord" if index.plain and has_decord() else "pyav")
            self._reader = (DecordReader if self.backend == "decord" else PyavReader)(path, index)
            self._length = len(self._reader)
        except Exception as error:  # decord and PyAV raise their own and plain RuntimeErrors
            raise ValueError(f"cannot decode {self.path}: {_first_line(error)}") from error
        if self._length == 0:
            raise ValueError(f"cannot decode {self.path}: it holds no frame")

    def __len__(self) -> int:
        return self._length

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Frames (len(indices), H, W, 3), uint8."""
        wanted = [int(index) for index in indices]
        if not 0 <= min(wanted) <= max(wanted) < self._length:
            raise ValueError(f"{self.path} has frames 0 to {self._length - 1}, not {min(wanted)} to {max(wanted)}")
        try:
            return self._reader.read(wanted)
        except Exception as error:
            raise ValueError(f"cannot decode {self.path}: {_first_line(error)}") from error


@functools.cache
def has_decord() -> bool:
    """There are no wheels of it for some machines, as Macs with Intel's processors."""
    try:
        import decord  # noqa: F401
    except (ImportError, OSError):  # OSError: a library that it needs is not there
        return False
    return True


def _first_line(error: Exception) -> str:
    if told := getattr(error, "strerror", None):
        return told  # PyAV's and the system's, without the number, and the path again
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"\[[\d:]+\] \S+:\d+: ", "", lines[0])[:160]  # decord adds the time and its source line
