"""Commands from the start of the process to its end, each run with a cache of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rows import Row, timed

RUNS = 5
COMMANDS = {"--help": 0.5, "list": 1.0, "profile --op rsa": 10.0}  # seconds that each may take on two cores
VIDOPS = Path(sys.executable).with_name("vidops")


def measure() -> Iterator[Row]:
    for command, most in COMMANDS.items():
        with tempfile.TemporaryDirectory() as cache:  # the first run measures the machine's ceilings too
            times = [seconds(command, cache) for _ in range(RUNS)]
        yield timed("commands", f"vidops {command}", times, most=most, note=f"first run {times[0]:.2f} s")


def seconds(command: str, cache: str) -> float:
    env = {**os.environ, "XDG_CACHE_HOME": cache}
    began = time.perf_counter()
    subprocess.run([VIDOPS, *command.split()], check=True, capture_output=True, env=env)
    return time.perf_counter() - began
