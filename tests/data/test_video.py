from __future__ import annotations

import re

import numpy as np
import pytest

from vidops_cli.data.video import VideoFile, write_video

BITS = 6  # a frame carries its number in rows of BAND pixels, bright on the left for 1, on the right for 0
BAND = 8


def barcode(number: int, width: int) -> np.ndarray:
    frame = np.full((BITS * BAND, width, 3), 60, np.uint8)
    for bit in range(BITS):
        left = number >> bit & 1
        half = slice(0, width // 2) if left else slice(width // 2, width)
        frame[bit * BAND : (bit + 1) * BAND, half] = 190
    return frame


def number_of(frame: np.ndarray) -> int:
    middle = frame.shape[1] // 2
    bands = frame.astype(float).mean(2).reshape(BITS, BAND, -1)
    return sum(int(band[:, :middle].mean() > band[:, middle:].mean()) << bit for bit, band in enumerate(bands))


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
    """Path of a video of 40 frames that carry their numbers, and the frames."""
    path = tmp_path_factory.mktemp("coded") / "coded.mp4"
    frames = np.stack([barcode(number, 64) for number in range(40)])
    write_video(path, frames)
    return path, frames


def test_the_barcode_tells_numbers_apart():
    assert [number_of(barcode(number, 16)) for number in range(64)] == list(range(64))


@pytest.mark.parametrize(
    "indices",
    [
        range(40),
        range(0, 40, 5),
        range(32, 40),
        [39],
        [0],
        [39, 38, 37],
        [7, 7, 7, 8, 8],
        [39, 0, 39, 20],
        np.random.default_rng(0).permutation(40)[:16],
        np.random.default_rng(1).integers(0, 40, 30),
    ],
    ids=["all", "uniform", "tail", "last", "first", "backwards", "repeated", "far apart", "permuted", "random"],
)
def test_frames_come_as_asked(coded, indices):
    path, frames = coded
    video = VideoFile(path)
    assert len(video) == 40
    found = video.read(np.array(indices))
    assert found.dtype == np.uint8
    assert [number_of(frame) for frame in found] == list(indices)
    assert np.abs(found.astype(int) - frames[np.array(indices)]).mean() < 4


def test_one_reader_can_be_asked_again(coded):
    video = VideoFile(coded[0])
    for indices in ([30, 31], [2], [39, 1], [30, 31]):
        assert [number_of(frame) for frame in video.read(np.array(indices))] == indices


@pytest.mark.parametrize("width", [16, 24, 32, 48, 64, 100])
def test_all_widths_are_read(tmp_path, width):
    """decord takes padding at the end of narrow rows for further channels."""
    frames = np.stack([barcode(number, width) for number in range(12)])
    write_video(tmp_path / "narrow.mp4", frames)
    found = VideoFile(tmp_path / "narrow.mp4").read(np.arange(12))
    assert found.shape == frames.shape
    assert [number_of(frame) for frame in found] == list(range(12))
    assert np.abs(found.astype(int) - frames).mean() < 4


@pytest.mark.parametrize("width", [16, 64])
def test_colours_keep_their_channels(tmp_path, width):
    colours = np.array([(200, 40, 40), (40, 200, 40), (40, 40, 200)], np.uint8)
    frames = np.broadcast_to(colours[:, None, None], (3, 32, width, 3)).copy()
    write_video(tmp_path / "colours.mp4", frames)
    found = VideoFile(tmp_path / "colours.mp4").read(np.arange(3))
    assert np.abs(found.astype(int) - frames).max() < 12


def test_one_frame(tmp_path):
    write_video(tmp_path / "one.mp4", barcode(5, 32)[None])
    video = VideoFile(tmp_path / "one.mp4")
    assert len(video) == 1
    assert number_of(video.read(np.array([0]))[0]) == 5


def test_equal_frames_give_equal_bytes(tmp_path):
    """Whatever lay in memory before: x264 reads some of it, unless told to be independent of the processor."""
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(60, 200, (8, 6, 6, 1), dtype=np.uint8).repeat(4, 1).repeat(4, 2), 3, axis=3)
    found = set()
    for _ in range(800):
        junk = [rng.bytes(int(rng.integers(1000, 200000))) for _ in range(5)]
        assert len(junk) == 5
        del junk  # the encoder gets this memory next
        write_video(tmp_path / "video.mp4", frames)
        found.add((tmp_path / "video.mp4").read_bytes())
    assert len(found) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]


@pytest.mark.parametrize(
    "frames", [np.zeros((4, 32, 32), np.uint8), np.zeros((4, 32, 32, 1), np.uint8), np.zeros((4, 32, 32, 3))]
)
def test_what_cannot_be_written(tmp_path, frames):
    with pytest.raises(ValueError, match="expected uint8 frames"):
        write_video(tmp_path / "none.mp4", frames)
    assert list(tmp_path.iterdir()) == []


# --- files that are no video ------------------------------------------------------------------------------------------


def spoiled(content: bytes, how: str) -> bytes:
    return {
        "empty": b"",
        "text": b"this is no video\n" * 100,
        "noise": np.random.default_rng(0).bytes(len(content)),
        "half": content[: len(content) // 2],
        "head": content[:100],
    }[how]


@pytest.mark.parametrize("how", ["empty", "text", "noise", "half", "head"])
def test_a_file_that_is_no_video_is_named(tmp_path, coded, how):
    path = tmp_path / f"{how}.mp4"
    path.write_bytes(spoiled(coded[0].read_bytes(), how))
    with pytest.raises(ValueError, match=re.escape(str(path))) as error:
        VideoFile(path)
    assert "\n" not in error.value.args[0]


def test_spoiled_frames_inside_a_video_are_named(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (24, 64, 64, 3), dtype=np.uint8)
    path = tmp_path / "spoiled.mp4"
    write_video(path, frames)
    content = bytearray(path.read_bytes())
    start = content.find(b"mdat") + 3000
    content[start : start + 50000] = np.random.default_rng(1).bytes(50000)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        VideoFile(path).read(np.arange(24))


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "missing.mp4", tmp_path):
        with pytest.raises(ValueError, match=re.escape(str(path))):
            VideoFile(path)


def test_a_frame_that_does_not_exist(coded):
    with pytest.raises(ValueError, match=re.escape(str(coded[0]))):
        VideoFile(coded[0]).read(np.array([3, 40]))
