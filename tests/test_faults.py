"""Faults done to real commands, a few of each kind that `make faults` does many of."""

from __future__ import annotations

import importlib
import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

FAULTS = Path(__file__).parent / "faults"


@pytest.fixture
def faults(monkeypatch):
    """A function of a name -> that module of tests/faults."""
    monkeypatch.syspath_prepend(str(FAULTS))
    return importlib.import_module


@pytest.fixture
def place(faults, tmp_path):
    tmp_path.chmod(0o755)
    faults("processes").prepare(tmp_path)
    return tmp_path


def lost(row):
    assert row["tries"] == row["survived"] + row["lost"] and row["seconds"] > 0
    return row["what"].partition("Lost: ")[2]


def test_kills_at_random_moments(faults, place):
    kill = faults("kill")
    row = kill.row("SIGKILL, train", place, kill.TRAIN, 2)
    assert (row["tries"], lost(row)) == (2, "")


@pytest.mark.parametrize("fault", ["full_disk", "read_only", "removed", "two"])
def test_folders_that_cannot_be_written(faults, place, fault):
    folders, processes = faults("folders"), faults("processes")
    assert getattr(folders, fault)(place, folders.TRAIN, random.Random(3)) == []
    assert processes.broken(place / "run") == []


def test_memory_that_is_too_short(faults, place):
    memory, processes = faults("memory"), faults("processes")
    row = memory.counted("memory", place, memory.TRAIN, (100,), memory.of_training)
    assert lost(row) == ""
    assert "error: out of memory with train.batch=24" in processes.told(place)
    assert "hint: train.activation_checkpointing=true" in processes.told(place)


def test_a_broken_file_is_found(faults, tmp_path):
    processes = faults("processes")
    (tmp_path / "whole.json").write_text("{}")
    (tmp_path / "cut.json").write_text("{")
    (tmp_path / "cut.jsonl").write_text("{}\n{")
    (tmp_path / "cut.pt").write_bytes(b"PK")
    assert processes.broken(tmp_path) == ["cut.json", "cut.jsonl", "cut.pt"]


@pytest.mark.parametrize(("values", "grows"), [([100, 160] * 20, False), (range(60, 100), True)])
def test_what_grows_is_found(faults, values, grows):
    long = faults("long")
    samples = [{"seconds": 5 * i, "files": value} for i, value in enumerate(values)]
    assert bool(long.growing(samples, "files")) is grows


def test_rows_of_several_calls_make_one_table(monkeypatch, tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("faults_main", FAULTS / "__main__.py")
    main = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(main)
    monkeypatch.setattr(main, "GROUPS", ("one", "other"))
    for name, bad in (("other", 0), ("one", 1), ("one", 0)):
        row = {"kind": f"{name} kind", "tries": 3, "survived": 3 - bad, "lost": bad, "seconds": 1.5, "what": "all"}
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(rows=lambda row=row: iter([row])))
        monkeypatch.setattr(sys, "argv", ["faults", "--only", name, "--out", str(tmp_path)])
        with pytest.raises(SystemExit) as end:
            main.main()
        assert end.value.code == bad
    rows = json.loads((tmp_path / "reliability.json").read_text())["rows"]
    assert [(row["kind"], row["lost"]) for row in rows] == [("one kind", 0), ("other kind", 0)]
    assert "| one kind | 3 | 3 | 0 | 2 | all |" in " ".join((tmp_path / "reliability.md").read_text().split())


def test_an_unknown_group_is_refused():
    done = subprocess.run([sys.executable, FAULTS, "--only", "kill,nothing"], capture_output=True, text=True)
    assert done.returncode == 2 and "unknown group 'nothing'" in done.stderr
