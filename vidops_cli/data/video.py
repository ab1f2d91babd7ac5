"""Encoded video files: written with PyAV (H.264), read with decord.

Frames are numpy uint8 arrays of shape (T, H, W, 3), RGB.
"""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path

import numpy as np

VIDEO_SUFFIXES = (".mp4", ".webm", ".mkv", ".avi", ".mov", ".m4v")


def write_video(path: Path, frames: np.ndarray, *, fps: int = 8, crf: int = 12) -> None:
    """Encode frames (T, H, W, 3) as H.264 in MP4; equal input gives equal bytes."""
    import av

    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(f"expected uint8 frames of shape (T, H, W, 3), got {frames.dtype} {frames.shape}")
    partial = path.with_name(path.name + ".partial")
    with av.open(str(partial), "w", format="mp4") as container:
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
    """A video, read by decord: `len()` frames, `read(indices)`. Any failure is a ValueError that names the file."""

    def __init__(self, path: Path):
        import decord

        self.path = path
        if not path.is_file():
            raise ValueError(f"no such video: {path}")
        try:
            self._reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
            self._length = len(self._reader)
            self._padded = self._length > 0 and self._reader[0].shape[2] != 3
        except Exception as error:  # decord raises its own and plain RuntimeErrors
            raise ValueError(f"cannot decode {path}: {_first_line(error)}") from error
        if self._length == 0:
            raise ValueError(f"cannot decode {path}: it holds no frame")

    def __len__(self) -> int:
        return self._length

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Frames (len(indices), H, W, 3), uint8."""
        try:
            if self._padded:
                return np.stack([self._unpadded(int(index)) for index in indices])
            return self._reader.get_batch(list(map(int, indices))).asnumpy()
        except Exception as error:
            raise ValueError(f"cannot decode {self.path}: {_first_line(error)}") from error

    def _unpadded(self, index: int) -> np.ndarray:
        """A frame whose padding at the end of each row decord took for further channels (widths 16, 24, 32, 48)."""
        frame = self._reader[index].asnumpy()
        height, width, _ = frame.shape
        return frame.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"\[[\d:]+\] \S+:\d+: ", "", lines[0])[:160]  # decord adds the time and its source line
