"""The card of a data set, and what reading one gives. This page imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from vidops_cli.record import read_json

MARK = "prepared.json"  # in the root of a data set that `vidops data prepare` wrote
Pairs = tuple[tuple[int, int], ...]


class Absent(ValueError):
    """A split that a data set does not have, or of which nothing is there."""


class Joints(Protocol):
    """Joints of each clip, read when asked for: `joints[i]` is (T, P, J, 3) float32, x, y and score.

    A score of 0 is a joint, or a person, that is not there. A ValueError makes the clip a bad one.
    """

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the frames in whose pixels x and y are told; None: those of the file."""

    @property
    def pairs(self) -> Pairs:
        """Joints of the left and of the right, which a mirror swaps."""

    @property
    def slack(self) -> float:
        """Share of a clip's frames by which its T may differ; then a frame takes the joints of its relative place."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


@dataclass(frozen=True)
class Annotations:
    """One split: videos with labels, as the data set lists them. `floors` are scores that need no understanding."""

    root: Path
    split: str
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    fingerprint: str
    floors: dict[str, float] = field(default_factory=dict)
    joints: Joints | None = None
    official: int = 0
    """clips of the official release, where they are known, for what folders alone list may be a part"""
    hashes: tuple[str, ...] = ()
    """SHA-256 of each file, where the data set tells"""


@dataclass(frozen=True)
class DataSet:
    """A data set by name: what it is, how it is had, and the module that reads or generates it."""

    name: str
    title: str
    how: str
    module: str
    mirrors: bool = True  # a mirrored clip keeps its label
    joints: str = ""  # skeleton of the persons in its clips
    generated: bool = False  # `module` makes it
    needs: str = ""  # what a solver of a generated one needs
    cannot_help: Mapping[str, str] = field(default_factory=dict)  # and what tells nothing; each has a test of its name
    floors: str = ""  # scores without understanding
    tables: tuple[str, ...] = ()  # recipes below recipes/claims/ that ask it
    reader: str = "read"  # function of `module` that reads it
    splits: tuple[str, ...] = ("train", "val", "test")
    classes: int | None = None  # of the official release
    sizes: Mapping[str, int] = field(default_factory=dict)  # official clips of "train", or of "split2 train"
    divisions: tuple[str, ...] = ()  # official ways to divide it: `reader` takes one in place of splits
    folder: str = ""  # below datasets/, in its page and in recipes, where it is not its name
    page: str = ""  # where to get it and how to lay it out

    @property
    def root(self) -> Path:
        """Where it is looked for, unless a folder is named."""
        return Path("datasets") / (self.folder or self.name)

    def load(self) -> Any:
        """The module."""
        return importlib.import_module(self.module)

    def read(self, root: Path, split: str, splits: dict[str, str] | None = None) -> Annotations:
        """Annotations of one split. ValueError, with a hint, if they are not there or not sound."""
        found = self._listed(root, split, splits)
        if self.joints and not self.generated:
            found = replace(found, joints=self.load().poses(root, split, found.paths))
        own = bool(splits and split in splits and not self.divisions)
        return found if own else replace(found, official=self.size(split, splits) or 0)

    def _listed(self, root: Path, split: str, splits: dict[str, str] | None) -> Annotations:
        if (root / MARK).is_file():
            return self._read_prepared(root, split, splits or {})
        if self.generated:
            from .mini import benchmark

            return benchmark.read(self.name, root, split, splits or {})
        told = self.division(splits or {}) if self.divisions else splits or {}
        return getattr(self.load(), self.reader)(root, split, told)

    def size(self, split: str, splits: Mapping[str, str] | None = None) -> int | None:
        """Official number of clips of a split, of the division that `splits` names; None where it is not known."""
        division = self.division(splits or {})
        return self.sizes.get(f"{division} {split}" if division else split)

    def division(self, splits: Mapping[str, str]) -> str:
        """Which of `divisions` data.splits names, for all splits alike; "" for a data set that is divided in one way.

        ValueError, with a hint, on another one, or on a mixture: its splits would share clips.
        """
        if not self.divisions:
            return ""
        named = set(splits.values()) or {self.divisions[0]}
        if len(named) > 1:
            told = f"data.splits mixes {' and '.join(sorted(named))} of {self.name}: clips of one train the other"
            raise ValueError(told, f"name one of them, as in data.splits.train={self.divisions[-1]}")
        (name,) = named
        if name not in self.divisions:
            known = ", ".join(self.divisions)
            raise ValueError(f"{self.name} is not divided by {name!r}", f"data.splits.train is one of {known}")
        return name

    def _read_prepared(self, root: Path, split: str, splits: dict[str, str]) -> Annotations:
        """Lists that `vidops data prepare` wrote."""
        from . import folder

        head = read_json(root / MARK)
        if head.get("name") != self.name:
            raise ValueError(f"{root} was prepared of {head.get('name')}, not of {self.name}", "see data.root")
        if self.divisions and head.get("division") != self.division(splits):
            told = f"{root} was prepared of {head.get('division')}, not of {self.division(splits)}"
            raise ValueError(told, "name that in data.splits.train, or prepare the other one")
        return replace(folder.read(root, split, {}), classes=tuple(head["classes"]))

    def check_dials(self, dials: Mapping[str, Any]) -> None:
        """ValueError, with a hint, unless they are dials of this generated benchmark."""
        from .mini import benchmark

        benchmark.make_dials(self.name, dials)
