"""python two_processes.py FOLDER: train the recipes of a folder, one after the other, as one of several processes.

Each NAME.yaml goes to the folder NAME. What stands in NAME.stop is the rank that is asked to leave, after how many
steps, and at which of its looks from there; the run then goes on. Of NAME "amid" each step is a long one, amid which it
looks too. NAME.left holds the steps of the checkpoint that was left, NAME.told-RANK.json the summary, or the error.
"""

import json
import signal
import sys
from pathlib import Path

import torch

from vidops_cli.data import DATASETS
from vidops_cli.engine import checkpoint, loop
from vidops_cli.engine.distributed import group
from vidops_cli.engine.stopping import Stop
from vidops_cli.engine.train import train
from vidops_cli.models import MODELS
from vidops_cli.ops import OPS
from vidops_cli.recipe import Known, load


class After(Stop):
    """Asked after `steps` steps, at the look `looks`: 1, while it waits for a batch; 2, before a step; more amid it."""

    def __init__(self, steps, looks):
        self.steps, self.looks, self.done = steps, looks, 0
        super().__init__(self._out)

    def report(self, status):
        self.done = max(self.done, status["done"]) if status["phase"] == "training" else self.done

    def _out(self):
        self.looks -= self.done == self.steps
        return self.looks < 1


# smooth, as a rounding error at the kink would change a gradient by much more
torch.Tensor.relu = lambda x: torch.nn.functional.softplus(x)
signal.alarm(300)  # a process that waits for ever fails, it does not hang
with group("cpu") as processes:
    for path in sorted(Path(sys.argv[1]).glob("*.yaml")):
        stop = Stop()
        if (asked := path.with_suffix(".stop")).exists():
            rank, steps, looks = map(int, asked.read_text().split())
            stop = After(steps, looks) if rank == processes.rank else stop
        loop.LONG = 0.0 if path.stem == "amid" else 1000.0
        report = getattr(stop, "report", lambda _: None)
        recipe, run = load(path, Known(ops=OPS, models=MODELS, datasets=DATASETS)), path.with_suffix("")
        for _ in range(1 + asked.exists()):  # and goes on
            try:
                told = train(recipe, run, device="cpu", stop=stop, group=processes, report=report)
            except ValueError as error:
                told = {"error": error.args}
            if told is None and processes.first:
                path.with_suffix(".left").write_text(str(checkpoint.load(run / "last.pt")["step"]))
            stop = Stop()
        path.with_suffix(f".told-{processes.rank}.json").write_text(json.dumps(told))
