"""A tiny benchmark, and a folder of recipes on it."""

from __future__ import annotations

import pytest
from terminal import write_recipes

from vidops_cli.data.mini import benchmark, motion


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A benchmark of 24 + 8 + 8 clips."""
    root = tmp_path_factory.mktemp("tiny") / "mini"
    benchmark.generate("mini_motion", root, dials=motion.Dials(), sizes={"train": 24, "val": 8, "test": 8})
    return root


@pytest.fixture
def place(tmp_path, tiny, monkeypatch):
    """A working folder with recipes, good and bad."""
    write_recipes(tmp_path, tiny)
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "text.yaml").write_text("words\n")
    (tmp_path / "tab.yaml").write_text("train:\n\tepochs: 2\n")
    (tmp_path / "bad.yaml").write_text((tmp_path / "one.yaml").read_text().replace("batch: 8", "bach: 8\n  epochs: x"))
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path
