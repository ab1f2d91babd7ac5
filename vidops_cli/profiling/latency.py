"""Time of a call: warm-up until stable, then every run counted; and of two calls, in turns."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from vidops_cli import stats

try:
    import resource
except ImportError:  # Windows
    resource = None

STABLE = 0.05  # warm: the medians of two windows of runs differ by no more than this
LOADED = 100  # times a second that other processes take the processor away
NOISY = 0.2  # of the median, between the 10th and the 90th percentile

Call = Callable[[], object]


@dataclass(frozen=True)
class Latency:
    """Milliseconds over n runs, none left out.

    Flags: "once" (n = 1); "noisy" ((p90 - p10) / median over 0.2); "unstable" (never warm within the budget);
    "launch-bound" (CUDA: the host takes at least as long to enqueue the call as the device to compute it).
    """

    median: float
    p10: float
    p90: float
    p99: float
    n: int
    flags: tuple[str, ...] = ()

    @classmethod
    def of(cls, milliseconds: Sequence[float], flags: tuple[str, ...] = ()) -> Latency:
        median, p10, p90, p99 = (stats.quantile(milliseconds, q) for q in (0.5, 0.1, 0.9, 0.99))
        noisy = ("noisy",) if p90 - p10 > NOISY * median else ()
        once = ("once",) if len(milliseconds) == 1 else ()
        return cls(median, p10, p90, p99, len(milliseconds), (*flags, *noisy, *once))


@dataclass(frozen=True)
class Comparison:
    """Two calls timed in turns; `speedup` = time of b / time of a, so that b is the baseline.

    `low` and `high` are a bootstrap 95 % interval over the pairs. `verdict`: "faster" or "slower" only where the
    interval excludes 1, else "no difference"; None, as `low` and `high`, with too few pairs for an interval.
    """

    a: Latency
    b: Latency
    speedup: float
    low: float | None
    high: float | None
    pairs: int
    verdict: str | None


class Timer(Protocol):
    """Times one run of a call."""

    def __call__(self) -> float:
        """Run once; milliseconds."""

    def flags(self) -> tuple[str, ...]:
        """What the runs so far suffered from: "launch-bound" (the host), "loaded" (other processes)."""


def timer(call: Call, device: torch.device) -> Timer:
    """CUDA: events around each run, the L2 cache overwritten before it. CPU: the wall clock, at torch's threads."""
    return _CudaTimer(call, device) if device.type == "cuda" else _CpuTimer(call)


def measure(
    call: Call,
    device: torch.device,
    *,
    budget: float = 1.0,
    fewest: int = 5,
    most: int = 1000,
    limit: float = 30.0,
    clock: Callable[[Any, torch.device], Timer] = timer,
) -> Latency:
    """Warm up, then run for `budget` seconds and at least `fewest` times, unless that takes over `limit` seconds.

    A first pass over `limit` seconds stays the only one: compile before. Warm-up takes about `budget`
    seconds at most, three passes where they are slow.
    """
    once = clock(call, device)
    first, flags = _warm(once, budget, most, limit)
    if first > 1e3 * limit:
        return Latency.of([first], flags)
    times: list[float] = []
    while _more(len(times), sum(times), budget, fewest, most, limit):
        times.append(once())
    return Latency.of(times, (*flags, *once.flags()))


def compare(
    a: Call,
    b: Call,
    device: torch.device,
    *,
    budget: float = 1.0,
    fewest: int = 10,
    most: int = 500,
    limit: float = 30.0,
    seed: int = 0,
    clock: Callable[[Any, torch.device], Timer] = timer,
) -> Comparison:
    """Warm up both, then time them in pairs, side by side, so that neither gains from a drift.

    Half of the pairs are AB and half BA, in a random order of `seed`, so that neither gains from its place.
    `budget` and `limit` are seconds of each side, `fewest` and `most` are pairs. Where a pass of one side takes over
    `limit` seconds there is one pair. Two calls of 300 ms take 7 to 9 s: up to 1.3 s each to warm up, then ten pairs.
    """
    once_a, once_b = clock(a, device), clock(b, device)
    first_a, flags_a = _warm(once_a, budget, most, limit)
    first_b, flags_b = _warm(once_b, budget, most, limit)
    if max(first_a, first_b) > 1e3 * limit:
        times_a = [first_a if first_a > 1e3 * limit else once_a()]
        times_b = [first_b if first_b > 1e3 * limit else once_b()]
    else:
        times_a, times_b = _pairs(once_a, once_b, budget, fewest, most, limit, seed)
        flags_a, flags_b = (*flags_a, *once_a.flags()), (*flags_b, *once_b.flags())
    told_a, told_b = Latency.of(times_a, flags_a), Latency.of(times_b, flags_b)
    ratio = stats.paired_ratio(times_b, times_a)
    return Comparison(told_a, told_b, ratio.value, ratio.low, ratio.high, ratio.n, _verdict(ratio))


def over(found: Sequence[Latency | Comparison]) -> Latency | Comparison:
    """Times of several processes as one: each process is a run, or a pair, of which it gives the median.

    So that p10 to p90, and an interval, span what differs from process to process, as the state of its memory does.
    Flags that most have stay. Where not all were compared, none was. That of one process is what it is.
    """
    if len(found) == 1:
        return found[0]
    pairs = [one for one in found if isinstance(one, Comparison)]
    alone = [one.a if isinstance(one, Comparison) else one for one in found]
    flags = dict.fromkeys(flag for one in alone for flag in one.flags if flag not in ("noisy", "once"))
    often = [flag for flag in flags if 2 * sum(flag in one.flags for one in alone) > len(alone)]
    time = Latency.of([one.median for one in alone], tuple(often))
    if len(pairs) < len(found):
        return time
    ratio = stats.paired_ratio([pair.speedup for pair in pairs], [1.0] * len(pairs))
    against = Latency.of([pair.b.median for pair in pairs])
    return Comparison(time, against, ratio.value, ratio.low, ratio.high, ratio.n, _verdict(ratio))


def _verdict(ratio: stats.Ratio) -> str | None:
    if ratio.low is None or ratio.high is None:
        return None
    return "faster" if ratio.low > 1 else "slower" if ratio.high < 1 else "no difference"


def _pairs(
    once_a: Timer, once_b: Timer, budget: float, fewest: int, most: int, limit: float, seed: int
) -> tuple[list[float], list[float]]:
    """Milliseconds of a and of b, pair by pair."""
    times_a: list[float] = []
    times_b: list[float] = []
    first = _who_is_first(seed)
    while _more(len(times_a), (sum(times_a) + sum(times_b)) / 2, budget, fewest, most, limit):
        turns = [(once_a, times_a), (once_b, times_b)]
        for once, times in turns if next(first) == "a" else reversed(turns):
            times.append(once())
    return times_a, times_b


def _who_is_first(seed: int) -> Iterator[str]:
    """Five times "a" and five times "b" in a random order, again and again.

    Not AB BA AB BA: a scheduler that takes the core away every four passes would hit the same side each time.
    """
    draw = random.Random(seed)
    while True:
        yield from draw.sample("ab" * 5, 10)


def _warm(once: Timer, budget: float, most: int, limit: float) -> tuple[float, tuple[str, ...]]:
    """Milliseconds of the first pass, and the flag "unstable" if the medians of two windows in a row never agreed.

    A window is a tenth of the budget, 1 to 50 runs. After a first pass over the limit there is none.
    """
    first = spent = once()
    if first > 1e3 * limit:
        return first, ()
    size = int(min(50, max(1, 100 * budget / max(first, 1e-6))))
    medians = [first]
    while len(medians) < 3 or (spent < 1e3 * budget and size * len(medians) < most):
        window = [once() for _ in range(size)]
        spent += sum(window)
        medians.append(stats.quantile(window, 0.5))
        if abs(medians[-1] - medians[-2]) <= STABLE * medians[-1]:
            return first, ()
    return first, ("unstable",)


def _more(n: int, milliseconds: float, budget: float, fewest: int, most: int, limit: float) -> bool:
    return n < most and milliseconds < 1e3 * limit and (n < fewest or milliseconds < 1e3 * budget)


def load() -> tuple[float, int] | None:
    """How many processes wanted a processor in the last minute, and how many cores there are; None if it is no more.

    What ran just before counts: a load that the cores can carry may be that of the last command. None, too, where the
    system does not tell.
    """
    cores = os.cpu_count() or 1
    try:
        wanting = os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows; a system without it
        return None
    return (wanting, cores) if wanting > cores + 0.5 else None


class Switches:
    """How often the system takes the processor away from this process while it measures."""

    def __init__(self) -> None:
        self.began, self.switched = time.perf_counter(), _switches()

    def often(self) -> bool:
        return _switches() - self.switched > LOADED * (time.perf_counter() - self.began)


class _CpuTimer:
    def __init__(self, call: Call) -> None:
        self.call = call
        self.runs, self.switches = 0, Switches()

    def __call__(self) -> float:
        self.runs += 1
        began = time.perf_counter()
        self.call()
        return 1e3 * (time.perf_counter() - began)

    def flags(self) -> tuple[str, ...]:
        return ("loaded",) if self.switches.often() else ()


def _switches() -> int:
    """How often the system took the processor away from this process, in all its threads; 0 where it does not tell."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw if resource else 0


class _CudaTimer:
    def __init__(self, call: Call, device: torch.device) -> None:
        self.call, self.device, self.stream = call, device, torch.cuda.current_stream(device)
        cache = torch.cuda.get_device_properties(device).L2_cache_size
        self.flush = torch.empty(2 * cache, dtype=torch.int8, device=device)
        self.enqueued: list[float] = []  # milliseconds of the host
        self.elapsed: list[float] = []  # milliseconds of the device

    def __call__(self) -> float:
        enqueued, elapsed = self._run()
        self.enqueued.append(enqueued)
        self.elapsed.append(elapsed)
        return elapsed

    def _run(self) -> tuple[float, float]:
        self.flush.zero_()
        began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        began.record(self.stream)
        now = time.perf_counter()
        self.call()
        enqueued = 1e3 * (time.perf_counter() - now)
        ended.record(self.stream)
        torch.cuda.synchronize(self.device)
        return enqueued, began.elapsed_time(ended)

    def flags(self) -> tuple[str, ...]:
        return ("launch-bound",) if self._launch_bound() else ()

    def _launch_bound(self) -> bool:
        host = stats.quantile(self.enqueued, 0.5)
        if 2 * host < stats.quantile(self.elapsed, 0.5):  # events last no longer than host and device one after another
            return False
        return host >= stats.quantile([self._held(2 * host) for _ in range(5)], 0.5)

    def _held(self, milliseconds: float) -> float:
        """Time of the device alone: flushes, slower to run than to enqueue, hold it back until the call is enqueued."""
        until = time.perf_counter() + milliseconds / 1e3
        while time.perf_counter() < until:
            self.flush.zero_()
        return self._run()[1]
