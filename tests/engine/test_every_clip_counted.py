"""The validation list of Something-Something V1, 11,522 entries, at batch 64: 180 batches and one of 2.

The released code of MotionSqueeze and SELFY drops that last batch, and RSA's log of V1 is of 11,520 clips, too.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from vidops_cli.data.card import Annotations
from vidops_cli.data.clips import ClipOptions, Clips
from vidops_cli.engine.evaluate import evaluate
from vidops_cli.engine.tasks import Classification

LISTED, CLASSES, BATCH = 11_522, 174, 64
OPTIONS = ClipOptions(
    num_frames=1,
    resize=None,
    crop=None,
    flip=0.0,
    mean=[0.0] * 3,
    std=[1.0] * 3,
    frames="ordered",
    shuffle_labels=False,
    max_bad=0,
)


class Picture:
    """A video file of one pixel, which is its name in grey."""

    backend = "none"

    def __init__(self, path):
        self.grey = int(path.stem)

    def __len__(self):
        return 1

    def read(self, indices):
        return np.full((len(indices), 1, 1, 3), self.grey, np.uint8)


class Network(nn.Module):
    """Scores are best for the class that is the grey of a clip; it notes how many clips come at a time."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, clip):
        self.batches.append(len(clip))
        grey = (255 * clip[:, 0, 0, 0, 0]).round()
        return -(grey[:, None] - torch.arange(CLASSES)).abs()


def test_every_entry_of_the_list_is_counted(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("vidops_cli.data.clips.open_file", Picture)
    rng = np.random.default_rng(0)
    greys, labels = rng.integers(0, CLASSES, (2, LISTED))
    labels = np.where(rng.random(LISTED) < 0.5, greys, labels)
    labels[-2:] = greys[-2:]  # both right: without them the score is another
    for grey in range(CLASSES):
        (tmp_path / f"{grey}.mp4").write_text("a file")
    paths, names = tuple(f"{grey}.mp4" for grey in greys), tuple(map(str, range(CLASSES)))
    clips = Clips(Annotations(tmp_path, "val", paths, tuple(labels.tolist()), names, ""), OPTIONS, train=False)
    network, told = Network(), recipe(f"eval.batch={BATCH}")
    found = evaluate(network, clips, Classification(CLASSES), told, torch.device("cpu"))
    assert network.batches == [BATCH] * 180 + [2]
    assert (found["n"], found["present"]) == (LISTED, "11522/11522")
    right = [bool(grey == label) for grey, label in zip(greys, labels, strict=True)]
    assert found["top1"] == 100 * sum(right) / LISTED
    assert found["top1"] != 100 * sum(right[:-2]) / (LISTED - 2)
    correct = np.unpackbits(np.frombuffer(bytes.fromhex(found["correct"]), np.uint8))
    assert correct[:LISTED].astype(bool).tolist() == right and len(correct) - LISTED < 8
