"""Folders of frames as videos."""

from __future__ import annotations

import os

import numpy as np
import pytest

from vidops_cli.data.clips import open_file
from vidops_cli.data.image import FrameFolder, write_image


@pytest.fixture
def folder(tmp_path):
    """Twelve frames of grey levels 10, 20, ..., under names whose order as text is another, and a file that is none."""
    where = tmp_path / "clip 1.avi é"
    where.mkdir()
    for number in range(1, 13):
        write_image(where / f"img_{number}.png", np.full((6, 8, 3), 10 * number, np.uint8))
    (where / "Thumbs.db").write_bytes(b"")
    return where


def test_frames_in_the_order_of_their_numbers(folder):
    found = open_file(folder)
    assert isinstance(found, FrameFolder) and len(found) == 12
    frames = found.read(np.array([11, 0, 0, 9, 1]))
    assert frames.shape == (5, 6, 8, 3) and frames.dtype == np.uint8
    assert frames[:, 0, 0, 0].tolist() == [120, 10, 10, 100, 20]


def test_frames_are_counted_without_decoding(folder):
    (folder / "img_3.png").write_bytes(b"no image")
    found = FrameFolder(folder)
    assert len(found) == 12 and found.read(np.array([0, 1])).shape[0] == 2
    with pytest.raises(ValueError, match=r"img_3\.png"):
        found.read(np.array([2]))


def test_frames_of_different_sizes(folder):
    write_image(folder / "img_2.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="different sizes") as error:
        FrameFolder(folder).read(np.array([0, 1]))
    assert str(folder) in str(error.value)


def test_a_folder_that_is_empty_or_none(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no frame"):
        open_file(tmp_path / "empty")
    with pytest.raises(ValueError, match="no such folder of frames"):
        FrameFolder(folder / "img_1.png")
    if os.geteuid():
        folder.chmod(0)
        with pytest.raises(ValueError, match="Permission denied"):
            FrameFolder(folder)
        folder.chmod(0o755)
