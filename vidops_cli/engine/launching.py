"""Several processes of one command on this machine, by torchrun's agent: what `--nproc` does."""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from .stopping import RESUME


def launch(words: list[str], processes: int) -> int:
    """Run `python WORDS` as often, each told its place; the exit code of the first one that failed, or 0.

    Signals go to all of them; they have half a minute to save and leave. ValueError if one was killed.
    """
    for name in ("", ".agent.server.api", ".multiprocessing.errors"):  # some have levels of their own
        logging.getLogger(f"torch.distributed.elastic{name}").setLevel(logging.CRITICAL)  # what failed has told it
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        run_id=uuid.uuid4().hex,
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)(*words)
    except SignalException:
        return RESUME
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            told = f"process {rank} of {processes} was killed by {signal.Signals(-failure.exitcode).name}"
            raise ValueError(told, "the same command goes on; lower train.batch if memory is short") from None
        return failure.exitcode
    return 0
