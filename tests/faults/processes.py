"""Commands of vidops that faults are done to: begun in a folder, seen with all their children, and what they leave.

Each is a fork of a server that has imported torch already: moments are drawn from its work, not from its imports.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from vidops_cli.data.mini import benchmark, motion

CONTEXT = multiprocessing.get_context("forkserver")
LOADED = ["vidops_cli.cli", "vidops_cli.engine.train", "torch._dynamo", "fvcore.nn", "decord", "av"]
CONTEXT.set_forkserver_preload(LOADED)
SIZES = {"train": 24, "val": 8, "test": 8}
RECIPE = """\
data: {name: mini_motion, root: mini, num_frames: 4}
model: {name: resnet_tiny}
train:
  epochs: 4
  batch: 8
  save_every: 2
  threads: 1
  checkpoint: best
  recalibrate_bn: 1
  optimizer: {name: adamw, lr: 0.003}
eval: {batch: 8}
"""
TABLE = """\
ablation:
  rows:
    - {name: TSN}
    - name: TSM
      set: {model.ops: [{op: tsm}]}
    - name: TSM, reversed
      kind: eval
      of: TSM
      set: {data.frames: reversed}
"""


def prepare(place: Path, recipe: str = RECIPE) -> None:
    """A small data set, a recipe with a table, and the server, whose start is not to be counted."""
    benchmark.generate("mini_motion", place / "mini", dials=motion.Dials(), sizes=SIZES)
    (place / "one.yaml").write_text(recipe)
    (place / "table.yaml").write_text(recipe + TABLE)
    begin(place, "--version").join()


def begin(place: Path, *words: str, first: Callable[[], None] | None = None) -> BaseProcess:
    """`vidops WORDS` in a folder, its output in log.txt there; `first` is called in its process before."""
    process = CONTEXT.Process(target=_run, args=(place, words, first))
    process.start()
    return process


def _run(place: Path, words: tuple[str, ...], first: Callable[[], None] | None) -> None:
    os.chdir(place)
    log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1", NO_COLOR="1", COLUMNS="200")
    multiprocessing.set_start_method("fork", force=True)  # of its workers, as in a command that was not forked
    sys.argv = ["vidops", *words]
    for name in LOADED:  # where the server was begun for something else
        importlib.import_module(name)
    from vidops_cli.cli import main

    if first:
        first()
    main()


def told(place: Path) -> str:
    """What the latest command has printed."""
    return (place / "log.txt").read_text(errors="replace")


def refused(process: BaseProcess, place: Path) -> str:
    """The message of a command that has ended with one error and one hint; empty if it has not."""
    lines = [line for line in told(place).splitlines() if line.startswith(("error: ", "hint: "))]
    one = [line.partition(":")[0] for line in lines] == ["error", "hint"]
    return lines[0] if process.exitcode == 2 and one and "Traceback" not in told(place) else ""


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[int(name)] = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    found = [pid]
    for parent in found:  # it grows
        found += [child for child, its in parents.items() if its == parent]
    return found


def kill(process: BaseProcess, *, children: bool) -> None:
    """SIGKILL, for all that descend from it too; stopped first, it starts no more of them."""
    with suppress(ProcessLookupError):  # each may end by itself meanwhile
        os.kill(process.pid, signal.SIGSTOP)
    for pid in tree(process.pid) if children else [process.pid]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.join()


def broken(folder: Path) -> list[str]:
    """Files below a folder that cannot be read whole."""
    from vidops_cli.engine import checkpoint

    def lines(path: Path) -> Any:
        return [json.loads(line) for line in path.read_text().splitlines()]

    read = {".json": lambda path: json.loads(path.read_text()), ".jsonl": lines, ".pt": checkpoint.load}
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix in read):
        try:
            read[path.suffix](path)
        except FileNotFoundError:  # a process at work has replaced it
            continue
        except ValueError:
            found.append(str(path.relative_to(folder)))
    return found


def outcome(run: Path) -> dict[str, Any]:
    """All of a finished run that must be the same each time."""
    import hashlib

    from vidops_cli.engine import checkpoint

    summary = json.loads((run / "summary.json").read_text())
    found = {key: value for key, value in summary.items() if key not in ("env", "seconds", "train_seconds")}
    if summary["kind"] != "train":
        return found
    for name in ("last.pt", "best.pt"):
        state = checkpoint.load(run / name)
        optimizer = [x for one in state["optimizer"]["state"].values() for x in one.values()]
        digest = hashlib.sha256()
        for x in (*state["model"].values(), *optimizer, *state["rng"]):
            digest.update(x.numpy().tobytes())
        found[name] = state["step"], digest.hexdigest()
    return {**found, "metrics.jsonl": (run / "metrics.jsonl").read_text()}
