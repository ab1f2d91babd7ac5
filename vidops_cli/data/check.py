"""Whether the files of a split are all there and can be read, and what they are: a manifest of them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidops_cli.record import append_line, read_lines, write_text

from . import Annotations, Progress
from .card import Joints
from .files import open_file
from .image import FrameFolder
from .pool import Failed, each
from .video import VideoFile, has_decord

BLOCK = 1 << 20  # bytes that are hashed at once
CUT = 0.02  # of its duration that a whole file may lack, beside 0.2 s: times are rounded
COMPARED, ROUNDING = 8, 4  # frames in which decoders are compared, and grey levels that they may differ by on average


@dataclass(frozen=True)
class Asked:
    """A file, or folder of frames, to look at: which of its split it is."""

    path: Path
    index: int
    digest: bool
    compare: bool = False


@dataclass(frozen=True)
class Look:
    """What a clip is like: frames, their size, what reads them and, if asked, its hash.

    The first, the middle and the last frame are decoded; ValueError if they cannot be. `cut`: what is lacking of it.
    `decoders`: how decord and PyAV differ, empty if they do not. `no_joints`: why it has none, where it should.
    """

    joints: Joints | None

    def __call__(self, asked: Asked) -> dict[str, Any]:
        clip = open_file(asked.path)
        frames = clip.read(np.array([0, len(clip) // 2, len(clip) - 1]))
        told: dict[str, Any] = {"frames": len(clip), "height": frames.shape[1], "width": frames.shape[2]}
        told["read_by"] = clip.backend
        if asked.digest:
            told["sha256"] = sha256(asked.path)
        if isinstance(clip, VideoFile) and (cut := ends_early(asked.path)):
            told["cut"] = cut
        if isinstance(clip, FrameFolder) and (cut := lacking(clip)):
            told["cut"] = cut
        if isinstance(clip, VideoFile) and asked.compare and has_decord():
            told["decoders"] = decoders_differ(asked.path)
        if self.joints is not None:
            try:
                self.joints[asked.index]
            except ValueError as error:
                told["no_joints"] = str(error.args[0])
        return told


def sha256(path: Path) -> str:
    """Of a file; of a folder, of its frames' names and bytes in their order."""
    found = hashlib.sha256()
    for file in FrameFolder(path).files if path.is_dir() else [path]:
        if file != path:
            found.update(f"{file.name}\0".encode())
        with file.open("rb") as opened:
            while block := opened.read(BLOCK):
                found.update(block)
    return found.hexdigest()


def lacking(folder: FrameFolder) -> str:
    """Which numbers the frames of a folder leave out; empty if none, or they have none."""
    numbers = [int(told[-1]) for file in folder.files if (told := re.findall(r"\d+", file.stem))]
    left_out = set(range(min(numbers, default=0), max(numbers, default=-1) + 1)) - {*numbers}
    if not left_out or len(numbers) != len(folder):
        return ""
    return f"{len(left_out)} frames lack before the last, the first is {min(left_out)}"


def manifest(
    annotations: Annotations,
    path: Path,
    *,
    processes: int,
    timeout: float,
    digest: bool,
    progress: Progress,
    sample: int = 0,
) -> list[dict[str, Any]]:
    """One row for each listed file, in the order of the list, written to `path` as JSON lines.

    {"path", "label", "bytes", "changed"} and what `Look` tells, or {"path", "label", "bad": why}. About `sample` of
    them, and twice as many at most, are read by both decoders. What an earlier run that was stopped has looked at, and
    has not changed since, is not looked at again. A file whose hash is not the one that the data set tells is bad.
    ValueError where nothing can be written.
    """
    begun = path.with_name(f"{path.name}.partial")
    known = {row["path"]: row for row in [*read_lines(path), *read_lines(begun)] if "bad" not in row}
    rows: list[dict[str, Any]] = []
    left: list[int] = []
    for index, (name, label) in enumerate(zip(annotations.paths, annotations.labels, strict=True)):
        file = annotations.root / name
        row = {"path": name, "label": label}
        if not os.path.exists(file):
            row["bad"] = "missing"
        else:
            row |= _stamp(file)
            before = known.get(name, {})
            if {key: before.get(key) for key in row} == row and ("sha256" in before or not digest):
                row = before
            else:
                left.append(index)
        rows.append(row)
    step = max(1, len(left) // sample) if sample else 0
    asked = [
        Asked(annotations.root / annotations.paths[index], index, digest, compare=bool(step) and number % step == 0)
        for number, index in enumerate(left)
    ]
    look = Look(annotations.joints)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for done, (number, found) in enumerate(each(look, asked, processes=processes, timeout=timeout), 1):
            row = rows[left[number]]
            row |= {"bad": found.reason} if isinstance(found, Failed) else found
            if digest and annotations.hashes and row.get("sha256", "") != annotations.hashes[left[number]]:
                row.setdefault("bad", "its bytes are others than the data set tells")
            append_line(begun, row)
            progress(done, len(left))
        write_text(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
        begun.unlink(missing_ok=True)
    except OSError as error:
        told = f"the manifest cannot be written to {path}: {error.strerror or error}"
        raise ValueError(told, "name another folder: --out DIR") from None
    return rows


def _stamp(file: Path) -> dict[str, Any]:
    """What changes when the file does, or one in the folder."""
    told = [entry.stat() for entry in os.scandir(file)] if file.is_dir() else [file.stat()]
    return {"bytes": sum(one.st_size for one in told), "changed": max((one.st_mtime_ns for one in told), default=0)}


def ends_early(path: Path) -> str:
    """How much is there of a video file that was cut off, as "4.2 of 10.0 s"; empty if all is, or it does not tell."""
    import av

    with av.open(str(path.absolute())) as container:
        kinds = set(container.format.name.split(","))
        if "avi" in kinds:  # its duration is guessed from the size of what is there
            with path.open("rb") as file:
                there, whole = path.stat().st_size, int.from_bytes(file.read(8)[4:], "little") + 8
            return f"{there:,} of {whole:,} bytes" if there < whole < 1 << 32 else ""
        if not container.duration or not kinds & {"mp4", "matroska"}:
            return ""
        whole, there, start = container.duration / av.time_base, 0.0, (container.start_time or 0) / av.time_base
        for packet in container.demux():  # sound too: it may be longer than what is seen
            times = [time for time in (packet.pts, packet.dts) if time is not None]
            if times and packet.size:
                there = max(there, float((max(times) + (packet.duration or 0)) * packet.time_base) - start)
    return f"{there:.1f} of {whole:.1f} s" if there < whole * (1 - CUT) - 0.2 else ""


def decoders_differ(path: Path) -> str:
    """How decord's frames of a video differ from PyAV's; empty if they do not, but for rounding of colours."""
    one = VideoFile(path, backend="pyav")
    wanted = np.linspace(0, len(one) - 1, COMPARED).round().astype(int)
    try:
        other = VideoFile(path, backend="decord")
        if len(other) != len(one):
            return f"decord has {len(other)} frames, PyAV {len(one)}"
        apart = np.abs(one.read(wanted).astype(int) - other.read(wanted)).mean((1, 2, 3))
    except ValueError as error:
        return f"decord: {error.args[0]}"
    return f"frame {wanted[apart.argmax()]}: {apart.max():.0f} grey levels apart" if apart.max() > ROUNDING else ""
