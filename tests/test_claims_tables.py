"""The claims table of each paper runs whole, on a benchmark of a few clips."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vidops_cli.ablation import launch
from vidops_cli.ablation.hold import hold
from vidops_cli.cli.common import load_recipe

CLAIMS = Path(__file__).parent.parent / "recipes/claims"
PAPERS = ("integral_action", "lisa", "motionsqueeze", "renet", "rsa", "selfy", "sifa")


class Done:
    """A cell that has run in this process, which has torch at hand already."""

    def __init__(self, words: list[str], folder: Path, place: str | None):
        argv = sys.argv
        try:
            hold(Path(words[3]), words[4], words[5], words[6:])
        except SystemExit as end:
            self.code = end.code or 0
        finally:
            sys.argv = argv

    def poll(self) -> int:
        return self.code


@pytest.mark.parametrize("paper", PAPERS)
def test_the_claims_table_of_a_paper_runs_at_smoke(paper, vidops, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch.Local, "_start", staticmethod(Done))
    path = CLAIMS / f"{paper}.yaml"
    code, out, err = vidops("ablate", path, "--smoke", "--device", "cpu", "--jobs", 1)
    assert code == 0, err
    rows = load_recipe(path).ablation.rows
    assert len(rows) >= 6
    assert f"cells: {len(rows)}, of which run now: {len(rows)}" in out
    assert "smoke: one seed" in out
