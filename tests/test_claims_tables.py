"""The claims table of each paper runs whole, on a benchmark of a few clips."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vidops_cli.cli.common import load_recipe

CLAIMS = Path(__file__).parent.parent / "recipes/claims"
PAPERS = ("integral_action", "lisa", "motionsqueeze", "renet", "rsa", "selfy", "sifa")


@pytest.mark.parametrize("paper", PAPERS)
def test_the_claims_table_of_a_paper_runs_at_smoke(paper, tmp_path):
    path = CLAIMS / f"{paper}.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "vidops_cli", "ablate", path, "--smoke", "--device", "cpu"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = load_recipe(path).ablation.rows
    assert len(rows) >= 6
    assert f"cells: {len(rows)}, of which run now: {len(rows)}" in done.stdout
    assert "smoke: one seed" in done.stdout
