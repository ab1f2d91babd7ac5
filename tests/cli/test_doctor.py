"""vidops doctor, on a machine where all is well, and where something is broken."""

import json
import os

import numpy as np
import pytest

from vidops_cli.data import DATASETS, video


def doctor(vidops):
    code, out, err = vidops("doctor", "--format", "json")
    assert err == ""
    return code, {each["what"]: each for each in json.loads(out)}


def test_all_that_is_needed_is_fine(vidops, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets/mini/dots/train").mkdir(parents=True)
    (tmp_path / "datasets/mini_motion").mkdir()
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    code, found = doctor(vidops)
    assert code == 0 and {each["state"] for each in found.values()} == {"fine", "not there"}
    for name in ("vidops", "Python", "torch", "pyav", "decord", "disk", "mini_dots"):
        assert found[name]["state"] == "fine" and found[name]["found"]
    assert "a video read exactly" in found["decord"]["found"]
    assert found["mini_motion"]["mend"] == "vidops data generate mini_motion --root datasets/mini_motion"
    assert found["kinetics400"]["mend"].startswith("docs/datasets/kinetics.md")
    assert set(DATASETS) - set(found) == {"video_folder"}
    code, out, _ = vidops("doctor")
    assert code == 0 and all(name in out for name in found)


def frames_of_another(self, indices):
    return np.zeros((len(indices), 32, 32, 3), np.uint8)


def crashes(*_, **__):
    raise RuntimeError("no libx264")


@pytest.mark.parametrize(
    "owner, name, fault, told",
    [
        (video.VideoFile, "read", frames_of_another, "8 of 8 frames read wrong"),
        (video, "write_video", crashes, "no libx264"),
    ],
)
def test_a_decoder_that_is_broken(vidops, tmp_path, monkeypatch, owner, name, fault, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(owner, name, fault)
    code, found = doctor(vidops)
    assert code == 1
    for decoder, package in (("pyav", "av"), ("decord", "decord2")):
        assert found[decoder]["state"] == "broken" and found[decoder]["found"] == told
        assert found[decoder]["mend"] == f"pip install --force-reinstall {package}"


def test_what_is_absent_is_told_with_what_mends_it(vidops, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(video, "has_decord", lambda: False)
    code, found = doctor(vidops)
    assert code == 0
    for name in ("decord", "C++ compiler", "Slurm", "wandb" if found["wandb"]["state"] != "fine" else "Slurm"):
        assert found[name]["state"] == "not there"
    assert found["C++ compiler"]["mend"] == "install g++" and "PyAV" in found["decord"]["found"]


def test_refused(vidops):
    assert vidops("doctor", "--format", "xml")[0] == 2


@pytest.mark.parametrize(("load", "state"), [(0.1, "fine"), (40.0, "busy")])
def test_a_machine_that_does_other_work(vidops, tmp_path, monkeypatch, load, state):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    code, found = doctor(vidops)
    assert code == 0 and found["load"]["state"] == state and f"{load} on 8 cores" in found["load"]["found"]
