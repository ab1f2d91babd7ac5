"""Files that were made to harm: nothing of them runs, fills the memory, leaves its folder, or commands a terminal."""

from __future__ import annotations

import importlib
import json
import os
import re
import resource
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vidops_cli.cli.terminal import Terminal
from vidops_cli.data import DATASETS, readers
from vidops_cli.data.files import open_file
from vidops_cli.data.lists import check_links
from vidops_cli.data.poses import Stored
from vidops_cli.data.video import write_video
from vidops_cli.engine import checkpoint, scores
from vidops_cli.models import weights
from vidops_cli.record import append_line
from vidops_cli.report.table import Table, printable

sys.path.append(str(Path(__file__).parent / "faults"))
import hostile

GIGABYTE = 1 << 20  # in the KiB of the system


def held() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.fixture
def small(monkeypatch):
    """Those that are small themselves: no test packs gigabytes."""
    monkeypatch.setattr(hostile, "_packed", lambda size, name="a/data/0": PACKED(1 << 24, name))
    hostile.checkpoints.cache_clear()
    hostile.scores.cache_clear()
    yield
    hostile.checkpoints.cache_clear()
    hostile.scores.cache_clear()


PACKED = hostile._packed


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, on sparse tensors and protocols
def test_checkpoints_are_refused(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, files = held(), hostile.checkpoints()
    assert len(files) == 15
    for name, content in files.items():
        Path(name).write_bytes(content)
        for read in (checkpoint.load, lambda path: weights.import_from("rsa", path), weights.recognised):
            if name == "classes.pt" and read is not checkpoint.load:
                continue  # it is sound in itself
            with pytest.raises(ValueError, match=name) as error:
                read(Path(name))
            assert len(error.value.args) == 2
    assert sorted(os.listdir()) == sorted(files)
    assert held() - before < GIGABYTE


def test_scores_and_joints_are_refused(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, files = held(), hostile.scores()
    assert len(files) == 5
    for name, content in files.items():
        Path(name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            scores.Kept.load(Path(name))
        with pytest.raises(ValueError, match=name):
            _ = Stored(Path(name), ()).array[0]
    assert sorted(os.listdir()) == sorted(files)
    assert held() - before < GIGABYTE


def test_scores_whose_parts_are_of_other_kinds(tmp_path):
    sound = scores.Kept(
        *["clips", np.array(["a"]), np.array([0]), np.array(["b"])],
        *["0", "0", "softmax", 1, "test", "1/1", np.zeros((1, 1), np.float32)],
    )
    sound.save(tmp_path / "a.npz")
    assert scores.Kept.load(tmp_path / "a.npz").kind == "clips"
    with np.load(tmp_path / "a.npz") as found:
        whole = dict(found)
    for key in whole:
        for value in (np.zeros((2, 2, 2, 2)), np.array("x"), np.array(3), np.array(1j), np.zeros(0)):
            if value.dtype.kind == whole[key].dtype.kind and value.ndim == whole[key].ndim:
                continue
            np.savez(tmp_path / "b.npz", **{**whole, key: value})
            with pytest.raises(ValueError, match="scores"):
                scores.Kept.load(tmp_path / "b.npz")


def test_what_shares_its_numbers_is_read(tmp_path):
    tied = torch.zeros(100, 100)
    torch.save({"recipe": "a", "model": {"a": tied, "b": tied, "c": tied.t()}}, tmp_path / "a.pt")
    assert len(checkpoint.load(tmp_path / "a.pt")["model"]) == 3


@pytest.mark.parametrize("told", hostile.TEXTS)
def test_yaml_that_builds_or_grows(vidops, tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(hostile.TEXTS[told])
    code, out, err = vidops("validate", "a.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and os.listdir() == ["a.yaml"]
    assert checkpoint.differing(Path("a.yaml"), None) == ""  # nor of a run's folder


def video_folder(root: Path, line: str):
    root.mkdir(exist_ok=True)
    (root / "train.txt").write_text(f"{line} 0\n")
    return DATASETS["video_folder"].read(root, "train")


def test_links_do_not_lead_out_of_the_data(vidops, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "data"
    (tmp_path / "elsewhere").mkdir()
    write_video(tmp_path / "elsewhere/a.mp4", np.zeros((2, 16, 16, 3), np.uint8))
    write_video(tmp_path / "data.mp4", np.zeros((2, 16, 16, 3), np.uint8))
    (root / "deep").mkdir(parents=True)
    (root / "folder").symlink_to("../elsewhere")
    (root / "deep/file.mp4").symlink_to("../../elsewhere/a.mp4")
    (root / "beside.mp4").symlink_to("../data.mp4")  # whose name begins as that of the folder does
    write_video(root / "deep/own.mp4", np.zeros((2, 16, 16, 3), np.uint8))
    (root / "inside.mp4").symlink_to("deep/own.mp4")
    for line in ("folder/a.mp4", "deep/file.mp4", "beside.mp4"):
        with pytest.raises(ValueError, match="leads out of the data folder"):
            check_links(video_folder(root, line))
        code, out, err = vidops("data", "verify", "video_folder", "--root", "data", "--split", "train")
        assert (code, out) == (2, "") and "--links" in err
    check_links(video_folder(root, "inside.mp4"))
    (tmp_path / "link").symlink_to("data")
    check_links(video_folder(tmp_path / "link", "deep/own.mp4"))  # the root may be one
    for line in ("../elsewhere/a.mp4", "/etc/hostname", "deep/../../elsewhere/a.mp4"):
        with pytest.raises(ValueError, match="leaves the data folder"):
            video_folder(root, line)


def test_rows_are_not_appended_through_a_link(tmp_path):
    (tmp_path / "mine").write_text("")
    (tmp_path / "rows.jsonl").symlink_to("mine")
    with pytest.raises(OSError):
        append_line(tmp_path / "rows.jsonl", {})
    assert (tmp_path / "mine").read_text() == ""


def test_frames_beyond_any_video(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(hostile.image(12_000))
    with pytest.raises(ValueError, match=r"12000 x 12000 are beyond|decompression bomb"):
        open_file(tmp_path / "a.png")
    write_video(tmp_path / "a.mp4", np.zeros((2, 32, 64, 3), np.uint8))
    assert len(open_file(tmp_path / "a.mp4")) == 2
    monkeypatch.setattr(readers, "LARGEST", 1000)
    with pytest.raises(ValueError, match="64 x 32 are beyond 1,000 pixels"):
        open_file(tmp_path / "a.mp4")


@pytest.mark.parametrize("form", hostile.FORMS)
def test_names_are_no_commands(vidops, tmp_path, form):
    name = " ".join(hostile.NAMES)
    (tmp_path / "a.jsonl").write_bytes(hostile.table_of(name))
    code, out, _ = vidops("ablate", tmp_path / "a.jsonl", "--format", form, "--claims")
    assert code == 0 and "alert(1)" in out
    assert not hostile.judged.RAW.search(out)
    if form == "json":
        assert json.loads(out)["table"]["title"] == name
    if form == "latex":
        out = re.sub(r"^%.*$", "", out, flags=re.MULTILINE).replace(r"$\pm$", "")
    wrong = {"html": hostile.LOADS, "latex": hostile.UNESCAPED, "markdown": hostile.LIVE}.get(form)
    assert not (wrong and wrong.search(out))


def test_names_in_a_plot(tmp_path):
    plot = importlib.import_module("vidops_cli.report.plot")
    rows = [
        {"row": name, "metric": "top1", "seed": 0, "value": 50.0 + i, "macs": 1e9 + i, "params": 1}
        for i, name in enumerate(("$\\frac{$", "$x", "a$b$c"))
    ]
    points = plot.points_of(rows, metric="top1")
    plot.tradeoff_plot(points, tmp_path / "a.svg", metric="top1", floors={})
    assert "<script" not in (tmp_path / "a.svg").read_text()


def test_the_terminal_obeys_rich_alone(capsys):
    from rich.text import Text

    console = Terminal(force_terminal=True, width=80)
    for told in ("\x1b[2Jx", Text("\x1b[2Jx", "bold"), Table("\x9b2J", ["\rx"], [["\x07"]]).rich()):
        console.print(told)
    out = capsys.readouterr().out
    assert "\x1b[2J" not in out and not {"\x9b", "\r", "\x07"} & {*out}
    assert "\x1b[1m" in out  # bold
    assert printable("a\tb\nc é ±") == "a\tb\nc é ±"
