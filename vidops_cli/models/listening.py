"""What parts of a network say in a forward pass beside its logits, for losses that need it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from vidops_cli.ops.integral_action import IntegralAction
from vidops_cli.ops.score_average import ScoreAverage

from .sifa_net import SIFANet


@dataclass(frozen=True)
class Said:
    """What parts of a network say beside its logits: gates (B, features, T), before the sigmoid, and the logits
    (B, classes) of streams whose scores are averaged, which learn each from its own loss."""

    gates: list[Tensor]
    streams: list[Tensor]


@contextmanager
def listening(network: nn.Module) -> Iterator[Said]:
    """Fills a Said as the network runs."""
    said, hooks = Said([], []), []
    for part in network.modules():
        if isinstance(part, IntegralAction) and part.source != "none":
            hooks.append(part.gate_conv.register_forward_hook(lambda _, x, y: said.gates.append(y)))
        if isinstance(part, ScoreAverage):
            for fc in (part.rgb_fc, part.pose_fc):
                hooks.append(fc.register_forward_hook(lambda _, x, y: said.streams.append(y.mean(1))))
        if isinstance(part, SIFANet):
            for fc in (part.fc, part.fc_dual):
                hooks.append(fc.register_forward_hook(lambda _, x, y: said.streams.append(y)))
    try:
        yield said
    finally:
        for hook in hooks:
            hook.remove()
