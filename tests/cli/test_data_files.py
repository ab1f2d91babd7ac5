"""vidops data verify, prepare and preview, as a user runs them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from vidops_cli.data import DATASETS, check
from vidops_cli.data.files import open_file
from vidops_cli.data.video import VideoFile, write_video

sys.path += [str(Path(__file__).parents[1] / "bench"), str(Path(__file__).parents[1] / "data" / "datasets")]
from barcodes import encode
from miniatures import MINIATURES


@pytest.fixture
def videos(tmp_path, monkeypatch):
    """A folder of videos with two classes, 3 to train on and 2 to test."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    root = tmp_path / "my videos"
    for split, names in (("train", ("a ü/1.mp4", "a ü/2.mp4", "b/3.mp4")), ("val", ("a ü/4.mp4", "b/5.mp4"))):
        for i, name in enumerate(names):
            file = root / split / name
            file.parent.mkdir(parents=True, exist_ok=True)
            flat = rng.integers(0, 255, (5 + i, 3, 4, 3), dtype=np.uint8)
            write_video(file, flat.repeat(16, 1).repeat(16, 2))
    return root


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_whole_data_set(vidops, videos):
    code, out, _ = vidops("data", "verify", "video_folder", "--root", videos)
    assert code == 0
    assert "3/3" in out and "2/2" in out and "64x48" in out and "5 to 7" in out and "not whole" not in out
    assert "not there: no test split" in out
    assert out.count("│            3/3 │") == 1 and out.count("│            2/2 │") == 1  # decoders agree
    found = rows(videos / "manifest-video_folder-train.jsonl")
    assert [(row["path"], row["label"], row["frames"]) for row in found] == [
        ("train/a ü/1.mp4", 0, 5),
        ("train/a ü/2.mp4", 0, 6),
        ("train/b/3.mp4", 1, 7),
    ]
    assert len({row["sha256"] for row in found}) == 3 and all(row["bytes"] > 0 for row in found)


def test_bad_files_are_named_and_good_ones_not_looked_at_again(vidops, videos, monkeypatch):
    file = videos / "train/b/3.mp4"
    whole = file.read_bytes()
    file.write_bytes(whole[:300])
    code, out, _ = vidops("data", "verify", "video_folder", "--root", videos, "--split", "train", "--out", "told")
    assert code == 1 and "2/3" in out and "not whole: train/b/3.mp4: cannot decode" in out
    assert "bad" in rows(videos.parent / "told/manifest-video_folder-train.jsonl")[2]
    file.write_bytes(whole)
    looked = []
    each = check.each

    def watched(work, items, **given):
        looked.extend(items)
        return each(work, items, **given)

    monkeypatch.setattr(check, "each", watched)
    code, out, _ = vidops("data", "verify", "video_folder", "--root", videos, "--split", "train", "--out", "told")
    assert code == 0 and "3/3" in out
    assert [asked.path.name for asked in looked] == ["3.mp4"]


def test_a_listed_file_that_is_missing(vidops, videos):
    (videos / "train.txt").write_text("train/a ü/1.mp4 0\ntrain/gone.mp4 1\n", encoding="utf-8")
    code, out, _ = vidops("data", "verify", "video_folder", "--root", videos, "--split", "train", "--no-hash")
    assert code == 1 and "1/2" in out and "not whole: train/gone.mp4: missing" in out
    assert "sha256" not in rows(videos / "manifest-video_folder-train.jsonl")[0]


@pytest.mark.parametrize("to", ["frames", "video"])
def test_a_prepared_data_set_is_read_under_its_name(vidops, videos, to):
    words = ("data", "prepare", "video_folder", "--root", videos, "--to", to, "--side", "24", "--out", "small")
    code, out, _ = vidops(*words)
    assert code == 0 and "small: 5/5 clips of train, val; data.root: small" in out
    small, own = (DATASETS["video_folder"].read(videos.parent / where, "train") for where in ("small", videos.name))
    assert small.labels == own.labels and small.classes == own.classes == ("a ü", "b")
    if to == "video":
        for path, before in zip(small.paths, own.paths, strict=True):
            a, b = open_file(small.root / path), VideoFile(own.root / before)
            assert len(a) == len(b)
            every = np.arange(len(a))
            frames, wanted = a.read(every), b.read(every)
            assert frames.shape == (len(b), 24, 32, 3)
            told = wanted.reshape(len(b), 24, 2, 32, 2, 3).mean((2, 4))
            assert np.abs(frames - told).mean() < 12
    else:
        folder = small.root / small.paths[2]
        assert sorted(file.name for file in folder.iterdir()) == [f"{i:05d}.jpg" for i in range(1, 8)]
        with Image.open(folder / "00001.jpg") as image:
            assert image.size == (32, 24)
    written = [file for file in (videos.parent / "small").rglob("*.*") if file.suffix in (".jpg", ".mp4")]
    before = {file: file.stat().st_mtime_ns for file in written}
    shutil.rmtree(victim) if (victim := small.root / small.paths[0]).is_dir() else victim.unlink()
    assert vidops(*words)[0] == 0  # what is there is kept
    changed = {file for file, at in before.items() if file.stat().st_mtime_ns != at}
    assert changed and all(str(file).startswith(str(victim)) for file in changed)


def test_what_cannot_be_prepared_is_named_and_listed_still(vidops, videos):
    (videos / "val/b/5.mp4").write_bytes(b"no video")
    code, out, _ = vidops("data", "prepare", "video_folder", "--root", videos, "--out", "small", "--split", "val")
    assert code == 1 and "1/2 clips of val" in out and "bad: val/b/5.mp4: cannot decode" in out
    assert len((videos.parent / "small/val.txt").read_text().splitlines()) == 2
    assert not [file for file in (videos.parent / "small").rglob("*.partial")]


def test_a_contact_sheet(vidops, videos):
    code, out, _ = vidops("data", "preview", "video_folder", "--root", videos, "--clips", "2", "--frames", "3")
    assert code == 0 and "written: video_folder-train.png, 2 of 3 clips of train" in out
    with Image.open(videos.parent / "video_folder-train.png") as image:
        sheet = np.asarray(image)
    assert sheet.shape[1] == 3 * (149 + 4) + 4 and sheet.std() > 20


@pytest.mark.parametrize(
    "words, error, hint",
    [
        (("verify", "nothing"), "unknown data set 'nothing'", "vidops list datasets"),
        (("verify", "video_folder", "--root", "nowhere"), "no such folder of videos: nowhere", "--root"),
        (("verify", "video_folder", "--root", "my videos", "--split", "dev"), "no split 'dev'", "train, val, test"),
        (("preview", "video_folder", "--root", "my videos", "--out", "a.txt"), "a.txt is no image", ".png"),
        (("prepare", "video_folder", "--root", "my videos", "--out", "my videos"), "is the data set itself", "--out"),
        (("prepare", "video_folder", "--root", "my videos", "--out", "x", "--to", "gif"), "'gif' is not", "--help"),
    ],
)
def test_refused(vidops, videos, words, error, hint):
    code, out, err = vidops("data", *words)
    told = err.splitlines()
    assert (code, out, len(told)) == (2, "", 2), err
    assert told[0].startswith("error: ") and error in told[0]
    assert told[1].startswith("hint: ") and hint in told[1]


@pytest.fixture
def lists(tmp_path, monkeypatch):
    """Something-Something V1 with one clip to train on and one to test, of 5 frames each."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "datasets/something-something-v1"
    (root / "20bn-something-something-v1").mkdir(parents=True)
    (root / "something-something-v1-labels.csv").write_text("Holding\n")
    for split, name in (("train", "7"), ("validation", "8")):
        (root / f"something-something-v1-{split}.csv").write_text(f"{name};Holding\n")
        folder = root / "20bn-something-something-v1" / name
        folder.mkdir()
        for i in range(1, 6):
            Image.fromarray(np.full((32, 48, 3), 20 * i, np.uint8)).save(folder / f"{i:05d}.jpg")
    return root


def test_folders_of_frames(vidops, lists):
    """Found where their page puts them; each frame counts."""
    code, out, _ = vidops("data", "verify", "something_v1")
    assert code == 1  # it is a small one
    assert "not there: the test clips of Something-Something V1 have no labels" in out
    assert "val lists 1 clips, officially 11,522" in out and out.count("1/1") == 2 and "48x32" in out
    record = lists / "manifest-something_v1-val.jsonl"
    (before,) = rows(record)
    assert before["frames"] == 5 and before["read_by"] == "pillow" and "decoders" not in before
    file = lists / "20bn-something-something-v1/8/00003.jpg"
    file.write_bytes(file.read_bytes()[:200])
    code, out, _ = vidops("data", "verify", "something_v1", "--split", "val")
    assert "not whole: 20bn-something-something-v1/8: cannot decode" in out and "0/1" in out
    file.unlink()
    code, out, _ = vidops("data", "verify", "something_v1", "--split", "val")
    assert "20bn-something-something-v1/8: 1 frames lack before the last, the first is 3" in out
    assert rows(record)[0]["sha256"] != before["sha256"] and rows(record)[0]["frames"] == 4


def test_videos_in_a_folder_of_another_name(vidops, lists):
    """One line for a split, instead of one for each file."""
    (lists / "20bn-something-something-v1").rename(lists / "clips")
    code, out, _ = vidops("data", "verify", "something_v1")
    assert code == 1 and "8: missing" not in out
    place = "datasets/something-something-v1"
    told = (
        f"val: 1 of 1 files are missing, the first is {place}/20bn-something-something-v1/8: check --root, and unpack"
    )
    assert f"not whole: {told} all parts of the archives below {place}" in out


@pytest.mark.parametrize("to", ["frames", "video"])
def test_folders_of_frames_are_prepared(vidops, lists, to):
    code, out, _ = vidops("data", "prepare", "something_v1", "--side", "16", "--to", to, "--out", "small")
    assert code == 0 and "2/2 clips of train, val" in out
    found = DATASETS["something_v1"].read(lists.parents[1] / "small", "val")
    clip = open_file(found.root / found.paths[0]).read(np.arange(5))
    assert clip.shape == (5, 16, 24, 3)
    assert np.abs(clip.mean((1, 2, 3)) - 20 * np.arange(1, 6)).max() < 5


def test_a_finer_choice_in_the_same_folder_is_refused(vidops, videos):
    words = ("data", "prepare", "video_folder", "--root", videos, "--out", "small", "--split", "val")
    assert vidops(*words)[0] == 0
    code, _, err = vidops(*words, "--quality", "10")
    assert code == 2 and "another form" in err


def test_two_clips_of_one_name(vidops, videos):
    (videos / "train/b/3.avi").write_bytes((videos / "train/b/3.mp4").read_bytes())
    code, out, err = vidops("data", "prepare", "video_folder", "--root", videos, "--out", "small")
    assert (code, out) == (2, "") and "train/b/3.avi and train/b/3.mp4 would both become train/b/3" in err
    assert not (videos.parent / "small").exists()


def test_what_decord_is_not_trusted_with_is_no_alarm(vidops, tmp_path):
    """MPEG-4 with B-frames in AVI: PyAV reads it, decord is held against it all the same."""
    file = tmp_path / "train/class/a.avi"
    file.parent.mkdir(parents=True)
    encode(file, "mpeg4", b=2, gop=24)
    code, out, _ = vidops("data", "verify", "video_folder", "--root", tmp_path)
    told = " ".join(out.split())  # the note is long
    assert code == 0 and "decord would differ in 1 of the sample, which PyAV reads for that reason" in told


def test_decord_that_differs_where_it_reads_is_an_alarm(vidops, videos, monkeypatch):
    monkeypatch.setattr(check, "each", lambda work, items, **given: ((i, work(item)) for i, item in enumerate(items)))
    monkeypatch.setattr(check, "decoders_differ", lambda path: "frame 3: 90 grey levels apart")
    code, out, _ = vidops("data", "verify", "video_folder", "--root", videos, "--split", "val")
    assert code == 1 and "0/2" in out
    assert "not whole: val/b/5.mp4: decord, which reads it, differs from PyAV: frame 3: 90 grey levels apart" in out


def test_records_of_two_divisions_stand_side_by_side(vidops, tmp_path):
    MINIATURES["ucf101"](tmp_path)
    for division in ("split1", "split2"):
        vidops("data", "verify", "ucf101", "--root", tmp_path, "--division", division, "--split", "train")
        assert (tmp_path / f"manifest-ucf101-{division}-train.jsonl").exists() or division == "split1"
    code, _, err = vidops("data", "verify", "ucf101", "--root", tmp_path, "--division", "split9")
    assert code == 2 and "--division" in err and "data.splits" not in err


def test_a_name_that_no_disk_takes(vidops, videos):
    (videos / "train.txt").write_text(f"train/a ü/1.mp4 0\ntrain/{'x' * 300}.mp4 1\n", encoding="utf-8")
    code, out, _ = vidops("data", "verify", "video_folder", "--root", videos, "--split", "train")
    assert code == 1 and f"{'x' * 300}.mp4: missing" in out


def test_skeletons_are_looked_at(vidops, tmp_path):
    MINIATURES["ntu60"](tmp_path)
    victim = next(iter(sorted((tmp_path / "nturgb+d_skeletons").glob("*.skeleton"))))
    victim.write_text("")
    _, out, _ = vidops("data", "verify", "ntu60", "--root", tmp_path)
    assert "clips have no joints, the first is" in out and victim.stem in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped(tmp_path, number):
    """The whole group is told, as by Ctrl-C."""
    root = tmp_path / "videos"
    (root / "train/class").mkdir(parents=True)
    write_video(root / "one.mp4", np.zeros((4, 32, 32, 3), np.uint8))
    for i in range(400):
        (root / f"train/class/{i}.mp4").symlink_to(root / "one.mp4")
    words = [sys.executable, "-m", "vidops_cli", "data", "verify", "video_folder", "--root", root]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    begun = root / "manifest-video_folder-train.jsonl.partial"
    until = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    assert [line for line in err.splitlines() if not line.startswith("looking at")] == [
        "stopped; the same command goes on"
    ]
    assert rows(begun)


def test_another_form_in_the_same_folder_is_refused(vidops, videos):
    assert vidops("data", "prepare", "video_folder", "--root", videos, "--out", "small", "--split", "val")[0] == 0
    code, _, err = vidops(
        "data", "prepare", "video_folder", "--root", videos, "--out", "small", "--split", "val", "--to", "video"
    )
    assert code == 2 and "another form" in err
    code, _, err = vidops("data", "verify", "mini_motion", "--root", "small")
    assert code == 2 and "was prepared of video_folder, not of mini_motion" in err


def test_a_split_that_is_there_and_not_sound_is_no_absent_one(vidops, videos):
    (videos / "val.txt").write_text("train/b/3.mp4 one\n")
    code, _, err = vidops("data", "verify", "video_folder", "--root", videos)
    assert code == 2 and "val.txt:1: expected `path label`" in err


def test_a_prepared_data_set_is_of_one_division(tmp_path):
    (tmp_path / "prepared.json").write_text(json.dumps({"name": "ucf101", "division": "split2", "classes": ["a"]}))
    (tmp_path / "train.txt").write_text("v 0\n")
    assert DATASETS["ucf101"].read(tmp_path, "train", {"train": "split2"}).paths == ("v",)
    with pytest.raises(ValueError, match="was prepared of split2, not of split1"):
        DATASETS["ucf101"].read(tmp_path, "train", {})


def truncated(path, codec, **told):
    """Three seconds, of which the file's last 40 % are gone. Frames of noise, so that bytes are many."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", **told) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = 5
        for _ in range(30):
            noise = rng.integers(0, 255, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(stream.encode())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    return whole


@pytest.mark.parametrize(
    "name, codec, cut",
    [
        ("a.mkv", "libx264", r"\d\.\d of 3\.0 s"),
        ("a.webm", "libvpx-vp9", r"\d\.\d of 3\.0 s"),
        ("a.avi", "mpeg4", r"[\d,]+ of [\d,]+ bytes"),
    ],
)
def test_a_file_that_was_cut_off(vidops, tmp_path, name, codec, cut):
    """It can be read, and nothing is said when it is; here it is."""
    file = tmp_path / "train/class" / name
    file.parent.mkdir(parents=True)
    whole = truncated(file, codec)
    code, out, _ = vidops("data", "verify", "video_folder", "--root", tmp_path)
    assert code == 1 and "1/1" in out and re.search(rf"^not whole: train/class/{name}: {cut}$", out, re.MULTILINE)
    (row,) = rows(tmp_path / "manifest-video_folder-train.jsonl")
    assert re.fullmatch(cut, row["cut"]) and 0 < row["frames"] < 30
    file.write_bytes(whole)
    code, out, _ = vidops("data", "verify", "video_folder", "--root", tmp_path)
    assert code == 0 and "not whole" not in out
    assert rows(tmp_path / "manifest-video_folder-train.jsonl")[0]["frames"] == 30


@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}])
def test_an_mp4_that_was_cut_off_cannot_be_read(vidops, tmp_path, options):
    """With its index in front, only the last packet shows it."""
    file = tmp_path / "train/class/a.mp4"
    file.parent.mkdir(parents=True)
    truncated(file, "libx264", options=options)
    code, out, _ = vidops("data", "verify", "video_folder", "--root", tmp_path)
    assert code == 1 and "0/1" in out and "not whole: train/class/a.mp4: cannot decode" in out


def test_bytes_are_held_against_the_hashes_of_a_generated_benchmark(vidops, tmp_path):
    words = ("--root", tmp_path, "--train", "8", "--val", "4", "--test", "4")
    assert vidops("data", "generate", "mini_motion", *words)[0] == 0
    assert vidops("data", "verify", "mini_motion", "--root", tmp_path)[0] == 0
    one, other = (tmp_path / "train" / f"0000{i}.mp4" for i in (1, 2))
    one.write_bytes(other.read_bytes())
    code, out, _ = vidops("data", "verify", "mini_motion", "--root", tmp_path)
    assert (
        code == 1 and "not whole: train/00001.mp4: its bytes are others than the data set tells" in out and "7/8" in out
    )


def test_classes_are_held_against_the_official_number(vidops, tmp_path):
    for split in ("train", "val"):
        for name in ("abseiling", "archery"):
            file = tmp_path / split / name / f"{name}-{split}.mp4"
            file.parent.mkdir(parents=True)
            write_video(file, np.zeros((4, 32, 32, 3), np.uint8))
    code, out, _ = vidops("data", "verify", "kinetics400", "--root", tmp_path)
    assert code == 1
    assert "not whole: train has 2 classes, officially 400" in out
    assert "not whole: train lists 2 clips, officially 246,534" in out
