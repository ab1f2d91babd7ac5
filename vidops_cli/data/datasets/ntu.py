"""NTU RGB+D: actions before a Kinect, as videos and skeletons of 25 joints; divided by persons or by cameras."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from vidops_cli.data import Absent, Annotations
from vidops_cli.data.card import Pairs
from vidops_cli.data.lists import annotations, check_root, files_below

PAGE = "docs/datasets/ntu-rgbd.md"
VIDEOS, SKELETONS = "nturgb+d_rgb", "nturgb+d_skeletons"
NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R\d{3}A(\d{3})")
SETUPS, ACTIONS = 17, 60  # later ones are of NTU RGB+D 120
SUBJECTS = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)  # that are trained on
CAMERAS = (2, 3)  # that are trained on
BODIES, JOINTS = 6, 25  # that a Kinect follows at once
LEFT = (4, 5, 6, 7, 12, 13, 14, 15, 21, 22)  # shoulder to hand, hip to foot, tip of the hand, thumb
RIGHT = (8, 9, 10, 11, 16, 17, 18, 19, 23, 24)
PAIRS = tuple(zip(LEFT, RIGHT, strict=True))
FIELDS = 12  # of a joint: x, y, z; x, y in the depth map; x, y in the video; orientation (4); how it was found


def read(root: Path, split: str, division: str) -> Annotations:
    """ROOT/nturgb+d_rgb/NAME_rgb.avi and ROOT/nturgb+d_skeletons/NAME.skeleton; the labels are in the names.

    `division` is cross_subject or cross_view. There is no validation split: `val` and `test` are the same clips. A clip
    is listed if its video or its skeletons are there; with its joints (`poses`) it is bad if either is not. ValueError,
    with a hint, if there is none.
    """
    check_root(root)
    videos = {stem.removesuffix("_rgb"): path for stem, path in files_below(root, VIDEOS).items()}
    clips = []
    for name in sorted(videos.keys() | files_below(root, SKELETONS, (".skeleton",)).keys()):
        told = NAME.fullmatch(name)
        if told is None or int(told[1]) > SETUPS or not 1 <= int(told[4]) <= ACTIONS:
            continue
        trained = int(told[3]) in SUBJECTS if division == "cross_subject" else int(told[2]) in CAMERAS
        if trained == (split == "train"):
            clips.append((videos.get(name, f"{VIDEOS}/{name}_rgb.avi"), int(told[4]) - 1))
    if not clips:
        told = f"no {split} clip: {root / VIDEOS}/S001C001P001R001A001_rgb.avi and the like are not there"
        raise Absent(told, f"how to lay it out: {PAGE}")
    return annotations(root, split, clips, [f"A{action:03d}" for action in range(1, ACTIONS + 1)])


def poses(root: Path, split: str, paths: Sequence[str]) -> Skeletons | None:
    """Joints of the clips of these videos, wherever those were prepared; None if there is no folder of skeletons."""
    names = tuple(Path(path).name.partition("_rgb")[0] for path in paths)
    return Skeletons(root, names) if (root / SKELETONS).is_dir() else None


@dataclass(frozen=True)
class Skeletons:
    """Joints of clips, read when they are asked for: `skeletons[i]` is (T, 6, 25, 3), x and y in pixels, score.

    A Kinect films and follows bodies at one rate, so that a video has as many frames, but for a few.
    """

    root: Path
    names: tuple[str, ...]
    size: ClassVar[tuple[int, int]] = (1080, 1920)
    pairs: ClassVar[Pairs] = PAIRS
    slack: ClassVar[float] = 0.1

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        """ValueError, with the file, if it is missing, empty or cut off."""
        return read_skeleton(self.root / SKELETONS / f"{self.names[index]}.skeleton")


def read_skeleton(path: Path) -> np.ndarray:
    """Joints (T, 6, 25, 3) float32 of a .skeleton file: x and y in pixels of the video (1920 x 1080), score.

    A body keeps its place from frame to frame. The score is 1 where a joint was found, and 0, with x and y, where there
    is no body or no place in the video. ValueError, with the file, on what is missing, empty or not whole.
    """
    try:
        words = iter(path.read_text(encoding="ascii").split())
    except (OSError, UnicodeDecodeError):
        raise ValueError(f"no skeletons: {path} cannot be read") from None
    places: dict[str, int] = {}
    try:
        found = np.zeros((int(next(words)), BODIES, JOINTS, 3), np.float32)
        for frame in found:
            for _ in range(int(next(words))):
                body = next(words)
                for _ in range(9):  # edges, hands, lean, tracking
                    next(words)
                joints = [[next(words) for _ in range(FIELDS)] for _ in range(int(next(words)))]
                place = places.setdefault(body, len(places))
                if place < BODIES:
                    frame[place, :, :2] = np.array(joints, np.float32)[:, 5:7]
                    frame[place, :, 2] = 1.0
    except (StopIteration, ValueError, IndexError):
        raise ValueError(f"no skeletons: {path} is not whole") from None
    if not places:
        raise ValueError(f"no skeletons: {path} has no body in {len(found)} frames")
    found[~np.isfinite(found).all(-1)] = 0.0
    return found
