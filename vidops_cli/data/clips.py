"""Clips of a split as a torch data set, and batches of them in an order that a seed decides."""

from __future__ import annotations

import io
import math
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from vidops_cli.record import check_claims, write_bytes

from . import Annotations, Progress
from .augment import Augment, mirrored_labels
from .corruption import Corruption, corrupt
from .episodes import Beside
from .files import open_file
from .pool import Failed, each
from .poses import Moved, beside
from .sampling import sample
from .transforms import prepare
from .views import ONE, View
from .watched import watched

Taken = tuple[np.ndarray, np.ndarray, int, str]  # frames, which they are, of how many, and what decoded them


@dataclass(frozen=True)
class ClipOptions:
    """How a clip is taken from a video; the names and meanings of a recipe's `data:`."""

    num_frames: int
    resize: int | list[int] | None
    crop: int | None
    flip: float
    mean: list[float]
    std: list[float]
    frames: Literal["ordered", "reversed", "shuffled"]
    shuffle_labels: bool
    max_bad: int
    timeout: float = 0
    corruption: Corruption | None = None
    stride: int | None = None
    """None: a frame of each of num_frames segments"""
    flip_keep: list[int | str] = field(default_factory=list)
    flip_swap: list[list[int | str]] = field(default_factory=list)
    augment: Augment | None = None
    views: tuple[View, ...] = (ONE,)
    """of a video, in testing"""


class Clips(Dataset):
    """Item (epoch, index) -> {"clip": (3, T, H, W) float32, "label": int, "index": int, "backend": str}.

    In testing the first of a key may be a `View`; 0 is the one in the middle.

    Where the data set has joints also {"coords": (T, P, J, 2), "scores": (T, P, J)}, float32: x and y in pixels of the
    clip, of the same frames in the same order.
    What is random about an item hangs on (seed, epoch, index) alone, so that the number of workers changes nothing. A
    video that cannot be decoded comes as {"bad": reason}; it is never replaced.
    """

    def __init__(self, annotations: Annotations, options: ClipOptions, *, train: bool, seed: int = 0):
        self.annotations = annotations
        self.options = options
        self.train = train
        self.seed = seed
        self.excluded: dict[int, str] = {}
        self.read_by = np.zeros(len(annotations.paths), "S8")  # the backend of each file that was read
        self.labels = np.array(annotations.labels)
        if options.shuffle_labels and annotations.split != "test":  # the control; it is scored on true labels
            self.labels = np.random.default_rng([seed, 7]).permutation(self.labels)
        keep, swap = (options.flip_keep, options.flip_swap) if train else ([], [])
        self.upright, self.swapped = mirrored_labels(annotations.classes, keep, swap)
        self.joints = annotations.joints
        if self.joints is not None and len(self.joints) != len(self.listed):
            told = f"split {annotations.split}: expected joints of {len(self.listed)} clips, got {len(self.joints)}"
            raise ValueError(told, "make the data set again")
        self._decoded: dict[int, tuple[np.ndarray, int]] | None = None  # frames, and of how many they are
        self._whole = train or any(view.clips > 1 for view in options.views)  # all of a video's frames are in memory
        self._latest: tuple[Any, Taken] | None = None  # crops are of the same frames
        self._report_missing()

    def __len__(self) -> int:
        return len(self.listed) - len(self.excluded)

    @property
    def listed(self) -> range:
        """Indices of all clips, bad ones too: the order of an epoch does not hang on which are known to be bad."""
        return range(len(self.annotations.paths))

    @property
    def decoded(self) -> bool:
        """Whether the clips are in memory."""
        return self._decoded is not None

    @property
    def bad(self) -> dict[str, str]:
        """Path -> reason of the videos left out."""
        return {self.annotations.paths[index]: reason for index, reason in self.excluded.items()}

    @property
    def backends(self) -> dict[str, int]:
        """What decoded files -> how many of them, bad ones not counted."""
        used = np.delete(self.read_by, list(self.excluded))
        names, counts = np.unique(used[used != b""], return_counts=True)
        return {name.decode(): int(count) for name, count in zip(names, counts, strict=True)}

    @property
    def present(self) -> str:
        """n/N: clips used of clips listed, or of those of the official release where that has more."""
        return f"{len(self)}/{max(len(self.listed), self.annotations.official)}"

    def _report_missing(self) -> None:
        told = self.annotations
        files = [told.root / path for path in told.paths]
        absent = {i: why for i, file in enumerate(files) if (why := _why_absent(file))}
        if len(absent) > self.options.max_bad:
            what = " or ".join(sorted(set(absent.values()), reverse=True))
            hint = f"complete the data set, or go on without them: data.max_bad={len(absent)}"
            if len(absent) > len(self.listed) // 2:
                hint = f"check data.root, and unpack all parts of the archives below {told.root}"
                hint += "; `vidops show` and the data set's name tell where its layout is described"
            first = f"the first is {files[min(absent)]}"
            raise ValueError(f"{len(absent)} of {len(files)} videos of split {told.split} are {what}, {first}", hint)
        self.exclude({i: f"{why}: {files[i]}" for i, why in absent.items()})

    def exclude(self, found: dict[int, str]) -> None:
        """Leave videos out from now on (index -> reason); ValueError once more than `max_bad` are out."""
        self.excluded = {**found, **self.excluded}
        out, most = len(self.excluded), self.options.max_bad
        if out > most:
            told = "; ".join(list(self.bad.values())[:5]) + ("; ..." if out > 5 else "")
            what = f"{out} videos of split {self.annotations.split} cannot be used, max_bad is {most}: {told}"
            raise ValueError(what, "mend or remove the files, or raise data.max_bad")
        if not len(self):
            raise ValueError(f"no video of split {self.annotations.split} can be used", "check data.root")

    def met(self) -> tuple[dict[int, str], torch.Tensor]:
        """What was met of the files, for `meet` of another process: which are bad, and what decoded the others."""
        return self.excluded, torch.from_numpy(self.read_by.view(np.uint8).copy())

    def meet(self, bad: dict[int, str], read_by: torch.Tensor) -> None:
        """As if these were met here. ValueError as of `exclude`."""
        theirs = read_by.numpy().view(self.read_by.dtype)
        self.read_by = np.where(self.read_by == b"", theirs, self.read_by)
        self.exclude(bad)

    def exclude_files(self, found: dict[int, str]) -> None:
        """`exclude`, of reasons that do not name the file."""
        paths = self.annotations.paths
        self.exclude({index: f"{self.annotations.root / paths[index]}: {why}" for index, why in found.items()})

    def shape(self, *, workers: int = 0) -> tuple[int, ...]:
        """Shape (3, T, H, W) of the first clip that can be used; in testing, of a view of it."""
        view = 0 if self.train else self.options.views[0]
        for batch in batches(self, [(view, index) for index in self.listed], 1, workers=min(1, workers)):
            if "clip" in batch:
                return tuple(batch["clip"].shape[1:])
        raise AssertionError("exclude() refuses to leave no clip")

    def decode_all(self, progress: Progress, *, workers: int = 0, threads: int = 2, keep: bool = False) -> None:
        """Decode every clip into memory, once. In training, and for several clips of a video, all frames are kept.

        With `workers`, in as many processes, which a decoder may crash or hold for `timeout` seconds; else in threads.
        With `keep` they are written beside the data, if all are good and of one shape, and read from there next time.
        """
        told = self.options
        taken = told.num_frames if told.stride is None else f"{told.num_frames}x{told.stride}"
        chosen = "all" if self._whole else taken
        kept = self.annotations.root / f".decoded-{self.annotations.fingerprint}-{chosen}.npz"
        if keep and (found := _read_kept(kept, len(self.listed))) is not None:
            self._decoded, self.read_by = found
            return
        work = partial(_decoded, num_frames=told.num_frames, stride=told.stride, whole=self._whole)
        wanted = [index for index in self.listed if index not in self.excluded]
        files = [self.annotations.root / self.annotations.paths[index] for index in wanted]
        if workers:
            results = each(work, files, processes=workers, timeout=told.timeout or math.inf)
        else:
            results = _in_threads(work, files, threads)
        decoded, bad = {}, {}
        with closing(results):  # else who stops it waits for all of them
            for done, (at, answer) in enumerate(results, 1):
                index = wanted[at]
                if isinstance(answer, Failed):
                    bad[index] = f"{files[at]}: {answer.reason}" if answer.gone else answer.reason
                else:
                    *decoded[index], self.read_by[index] = answer
                progress(done, len(wanted))
        self.exclude({index: bad[index] for index in sorted(bad)})
        self._decoded = {index: tuple(decoded[index]) for index in sorted(decoded)}
        if keep and not self.excluded and len({frames.shape for frames, _ in self._decoded.values()}) == 1:
            _write_kept(kept, [self._decoded[index] for index in self.listed], self.read_by)

    def _frames(self, index: int, view: View, rng: np.random.Generator | None) -> Taken:
        """ValueError if the clip cannot be decoded."""
        same = (index, view.clip, view.clips)
        if self._latest is not None and self._latest[0] == same:
            return self._latest[1]
        told = self.options
        if self._decoded is not None:
            frames, length = self._decoded[index]
            chosen = sample(length, told.num_frames, stride=told.stride, rng=rng, view=view)
            return (frames[chosen] if self._whole else frames), chosen, length, self.read_by[index].decode()
        video = open_file(self.annotations.root / self.annotations.paths[index])
        chosen = sample(len(video), told.num_frames, stride=told.stride, rng=rng, view=view)
        found = video.read(chosen), chosen, len(video), video.backend
        self._latest = (same, found) if view.crops > 1 else None
        return found

    def __getitem__(self, key: tuple[int | View, int]) -> dict[str, Any]:
        when, index = key
        view = when if isinstance(when, View) else ONE
        options = self.options
        if index in self.excluded:
            return {"bad": self.excluded[index], "index": index}
        rng = np.random.default_rng([self.seed, when, index]) if self.train else None
        try:
            frames, chosen, length, backend = self._frames(index, view, rng)
        except ValueError as error:
            return {"bad": str(error.args[0]), "index": index}
        if options.frames == "reversed":
            frames, chosen = frames[::-1].copy(), chosen[::-1]
        elif options.frames == "shuffled":
            order = np.random.default_rng([self.seed, index]).permutation(len(frames))
            frames, chosen = frames[order], chosen[order]
        if options.corruption is not None:
            frames = corrupt(frames, options.corruption, index)
        label = int(self.labels[index])
        try:
            clip, moved = prepare(
                frames,
                resize=options.resize,
                crop=options.crop,
                flip=0.0 if label in self.upright else options.flip,
                mean=options.mean,
                std=options.std,
                rng=rng,
                augment=options.augment,
                view=view,
            )
        except ValueError as error:  # an error of the recipe: torch would lose its hint on the way from a worker
            return {"error": error.args, "index": index}
        label = self.swapped.get(label, label) if moved.mirrored else label
        item = {"clip": clip, "label": label, "index": index, "backend": backend}
        if self.joints is None:
            return item
        try:
            joints = self._joints_of(index, chosen, length)
        except ValueError as error:
            return {"bad": str(error.args[0]), "index": index}
        if self.joints.size is not None:
            joints = Moved().resized(self.joints.size, frames.shape[1:3])(joints, ())
        found = torch.from_numpy(moved(joints, self.joints.pairs))
        return {**item, "coords": found[..., :2], "scores": found[..., 2]}

    def _joints_of(self, index: int, chosen: np.ndarray, length: int) -> np.ndarray:
        """Those of the chosen frames of a clip of `length`; ValueError if they are of another clip, or none."""
        joints = self.joints[index]
        if abs(len(joints) - length) > self.joints.slack * length:
            raise ValueError(f"{self.annotations.paths[index]}: {length} frames, but joints of {len(joints)}")
        return joints[beside(chosen, length, len(joints))]


def _decoded(path: Path, *, num_frames: int, stride: int | None, whole: bool) -> tuple[np.ndarray, int, str]:
    """Frames of a file, of how many they are, and what decoded them. ValueError if it cannot be decoded."""
    video = open_file(path)
    wanted = np.arange(len(video)) if whole else sample(len(video), num_frames, stride=stride)
    return video.read(wanted), len(video), video.backend


def _in_threads(work: Callable[[Path], Any], files: list[Path], threads: int) -> Iterator[tuple[int, Any]]:
    """As `each` does it in processes."""

    def tried(file: Path) -> Any:
        try:
            return work(file)
        except ValueError as error:
            return Failed(str(error.args[0]))

    with ThreadPoolExecutor(threads) as pool:
        try:
            yield from enumerate(pool.map(tried, files))
        finally:
            pool.shutdown(cancel_futures=True)


def _why_absent(file: Path) -> str:
    """What can be told of a file, or folder, before it is opened; empty if it is there."""
    try:
        told = file.stat()
    except OSError:  # of a name that is too long, too
        return "missing"
    return "empty" if stat.S_ISREG(told.st_mode) and not told.st_size else ""


def _read_kept(path: Path, count: int) -> tuple[dict[int, tuple[np.ndarray, int]], np.ndarray] | None:
    """Frames and length of each clip, and what decoded each, or None if they are not there or not whole."""
    try:
        check_claims(path)
        with open(path, "rb") as file, np.load(file) as kept:  # np.load leaves a damaged file open
            frames, lengths, read_by = kept["frames"], kept["lengths"].tolist(), kept["read_by"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if not len(frames) == len(lengths) == len(read_by) == count:
        return None
    return dict(enumerate(zip(frames, lengths, strict=True))), read_by


def _write_kept(path: Path, clips: list[tuple[np.ndarray, int]], read_by: np.ndarray) -> None:
    """Whole or not at all; ValueError where nothing can be written."""
    buffer = io.BytesIO()
    frames, lengths = zip(*clips, strict=True)
    np.savez(buffer, frames=np.stack(frames), lengths=lengths, read_by=read_by)
    try:
        write_bytes(path, buffer.getvalue())
    except OSError as error:
        told = f"decoded frames cannot be kept at {path}: {error.strerror or error}"
        raise ValueError(told, "use data.cache=memory") from None


class Order(Sampler):
    """Keys (epoch, index) of one epoch from entry `start` on: drawn from (seed, epoch), or as listed without a seed."""

    def __init__(self, indices: Sequence[int], *, epoch: int = 0, seed: int | None = None, start: int = 0):
        order = np.array(indices)
        if seed is not None:
            order = np.random.default_rng([seed, epoch, 1]).permutation(order)
        self.keys = [(epoch, int(index)) for index in order[start:]]

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self.keys)


def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Batch {"clip" (B, 3, T, H, W), "label" (B,), "index" (B,), "bad": [(index, reason)]}, and the clips' joints.

    Only "bad" is there if all are bad; only "error", a ValueError's arguments, if the recipe does not fit the data.
    """
    for item in items:
        if "error" in item:
            return {"error": item["error"]}
    good = [item for item in items if "bad" not in item]
    batch: dict[str, Any] = {"bad": [(item["index"], item["bad"]) for item in items if "bad" in item]}
    if good:
        if len({item["clip"].shape for item in good}) > 1:
            return {"error": ("the videos have different sizes", "set data.resize and data.crop")}
        for key in {"clip", "coords", "scores"} & good[0].keys():
            batch[key] = torch.stack([item[key] for item in good])
        batch["label"] = torch.tensor([item["label"] for item in good])
        batch["index"] = torch.tensor([item["index"] for item in good])
        batch["backend"] = [item["backend"] for item in good]
    return batch


def batches(
    clips: Clips, order: Sequence[tuple[int | View, int]] | Order | Beside, batch: int, *, workers: int = 0
) -> Iterator[dict[str, Any]]:
    """Batches in the given order. Videos that failed are excluded by name, and counted, as they are met.

    With workers that goes for videos whose decoder crashes, or takes longer than `timeout`, too.
    A batch of which every video failed comes without "clip", so that batches stay countable.
    """
    if workers:
        loader = watched(
            clips, list(order), batch, collate, clips.exclude_files, workers=workers, timeout=clips.options.timeout
        )
    else:
        loader = DataLoader(clips, batch, sampler=order, collate_fn=collate, generator=torch.Generator())
    for found in loader:
        if "error" in found:
            raise ValueError(*found["error"])
        if found["bad"]:
            clips.exclude(dict(found["bad"]))
        if "clip" in found:
            clips.read_by[found["index"].numpy()] = found["backend"]
        yield found
