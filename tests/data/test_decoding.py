"""Frames are those that were asked for: each carries its number."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import vidops_cli.data.video as video
from vidops_cli.data.image import FrameFolder
from vidops_cli.data.prepare import Asked, Told, write
from vidops_cli.data.video import VideoFile, write_video

sys.path.append(str(Path(__file__).parents[1] / "bench"))
from barcodes import COUNT, FILES, barcode, encode, number_of, numbers, requests
from decoding import growth

WRONG = {  # decord alone returns other frames, or none
    "H.264, open GOPs",
    "H.264, 20 frames hidden by an edit list",
    "MPEG-4 part 2, 2 B-frames",
    "MPEG-4 part 2 in AVI, 2 B-frames",
    "H.264 in AVI, 3 B-frames",
    "MPEG-2 program stream",
}
COUNTED = {"VP8 with hidden frames", "MPEG-4 part 2 in AVI"}  # decord is right, of others of the kind it is not
FRAMES = {"H.264, 20 frames hidden by an edit list": range(20, COUNT)}


QUARTER = "H.264, turned by 90 degrees"  # its numbers are on their side


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Kind of file -> its path, and the numbers of its frames as they come when nothing is sought."""
    root, found = tmp_path_factory.mktemp("barcodes"), {}
    for kind, (name, make) in FILES.items():
        make(root / name)
        found[kind] = root / name, numbers(root / name)
    return found


def answers(path: Path, truth: list[int], backend: str | None) -> list[str]:
    """What is answered wrongly."""
    read, wrong = VideoFile(path, backend=backend), []
    assert len(read) >= len(truth)
    for name, indices in requests(len(truth)).items():
        found = read.read(np.array(indices))
        if [number_of(frame) for frame in found] != [truth[index] for index in indices]:
            wrong.append(name)
    return wrong


def test_the_files_are_what_they_are_taken_for(made):
    assert len(made) == 20
    for kind, (_, truth) in made.items():
        if "truncated" in kind:
            assert 30 < len(truth) < COUNT and len(set(truth)) == len(truth)
        elif "turned" not in kind:
            assert truth == list(FRAMES.get(kind, range(COUNT))), kind


@pytest.mark.parametrize("kind", FILES)
def test_frames_are_those_asked_for(made, kind):
    path, truth = made[kind]
    assert answers(path, truth, None) == answers(path, truth, "pyav") == []
    read = VideoFile(path)
    assert len(read) == len(truth)
    assert read.backend == ("pyav" if kind in WRONG | COUNTED else "decord")


@pytest.mark.parametrize("kind", FILES)
def test_where_decord_is_wrong(made, kind):
    """If it is wrong no more, the file may go to it."""
    assert bool(answers(*made[kind], "decord")) == (kind in WRONG)


def test_both_return_the_same_pixels(made):
    for kind, (path, truth) in made.items():
        if kind not in WRONG:
            one, other = (VideoFile(path, backend=name).read(range(0, len(truth), 9)) for name in ("decord", "pyav"))
            assert one.shape == other.shape and np.abs(one.astype(int) - other).max() <= 1, kind


@pytest.mark.parametrize("backend", ["decord", "pyav"])
def test_a_turned_video_comes_as_players_show_it(made, backend):
    found = VideoFile(made["H.264, turned by 90 degrees"][0], backend=backend).read([70])[0]
    assert np.abs(found - np.rot90(barcode(70), -1).astype(int)).mean() < 4


def test_without_decord_pyav_reads(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "decord", None)
    video.has_decord.cache_clear()
    try:
        path, truth = made["H.264, 3 B-frames"]
        assert VideoFile(path).backend == "pyav" and answers(path, truth, None) == []
    finally:
        video.has_decord.cache_clear()


def test_a_seek_that_comes_out_behind_the_frame_is_made_up_for(made, monkeypatch):
    path, truth = made["H.264, key frames 3 apart"]
    index = video.scan(path)
    late = [(time, index.keys[-1][1]) for time, _ in index.keys]
    monkeypatch.setattr(video, "scan", lambda path: type(index)(index.times, late, index.plain))
    assert answers(path, truth, "pyav") == []


@pytest.mark.parametrize("backend", ["decord", "pyav"])
def test_memory_stays_flat(tmp_path, backend):
    """A twentieth of what `make bench` reads."""
    path = tmp_path / "small.mp4"
    write_video(path, np.stack([barcode(number) for number in range(8)]))
    assert growth(path, backend, 1000) < 4


# --- files that are spoiled -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "whole.mp4"
    write_video(path, np.stack([barcode(number) for number in range(COUNT)]))
    return path.read_bytes()


@pytest.mark.parametrize("kind", FILES)
def test_what_is_prepared_is_what_was_shown(made, tmp_path, kind):
    """As video decord reads it right at once, which takes exact times in it."""
    path, truth = made[kind]
    before = VideoFile(path)
    assert write(Asked(path, tmp_path / "a.mp4", Told("video", 0, 90, 12))) == len(truth)
    after = VideoFile(tmp_path / "a.mp4")
    assert (after.backend, len(after)) == ("decord", len(truth))
    every = np.arange(len(truth))
    frames, wanted = after.read(every), before.read(every)
    if kind != QUARTER:
        assert [number_of(frame) for frame in frames] == truth
    if frames.shape == wanted.shape:  # an odd side is made even
        assert np.abs(frames.astype(int) - wanted).mean() < 8
    assert write(Asked(path, tmp_path / "frames", Told("frames", 0, 95, 12))) == len(truth)
    if kind != QUARTER:
        assert [number_of(frame) for frame in FrameFolder(tmp_path / "frames").read(every[:9])] == truth[:9]
    with av.open(str(path)) as old, av.open(str(tmp_path / "a.mp4")) as new:
        told, kept = old.streams.video[0].average_rate, new.streams.video[0].average_rate
        assert float(kept) == pytest.approx(float(told), rel=0.01)


def test_a_long_video_is_prepared(tmp_path):
    """Times of Matroska and MP4 are told in other units than that of the rate."""
    for name in ("a.mp4", "a.webm"):
        codec = "libx264" if name.endswith("mp4") else "libvpx-vp9"
        encode(tmp_path / name, codec, times=range(300), **({} if codec == "libx264" else {"deadline": "realtime"}))
        assert write(Asked(tmp_path / name, tmp_path / f"new {name}", Told("video", 0, 90, 12))) == 300
        new = VideoFile(tmp_path / f"new {name}")
        assert (new.backend, len(new)) == ("decord", 300)
        assert [number_of(frame) for frame in new.read(np.array([0, 150, 299]))] == [0, 150, 299 % 256]


def test_folders_of_frames_are_prepared(tmp_path):
    (tmp_path / "old").mkdir()
    for number in range(5):
        Image.fromarray(barcode(number)).save(tmp_path / f"old/{number + 1:05d}.jpg")
    assert write(Asked(tmp_path / "old", tmp_path / "new", Told("frames", 24, 95, 12))) == 5
    frames = FrameFolder(tmp_path / "new").read(np.arange(5))
    assert frames.shape == (5, 24, 32, 3) and [number_of(frame) for frame in frames] == [*range(5)]
    assert write(Asked(tmp_path / "old", tmp_path / "new.mp4", Told("video", 0, 95, 12))) == 5
    assert len(VideoFile(tmp_path / "new.mp4")) == 5


@pytest.mark.parametrize("name", ["plain.mp4", "ünï cödé 動画 (1).mp4", "a 'quoted' name %05d.mp4", "file:name.mp4"])
@pytest.mark.parametrize("backend", ["decord", "pyav"])
def test_names(tmp_path, monkeypatch, whole, name, backend):
    (tmp_path / name).write_bytes(whole)
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / name, Path(name)):
        assert number_of(VideoFile(path, backend=backend).read([60])[0]) == 60


@pytest.mark.parametrize("backend", [None, "decord", "pyav"])
@pytest.mark.parametrize("how", ["empty", "text", "no moov", "folder", "zeroed tail"])
def test_spoiled_files_are_named_and_nothing_else_is_said(tmp_path, whole, capfd, how, backend):
    path, moov = tmp_path / "a spoiled fïle.mp4", whole.find(b"moov")
    start = (whole.find(b"mdat") + moov) // 2
    content = {
        "empty": b"",
        "text": b"this is no video\n" * 100,
        "no moov": whole[: moov - 8],
        "zeroed tail": whole[:start] + bytes(moov - 4 - start) + whole[moov - 4 :],
    }
    path.mkdir() if how == "folder" else path.write_bytes(content[how])
    with pytest.raises(ValueError, match=re.escape(str(path))) as error:
        read = VideoFile(path, backend=backend)
        assert how == "zeroed tail" and number_of(read.read([3])[0]) == 3
        read.read(range(0, COUNT, 8))
    assert len(error.value.args) == 1 and "\n" not in error.value.args[0]
    assert capfd.readouterr() == ("", "")
