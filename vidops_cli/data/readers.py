"""Exact frames of a video file, by decord or by PyAV: `scan` says which of them reads a file right.

decord returns wrong frames, silently, where frames that follow a key frame are shown before it (open GOPs), for MPEG-4
part 2 with B-frames in any container, for H.264 with B-frames in AVI, and for MPEG streams; it cannot read files of
which an edit list hides frames. results/decoding.md shows it.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

CONTAINERS = {"mp4", "matroska"}  # they tell when each frame is shown
CODECS = {"h264", "hevc", "vp9", "av1"}  # a frame of each packet; VP8 and MPEG-4 have packets without one


LARGEST = 2**26  # pixels of a frame: twice 8K. A file of some kilobytes can claim any number, and would be given it


def check_size(width: int, height: int) -> None:
    """ValueError, before memory is taken for it, on a frame that no video or photograph has."""
    if width * height > LARGEST:
        raise ValueError(f"frames of {width} x {height} are beyond {LARGEST:,} pixels")


@dataclass(frozen=True)
class Index:
    """What the packets of a file tell without decoding: of each frame when it is shown, and the key frames."""

    times: list[int]  # ascending; empty where they cannot be trusted
    keys: list[tuple[int, int]]  # (when shown, where to seek), ascending
    plain: bool  # decord reads it right


def scan(path: Path) -> Index:
    """Reads all packets and decodes none: some 5 % of the time of 8 frames, for which container and codec are known."""
    import av

    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError("it holds no video")
        stream = container.streams.video[0]
        check_size(stream.codec_context.width, stream.codec_context.height)
        *packets, _ = (  # the last one is empty
            (p.pts, p.dts, p.is_keyframe, p.is_discard, p.is_corrupt) for p in container.demux(stream)
        )
        codec = stream.codec_context.codec.canonical_name
        known = codec in CODECS and CONTAINERS & set(container.format.name.split(","))
    shown = [pts for pts, _, _, hidden, _ in packets if not hidden]
    trusted = (
        bool(packets and known)
        and all(pts is not None and not corrupt for pts, _, _, _, corrupt in packets)
        and len(set(shown)) == len(shown)
        and packets[0][2]
    )
    if not trusted:
        return Index([], [], False)
    keys = sorted((pts, pts if dts is None else dts) for pts, dts, key, _, _ in packets if key)
    plain, last = len(shown) == len(packets), packets[0][0]
    for pts, _, key, _, _ in packets:
        last = pts if key else last
        plain = plain and pts >= last  # shown before the key frame it follows: its references are gone after a seek
    return Index(sorted(shown), keys, plain)


class DecordReader:
    def __init__(self, path: Path, index: Index):
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        self._reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
        self._padded = False

    def __len__(self) -> int:
        return len(self._reader)

    def read(self, indices: list[int]) -> np.ndarray:
        if not self._padded:
            try:
                return self._reader.get_batch(indices).asnumpy()
            except Exception:  # among others where rows are padded, as they are at some widths
                if self._reader[indices[0]].shape[2] == 3:
                    raise
                self._padded = True
        return np.stack([self._unpadded(index) for index in indices])

    def _unpadded(self, index: int) -> np.ndarray:
        """A frame whose padding at the end of each row decord took for further channels."""
        frame = self._reader[index].asnumpy()
        height, width, _ = frame.shape
        return frame.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)


class PyavReader:
    """Seeks where times can be trusted, else decodes from the start and counts. No file stays open between reads."""

    def __init__(self, path: Path, index: Index):
        self._path = path
        self._index = index
        self._length = len(index.times) or sum(1 for _ in self._decoded())

    def __len__(self) -> int:
        return self._length

    def read(self, indices: list[int]) -> np.ndarray:
        wanted = sorted(set(indices))
        found = self._sought(wanted) if self._index.times else {}
        if len(found) < len(wanted):
            found = self._counted(wanted)
        return np.stack([found[index] for index in indices])

    def _counted(self, wanted: list[int]) -> dict[int, np.ndarray]:
        found = {}
        for index, frame in enumerate(self._decoded()):
            if index == wanted[len(found)]:
                found[index] = upright(frame)
                if len(found) == len(wanted):
                    return found
        raise ValueError(f"frame {wanted[len(found)]} of {len(self)} cannot be decoded")

    def _sought(self, wanted: list[int]) -> dict[int, np.ndarray]:
        """Those of the frames that came after a seek to the key frame that is shown last before them."""
        found, shown = {}, [time for time, _ in self._index.keys]
        starts: dict[int, dict[int, int]] = {}  # key frame -> time -> index
        for index in wanted:
            time = self._index.times[index]
            starts.setdefault(max(0, bisect.bisect_right(shown, time) - 1), {})[time] = index
        for key, at in starts.items():
            for frame in self._decoded(seek=self._index.keys[key][1]):
                if frame.pts in at:
                    found[at.pop(frame.pts)] = upright(frame)
                if not at:
                    break
        return found

    def _decoded(self, seek: int | None = None) -> Iterator[Any]:
        import av

        with av.open(str(self._path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            if seek is not None:
                container.seek(seek, stream=stream)
            yield from container.decode(stream)


def upright(frame: Any) -> np.ndarray:
    """As decord does: turned as players show it, which telephones ask for."""
    return np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
