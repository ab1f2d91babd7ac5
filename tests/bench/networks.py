"""Whole networks with our operators against the same networks whose operators run their textbook form.

Both have the same weights. Only the operators in the slots change form: the rest of the network is ours in both.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from rows import Row, row
from torch import Tensor, nn

from vidops_cli.models import MODELS
from vidops_cli.ops import OPS
from vidops_cli.profiling.latency import Comparison, compare
from vidops_cli.textbook import textbook

TOLERANCE = 1e-4  # of the loss, over max(1, loss)
BAR = "ratio at least 1"
CLASSES = {"resnet_tiny": 4, "resnet50": 174}
CLIPS = {"resnet_tiny": (32, 3, 8, 24, 24), "resnet50": (1, 3, 8, 224, 224)}
PAIRS = {"resnet_tiny": {"fewest": 10, "budget": 2.0}, "resnet50": {"fewest": 6, "budget": 2.0, "limit": 120.0}}
SIFA_BLOCKS = ["res3.1", "res3.3", "res4.1", "res4.3", "res4.5", "res5.1"]
RSA_BLOCKS = ["res2.2", "res3.1", "res3.3", "res4.1", "res4.3", "res4.5", "res5.1"]
SMALL_SELFY = {"hidden": 32, "ext_channels": [2, 4, 16, 16], "int_channels": [16, 16, 16, 16]}

Spec = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A network and the operators in its slots, placed as in their papers or as small as in the quickstart."""

    network: str
    ops: list[Spec] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.network} + {' + '.join(spec['op'] for spec in self.ops)}"


CASES = [
    Case("resnet_tiny", [{"op": "rsa"}]),
    Case(
        "resnet_tiny",
        [{"op": "tsm"}, {"op": "motion_squeeze", "at": "res2", "options": {"reduced": 32, "max_displacement": 4}}],
    ),
    Case("resnet_tiny", [{"op": "tsm"}, {"op": "selfy", "at": "res2", "options": SMALL_SELFY}]),
    Case("resnet_tiny", [{"op": "sifa", "slot": "block_output"}]),
    Case("resnet50", [{"op": "rsa", "at": RSA_BLOCKS}]),
    Case("resnet50", [{"op": "tsm"}, {"op": "motion_squeeze", "at": "res3"}]),
    Case("resnet50", [{"op": "tsm"}, {"op": "selfy", "at": "res3"}]),
    Case("resnet50", [{"op": "sifa", "at": SIFA_BLOCKS}]),
]


def measure(cases: list[Case] = CASES) -> Iterator[Row]:
    for case in cases:
        for task, forms in {"training": training, "inference": inference}.items():
            yield measured(case, task, forms)


def measured(case: Case, task: str, form: Callable[[nn.Module, Tensor, Tensor], Callable[[], float]]) -> Row:
    """One row: clips/s of both forms and their ratio, or why there is none."""
    name = f"{case.name}, {task}"
    torch.manual_seed(0)
    ours = MODELS[case.network].build(classes=CLASSES[case.network], ops=case.ops)
    clips = torch.randn(CLIPS[case.network])
    labels = torch.arange(len(clips)) % CLASSES[case.network]
    waken(ours)
    settle(ours, clips)
    try:
        book = in_textbook_form(ours, {spec["op"] for spec in case.ops})
        runs = [form(network, clips, labels) for network in (ours, book)]
        first, second = (run() for run in runs)
    except (ImportError, AttributeError, ValueError, RuntimeError) as error:
        return row("networks", name, "x", bar=BAR, passed=False, note=f"{type(error).__name__}: {error}")
    if not abs(first - second) <= TOLERANCE * max(1.0, abs(second)):
        return row("networks", name, "x", bar=BAR, passed=False, note=f"losses differ: {first:.6g}, {second:.6g}")
    told = compare(*runs, torch.device("cpu"), **PAIRS[case.network])
    return judged(name, told, len(clips))


def judged(name: str, told: Comparison, clips: int) -> Row:
    """Passed, unless the interval lies wholly below 1."""
    ours, book = (1e3 * clips / side.median for side in (told.a, told.b))
    flags = ", ".join(sorted({*told.a.flags, *told.b.flags}))
    return row(
        "networks",
        name,
        "x",
        told.speedup,
        low=told.low,
        high=told.high,
        n=told.pairs,
        how="95 %",
        bar=BAR,
        passed=(told.speedup if told.high is None else told.high) >= 1,
        note=f"{ours:.3g} against {book:.3g} clips/s" + (f" ({flags})" if flags else ""),
        clips_per_s=ours,
        textbook_clips_per_s=book,
    )


def in_textbook_form(network: nn.Module, names: set[str]) -> nn.Module:
    """A copy of the network in which these operators run the published algorithm on their own parameters."""
    twin = copy.deepcopy(network)
    changed = set()
    for name in names:
        for op in [module for module in twin.modules() if type(module) is OPS[name].load()]:
            op.forward = partial(textbook(name), op)
            changed.add(name)
    assert changed == names
    return twin


def waken(network: nn.Module) -> None:
    """Fill what starts at zero: a branch that adds nothing would hide a wrong operator from the loss."""
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)


def settle(network: nn.Module, clips: Tensor) -> None:
    """Give batch norms the statistics of these clips, so that inference sees maps of a usual size."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(clips)
    for norm in norms:
        norm.momentum = 0.1


def training(network: nn.Module, clips: Tensor, labels: Tensor) -> Callable[[], float]:
    """A training step: forward, loss, backward, SGD; returns the loss."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)

    def step() -> float:
        network.train()
        loss = F.cross_entropy(network(clips), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def inference(network: nn.Module, clips: Tensor, labels: Tensor) -> Callable[[], float]:
    """A forward pass in eval mode; returns the loss."""

    def run() -> float:
        network.eval()
        with torch.no_grad():
            loss = F.cross_entropy(network(clips), labels).item()
        assert math.isfinite(loss)
        return loss

    return run
