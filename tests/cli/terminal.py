"""Running the command line, and what tests of it look at."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
VIDOPS = Path(sys.executable).with_name("vidops")
RECIPE = """\
base: {base}
title: Tiny [run]
data:
  root: {data}
train:
  batch: 8
  recalibrate_bn: 1
"""
ROWS = """\
ablation:
  rows:
    - name: TSN
    - name: TSM
      set:
        model.ops: [{op: tsm}]
"""
BROKEN = """\
    - name: broken
      set:
        train.optimizer.lr: 1e30
"""


def write_recipes(folder: Path, data: Path) -> None:
    one = RECIPE.format(base=ROOT / "recipes/base/mini_motion.yaml", data=data)
    (folder / "one.yaml").write_text(one)
    (folder / "two.yaml").write_text(one + ROWS)
    (folder / "three.yaml").write_text(one + ROWS + BROKEN)


def shell(*words: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess:
    """Run the installed command."""
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", **variables}
    return subprocess.run(
        [VIDOPS, *map(str, words)],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below, with its size and the time of its last change."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        if path.is_file()
        else (0, 0)
        for path in folder.rglob("*")
    }


def told_errors(err: str) -> list[tuple[str, str]]:
    """(error, hint) of a stderr that holds nothing else."""
    lines = err.splitlines()
    assert lines and len(lines) % 2 == 0, err
    found = []
    for error, hint in zip(lines[::2], lines[1::2], strict=True):
        assert error.startswith("error: ") and hint.startswith("hint: "), err
        assert len(error) > 10 and len(hint) > 8, err
        found.append((error.removeprefix("error: "), hint.removeprefix("hint: ")))
    assert "Traceback" not in err
    return found
