"""Time of a call: warm-up until stable, then every run counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from vidops_cli import stats


@dataclass(frozen=True)
class Latency:
    """Milliseconds; no run is left out."""

    median: float
    p10: float
    p90: float
    n: int

    @classmethod
    def of(cls, milliseconds: list[float]) -> Latency:
        q = stats.quantile
        return cls(q(milliseconds, 0.5), q(milliseconds, 0.1), q(milliseconds, 0.9), len(milliseconds))


def measure(
    call: Callable[[], object], device: torch.device, *, budget: float = 1.0, fewest: int = 5, most: int = 200
) -> Latency:
    """Run for about `budget` seconds, but at least `fewest` times.

    CUDA: events around each run, the L2 cache overwritten before it. CPU: the wall clock, at torch's thread count.
    """
    once = _cuda_timer(call, device) if device.type == "cuda" else _cpu_timer(call)
    before, now = float("inf"), once()
    spent = now
    while abs(now - before) > 0.1 * now and spent < 1e3 * budget:  # warm: two runs in a row within 10 %
        before, now = now, once()
        spent += now
    runs = int(min(most, max(fewest, 1e3 * budget / max(now, 1e-6))))
    return Latency.of([once() for _ in range(runs)])


def _cpu_timer(call: Callable[[], object]) -> Callable[[], float]:
    def once() -> float:
        began = time.perf_counter()
        call()
        return 1e3 * (time.perf_counter() - began)

    return once


def _cuda_timer(call: Callable[[], object], device: torch.device) -> Callable[[], float]:
    flush = torch.empty(2 * torch.cuda.get_device_properties(device).L2_cache_size, dtype=torch.int8, device=device)

    def once() -> float:
        flush.zero_()
        began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        began.record()
        call()
        ended.record()
        torch.cuda.synchronize(device)
        return began.elapsed_time(ended)

    return once
