"""python two_processes.py FOLDER: train the recipes of a folder, one after the other, as one of several processes.

Each NAME.yaml goes to the folder NAME. What stands in NAME.stop is the rank that is asked to leave, and after how many
steps. NAME.told-RANK.json holds the summary, or the error.
"""

import json
import signal
import sys
from pathlib import Path

import torch

from vidops_cli.data import DATASETS
from vidops_cli.engine.distributed import group
from vidops_cli.engine.stopping import Stop
from vidops_cli.engine.train import train
from vidops_cli.models import MODELS
from vidops_cli.ops import OPS
from vidops_cli.recipe import Known, load


class After(Stop):
    """Asked before step `steps`, at the second look: while it waits for the batch, and once more before the step."""

    def __init__(self, steps):
        self.left = 2 * steps
        super().__init__(self._out)

    def _out(self):
        self.left -= 1
        return self.left < 0


# smooth, as a rounding error at the kink would change a gradient by much more
torch.Tensor.relu = lambda x: torch.nn.functional.softplus(x)
signal.alarm(300)  # a process that waits for ever fails, it does not hang
with group("cpu") as processes:
    for path in sorted(Path(sys.argv[1]).glob("*.yaml")):
        stop = Stop()
        if (asked := path.with_suffix(".stop")).exists():
            rank, steps = map(int, asked.read_text().split())
            stop = After(steps) if rank == processes.rank else stop
        recipe, run = load(path, Known(ops=OPS, models=MODELS, datasets=DATASETS)), path.with_suffix("")
        for _ in range(1 + asked.exists()):  # and goes on
            try:
                told = train(recipe, run, device="cpu", stop=stop, group=processes)
            except ValueError as error:
                told = {"error": error.args}
            stop = Stop()
        path.with_suffix(f".told-{processes.rank}.json").write_text(json.dumps(told))
