"""Times whole commands, from start to the end of what they print: `make bench`."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vidops_cli.record import environment
from vidops_cli.report.table import Table
from vidops_cli.stats import quantile

RUNS = 3
COMMANDS = {"--help": 0.5, "profile --op rsa": 10.0}  # seconds that each may take on two cores


def seconds(command: str, cache: str) -> float:
    vidops = Path(sys.executable).with_name("vidops")
    began = time.perf_counter()
    env = {**os.environ, "XDG_CACHE_HOME": cache}
    subprocess.run([vidops, *command.split()], check=True, capture_output=True, env=env)
    return time.perf_counter() - began


def main() -> None:
    body, late = [], False
    for command, most in COMMANDS.items():
        with tempfile.TemporaryDirectory() as cache:  # the first run measures the machine's ceilings too
            times = [seconds(command, cache) for _ in range(RUNS)]
        late |= quantile(times, 0.5) > most
        body.append([f"vidops {command}", *(f"{value:.2f}" for value in (times[0], quantile(times, 0.5), most))])
    env = environment()
    notes = [f"median of {RUNS} runs; torch {env['torch']} on {env['cpu']}, {env['cores']} cores"]
    print(Table("start to table", ["command", "first run (s)", "median (s)", "at most (s)"], body, notes).markdown())
    sys.exit(late)


if __name__ == "__main__":
    main()
