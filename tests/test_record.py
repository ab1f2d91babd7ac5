from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from vidops_cli import __version__, record


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- atomic writing ---------------------------------------------------------------------------------------------------


def test_write_makes_folders_and_replaces(tmp_path):
    path = tmp_path / "a" / "b.txt"
    record.write_text(path, "old")
    record.write_text(path, "new")
    assert path.read_text() == "new"
    assert names(path.parent) == ["b.txt"]


@pytest.mark.parametrize("broken", ["replace", "fsync"])
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, broken):
    path = tmp_path / "kept.json"
    record.write_json(path, {"old": 1})

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="No space left"):
        record.write_json(path, {"new": 2})
    assert json.loads(path.read_text()) == {"old": 1}
    assert names(tmp_path) == ["kept.json"]


@pytest.mark.parametrize("size", [0, 1, 2**24, 2**24 + 5])
def test_what_was_written_is_read_back_before_it_takes_the_place_of_the_old(tmp_path, monkeypatch, size):
    path, sync = tmp_path / "kept.pt", os.fsync
    record.write_bytes(path, b"old")
    record.write_bytes(path, bytes(size))
    assert path.read_bytes() == bytes(size)

    def spoil(number: int) -> None:
        sync(number)
        os.ftruncate(number, max(0, size - 1)) if size else os.pwrite(number, b"x", 0)

    monkeypatch.setattr("os.fsync", spoil)
    with pytest.raises(OSError, match="reads back otherwise") as error:
        record.write_bytes(path, bytes(size))
    assert error.value.filename == str(path) and path.read_bytes() == bytes(size)
    assert names(tmp_path) == ["kept.pt"]


def test_a_full_disk_is_told_with_the_file(tmp_path, full_disk):
    path, rows = tmp_path / "kept.json", tmp_path / "rows.jsonl"
    record.write_json(path, {"old": 1})
    record.append_line(rows, {"step": 1})
    with full_disk(20):
        with pytest.raises(OSError) as error:
            record.write_json(path, {"new": "x" * 40})
        assert error.value.filename == str(path)
        with pytest.raises(OSError) as error:
            record.append_line(rows, {"step": 2})
        assert error.value.filename == str(rows)
    assert json.loads(path.read_text()) == {"old": 1}
    assert names(tmp_path) == ["kept.json", "rows.jsonl"]
    record.append_line(rows, {"step": 3})
    assert record.read_lines(rows) == [{"step": 1}, {"step": 3}]


def test_an_interrupted_write_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        record.write_text(tmp_path / "new.txt", "text")
    assert names(tmp_path) == []


def test_written_files_have_the_usual_permissions(tmp_path):
    mask = os.umask(0o022)
    try:
        record.write_text(tmp_path / "file", "text")
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(mask)


def test_json_holds_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        record.write_json(tmp_path / "file.json", {"loss": float("nan")})
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [b'{"cut": ', b"\xff\xfe\x00binary"])
def test_read_json_names_a_broken_file(tmp_path, content):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(path))) as error:
        record.read_json(path)
    assert len(error.value.args) == 2


# --- rows -------------------------------------------------------------------------------------------------------------


def test_append_and_read_lines(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert record.read_lines(path) == []
    rows = [{"step": 1, "name": "ä\u2028"}, {"step": 2, "list": [1, 2]}]
    for row in rows:
        record.append_line(path, row)
    assert record.read_lines(path) == rows


def test_a_last_line_cut_short_is_left_out(tmp_path):
    path = tmp_path / "rows.jsonl"
    record.append_line(path, {"step": 1})
    record.append_line(path, {"step": 2})
    path.write_bytes(path.read_bytes()[:-4])
    assert record.read_lines(path) == [{"step": 1}]


@pytest.mark.parametrize("cut", [b'{"step": 2, "na', b'{"step": 2}', b"\xff\xfe", '"ä'.encode()[:-1]])
def test_a_file_is_read_up_to_a_line_that_is_not_whole(tmp_path, cut):
    """Whatever was written behind it."""
    path = tmp_path / "rows.jsonl"
    record.append_line(path, {"step": 1})
    path.write_bytes(path.read_bytes() + b"\n" + cut)
    assert record.read_lines(path) == [{"step": 1}]
    record.append_line(path, {"step": 3})
    assert record.read_lines(path) == [{"step": 1}]


def test_truncate_lines_keeps_what_it_is_given(tmp_path):
    path = tmp_path / "rows.jsonl"
    for step in range(4):
        record.append_line(path, {"step": step})
    record.truncate_lines(path, [row for row in record.read_lines(path) if row["step"] < 2])
    assert record.read_lines(path) == [{"step": 0}, {"step": 1}]
    record.truncate_lines(path, [])
    assert path.read_text() == ""


# --- environment ------------------------------------------------------------------------------------------------------


def test_environment_has_what_a_number_is_read_with():
    env = record.environment("cuda:1")
    assert set(env) == {
        "vidops",
        "python",
        "torch",
        "decord2",
        "av",
        "platform",
        "cpu",
        "cores",
        "device",
        "code",
        "commit",
        "dirty",
        "date",
    }
    assert env["vidops"] == __version__
    assert env["device"] == "cuda:1"
    assert env["torch"] and env["cores"] >= 1
    assert re.fullmatch(r"[0-9a-f]{12}", env["code"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", env["date"])
    json.dumps(env, allow_nan=False)


def test_environment_tells_no_path_of_the_machine():
    places = {str(record.PACKAGE), str(record.PACKAGE.parent), str(Path.cwd()), str(Path.home()), sys.prefix} - {"/"}
    for key, value in record.environment().items():
        if isinstance(value, str):
            assert not value.startswith("/"), key
            assert not [place for place in places if place in value], key


def test_code_hash_follows_the_sources_that_decide_a_result(tmp_path, monkeypatch):
    for name in ("ops/tsm.py", "engine/train.py", "cli/train.py", "report/table.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.setattr(record, "PACKAGE", tmp_path)
    before = record.Sources().hash()
    (tmp_path / "cli/train.py").write_text("x = 2\n")
    (tmp_path / "report/table.py").write_text("x = 2\n")
    assert record.Sources().hash() == before
    (tmp_path / "ops/tsm.py").write_text("x = 2\n")
    changed = record.Sources().hash()
    assert changed != before
    (tmp_path / "ops/tsm.py").rename(tmp_path / "ops/shift.py")
    assert record.Sources().hash() not in (before, changed)


def test_sources_that_are_left_out_unless_others_import_them(tmp_path, monkeypatch):
    (tmp_path / "ops").mkdir()
    (tmp_path / "models").mkdir()
    names = ("alone", "imported", "behind", "net")
    alone, imported, behind, net = (tmp_path / ("models" if name == "net" else "ops") / f"{name}.py" for name in names)
    alone.write_text("from .behind import C\n")
    imported.write_text("def late():\n    from .behind import C\n")
    behind.write_text("C = 1\n")
    net.write_text("from vidops_cli.ops.imported import B\n")
    monkeypatch.setattr(record, "PACKAGE", tmp_path)
    without = [f"ops/{name}.py" for name in ("alone", "imported", "behind")]
    told = record.Sources().hash(without)
    for file, changes in ((alone, False), (imported, True), (behind, True), (net, True)):
        before = file.read_text()
        file.write_text(before + "# edited\n")
        assert (record.Sources().hash(without) != told) is changes, file.name
        file.write_text(before)
    assert record.Sources().hash(without, also=["word"]) != told
    assert record.environment(code="abc")["code"] == "abc"


def test_git_state_outside_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "PACKAGE", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert record.git_state() == {"commit": None, "dirty": None}


def test_command_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/vidops", "profile", "--op", "lisa"])
    assert record.command_line() == "vidops profile --op lisa"


def test_a_recipe_that_was_never_added_is_no_part_of_the_commit(tmp_path, monkeypatch):
    """Results and notes may lie about; a changed or new recipe or source makes a row's commit say too little."""
    package = tmp_path / "vidops_cli"
    for folder in (package, tmp_path / "recipes", tmp_path / "results"):
        folder.mkdir()
    (package / "record.py").write_text("")

    def git(*words: str) -> None:
        who = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.setattr(record, "PACKAGE", package)
    found = []
    for path in ("notes.txt", "results/table.md", "recipes/new.yaml", "vidops_cli/new.py"):
        (tmp_path / path).write_text("")
        found.append(record.git_state()["dirty"])
        (tmp_path / path).unlink()
    assert found == [False, False, True, True]
    (package / "record.py").write_text("changed")
    assert record.git_state()["dirty"] is True
