"""What was run, on what, and how it is written down: atomic files, appended rows, the environment. No torch import."""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

SCHEMA = 1
PACKAGE = Path(__file__).parent


def write_bytes(path: Path, content: bytes) -> None:
    """Write through a temporary file, fsync, read back and rename: the file is the old one or the new one, never half
    of it. Who is killed meanwhile leaves the temporary file: see `sweep`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _naming(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        try:
            with os.fdopen(handle, "w+b") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                _read_back(file, content)
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _read_back(file: IO[bytes], content: bytes) -> None:
    """OSError unless the file holds what was written, on the disk rather than in memory where the system can say so."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    file.seek(0)
    whole, size = memoryview(content), 2**24
    if any(file.read(size) != whole[start : start + size] for start in range(0, len(whole) + 1, size)):
        raise OSError(errno.EIO, "what was written reads back otherwise")


def sweep(folder: Path, *names: str) -> None:
    """Remove what `write_bytes` had not finished of files of these names; nobody may be writing them."""
    for left in (left for name in names for left in folder.glob(f".{name}.*.partial")):
        left.unlink(missing_ok=True)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """A full disk names no file, and `mkstemp` the temporary one."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
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
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}", "remove it and run the command again") from None


def digest(path: Path) -> str:
    """The first 12 digits of a file's sha256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def check_writable(path: Path, hint: str) -> None:
    """ValueError unless a file of this name could be written; nothing is made. Before what takes long."""
    folder = next(place for place in path.absolute().parents if place.exists())
    if path.is_dir():
        raise ValueError(f"{path} cannot be written: it is a folder", hint)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror or error}", hint) from None


def _no_link(path: str, flags: int) -> int:
    """A link in a folder from elsewhere may name any file of ours: it is not written to."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def check_claims(path: Path) -> None:
    """ValueError if a zip archive, as torch and numpy write them, would unpack to more than itself: they pack nothing.

    What a small file claims is refused before memory is taken for it.
    """
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            return
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise ValueError(f"{path} is damaged: {error}", "get or write the file again") from None
    claimed, size = sum(entry.file_size for entry in entries), path.stat().st_size
    if claimed > size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        told = f"{path} claims to hold {claimed:,} bytes in {size:,}"
        raise ValueError(told, "it is damaged, or made to fill the memory: get it from another place")


def append_line(path: Path, value: Any) -> None:
    """Append one JSON line in one write and fsync, or nothing: a half would spoil the next one too."""
    line = (json.dumps(value, allow_nan=False) + "\n").encode()
    with _naming(path), open(path, "ab", buffering=0, opener=_no_link) as file:
        end = file.tell()
        try:
            while line:  # a disk that becomes full takes a part of it first
                line = line[file.write(line) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise


def read_lines(path: Path) -> list[Any]:
    """The JSON lines of a file, up to the first that is not whole: a kill or a full disk may have cut it."""
    found: list[Any] = []
    if path.exists():
        for line in path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            try:
                found += [json.loads(line)] if line.strip() else []
            except (ValueError, RecursionError):
                break
    return found


def truncate_lines(path: Path, keep: Iterable[Any]) -> None:
    write_text(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in keep))


def environment(device: str = "cpu", code: str | None = None) -> dict[str, Any]:
    """Versions, processor, commit and code hash: what a number has to be read with. No path of the machine.

    `code` stands in for the hash of all sources, where fewer decide the number.
    """
    return {
        "vidops": importlib.metadata.version("vidops"),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "decord2": _version("decord2"),
        "av": _version("av"),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "device": device,
        "code": code or Sources().hash(),
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


class Sources:
    """The files of the package that decide a result, read once.

    Those of data/mini write data sets; what they wrote has a fingerprint of its own.
    """

    FOLDERS = ("functional", "ops", "models", "data", "engine")

    def __init__(self) -> None:
        files = (file for folder in self.FOLDERS for file in sorted((PACKAGE / folder).rglob("*.py")))
        files = (file for file in files if file.parent != PACKAGE / "data" / "mini")
        self.content = {file.relative_to(PACKAGE).as_posix(): file.read_bytes() for file in files}
        self.operators = {path: _operators(path, text) for path, text in self.content.items()}

    def hash(self, without: Iterable[str] = (), also: Iterable[str] = ()) -> str:
        """Hash of all but the files `without` that no other imports; `also` are words that decide a result too."""
        left, before = set(without), None
        while left != before:
            before, kept = left, self.content.keys() - left
            left = left.difference(*(self.operators[path] for path in kept))
        digest = hashlib.sha256()
        for path, text in self.content.items():
            if path not in left:
                digest.update(path.encode())
                digest.update(text)
        for word in also:
            digest.update(word.encode())
        return digest.hexdigest()[:12]


def _operators(path: str, text: bytes) -> set[str]:
    """Files of ops/ that a source imports by name."""
    found = re.findall(rb"^ *from vidops_cli\.ops\.(\w+) import", text, re.MULTILINE)
    if path.startswith("ops/"):
        found += re.findall(rb"^ *from \.(\w+) import", text, re.MULTILINE)
    return {f"ops/{name.decode()}.py" for name in found}


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
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)results")
    added = git("status", "--porcelain", "--", ":/vidops_cli", ":/recipes")  # what is not in the commit at all
    return {"commit": commit, "dirty": bool(changed or added)}


def command_line() -> str:
    return shlex.join(["vidops", *sys.argv[1:]])
