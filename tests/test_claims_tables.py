"""The claims tables run whole, on benchmarks of a few clips."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from vidops_cli.cli.common import load_recipe

ROOT = Path(__file__).parent.parent


def test_every_claims_table_runs_at_smoke(tmp_path):
    tables = [load_recipe(path) for path in sorted((ROOT / "recipes/claims").glob("*.yaml"))]
    trained = [table for table in tables if table.scale == "mini"]
    assert len(trained) >= 7
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "vidops_cli", "ablate", ROOT / "recipes/claims", "--smoke", "--device", "cpu"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(trained)} of {len(trained)} tables are whole" in done.stderr
    assert len(re.findall(r"^smoke: one seed", done.stdout, re.MULTILINE)) == len(trained)
    assert time.perf_counter() - began < 180
