from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import av
import numpy as np
import pytest
import torch

from vidops_cli.data import Annotations
from vidops_cli.data.clips import ClipOptions, Clips, Order, batches, collate
from vidops_cli.data.corruption import Corruption
from vidops_cli.data.poses import Stored
from vidops_cli.data.sampling import segments
from vidops_cli.data.transforms import prepare
from vidops_cli.data.video import write_video

MEAN, STD = [0.5, 0.4, 0.3], [0.25, 0.2, 0.3]
OPTIONS = ClipOptions(
    num_frames=4,
    resize=None,
    crop=None,
    flip=0.0,
    mean=MEAN,
    std=STD,
    frames="ordered",
    shuffle_labels=False,
    max_bad=0,
)
LENGTH = 12


def frame(t: int, height: int = 24, width: int = 32) -> np.ndarray:
    """Frame t is of grey level 40 + 12 t, its left third 30 brighter."""
    picture = np.full((height, width, 3), 40 + 12 * t, np.uint8)
    picture[:, : width // 3] += 30
    return picture


def frame_numbers(clip: torch.Tensor) -> list[int]:
    """Which frames a clip was made of, read from the grey level of its right half."""
    grey = (clip * torch.tensor(STD)[:, None, None, None] + torch.tensor(MEAN)[:, None, None, None]) * 255
    return [round((level - 40) / 12) for level in grey[..., clip.shape[-1] // 2 :].mean((0, 2, 3)).tolist()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for i in range(6):
        write_video(root / f"{i}.mp4", np.stack([frame(t) for t in range(LENGTH)]))
    write_video(root / "large.mp4", np.stack([frame(t, 48, 64) for t in range(LENGTH)]))
    write_video(root / "short.mp4", np.stack([frame(t) for t in range(3)]))
    (root / "corrupt.mp4").write_bytes(b"no video at all")
    (root / "cut.mp4").write_bytes((root / "0.mp4").read_bytes()[:400])
    return root


@pytest.fixture
def clips(folder):
    def clips(*names: str, train: bool = False, seed: int = 0, **options) -> Clips:
        names = names or tuple("012345")
        labels = tuple(i % 3 for i in range(len(names)))
        annotations = Annotations(
            folder, "train", tuple(f"{name}.mp4" for name in names), labels, ("a", "b", "c"), "fingerprint"
        )
        return Clips(annotations, replace(OPTIONS, **options), train=train, seed=seed)

    return clips


def epoch(clips: Clips, *, number: int = 0, batch: int = 2, workers: int = 0) -> list[dict]:
    order = Order(clips.listed, epoch=number, seed=clips.seed if clips.train else None)
    return list(batches(clips, order, batch, workers=workers))


def told(found: list[dict]) -> list[int]:
    return [int(index) for batch in found if "clip" in batch for index in batch["index"]]


# --- sampling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "num_frames", "expected"),
    [
        (8, 8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (16, 8, [1, 3, 5, 7, 9, 11, 13, 15]),
        (12, 4, [1, 4, 7, 10]),
        (10, 4, [1, 3, 6, 8]),
        (100, 1, [50]),
        (3, 6, [0, 0, 1, 1, 2, 2]),
        (1, 4, [0, 0, 0, 0]),
    ],
)
def test_middle_frames(length, num_frames, expected):
    assert segments(length, num_frames).tolist() == expected


@pytest.mark.parametrize(("length", "num_frames"), [(40, 8), (37, 8), (8, 8), (5, 8), (1, 3)])
def test_random_frames_stay_in_their_segments(length, num_frames):
    drawn = np.stack([segments(length, num_frames, np.random.default_rng(i)) for i in range(300)])
    edges = np.arange(num_frames + 1) * length / num_frames
    assert (drawn >= np.floor(edges[:-1])).all() and (drawn < np.ceil(edges[1:])).all()
    assert (np.diff(drawn, axis=1) >= 0).all()
    for i in range(num_frames):
        inside = {n for n in range(length) if edges[i] < n + 1 and n < edges[i + 1]}
        assert set(drawn[:, i].tolist()) == inside


@pytest.mark.parametrize(("length", "num_frames"), [(0, 4), (4, 0)])
def test_nothing_to_sample(length, num_frames):
    with pytest.raises(ValueError, match="cannot sample"):
        segments(length, num_frames)


# --- one clip ---------------------------------------------------------------------------------------------------------


def test_an_item(clips):
    item = clips()[0, 2]
    assert item["clip"].shape == (3, 4, 24, 32)
    assert item["clip"].dtype == torch.float32
    assert (item["label"], item["index"]) == (2, 2)
    assert frame_numbers(item["clip"]) == [1, 4, 7, 10]


def test_a_short_video_repeats_frames(clips):
    assert frame_numbers(clips("short", num_frames=6)[0, 0]["clip"]) == [0, 0, 1, 1, 2, 2]


def test_normalisation(clips):
    clip = clips()[0, 0]["clip"]
    expected = (torch.tensor(40 + 12 * 1) / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    assert torch.allclose(clip[:, 0, :, 20:].mean((1, 2)), expected, atol=0.05)


def test_training_clips_differ_from_epoch_to_epoch_and_are_told_by_the_seed(clips):
    drawn = [frame_numbers(clips(train=True)[number, 0]["clip"]) for number in range(8)]
    assert len(set(map(tuple, drawn))) > 4
    assert drawn == [frame_numbers(clips(train=True)[number, 0]["clip"]) for number in range(8)]
    assert drawn != [frame_numbers(clips(train=True, seed=1)[number, 0]["clip"]) for number in range(8)]


def test_reversed_frames(clips):
    ordered, backwards = clips()[0, 1]["clip"], clips(frames="reversed")[0, 1]["clip"]
    assert torch.equal(backwards, ordered.flip(1))
    assert not torch.equal(backwards, ordered)


@pytest.mark.parametrize("train", [False, True])
def test_shuffled_frames(clips, train):
    ordered = [frame_numbers(clips(train=train, num_frames=8)[0, i]["clip"]) for i in range(6)]
    shuffled = [frame_numbers(clips(train=train, num_frames=8, frames="shuffled")[0, i]["clip"]) for i in range(6)]
    assert list(map(sorted, shuffled)) == ordered
    assert sum(a != b for a, b in zip(shuffled, ordered, strict=True)) >= 5
    again = [frame_numbers(clips(train=train, num_frames=8, frames="shuffled")[0, i]["clip"]) for i in range(6)]
    assert again == shuffled


@pytest.mark.parametrize("frames", ["ordered", "reversed"])
def test_corrupted_frames(clips, frames):
    """The same whatever the seed, in memory or not."""
    told = {"frames": frames, "corruption": Corruption("noise", 30, 2)}
    plain, found = clips(frames=frames)[0, 1]["clip"], clips(**told)[0, 1]["clip"]
    apart = (found - plain).abs().amax((0, 2, 3)) > 0
    assert apart.tolist() == [False, True, True, False]
    assert torch.equal(clips(seed=5, **told)[0, 1]["clip"], found)
    cached = clips(**told)
    cached.decode_all(lambda done, total: None)
    assert torch.equal(cached[0, 1]["clip"], found) and torch.equal(cached[0, 1]["clip"], found)


def test_flip(clips):
    plain = clips(train=True)[0, 0]["clip"]
    assert torch.equal(clips(train=True, flip=1.0)[0, 0]["clip"], plain.flip(3))
    assert torch.equal(clips(flip=1.0)[0, 0]["clip"], clips()[0, 0]["clip"])
    flipped = [
        torch.equal(clips(train=True, flip=0.5)[n, 0]["clip"], clips(train=True)[n, 0]["clip"]) for n in range(30)
    ]
    assert 5 < sum(flipped) < 25


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    ("resize", "crop", "shape"),
    [(None, None, (24, 32)), (12, None, (12, 16)), (48, None, (48, 64)), (None, 16, (16, 16)), (32, 28, (28, 28))],
)
def test_resize_and_crop(clips, resize, crop, shape, train):
    found = clips(train=train, resize=resize, crop=crop)
    assert found[0, 0]["clip"].shape == (3, 4, *shape)
    assert found.shape() == (3, 4, *shape)


def test_the_middle_is_cropped_without_a_generator():
    frames = np.random.default_rng(0).integers(0, 255, (2, 9, 12, 3), dtype=np.uint8)
    settings = {"resize": None, "crop": 5, "flip": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3}
    clip, _ = prepare(frames, rng=None, **settings)
    assert torch.allclose(clip * 255, torch.from_numpy(frames[:, 2:7, 3:8]).permute(3, 0, 1, 2).float(), atol=1e-3)
    settings["flip"] = 0.0
    corners = set()
    for i in range(200):
        clip, _ = prepare(frames, rng=np.random.default_rng(i), **settings)
        corners |= {
            (top, left)
            for top in range(5)
            for left in range(8)
            if torch.allclose(
                clip * 255,
                torch.from_numpy(frames[:, top : top + 5, left : left + 5]).permute(3, 0, 1, 2).float(),
                atol=1e-3,
            )
        }
    assert corners == {(top, left) for top in range(5) for left in range(8)}


def test_resize_averages():
    """Antialiased: a fine checkerboard becomes its mean instead of a pattern."""
    board = (np.indices((32, 32)).sum(0) % 2 * 200).astype(np.uint8)
    frames = np.repeat(np.repeat(board[None, ..., None], 3, 3), 2, 0)
    clip, _ = prepare(frames, resize=8, crop=None, flip=0.0, mean=[0.0] * 3, std=[1.0] * 3, rng=None)
    assert clip.shape == (3, 2, 8, 8)
    assert (clip * 255 - 100).abs().max() < 5


# --- labels -----------------------------------------------------------------------------------------------------------


def test_shuffled_labels_are_a_permutation(folder):
    labels = tuple(i % 4 for i in range(80))
    annotations = Annotations(folder, "train", ("0.mp4",) * 80, labels, tuple("abcd"), "fingerprint")

    def shuffled(seed: int) -> list[int]:
        return Clips(annotations, replace(OPTIONS, shuffle_labels=True), train=True, seed=seed).labels.tolist()

    assert sorted(shuffled(0)) == sorted(labels)
    assert sum(a == b for a, b in zip(shuffled(0), labels, strict=True)) < 40
    assert shuffled(0) == shuffled(0) != shuffled(1)
    assert annotations.labels == labels


def test_labels_stay_with_their_clips_otherwise(clips):
    found = clips(train=True)
    for batch in epoch(found):
        assert batch["label"].tolist() == [int(index) % 3 for index in batch["index"]]


# --- order ------------------------------------------------------------------------------------------------------------


def test_order_is_a_permutation_drawn_from_seed_and_epoch():
    indices = list(range(5, 45))
    order = list(Order(indices, epoch=3, seed=1))
    assert sorted(index for _, index in order) == indices
    assert {number for number, _ in order} == {3}
    assert order == list(Order(indices, epoch=3, seed=1))
    others = [[index for _, index in Order(indices, epoch=e, seed=s)] for e, s in ((4, 1), (3, 2))]
    assert [index for _, index in order] not in [*others, indices]


def test_order_without_a_seed_is_as_listed():
    assert list(Order([4, 2, 9])) == [(0, 4), (0, 2), (0, 9)]


@pytest.mark.parametrize("start", [0, 1, 17, 40])
def test_order_continues_at_start(start):
    indices = list(range(40))
    whole = Order(indices, epoch=2, seed=5)
    rest = Order(indices, epoch=2, seed=5, start=start)
    assert list(rest) == list(whole)[start:]
    assert len(rest) == 40 - start


# --- batches ----------------------------------------------------------------------------------------------------------


def test_batches(clips):
    found = epoch(clips(), batch=4)
    assert [batch["clip"].shape[0] for batch in found] == [4, 2]
    assert told(found) == [0, 1, 2, 3, 4, 5]
    assert found[0]["label"].tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("train", [False, True])
def test_the_number_of_workers_changes_nothing(clips, train):
    options = {"train": train, "crop": 16, "flip": 0.5, "frames": "shuffled"}
    alone, helped = (epoch(clips(**options), number=1, workers=workers) for workers in (0, 2))
    assert told(alone) == told(helped)
    assert len(alone) == 3
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one["clip"], other["clip"])
        assert torch.equal(one["label"], other["label"])


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("frames", ["ordered", "reversed", "shuffled"])
def test_cached_equals_decoded(clips, train, frames):
    options = {"train": train, "crop": 16, "flip": 0.5, "frames": frames, "seed": 3}
    plain, cached = clips(**options), clips(**options)
    seen = []
    cached.decode_all(lambda done, total: seen.append((done, total)))
    assert seen and all(0 <= done <= total == 6 for done, total in seen)
    for number in (0, 1):
        for one, other in zip(epoch(plain, number=number), epoch(cached, number=number), strict=True):
            assert torch.equal(one["clip"], other["clip"])
            assert torch.equal(one["index"], other["index"])


@pytest.mark.parametrize("train", [False, True])
def test_kept_frames_are_read_in_place_of_videos(clips, train, monkeypatch):
    plain, first = clips(train=train), clips(train=train)
    kept = first.annotations.root / f".decoded-{first.annotations.fingerprint}-{'all' if train else 4}.npz"
    kept.unlink(missing_ok=True)
    first.decode_all(lambda done, total: None, keep=True)
    assert kept.is_file()
    whole = kept.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr("vidops_cli.data.clips.open_file", lambda path: pytest.fail(f"{path} was opened"))
        again = clips(train=train)
        again.decode_all(lambda done, total: None, keep=True)
        for one, other in zip(epoch(first), epoch(again), strict=True):
            assert torch.equal(one["clip"], other["clip"])
    for one, other in zip(epoch(plain), epoch(first), strict=True):
        assert torch.equal(one["clip"], other["clip"])
    for spoiled in (b"", whole[:1000], whole[: len(whole) // 2]):
        kept.write_bytes(spoiled)
        clips(train=train).decode_all(lambda done, total: None, keep=True)
        assert kept.read_bytes() == whole
    kept.unlink()


ABANDONED = """
import gc, sys
from pathlib import Path
from vidops_cli.data import Annotations
from vidops_cli.data.clips import ClipOptions, Clips, Order, batches
from vidops_cli.data.video import VideoFile

class Collecting(Clips):
    def __getitem__(self, key):
        gc.collect()
        return super().__getitem__(key)

root = Path(sys.argv[1])
annotations = Annotations(root, "train", ("0.mp4", "1.mp4"), (0, 1), ("a", "b"), "fingerprint")
options = ClipOptions(4, None, None, 0.0, [0.5] * 3, [0.5] * 3, "ordered", False, 0)
clips = Collecting(annotations, options, train=False)
gc.disable()
video = VideoFile(root / "0.mp4")
video.read([0])
video.itself = video
del video
for batch in batches(clips, Order(clips.listed), 1, workers=2):
    print(batch["index"].tolist())
"""


def test_a_reader_left_in_a_cycle_does_not_stop_the_workers(folder):
    """Collected in a forked worker it would wait for a thread that is not there, and training would stand still."""
    command = [sys.executable, "-c", ABANDONED, str(folder)]
    done = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        told, _ = done.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        told = "nothing in 20 s"
    finally:
        if done.poll() is None:
            os.killpg(done.pid, signal.SIGKILL)
            done.communicate()
    assert told.split() == ["[0]", "[1]"]


# --- what decoded them ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["decoded", "workers", "memory", "disk"])
def test_what_decoded_the_files_is_counted(clips, folder, way):
    if not (folder / "b.avi").exists():
        with av.open(str(folder / "b.avi"), "w") as container:
            stream = container.add_stream("mpeg4", rate=8)
            stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
            for t in range(LENGTH):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame(t), format="rgb24")))
            container.mux(stream.encode())
        (folder / "avi.mp4").write_bytes((folder / "b.avi").read_bytes())  # its name does not decide
    names = ("0", "avi", "2") if way == "disk" else ("0", "avi", "corrupt", "2")
    found = clips(*names, max_bad=1)
    assert found.backends == {}
    if way in ("memory", "disk"):
        found.decode_all(lambda done, total: None, keep=way == "disk")
    for number in (0, 1):
        epoch(found, number=number, workers=2 if way == "workers" else 0)
    assert found.backends == {"decord": 2, "pyav": 1}
    if way == "disk":
        again = clips(*names)
        again.decode_all(lambda done, total: None, keep=True)
        epoch(again)
        assert again.backends == {"decord": 2, "pyav": 1}


# --- what cannot be used ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["decoded", "workers", "cached"])
def test_a_corrupt_file_is_named_counted_and_never_replaced(clips, way):
    found = clips("0", "corrupt", "2", "cut", "4", train=True, max_bad=2)
    assert found.present == "5/5"
    if way == "cached":
        found.decode_all(lambda done, total: None)
    first = epoch(found, workers=2 if way == "workers" else 0)
    assert sorted(told(first)) == [0, 2, 4]
    assert sum(len(batch["clip"]) for batch in first if "clip" in batch) == 3
    assert found.present == "3/5"
    assert len(found) == 3
    assert sorted(found.bad) == ["corrupt.mp4", "cut.mp4"]
    assert all(str(found.annotations.root / path) in reason for path, reason in found.bad.items())
    assert sorted(told(epoch(found, number=1))) == [0, 2, 4]


@pytest.mark.parametrize("way", ["decoded", "workers", "cached", "shape"])
def test_more_bad_files_than_allowed(clips, way):
    found = clips("corrupt", "1", "2", "cut", max_bad=1 if way != "shape" else 0)
    with pytest.raises(ValueError, match=r"corrupt\.mp4") as error:
        if way == "cached":
            found.decode_all(lambda done, total: None)
        elif way == "shape":
            found.shape()
        else:
            epoch(found, workers=2 if way == "workers" else 0)
    message, hint = error.value.args
    assert "max_bad" in hint
    assert ("cut.mp4" in message) == (way != "shape")


def test_a_corrupt_file_listed_twice_is_never_counted_as_present(clips):
    found = clips("0", "corrupt", "corrupt", "3", max_bad=2)
    assert told(epoch(found)) == [0, 3]
    assert found.present == "2/4"


def test_shape_is_that_of_the_first_clip_that_can_be_used(clips):
    found = clips("corrupt", "large", "1", max_bad=1)
    assert found.shape() == (3, 4, 48, 64)
    assert list(found.bad) == ["corrupt.mp4"]


def test_missing_files(clips, folder):
    with pytest.raises(ValueError, match="2 of 4 videos of split train are missing") as error:
        clips("0", "gone", "2", "lost", max_bad=1)
    assert str(folder / "gone.mp4") in error.value.args[0]
    assert "max_bad" in error.value.args[1]
    found = clips("0", "gone", "2", "lost", max_bad=2)
    assert found.present == "2/4"
    assert sorted(found.bad) == ["gone.mp4", "lost.mp4"]
    assert told(epoch(found)) == [0, 2]


def test_nothing_that_can_be_used(clips):
    with pytest.raises(ValueError, match="no video of split train can be used"):
        clips("gone", max_bad=5)
    with pytest.raises(ValueError, match="no video of split train can be used"):
        clips("corrupt", max_bad=5).shape()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_crop_that_does_not_fit(clips, workers):
    with pytest.raises(ValueError, match=re.escape("a 28 crop does not fit frames of 24 x 32")) as error:
        epoch(clips(crop=28), workers=workers)
    message, hint = error.value.args
    assert "\n" not in message
    assert "data.resize" in hint


@pytest.mark.parametrize("workers", [0, 2])
def test_videos_of_different_sizes(clips, workers):
    with pytest.raises(ValueError, match="the videos have different sizes") as error:
        epoch(clips("0", "large"), workers=workers)
    message, hint = error.value.args
    assert "\n" not in message
    assert "data.resize" in hint and "data.crop" in hint
    assert epoch(clips("0", "large", resize=24, crop=24))[0]["clip"].shape == (2, 3, 4, 24, 24)


def test_collate_of_nothing_but_bad_items():
    assert collate([{"bad": "why", "index": 3}]) == {"bad": [(3, "why")]}


# --- joints ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_joints(folder, tmp_path):
    """Clips of which the x of every joint is the number of its frame, and y that of its clip."""

    def with_joints(train: bool = False, length: int = LENGTH, names: str = "012345", **options) -> Clips:
        joints = np.zeros((6, length, 2, 3, 3), np.float32)
        joints[..., 0] = np.arange(length)[None, :, None, None]
        joints[..., 1] = np.arange(6)[:, None, None, None]
        joints[..., 2] = 0.5
        np.save(tmp_path / "joints.npy", joints)
        paths = tuple(f"{name}.mp4" for name in names)
        told = Annotations(
            folder,
            "train",
            paths,
            (0, 1, 2, 0, 1, 2)[: len(paths)],
            ("a", "b", "c"),
            "",
            joints=Stored(tmp_path / "joints.npy", ()),
        )
        return Clips(told, replace(OPTIONS, **options), train=train, seed=3)

    return with_joints


@pytest.mark.parametrize("order", ["ordered", "reversed", "shuffled"])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("cached", [False, True])
def test_joints_are_of_the_frames_of_the_clip(with_joints, order, train, cached):
    clips = with_joints(train, frames=order)
    if cached:
        clips.decode_all(lambda done, total: None)
    seen = []
    for index in range(3):
        item = clips[1, index]
        assert item["coords"].shape == (4, 2, 3, 2) and item["scores"].shape == (4, 2, 3)
        assert item["coords"].dtype == item["scores"].dtype == torch.float32
        frames = frame_numbers(item["clip"])
        assert [round(x) for x in item["coords"][:, 1, 2, 0].tolist()] == frames
        assert (item["coords"][..., 1] == index).all() and (item["scores"] == 0.5).all()
        seen.append(frames)
    if order != "shuffled":
        assert all(frames == sorted(frames, reverse=order == "reversed") for frames in seen)
    assert (len({tuple(frames) for frames in seen}) > 1) == (train or order == "shuffled")


def test_a_batch_has_the_joints_of_its_clips(with_joints):
    (first, *_) = epoch(with_joints(), batch=4)
    assert first["coords"].shape == (4, 4, 2, 3, 2) and first["scores"].shape == (4, 4, 2, 3)
    assert first["coords"][:, 0, 0, 0, 1].tolist() == first["index"].tolist()


def test_a_data_set_without_joints_has_none(clips):
    assert not {"coords", "scores"} & clips()[0, 0].keys()
    assert not {"coords", "scores"} & epoch(clips())[0].keys()


def test_joints_of_other_clips_are_refused(with_joints):
    with pytest.raises(ValueError, match="expected joints"):
        with_joints(names="012")


def test_a_video_of_another_length_than_its_joints_is_bad(with_joints):
    clips = with_joints(length=LENGTH + 1)
    assert clips[0, 2]["bad"] == f"2.mp4: {LENGTH} frames, but joints of {LENGTH + 1}"
