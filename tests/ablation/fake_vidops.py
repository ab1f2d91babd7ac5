"""Stands in for `vidops` in a cell: notes in FAKE_LOG, takes FAKE_SECONDS, fails if FAKE_FAILS holds its key."""

import os
import signal
import sys
import time
from pathlib import Path

out = Path(sys.argv[sys.argv.index("--out") + 1])
result = out if out.suffix else out / "summary.json"
folder, log = result.parent, Path(os.environ["FAKE_LOG"])


def note(what: str) -> None:
    with open(log, "a") as file:
        file.write(f"{what} {folder.name} {os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES', '-')} {sys.argv[1]}\n")


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def stop(*_: object) -> None:
    note("stopped")
    sys.exit(75)


signal.signal(signal.SIGTERM, stop)
told = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
ended = {line[2] for line in told if line[0] != "start"}
if any(alive(line[2]) for line in told if line[:2] == ["start", folder.name] and line[2] not in ended):
    note("overlap")
if result.exists():
    note("repeat")
note("start")
time.sleep(float(os.environ["FAKE_SECONDS"]))
if folder.name in os.environ["FAKE_FAILS"].split():
    sys.stderr.write("error: it failed\nhint: none\n")
    note("failed")
    sys.exit(3)
draft = folder / "draft"
draft.write_text(os.environ["FAKE_SUMMARY"])
note("end")
draft.replace(result)
