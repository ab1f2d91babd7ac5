"""Video files and labels in, batches of clips out; knows no network. This page is the index and imports no torch."""

from collections.abc import Callable

from .card import Absent, Annotations, DataSet
from .datasets import REAL
from .mini import BENCHMARKS

DATASETS: dict[str, DataSet] = {
    dataset.name: dataset
    for dataset in (
        *BENCHMARKS,
        *REAL,
        DataSet(
            name="video_folder",
            title="Your own videos: `path label` lists, or one folder for each class",
            how="ROOT/train.txt, ROOT/val.txt, ROOT/test.txt, or ROOT/train/CLASS/*.mp4 and so on",
            module="vidops_cli.data.folder",
        ),
    )
}

Progress = Callable[[int, int], None]

__all__ = ["DATASETS", "Absent", "Annotations", "DataSet", "Progress"]
