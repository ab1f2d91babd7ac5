"""Roofline: how fast this device can multiply and copy, and the shortest time that a call of known cost could take.

A call that does F operations on B bytes takes at least max(F / peak, B / bandwidth). Both ceilings are measured, never
taken from a data sheet, and kept in the user's cache folder unless other processes disturbed them.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import torch
import torch.nn.functional as F

from vidops_cli import record

from .latency import NOISY, Switches, load
from .memory import available_bytes

MATRIX_SIZES = (256, 512, 1024, 2048, 4096, 8192)  # tried upwards, for as long as one product is shorter than LONG
LONG = 0.05  # seconds
COPIED = {"cpu": 2**28, "cuda": 2**30}  # bytes, far more than caches hold
ROUNDS = 2  # of all measurements; they are kept if they agree
RUNS, BUDGET = 3, 0.4  # in a round: the best of so many runs, or of those that start within so many seconds
BEATEN = 1.1  # times a ceiling: a speed above it shows that the ceiling was measured too low
RUN = 0.01  # seconds at least: starting a call, and waiting for its end, must not count


@dataclass(frozen=True)
class Ceilings:
    """The fastest matrix product (on a CPU: or convolution) and copy (bytes read + bytes written) that were seen."""

    flops_per_s: float
    bytes_per_s: float
    device: str
    dtype: str
    threads: int | None  # of a CPU
    precision: str  # torch's float32 matmul precision: other than "highest", float32 products may be rounded
    torch: str
    measured_at: str
    disturbed: bool = False  # by other processes: they may be too low


@dataclass(frozen=True)
class Bound:
    """`intensity`: operations per byte; `ms`: the shortest time there could be; `by`: what bounds it."""

    intensity: float
    ms: float
    by: str  # compute | memory


_disturbed: dict[str, Ceilings] = {}  # measured on a busy machine: for this process only


def bound(flops: float, bytes: float, ceilings: Ceilings) -> Bound:
    """Lower bound of the time of `flops` operations on `bytes` bytes (more than zero) that are read or written once.

    A call whose data stay in a cache may be faster: the bandwidth is that of the memory behind it.
    """
    compute, memory = flops / ceilings.flops_per_s, bytes / ceilings.bytes_per_s
    return Bound(flops / bytes, 1e3 * max(compute, memory), "compute" if compute > memory else "memory")


def beaten(by: str | None, share: float | None) -> bool:
    """Whether a call was so much faster than its bound by compute that the ceiling is wrong: no cache explains that."""
    return by == "compute" and share is not None and share > BEATEN


def ceilings(device: torch.device, dtype: torch.dtype, threads: int | None = None, *, again: bool = False) -> Ceilings:
    """Ceilings of a device for one dtype, on a CPU with `threads` threads (default: as many as torch has now).

    Measured once for each machine, device, dtype, number of threads and version of torch, in a few seconds, then read
    from the cache folder. What was measured while other processes took the processor away, or in rounds that disagree,
    is not written there, and serves this process only. `again`: measured anew, each ceiling at least what it was, and
    what was kept is raised. A damaged entry is measured again; a folder that cannot be written to is no error.
    """
    threads = (threads or torch.get_num_threads()) if device.type == "cpu" else None
    told = (
        _device_name(device),
        str(dtype).removeprefix("torch."),
        threads,
        torch.get_float32_matmul_precision(),
        torch.__version__,
    )
    key = " | ".join(map(str, (platform.node(), *told)))
    path = cache_path()
    entries = _read(path)
    known = entries.get(key) or _disturbed.get(key)
    if known and not again:
        return known
    switches, busy = Switches(), device.type == "cpu" and load() is not None
    with _threads(threads):
        rounds = [_measured(device, dtype) for _ in range(ROUNDS)]
    noisy = any(max(speeds) > (1 + NOISY) * min(speeds) for speeds in zip(*rounds, strict=True))
    before = [(known.flops_per_s, known.bytes_per_s)] if known else []
    best = [max(speeds) for speeds in zip(*rounds, *before, strict=True)]
    disturbed = busy or noisy or (device.type == "cpu" and switches.often())
    found = Ceilings(*best, *told, datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), disturbed)
    if disturbed and key not in entries:
        _disturbed[key] = found
        return found
    entries[key] = found
    with contextlib.suppress(OSError):
        record.write_json(path, {key: asdict(entry) for key, entry in entries.items()})
    return found


def _measured(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """Operations, and bytes, per second."""
    flops_per_s = _matrix_product(device, dtype)
    if device.type == "cpu":  # its convolutions come from another library, often a faster one
        flops_per_s = max(flops_per_s, _convolution(dtype))
    return flops_per_s, _copy(device, dtype)


def cache_path() -> Path:
    """ceilings.json in $XDG_CACHE_HOME (if absolute) or ~/.cache, in the folder vidops."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (folder if folder.is_absolute() else Path("~/.cache").expanduser()) / "vidops" / "ceilings.json"


def _read(path: Path) -> dict[str, Ceilings]:
    """The entries that are whole."""
    try:
        entries = record.read_json(path)
    except (OSError, ValueError):
        return {}
    if not isinstance(entries, dict):
        return {}
    return {key: found for key, entry in entries.items() if (found := _entry(entry))}


def _entry(entry: object) -> Ceilings | None:
    """Ceilings as they were written, None if they are damaged."""
    try:
        found = Ceilings(**entry)
        whole = all(0 < value < math.inf for value in (found.flops_per_s, found.bytes_per_s))
    except TypeError:
        return None
    return found if whole else None


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {os.cpu_count()} cores"


@contextlib.contextmanager
def _threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _matrix_product(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of the fastest product of two n x n matrices."""
    fastest = 0.0
    for n in MATRIX_SIZES:
        a, b = (torch.rand(n, n, device=device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        seconds = _best(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), device)
        fastest = max(fastest, 2 * n**3 / seconds)
        if seconds > LONG:
            break
    return fastest


def _convolution(dtype: torch.dtype) -> float:
    """Operations per second of the faster of a 1 x 1 convolution, a matrix product too, and one of 3 x 3 x 3."""
    fastest = 0.0
    for channels, grid, kernel in ((1024, (1, 32, 32), 1), (128, (8, 28, 28), 3)):
        x, weight = (
            torch.rand(shape).to(dtype).contiguous(memory_format=torch.channels_last_3d)
            for shape in ((1, channels, *grid), (channels, channels, kernel, kernel, kernel))
        )
        with torch.no_grad():
            seconds = _best(lambda x=x, w=weight, k=kernel: F.conv3d(x, w, padding=k // 2), torch.device("cpu"))
        fastest = max(fastest, 2 * weight.numel() * math.prod(grid) / seconds)
    return fastest


def _copy(device: torch.device, dtype: torch.dtype) -> float:
    """Bytes per second, read and written, of the fastest copy; of less than COPIED where memory is short."""
    available = available_bytes(device)
    size = COPIED["cuda" if device.type == "cuda" else "cpu"]
    size = size if available is None else min(size, available // 8)
    source = torch.ones(size // dtype.itemsize, dtype=dtype, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _best(lambda: target.copy_(source), device)


def _best(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call in the fastest run, after one that warms up. A run is one call, or many short ones."""

    def run(calls: int) -> float:
        began = time.perf_counter()
        for _ in range(calls):
            call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter() - began) / calls

    run(1)
    until = time.perf_counter() + BUDGET
    fastest = run(1)
    calls = math.ceil(RUN / fastest)
    for _ in range(RUNS - 1):
        if time.perf_counter() > until:
            break
        fastest = min(fastest, run(calls))
    return fastest
