"""Poses of videos as JSON, a file for each clip: ST-GCN's `kinetics-skeleton` (Yan et al., arXiv 1801.07455)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vidops_cli.data.card import Pairs

PERSONS, JOINTS = 5, 18  # the best persons of a frame, as IntegralAction draws them; joints of OpenPose's COCO model
RIGHT = (2, 3, 4, 8, 9, 10, 14, 16)  # shoulder to hand, hip to foot, eye, ear
LEFT = (5, 6, 7, 11, 12, 13, 15, 17)
LONGEST = 1_000_000  # frames, as no clip has


@dataclass(frozen=True)
class Poses:
    """Joints of clips, read when they are asked for: `poses[i]` is (T, 5, 18, 3) of folder/names[i].json.

    T is of a frame rate of their own. Places are told as shares of the frame: that is one pixel, from -0.5 to 0.5.
    """

    folder: Path
    names: tuple[str, ...]
    size: ClassVar[tuple[int, int]] = (1, 1)
    pairs: ClassVar[Pairs] = tuple(zip(LEFT, RIGHT, strict=True))
    slack: ClassVar[float] = math.inf

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        """ValueError, with the file, if it is missing, not sound, or has nobody in it."""
        return read_poses(self.folder / f"{self.names[index]}.json")


def read_poses(path: Path) -> np.ndarray:
    """Poses (T, 5, 18, 3) float32 of a JSON file: x and y, less 0.5, and score; T up to the last frame it tells of.

    A frame has its five persons of the highest mean score, and 0 where there are fewer, or no number. ValueError, with
    the file, on what is missing or not sound, or without any person.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ValueError(f"no poses: {path} cannot be read") from None
    except ValueError:  # of JSON and of UTF-8 alike
        raise ValueError(f"no poses: {path} is not whole") from None
    try:
        frames = {int(entry["frame_index"]): _best(entry["skeleton"]) for entry in told["data"]}
    except (KeyError, TypeError, OverflowError):
        raise ValueError(f"no poses: {path} is not {{data: [{{frame_index, skeleton: [{{pose, score}}]}}]}}") from None
    except ValueError as error:
        raise ValueError(f"no poses: {path}: {error}") from None
    first = min([1, *frames])  # the release counts from 1, other tools from 0
    count = max(frames, default=0) - first + 1
    if count > LONGEST:
        raise ValueError(f"no poses: {path}: frame {max(frames)} is of no clip")
    if not any(map(len, frames.values())):
        raise ValueError(f"no poses: {path} has nobody in {count} frames")
    found = np.zeros((count, PERSONS, JOINTS, 3), np.float32)
    for frame, people in frames.items():
        found[frame - first, : len(people)] = people
    return found


def _best(told: list[Any]) -> np.ndarray:
    """The persons of a frame, (P, 18, 3), best first. ValueError on another number of joints, or what is no number."""
    if wrong := [one for one in told if (len(one["pose"]), len(one["score"])) != (2 * JOINTS, JOINTS)]:
        raise ValueError(
            f"a person has {len(wrong[0]['score'])} joints at {len(wrong[0]['pose'])} numbers, not 18 at 36"
        )
    people = np.empty((len(told), JOINTS, 3), np.float32)
    people[..., :2] = np.array([one["pose"] for one in told], np.float32).reshape(-1, JOINTS, 2) - 0.5
    people[..., 2] = np.array([one["score"] for one in told], np.float32).reshape(-1, JOINTS)
    people[~np.isfinite(people).all(-1)] = 0
    return people[np.argsort(-people[..., 2].mean(1), kind="stable")[:PERSONS]]
