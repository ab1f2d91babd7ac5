"""Processes that train one network together, by torch.distributed: one for each GPU, or several on a CPU.

torchrun, submitit or `vidops train --nproc` starts them, and tells each its place by RANK, LOCAL_RANK and WORLD_SIZE.
A batch of the recipe is that of all of them: each takes its part, and gradients are averaged by the clips that they are
of (`DistributedDataParallel`), so that the number of processes changes nothing but the statistics of batch norms, which
are of a part unless `train.batch_norm` is sync.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

Item = TypeVar("Item")
PATIENCE = timedelta(hours=12)  # one decodes a data set while others wait; who dies is noticed by what started it


@dataclass(frozen=True)
class Group:
    """This process among those of the run. Each method but `device` and `part` is to be called by all of them."""

    rank: int = 0
    size: int = 1
    local: int = 0
    """its number on this machine"""
    told: Any = None
    """carries objects and numbers, on the CPU"""

    @property
    def first(self) -> bool:
        """Whether it is the one that writes and shows."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The device of this process, of what the command names. ValueError if there are too few."""
        if self.size == 1 or name not in ("auto", "cuda"):
            if self.size > 1 and name.startswith("cuda"):
                raise ValueError(f"--device {name}: {self.size} processes have a GPU each", "--device cuda")
            return name
        if name == "auto" and not torch.cuda.is_available():
            return "cpu"
        if self.local >= (seen := torch.cuda.device_count()):
            told = f"{self.local + 1} processes on this machine, and {seen} CUDA devices can be seen"
            raise ValueError(told, f"at most --nproc {seen}" if seen else "--device cpu")
        return f"cuda:{self.local}"

    def part(self, keys: Sequence[Item], batch: int) -> list[Item]:
        """Its part of each batch of keys, one after the other; of the last one maybe none."""
        mine: list[Item] = []
        for start in range(0, len(keys), batch):
            whole = keys[start : start + batch]
            ends = [-(-len(whole) * rank // self.size) for rank in (self.rank, self.rank + 1)]
            mine += whole[ends[0] : ends[1]]
        return mine

    def gather(self, thing: Item) -> list[Item]:
        """That of each process, in their order."""
        if self.size == 1:
            return [thing]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, thing, group=self.told)
        return found

    def sum(self, *numbers: float) -> list[float]:
        """Of each number the sum over processes."""
        if self.size == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(total, group=self.told)
        return total.tolist()

    def average(self, *tensors: torch.Tensor) -> None:
        """Each becomes the mean over processes."""
        for tensor in tensors if self.size > 1 else ():
            dist.all_reduce(tensor)
            tensor /= self.size

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first process goes through the body, then all others do."""
        if not self.first:
            self.gather(None)
        yield
        if self.first:
            self.gather(None)

    def wrapped(self, model: nn.Module) -> nn.Module:
        """The network whose gradients are averaged over processes; its weights and buffers are the first one's."""
        if self.size == 1:
            return model
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")  # of 1 x 1 kernels: the same
        return DistributedDataParallel(model)

    def same_buffers(self, model: nn.Module) -> None:
        """Running statistics are the first process's, which are those of its parts of the batches."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def seed(self, seed: int) -> None:
        """Random numbers of its own, as for dropout; the first process goes on as one alone."""
        if not self.first:
            torch.manual_seed(int(np.random.default_rng([seed, self.rank]).integers(2**63)))


ALONE = Group()


def _end_with_parent() -> None:
    """Who is started by torchrun's agent is asked to leave when that is killed, where the system can do so."""
    if sys.platform == "linux" and "TORCHELASTIC_RUN_ID" in os.environ:
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


@contextmanager
def group(device: str = "auto") -> Iterator[Group]:
    """This process among those that the environment tells of; alone, if it tells of none. ValueError if it is unclear,
    ConnectionError in the body where another process has ended.

    Gradients go by NCCL between GPUs, all else by Gloo.
    """
    told = {name: os.environ.get(name, "") for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
    if told["WORLD_SIZE"] in ("", "1"):
        yield ALONE
        return
    if lacking := [name for name, value in told.items() if not value.isdigit()]:
        hint = "start it by torchrun, --nproc or --launcher slurm, or unset WORLD_SIZE"
        raise ValueError(f"WORLD_SIZE={told['WORLD_SIZE']}, and {lacking[0]} is not told", hint)
    _end_with_parent()
    found = Group(*(int(told[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    on_gpu = found.device(device).startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(found.local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)
    try:
        yield Group(found.rank, found.size, found.local, dist.new_group(backend="gloo", timeout=PATIENCE))
    except RuntimeError as error:
        if any(word in str(error) for word in ("gloo", "NCCL", "Connection")):
            raise ConnectionError("another process of the run has ended") from None
        raise
    dist.destroy_process_group()  # not after an error: others may wait in a collective for ever
