"""For all tests: two threads, and memory that our code leaves uninitialised holds NaN instead of lucky zeros."""

import os
import resource
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import vidops_cli
from vidops_cli.cli import main

PACKAGE = str(Path(vidops_cli.__file__).parent)

torch.set_num_threads(1)
with torch.device("meta"):
    torch.empty(())  # torch looks up once what makes tensors there: torch.empty itself, not what `poison` puts for it
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="vidops-")  # the ceilings measured by tests stay with them


def poisoned(make):
    """`make`, but what it makes for a file of our package is NaN where it can be."""

    def wrapper(*args, **kwargs):
        made = make(*args, **kwargs)
        ours = sys._getframe(1).f_code.co_filename.startswith(PACKAGE)
        if ours and (made.is_floating_point() or made.is_complex()):
            with torch.no_grad():
                made.fill_(float("nan"))
        return made

    return wrapper


@pytest.fixture(autouse=True)
def poison(monkeypatch):
    monkeypatch.setattr(torch, "empty", poisoned(torch.empty))
    monkeypatch.setattr(torch, "empty_permuted", poisoned(torch.empty_permuted))
    monkeypatch.setattr(torch, "empty_like", poisoned(torch.empty_like))
    monkeypatch.setattr(torch.Tensor, "new_empty", poisoned(torch.Tensor.new_empty))


@contextmanager
def no_room(size: int):
    """Files cannot grow beyond so many bytes: a write fails, after a part of it, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))  # Python ignores the signal that comes with it
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def full_disk():
    return no_room


@pytest.fixture
def vidops(monkeypatch, capsys):
    """Run the entry point in this process: (exit code, stdout, stderr)."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("KINETO_LOG_LEVEL", "99")
    monkeypatch.delenv("COLUMNS", raising=False)
    threads = torch.get_num_threads()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vidops", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    yield run
    torch.set_num_threads(threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)
