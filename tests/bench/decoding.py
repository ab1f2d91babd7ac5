"""Whether frames are those asked for, whether memory stays flat, and what exactness takes of decord's speed.

`python tests/bench --only decoding --out results --name decoding` writes the record.
"""

from __future__ import annotations

import gc
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import decord
import numpy as np
from barcodes import FILES, barcode, number_of, numbers, requests
from rows import Row, row
from torch.utils.data import DataLoader, Dataset

from vidops_cli import stats
from vidops_cli.data.clips import ClipOptions, Clips, Order, batches, collate
from vidops_cli.data.folder import read
from vidops_cli.data.sampling import segments
from vidops_cli.data.transforms import prepare
from vidops_cli.data.video import VideoFile, write_video

BACKENDS = ("decord", "pyav")
READS, GROWTH = 20_000, 16.0  # clips, MiB
FRAMES, SIZE, CLIP = 300, (256, 340), 8  # ten seconds, as of Kinetics
WARM, PAIRS, LEAST = 3, 60, 90.0  # pairs left out, pairs, per cent
WORKERS, ROUNDS, LOADED, BATCH = 2, 8, 64, 8  # the last two: clips of a round, and of a batch
Spent = list[tuple[float, float]]
PLAIN: dict[str, Any] = {"resize": None, "crop": 224, "flip": 0.0, "mean": [0.0] * 3, "std": [1.0] * 3}


def measure() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        yield from exactness(Path(folder))
        for backend in BACKENDS:
            yield memory(Path(folder), backend)
        yield throughput(Path(folder))
        yield loaded(Path(folder))


def exactness(folder: Path) -> Iterator[Row]:
    """Each kind of file by the automatic choice, which has to be right, and by either backend alone."""
    for kind, (name, make) in FILES.items():
        make(folder / name)
        truth = numbers(folder / name)
        asked = sum(map(len, requests(len(truth)).values()))
        wrong = {backend: answers(folder / name, truth, backend) for backend in (None, *BACKENDS)}
        right = 100 * (1 - sum(map(len, wrong[None].values())) / asked)
        chosen = VideoFile(folder / name).backend
        alone = {backend: told(wrong[backend], truth) for backend in BACKENDS}
        yield row(
            "decoding",
            f"{kind} ({Path(name).suffix[1:]})",
            "% right",
            right,
            n=asked,
            bar="every frame",
            passed=right == 100,
            note=f"read by {chosen}; decord alone: {alone['decord']}; PyAV alone: {alone['pyav']}",
            read_by=chosen,
            **{
                f"{backend}_wrong": {name: len(found) for name, found in wrong[backend].items()} for backend in BACKENDS
            },
        )


def answers(path: Path, truth: list[int], backend: str | None) -> dict[str, list[int]]:
    """Request -> how far off the frames are that are not those asked for; empty if all are."""
    wrong = {}
    for name, indices in requests(len(truth)).items():
        try:
            found = VideoFile(path, backend=backend).read(np.array(indices))
        except ValueError:
            wrong[name] = [len(truth)] * len(indices)
            continue
        off = [number_of(frame) - truth[index] for frame, index in zip(found, indices, strict=True)]
        if any(off):
            wrong[name] = [far for far in off if far]
    return wrong


def told(wrong: dict[str, list[int]], truth: list[int]) -> str:
    if not wrong:
        return "right"
    far = max((abs(far) for found in wrong.values() for far in found), default=0)
    words = "refused" if far == len(truth) else f"up to {far} frames off"
    return f"WRONG, {words} ({', '.join(wrong)})"


def memory(folder: Path, backend: str) -> Row:
    grown = growth(small(folder), backend, READS)
    return row(
        "decoding",
        f"memory after {READS} clips by {backend}",
        "MiB",
        grown,
        n=READS,
        bar=f"at most {GROWTH:g} MiB more",
        passed=grown <= GROWTH,
        note="resident memory of the process, over that after the first tenth",
    )


def small(folder: Path) -> Path:
    path = folder / "small.mp4"
    write_video(path, np.stack([barcode(number) for number in range(8)]))
    return path


def growth(path: Path, backend: str, reads: int) -> float:
    """MiB by which the process grew from a tenth of the reads on."""
    for done in range(reads):
        if done == reads // 10:
            gc.collect()
            before = resident()
        VideoFile(path, backend=backend).read(np.array([1, 6]))  # type: ignore[arg-type]
    gc.collect()
    return resident() - before


def resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def throughput(folder: Path) -> Row:
    path = folder / "long.mp4"
    film(path)
    ours, bare = pairs(lambda: VideoFile(path).read(segments(FRAMES, CLIP)), lambda: by_decord(path))
    ends = [1e3 * stats.quantile([one[0] for one in times], 0.5) for times in (ours, bare)]
    what = f"one process, {CLIP} of {FRAMES} frames of {SIZE[1]} x {SIZE[0]}: {ends[0]:.1f} ms against {ends[1]:.1f} ms"
    told = "clips by processor time, of a bare loop of decord"
    return share(told, ours, bare, what, ours_ms=ends[0], bare_ms=ends[1])


def share(name: str, ours: Spent, bare: Spent, what: str, **more: float) -> Row:
    """What of the bare speed is left, by the processor's time; by the clock beside it."""
    by_processor, clock = (stats.paired_ratio([one[i] for one in bare], [one[i] for one in ours]) for i in (0, 1))
    low, high = (None if end is None else 100 * end for end in (by_processor.low, by_processor.high))
    return row(
        "decoding",
        name,
        "%",
        100 * by_processor.value,
        low=low,
        high=high,
        n=by_processor.n,
        how="95 %",
        bar=f"at least {LEAST:g} %",
        passed=100 * by_processor.value >= LEAST,
        note=f"{what}; by the clock {100 * clock.value:.0f} %",
        **more,
        clock=100 * clock.value,
    )


class Bare(Dataset):
    """Clips by decord as it comes, made into the same tensors."""

    def __init__(self, paths: list[Path]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        clip, _ = prepare(by_decord(self.paths[index]), rng=None, **PLAIN)
        return {"clip": clip, "label": 0, "index": index, "backend": "decord"}


def loaded(folder: Path) -> Row:
    """As `throughput`, of batches as training gets them from workers, beside torch's loader over `Bare`."""
    films(folder, "test", LOADED)
    options = ClipOptions(num_frames=CLIP, frames="ordered", shuffle_labels=False, max_bad=0, timeout=60, **PLAIN)
    clips = Clips(read(folder, "test", {}), options, train=False)
    files = Bare([folder / path for path in clips.annotations.paths])

    def ours() -> None:
        for _ in batches(clips, Order(clips.listed), BATCH, workers=WORKERS):
            pass

    def bare() -> None:
        for _ in DataLoader(files, BATCH, num_workers=WORKERS, collate_fn=collate):
            pass

    ours()
    times = [(spent(ours), spent(bare)) for _ in range(ROUNDS)]
    what = f"{LOADED} clips in batches of {BATCH}, cropped to {PLAIN['crop']}, workers started anew each time"
    told = f"batches of {WORKERS} workers by processor time, of torch's loader over decord"
    return share(told, [one for one, _ in times], [other for _, other in times], what)


def spent(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds of the processor, of this process and of those that it started and that have ended, and of the clock."""

    def now() -> float:
        return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))

    before, began = now(), time.perf_counter()
    work()
    gc.collect()  # the loader's workers end with it
    return now() - before, time.perf_counter() - began


def films(folder: Path, split: str, count: int) -> None:
    """A split of one class of as many files, all the same film."""
    film(folder / "film.mp4")
    for i in range(count):
        name = folder / f"{split}/class/{i:03d}.mp4"
        name.parent.mkdir(parents=True, exist_ok=True)
        name.symlink_to(folder / "film.mp4")


def film(path: Path) -> None:
    """A texture that drifts: as many bytes as of a clip of Kinetics at this size."""
    height, width = SIZE
    ground = np.random.default_rng(0).integers(0, 255, (height // 8, width // 8 + 1, 3), dtype=np.uint8)
    ground = ground.repeat(8, 0).repeat(8, 1)[:, :width]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "23", "x264-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for t in range(FRAMES):
            frame = np.roll(ground, 3 * t, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def by_decord(path: Path) -> np.ndarray:
    reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    return reader.get_batch(segments(len(reader), CLIP)).asnumpy()


def pairs(ours: Callable[[], object], bare: Callable[[], object]) -> tuple[Spent, Spent]:
    """Seconds of the processor, which other processes do not change, and of the clock, in an order drawn each time."""
    draw, found = random.Random(0), ([], [])
    for _ in range(WARM + PAIRS):
        for side in draw.sample((0, 1), 2):
            began = time.process_time(), time.perf_counter()
            (ours, bare)[side]()
            found[side].append((time.process_time() - began[0], time.perf_counter() - began[1]))
    return found[0][WARM:], found[1][WARM:]
