"""What was run, on what, and how it is written down: atomic files, appended rows, the environment. No torch import."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

SCHEMA = 1
PACKAGE = Path(__file__).parent


def write_bytes(path: Path, content: bytes) -> None:
    """Write through a temporary file, fsync and rename: the file is the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode())


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """ValueError naming the file if it is not JSON."""
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}", "remove it and run the command again") from None


def append_line(path: Path, value: Any) -> None:
    """Append one JSON line in one write."""
    line = (json.dumps(value, allow_nan=False) + "\n").encode()
    with open(path, "ab") as file:
        file.write(line)


def read_lines(path: Path) -> list[Any]:
    """The complete JSON lines of a file; a last line cut short by a kill is left out."""
    found = []
    if path.exists():
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n") and line.strip():
                found.append(json.loads(line))
    return found


def truncate_lines(path: Path, keep: Iterable[Any]) -> None:
    write_text(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in keep))


def environment(device: str = "cpu") -> dict[str, Any]:
    """Versions, processor, commit and code hash: what a number has to be read with. No path of the machine."""
    return {
        "vidops": importlib.metadata.version("vidops"),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "decord2": _version("decord2"),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "device": device,
        "code": code_hash(),
        **git_state(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def code_hash(folders: tuple[str, ...] = ("functional", "ops", "models", "data", "engine")) -> str:
    """Hash of the sources that decide a result."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted((PACKAGE / folder).rglob("*.py")):
            digest.update(file.relative_to(PACKAGE).as_posix().encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def git_state() -> dict[str, Any]:
    """Commit of the checkout that holds the package, and whether it was changed since; None outside a checkout."""

    def git(*words: str) -> str | None:
        command = ["git", "-C", str(PACKAGE), *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "--short=12", "HEAD")
    tracked = git("ls-files", "--error-unmatch", "record.py")
    if commit is None or tracked is None:
        return {"commit": None, "dirty": None}
    return {
        "commit": commit,
        "dirty": bool(git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)results")),
    }


def command_line() -> str:
    return shlex.join(["vidops", *sys.argv[1:]])
