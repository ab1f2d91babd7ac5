"""A command with the files that it finds, run in a folder of its own, and whether it survives them."""

from __future__ import annotations

import contextlib
import io
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIMIT = 10.0  # seconds of the processor; one that waits for ever is ended after some more
MEMORY = 16 << 30  # bytes of address space, so that a claim that is believed harms this process alone
MOST = 2 << 30  # bytes that a command may take beside what its libraries do
OUT = ("out", "runs", "datasets", "home")  # folders that a command may write to
CODES = (0, 1, 2, 130)
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # what a terminal would obey
Words = list[str]


@dataclass(frozen=True)
class Case:
    """A command line and the files that it finds; `nonsense`: it must not leave with exit code 0."""

    words: Words
    files: dict[str, bytes] = field(default_factory=dict)
    nonsense: bool = False
    apart: bool = False  # in a process of its own
    links: dict[str, str] = field(default_factory=dict)

    def told(self) -> str:
        return f"vidops {' '.join(self.words)!r}, files {', '.join(self.files) or 'none'}"[:300]


_written: list[str] = []  # files that this process has opened to write
_shown: list[str] = [""]  # what the last command has printed


def last_output() -> str:
    """Of the last command that was run here."""
    return _shown[0]


def _listen(event: str, told: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(told[0], str) and told[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        _written.append(told[0])


@cache
def ready() -> None:
    """Once a process: no accelerator, no memory for what files claim, imports that are not counted as a hang."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    import torch

    import vidops_cli.engine.train
    import vidops_cli.profiling.profile  # noqa: F401

    torch.set_num_threads(1)
    sys.addaudithook(_listen)


def run(case: Case) -> str:
    """Why the case is lost; empty if it survives."""
    ready()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        folder = Path(place).resolve() / "here"
        for name, content in case.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        for name in ("home", "out"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name, target in case.links.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(target)
        before, began, held = tree(folder.parent), time.process_time(), _peak()
        os.environ |= {"HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "home")}
        code, out, err = (_apart if case.apart else _here)(case.words, folder)
        _shown[0] = out
        took, held = time.process_time() - began, _peak() - held
        if held > MOST:
            return f"took {held >> 20} MiB of memory"
        changed = [path for path, stamp in tree(folder.parent).items() if before.get(path) != stamp]
        return judge(case, code, out, err, took, [*changed, *(before.keys() - tree(folder.parent).keys())])


def _peak() -> int:
    """Bytes that this process, or the largest that it has waited for, has held at once."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) << 10


def _here(words: Words, folder: Path) -> tuple[int, str, str]:
    from vidops_cli.cli import main

    out, err, code = io.StringIO(), io.StringIO(), 0
    before, sys.argv = (sys.argv, os.getcwd()), ["vidops", *words]
    os.chdir(folder)
    _written.clear()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        code = -1
        err.write(traceback.format_exc())
    finally:
        sys.argv = before[0]
        os.chdir(before[1])
    outside = [path for path in _written if path != os.devnull and not _inside(Path(folder, path), folder)]
    return code, out.getvalue(), err.getvalue() + "".join(f"WRITTEN {path}\n" for path in outside)


def _apart(words: Words, folder: Path) -> tuple[int, str, str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vidops_cli", *words]
    try:
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=90, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return -9, "", "no answer within 90 s"
    except ValueError:  # an argument that no system takes, as one with a NUL
        return 2, "", "error: none\nhint: none\n"
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def _inside(path: Path, folder: Path) -> bool:
    found = os.path.normpath(path)
    return found.startswith((f"{folder.parent}{os.sep}", "/proc/", "/dev/"))


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Files, each with its size and time, but for those that a command may write."""
    return {
        path: (os.lstat(path).st_size, os.lstat(path).st_mtime_ns)
        for below, _, names in os.walk(folder)
        for path in (os.path.join(below, name) for name in names)
        if not path.startswith(tuple(f"{folder}/here/{name}/" for name in OUT))
    }


def judge(case: Case, code: int, out: str, err: str, took: float, changed: list[str]) -> str:
    if code not in CODES or "Traceback (most recent" in err:
        return f"exit code {code}: {err.strip()[-1500:]}"
    if took > LIMIT:
        return f"took {took:.0f} s"
    if changed or "WRITTEN " in err:
        return f"written outside: {changed[:3]} {err[-200:]}"
    if code == 2 and not re.search(r"^error: .{4}.*\nhint: .{4}", err, re.MULTILINE):
        return f"no error and hint: {err[-300:]!r}"
    if code == 0 and case.nonsense:
        return f"exit code 0 on nonsense: {out[-300:]}"
    if found := RAW.search(out + err):
        return f"control character {found.group()!r}: {(out + err)[max(0, found.start() - 80) : found.end() + 40]!r}"
    return ""
