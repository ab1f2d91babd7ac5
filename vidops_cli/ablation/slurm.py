"""Jobs of a Slurm cluster, by submitit, which is imported here alone. A small file says what to ask for:

    partition: gpu
    hours: 12
    nodes: 1
    gpus: 1
    cpus: 8
    memory: 32
    parallel: 16
    setup: [module load cuda]

A cell of a table is a job, which holds it only once it runs, so that one submitted twice does nothing the second time.
A training alone may be one too, on several machines.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from vidops_cli.recipe.checking import explain
from vidops_cli.recipe.problems import RecipeError
from vidops_cli.recipe.reading import read_file
from vidops_cli.recipe.schema import Above0, Count, CountFrom0, Section
from vidops_cli.record import read_json, write_json

from .attempt import ENVIRONMENT
from .store import RESULT

ENDLESS = 10**6  # times that a job may be put into the queue again

if TYPE_CHECKING:
    from .launch import Job


class Cluster(Section):
    cluster: Literal["slurm", "local"] = "slurm"
    """local: submitit's own processes on this machine, to try it"""
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    hours: Above0
    """after which a job is stopped; it is put into the queue again, and goes on"""
    nodes: Count = 1
    """machines of a job"""
    gpus: CountFrom0 = 1
    """of each, with a process for each"""
    cpus: Count = 4
    memory: Above0 | None = None
    """GB"""
    parallel: Count = 64
    """jobs that may run at a time"""
    setup: list[str] = Field(default_factory=list)
    """shell commands before a job"""


def load_cluster(path: Path) -> Cluster:
    """Read and check such a file. RecipeError with all problems, each with its line and a hint."""
    value, lines = read_file(path, "file of a cluster", "the head of vidops_cli/ablation/slurm.py")
    try:
        return Cluster.model_validate(value)
    except ValidationError as error:
        told = f"keys: {', '.join(Cluster.model_fields)}"
        problems = [replace(p, hint=told) if p.hint.startswith("see ") else p for p in explain(error, lines, Cluster)]
        raise RecipeError(problems) from None


def absent(cluster: Cluster) -> tuple[str, str] | None:
    """Why nothing can be submitted from here, and what to do; None where it can."""
    try:
        import submitit  # noqa: F401
    except ImportError:
        return "--launcher slurm needs submitit", "pip install 'vidops[slurm]'"
    if cluster.cluster == "slurm" and shutil.which("sbatch") is None:
        return "there is no sbatch here", "run it where jobs are submitted; `cluster: local` tries it"
    return None


def check_cells(cluster: Cluster) -> None:
    """ValueError where cells cannot be what it asks for."""
    if cluster.nodes > 1:
        raise ValueError(f"nodes: {cluster.nodes}: a cell of a table runs on one machine", "set it to 1")


class Slurm:
    """Jobs go on when this process ends; the next one finds them by the file `submitted.json` of their cells."""

    def __init__(self, cluster: Cluster, root: Path):
        """`root` is that of the store. ValueError without submitit, or without Slurm."""
        if why := absent(cluster):
            raise ValueError(*why)
        import submitit

        self.cluster, self.folder = cluster, root / "jobs"
        self.executor = submitit.AutoExecutor(
            self.folder / "%j", cluster=cluster.cluster, slurm_max_num_timeout=ENDLESS
        )
        asked = {
            "slurm_partition": cluster.partition,
            "slurm_account": cluster.account,
            "slurm_qos": cluster.qos,
            "slurm_constraint": cluster.constraint,
            "mem_gb": cluster.memory,
        }
        self.executor.update_parameters(
            name="vidops",
            timeout_min=math.ceil(60 * cluster.hours),
            nodes=cluster.nodes,
            tasks_per_node=1,
            gpus_per_node=cluster.gpus,
            cpus_per_task=cluster.cpus,
            slurm_array_parallelism=cluster.parallel,
            **{f"{cluster.cluster}_setup": cluster.setup} if cluster.setup else {},
            **{name: value for name, value in asked.items() if value is not None},
        )

    def submit(self, words: list[str], folder: Path, processes: int) -> str:
        """The number of a job that runs `python -m WORDS` in as many processes on each of its machines.

        ValueError if one that was submitted for this folder waits or runs.
        """
        import submitit

        told = folder / "submitted.json"
        if told.exists() and self.cluster.cluster == "slurm":
            job = submitit.SlurmJob(self.folder / "%j", read_json(told)["job"])
            if not job.done() and job.state != "UNKNOWN":
                raise ValueError(f"job {job.job_id} of {folder} is {job.state.lower()}", "wait for it, or scancel it")
        if processes * self.cluster.nodes == 1:  # no torchrun, whose traceback would stand below what failed
            words, processes = [sys.executable, "-m", *words], 0
        job = self.executor.submit(Work(words, folder / "log.txt", self.cluster.nodes, processes))
        write_json(told, {"job": job.job_id, "cluster": self.cluster.cluster})
        return str(job.job_id)

    def places(self, jobs: int, device: str) -> list[str | None]:
        check_cells(self.cluster)
        return [None] * jobs

    def start(self, commands: list[tuple[list[str], Path, str | None]]) -> list[Job]:
        with self.executor.batch():  # one array
            jobs = [self.executor.submit(Work(words, folder / "log.txt")) for words, folder, _ in commands]
        for job, (_, folder, _) in zip(jobs, commands, strict=True):
            write_json(folder / "submitted.json", {"job": job.job_id, "cluster": self.cluster.cluster})
        return [Submitted(job) for job in jobs]

    def find(self, folder: Path) -> Job | None:
        job = self._earlier.pop(folder.name, None)
        return None if job is None or job.done() or job.state == "UNKNOWN" else Submitted(job)

    @cached_property
    def _earlier(self) -> dict[str, Any]:
        """Jobs of unfinished cells by key; made together, so that submitit asks for all of them at once."""
        import submitit

        jobs = {}
        for path in self.folder.with_name("cells").glob("*/submitted.json"):
            told = read_json(path)
            finished = any((path.parent / result).exists() for result in set(RESULT.values()))
            if told["cluster"] == self.cluster.cluster == "slurm" and not finished:
                jobs[path.parent.name] = submitit.SlurmJob(self.folder / "%j", told["job"])
        return jobs

    def stop(self, jobs: list[Job]) -> None:
        """They go on."""


@dataclass
class Submitted:
    job: Any

    def poll(self) -> int | None:
        """The command's exit code; 1 if the job itself failed or was cancelled."""
        from submitit.core.utils import FailedJobError, UncompletedJobError

        if not self.job.done():
            return None
        try:
            return self.job.result()
        except (FailedJobError, UncompletedJobError):
            return 1


@dataclass
class Work:
    """What a job does. submitit calls `checkpoint` when its time is over or its place is taken.

    With `processes`, torchrun starts as many on each machine; else the words are a command.
    """

    words: list[str]
    log: Path
    nodes: int = 1
    processes: int = 0

    def __call__(self) -> int:
        with open(self.log, "ab") as log:
            env = {**os.environ, **ENVIRONMENT}
            words = [*self._torchrun(), *self.words] if self.processes else self.words
            self.process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env)
            return self.process.wait()

    def _torchrun(self) -> list[str]:
        """Its machines meet at the first one, at a port that hangs on the job."""
        from submitit import JobEnvironment

        job = JobEnvironment()
        number = int(re.sub(r"\D", "", job.job_id) or 0)
        place = f"{job.hostnames[0]}:{20000 + number % 20000}" if self.nodes > 1 else "localhost:0"
        meet = ["--rdzv-backend", "c10d", "--rdzv-endpoint", place, "--rdzv-id", job.job_id]
        count = ["--nnodes", str(self.nodes), "--nproc-per-node", str(self.processes)]
        return [sys.executable, "-m", "torch.distributed.run", *count, *meet, "-m"]

    def checkpoint(self) -> Any:
        """Let the cell save and stop, and put the job into the queue again."""
        from submitit.helpers import DelayedSubmission

        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        return DelayedSubmission(replace(self))
