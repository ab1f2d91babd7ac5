"""Memory of a call above its inputs and parameters, how much there is, and what happens when it is too little.

torch is imported where it is used: the command line asks `is_out_of_memory` on its way out of any verb.
"""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import resource
except ImportError:  # Windows
    resource = None

if TYPE_CHECKING:
    import torch

UNCOUNTED = {
    "cpu": "not counted: scratch that oneDNN, MKL and pocketfft take from the system themselves",
    "cuda": "not counted: the CUDA context, loaded kernels, and what cuBLAS keeps from its first call on",
}
SHARE = 0.9  # of the memory still available that `limited` leaves to a call
PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")
GROUP_FILES = {  # controllers of a line of /proc/self/cgroup: its root, files of limit and use, field of the page cache
    "": ("", "memory.max", "memory.current", "inactive_file"),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


@dataclass(frozen=True)
class Peak:
    """Bytes of a call above what was allocated before it.

    `allocated` is the highest sum of live tensors. `reserved` (CUDA only) is what the caching allocator holds of the
    device for them, rounded up to its segments, hence at least `allocated`.
    """

    allocated: int
    reserved: int | None


def peak(call: Callable[[], object], device: torch.device, *, warm: bool = False) -> Peak:
    """Peak memory of `call`; the same on every run. What was there before does not count.

    The call is run once before the run that is measured, since a first run may fill caches that stay; `warm` says that
    it has run already. CUDA: the caching allocator's own counters, after its cache is emptied. CPU: the events of
    torch's allocator, in this thread and in those of autograd; `UNCOUNTED` says what is not seen.
    """
    if not warm:
        call()
    measure = _cuda_peak if device.type == "cuda" else _cpu_peak
    collecting = gc.isenabled()
    gc.disable()  # else garbage in cycles, of the call or from before, is freed at a moment that depends on the past
    try:
        return measure(call, device)
    finally:
        if collecting:
            gc.enable()


def peak_bytes(call: Callable[[], object], device: torch.device, *, warm: bool = False) -> int:
    """The allocated bytes of `peak`."""
    return peak(call, device, warm=warm).allocated


def _cuda_peak(call: Callable[[], object], device: torch.device) -> Peak:
    import torch

    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before, held = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
    kept = call()
    torch.cuda.synchronize(device)
    del kept
    allocated = torch.cuda.max_memory_allocated(device) - before
    return Peak(allocated, max(allocated, torch.cuda.max_memory_reserved(device) - held))


def _cpu_peak(call: Callable[[], object], device: torch.device) -> Peak:
    import torch

    with torch.autograd.profiler.profile(profile_memory=True) as profiler:
        kept = call()
    del kept
    events = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    now = highest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        highest = max(highest, now)
    return Peak(highest, None)


class _Saved:
    """A tensor that autograd saved; lives as long as the graph that needs it."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor.detach()  # an output as it stands would keep its own graph alive


def saved_bytes(call_forward: Callable[[], object], kept: Iterable[torch.Tensor]) -> int:
    """Bytes that autograd keeps for the backward pass of what `call_forward` returns.

    Each storage counts once and in full, however many views of it are saved; the storages of `kept` (inputs and
    parameters) do not count. Tensors that an autograd.Function holds past `save_for_backward` are not seen.
    """
    from torch.autograd.graph import saved_tensors_hooks

    saved: weakref.WeakSet[_Saved] = weakref.WeakSet()

    def pack(tensor: torch.Tensor) -> _Saved:
        handle = _Saved(tensor)
        saved.add(handle)
        return handle

    with saved_tensors_hooks(pack, lambda handle: handle.tensor):
        result = call_forward()
    gc.collect()  # graphs that led to nothing and stand in cycles
    given = {_place(tensor) for tensor in kept}
    sizes = {_place(handle.tensor): handle.tensor.untyped_storage().nbytes() for handle in saved}
    del result
    return sum(size for place, size in sizes.items() if place not in given)


def _place(tensor: torch.Tensor) -> tuple[torch.device, int]:
    return tensor.device, tensor.untyped_storage().data_ptr()


# --- how much there is ------------------------------------------------------------------------------------------------


def available_bytes(device: torch.device) -> int | None:
    """Bytes that may still be allocated, None if the system does not tell.

    CUDA: free memory of the device and what torch's allocator has cached. Linux: the least that the machine and each
    control group (v1 or v2) of this process leave, files in the page cache taken as free.
    """
    if device.type == "cuda":
        import torch

        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    known = [_field(PROC / "meminfo", "MemAvailable:", 1024), *_left_by_groups()]
    return min((left for left in known if left is not None), default=None)


def _left_by_groups() -> Iterator[int]:
    """What the limit of each control group of this process, from the innermost outwards, leaves."""
    for line in _lines(PROC / "self/cgroup"):
        _, controllers, path = line.split(":", 2)
        version = "memory" if "memory" in controllers.split(",") else controllers
        if version not in GROUP_FILES:
            continue
        root, limit, used, cache = GROUP_FILES[version]
        innermost = CGROUP / root / path.strip("/")  # inside a container it may not exist, but its root does
        for group in (innermost, *innermost.parents):
            most, now = _number(group / limit), _number(group / used)
            if most is not None and now is not None:
                yield max(0, most - now + (_field(group / "memory.stat", cache) or 0))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def _number(file: Path) -> int | None:
    """The number that a file holds; None if there is none, as for a limit of "max"."""
    lines = _lines(file)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _field(file: Path, name: str, unit: int = 1) -> int | None:
    """The number after `name` in a file of names and numbers."""
    return next((unit * int(line.split()[1]) for line in _lines(file) if line.split()[:1] == [name]), None)


@contextlib.contextmanager
def limited(device: torch.device) -> Iterator[None]:
    """Within it, a CPU allocation that does not fit into the available memory raises, instead of the system killing
    the process: the soft limit of the process's data is lowered to its present size and a share of what is available.

    Does nothing on other devices and where the system does not tell its memory. Limits of this process are never
    raised, and are as before at the end.
    """
    available = available_bytes(device) if device.type == "cpu" else None
    data = _field(PROC / "self/status", "VmData:", 1024)
    if resource is None or available is None or data is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([data + int(SHARE * available), *limits]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was too little: Python's, the CPU allocator's, CUDA's, oneDNN's, or C++'s.

    So does one of sizes that torch cannot count: TypeError where a single one is too large, else RuntimeError.
    """
    words = ("out of memory", "can't allocate memory", "not enough memory", "std::bad_alloc")
    words += ("could not create a primitive", "could not create a memory")  # which tells no more of it
    words += ("Storage size calculation overflowed", "integer multiplication overflow", "Overflow when unpacking long")
    amid = isinstance(error.__context__, MemoryError)  # torch.save says what it cannot close then
    return isinstance(error, MemoryError) or (
        isinstance(error, (RuntimeError, TypeError)) and (amid or any(word in str(error) for word in words))
    )
