"""A recipe of three rows, its cells, what a run of one writes, and launchers that run a fake in its place."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from vidops_cli.ablation.grid import Cell, cells
from vidops_cli.ablation.store import RESULT, Store
from vidops_cli.cli.common import known
from vidops_cli.recipe import load
from vidops_cli.record import SCHEMA

TEXT = """\
title: three rows
scale: mini
data:
  name: video_folder
  root: videos
model:
  name: resnet_tiny
train:
  epochs: 2
  batch: 4
  optimizer:
    lr: 1e-3
ablation:
  seeds: [0, 1]
  rows:
    - name: plain
    - name: shift
      set:
        model.ops:
          - op: tsm
            options: {fold_div: 8}
    - name: slow
      set:
        train.optimizer.lr: 1e-4
"""

KINDS = (
    TEXT
    + """\
    - name: reversed
      kind: eval
      of: shift
      set:
        data.frames: reversed
    - name: wide
      kind: profile
      set:
        data.crop: 32
"""
)

STARTED = (
    TEXT
    + """\
    - name: built on
      weights: {layers: shift}
      set:
        train.frozen: [layers]
    - name: built on that
      weights: {layers: built on}
      set:
        train.epochs: 3
"""
)


def grid(path: Path, text: str = TEXT, *overrides: str, fingerprint: str = "data") -> list[Cell]:
    path = path / "recipe.yaml"
    path.write_text(text)
    return cells(load(path, known(), list(overrides)), known(), lambda told: fingerprint)


def summary(top1: float = 50.0, **changes: Any) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "split": "test",
        "metrics": {"top1": top1, "top5": 100.0, "mean_class": top1, "loss": 1.2, "n": 16, "present": "16/16"},
        "train": {"train_top1": 61.0},
        "floors": {"chance": 0.25},
        "data": "data",
        "params": 78420,
        "cost": {"macs": 14950400, "other_flops": 313376, "flops": 30214176, "uncounted": []},
        "train_seconds": 1.5,
        "seconds": 2.5,
        "env": {
            "code": "abcdef012345",
            "commit": "0123456789ab",
            "dirty": False,
            "torch": "2.13.0",
            "device": "cpu",
            "cpu": "processor",
            "date": "2026-01-02T03:04:05Z",
        },
        **changes,
    }


def finish(store: Store, cell: Cell, *, code: str | None = None, **changes: Any) -> None:
    """Write the summary of a cell, by the code there is now unless another is told."""
    told = summary(**changes)
    told["env"]["code"] = code or cell.code
    store.folder(cell).mkdir(parents=True, exist_ok=True)
    (store.folder(cell) / RESULT[cell.kind]).write_text(json.dumps(told))


CONTROLLER = """
import pathlib, sys
from fakes import TEXT, grid
from vidops_cli.ablation import launch
from vidops_cli.ablation.store import Store
launch.MODULE, launch.POLL = "fake_vidops", 0.05
place, text, jobs = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
codes = launch.run_cells(grid(place, text), Store(place / "store"), jobs=jobs, device="cpu")
sys.exit(any(codes.values()))
"""


class Fake:
    """Cells that run tests/ablation/fake_vidops.py in place of `vidops`, and what that noted."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch):
        self.place, self.log, self.monkeypatch = place, place / "log", monkeypatch
        self.set(FAKE_LOG=self.log, FAKE_SECONDS=0.05, FAKE_FAILS="", FAKE_SUMMARY=json.dumps(summary()))
        self.set(PYTHONPATH=Path(__file__).parent)

    def set(self, **env: Any) -> None:
        for name, value in env.items():
            self.monkeypatch.setenv(name, str(value))

    def controller(self, text: str = TEXT, jobs: int = 2) -> subprocess.Popen:
        """A process that runs the cells of a recipe: `run_cells` that can be killed."""
        words = [sys.executable, "-c", CONTROLLER, str(self.place), text, str(jobs)]
        return subprocess.Popen(words, start_new_session=True)

    def notes(self, what: str) -> list[list[str]]:
        """Key, pid, CUDA_VISIBLE_DEVICES and verb of each such note."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.split()[1:] for line in lines if line.split()[0] == what]

    def starts(self) -> Counter[str]:
        return Counter(key for key, *_ in self.notes("start"))
