"""Video files and labels in, batches of clips out; knows no network. This page is the index and imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


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


@dataclass(frozen=True)
class DataSet:
    """A data set by name: what it is, how it is had, and the function that reads one split."""

    name: str
    title: str
    how: str
    module: str
    mirrors: bool = True  # a mirrored clip keeps its label

    def read(self, root: Path, split: str, splits: dict[str, str] | None = None) -> Annotations:
        """Annotations of one split. ValueError, with a hint, if they are not there or not sound."""
        import importlib

        return importlib.import_module(self.module).read(root, split, splits or {})


DATASETS: dict[str, DataSet] = {
    dataset.name: dataset
    for dataset in (
        DataSet(
            name="mini_motion",
            title="Mini motion: direction of a camouflaged disc, generated, H.264",
            how="vidops data generate mini_motion --root datasets/mini_motion",
            module="vidops_cli.data.mini.benchmark",
            mirrors=False,
        ),
        DataSet(
            name="video_folder",
            title="Your own videos: `path label` lists, or one folder for each class",
            how="ROOT/train.txt, ROOT/val.txt, ROOT/test.txt, or ROOT/train/CLASS/*.mp4 and so on",
            module="vidops_cli.data.folder",
        ),
    )
}

Progress = Callable[[int, int], None]
