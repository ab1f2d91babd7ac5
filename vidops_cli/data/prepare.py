"""A data set once more, smaller and quicker to read: as JPEG frames or encoded anew, with lists of all its clips.

Each clip is whole or not there, so that what was stopped goes on where it was.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vidops_cli.record import read_json, write_json, write_text

from . import Annotations, Progress
from .card import MARK
from .image import FrameFolder
from .pool import Failed, each
from .readers import check_size, upright

RATE = Fraction(25)  # frames a second, where it is not known
LEAST = 10_000_000  # bytes free below which a failure is taken for a full disk
Kind = Literal["frames", "video"]


@dataclass(frozen=True)
class Told:
    """How clips are written: frames of `side` pixels (0: as they are), JPEGs of a quality or H.264 of a crf."""

    to: Kind
    side: int
    quality: int
    crf: int

    def head(self) -> dict[str, Any]:
        finer = {"quality": self.quality} if self.to == "frames" else {"crf": self.crf}
        return {"to": self.to, "side": self.side, **finer}


@dataclass(frozen=True)
class Asked:
    source: Path
    target: Path
    told: Told


def target_of(path: str, to: Kind) -> str:
    """Where a clip goes, relative to the new root: a folder of frames, or a file."""
    return f"{os.path.splitext(path)[0]}{'' if to == 'frames' else '.mp4'}"


def write(asked: Asked) -> int:
    """Number of frames written. ValueError if the clip cannot be decoded or encoded, OSError if nothing is written."""
    partial = asked.target.with_name(f"{asked.target.name}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    put = _frames if asked.told.to == "frames" else _video
    try:
        count = put(asked.source, partial, asked.told)
    except ValueError:
        _remove(partial)
        raise
    os.replace(partial, asked.target)
    return count


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _shown(source: Path, side: int, *, step: int = 1) -> Iterator[Any]:
    """PyAV's frames in the order in which they are shown; width and height are multiples of `step`."""
    for frame in _folder(source) if source.is_dir() else _decoded(source):
        scale = side / min(frame.width, frame.height) if side else 1
        size = [step * max(1, round(scale * length / step)) for length in (frame.width, frame.height)]
        yield frame if size == [frame.width, frame.height] else frame.reformat(*size, interpolation="AREA")


def _folder(source: Path) -> Iterator[Any]:
    import av

    frames = FrameFolder(source)
    for index in range(len(frames)):
        yield av.VideoFrame.from_ndarray(frames.read(np.array([index]))[0], format="rgb24")


def _decoded(source: Path) -> Iterator[Any]:
    import av

    count = 0
    try:
        with av.open(str(source.absolute())) as container:
            if container.streams.video:
                check_size(container.streams.video[0].width, container.streams.video[0].height)
            for frame in container.decode(video=0) if container.streams.video else ():
                count += 1
                turned = frame.rotation and av.VideoFrame.from_ndarray(np.ascontiguousarray(upright(frame)), "rgb24")
                yield turned or frame
    except av.FFmpegError as error:
        raise ValueError(f"cannot decode {source}: {error.strerror or error}") from None
    if not count:
        raise ValueError(f"cannot decode {source}: it holds no frame")


def _frames(source: Path, folder: Path, told: Told) -> int:
    _remove(folder)
    folder.mkdir()
    count = 0
    for count, frame in enumerate(_shown(source, told.side), 1):
        frame.to_image().save(folder / f"{count:05d}.jpg", quality=told.quality)
    return count


def _video(source: Path, path: Path, told: Told) -> int:
    """Frames one after the other, at their mean rate."""
    import av

    count, stream, rate = 0, None, _rate(source)
    with av.open(str(path.absolute()), "w", format="mp4") as out:
        for frame in _shown(source, told.side, step=2):  # H.264 asks for even sizes
            if stream is None:
                stream = out.add_stream("libx264", rate=rate)
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
                stream.codec_context.thread_count = 1
                stream.options = {"crf": str(told.crf), "preset": "veryfast", "g": "30"}  # clips are read from anywhere
            frame.pts, frame.time_base = count, 1 / rate
            _encode(out, stream, frame, source)
            count += 1
        _encode(out, stream, None, source)
    return count


def _rate(source: Path) -> Fraction:
    """Frames a second, where a file tells of a number that can be."""
    import av

    if source.is_dir():
        return RATE
    try:
        with av.open(str(source.absolute())) as container:
            told = container.streams.video[0].average_rate if container.streams.video else None
    except av.FFmpegError as error:
        raise ValueError(f"cannot decode {source}: {error.strerror or error}") from None
    return told if told and 1 <= told <= 240 else RATE


def _encode(out: Any, stream: Any, frame: Any, source: Path) -> None:
    import av

    try:
        out.mux(stream.encode(frame))
    except av.FFmpegError as error:
        raise ValueError(f"cannot encode what was decoded of {source}: {error.strerror or error}") from None


def prepare(
    name: str,
    listed: dict[str, Annotations],
    out: Path,
    told: Told,
    *,
    processes: int,
    timeout: float,
    progress: Progress,
    division: str = "",
) -> dict[str, str]:
    """Write the clips of some splits below `out`; path -> why of those that could not be.

    Lists name those too, so that runs count them as missing. ValueError where `out` holds anything else, or nothing can
    be written there.
    """
    if any(of.joints is not None and of.joints.size is None for of in listed.values()):
        raise ValueError(f"{name} has joints in pixels of its files, which would be others", "read it as it is")
    head = {"name": name, **told.head(), "classes": list(next(iter(listed.values())).classes)}
    head |= {"division": division} if division else {}
    if (out / MARK).is_file() and read_json(out / MARK) != head:
        raise ValueError(f"{out} holds another data set, or the same in another form", "name another --out")
    roots = {of.root.resolve() for of in listed.values()}
    if out.resolve() in roots:
        raise ValueError(f"{out} is the data set itself", "name another --out")
    _check_targets({path for of in listed.values() for path in of.paths}, told.to)
    todo: dict[str, Asked] = {}
    bad: dict[str, str] = {}
    for of in listed.values():
        for path in of.paths:
            source, target = of.root / path, out / target_of(path, told.to)
            if not os.path.exists(source):
                bad[path] = "missing"
            elif not target.exists():
                todo[path] = Asked(source, target, told)
    try:
        write_json(out / MARK, head)
        for split, of in listed.items():
            pairs = zip(of.paths, of.labels, strict=True)
            lines = (f"{target_of(path, told.to)} {label}\n" for path, label in pairs)
            write_text(out / f"{split}.txt", "".join(lines))
    except OSError as error:
        raise ValueError(f"nothing can be written to {out}: {error.strerror or error}", "name another --out") from None
    paths = list(todo)
    for done, (number, found) in enumerate(each(write, list(todo.values()), processes=processes, timeout=timeout), 1):
        if isinstance(found, Failed):
            bad[paths[number]] = found.reason
            _remove_left(todo[paths[number]].target)
            _check_space(out)
        progress(done, len(paths))
    return bad


def _check_targets(paths: set[str], to: Kind) -> None:
    """ValueError where two clips would be written to one place."""
    taken: dict[str, str] = {}
    for path in sorted(paths):
        if (other := taken.setdefault(target_of(path, to), path)) != path:
            raise ValueError(f"{other} and {path} would both become {target_of(path, to)}", "rename one of them")


def _remove_left(target: Path) -> None:
    """What a process that died has begun."""
    _remove(target.with_name(f"{target.name}.partial"))


def _check_space(out: Path) -> None:
    if shutil.disk_usage(out).free < LEAST:
        raise ValueError(f"the disk of {out} is full", "make room and run the command again: what is written is kept")
