"""For all tests: two threads, and memory that our code leaves uninitialised holds NaN instead of lucky zeros."""

import os
import sys
import tempfile
from pathlib import Path

import pytest
import torch

import vidops_cli

PACKAGE = str(Path(vidops_cli.__file__).parent)

torch.set_num_threads(1)
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
    monkeypatch.setattr(torch, "empty_like", poisoned(torch.empty_like))
    monkeypatch.setattr(torch.Tensor, "new_empty", poisoned(torch.Tensor.new_empty))
