"""Operations of a module, counted by fvcore, with handles for all that it does not see.

`macs` are multiply-adds of convolution, linear, matmul, attention, correlation and aggregation (what papers print);
`other_flops` is all else, a real FFT as 2.5 N log2 N; `flops` = 2 macs + other_flops. An operation that no handle knows
is named in `uncounted`, never taken as zero. Our primitives count as their published algorithm does; `flops_executed`
counts what the form that ran really does.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from .handles import HANDLES


@dataclass(frozen=True)
class Cost:
    """Operations of one forward pass. Counts, not thousands or millions."""

    params: int
    macs: int
    other_flops: int
    uncounted: tuple[str, ...]

    @property
    def flops(self) -> int:
        return 2 * self.macs + self.other_flops


def count(module: nn.Module, *inputs: torch.Tensor) -> Cost:
    """Operations of `module(*inputs)` in evaluation mode."""
    training = module.training
    module.eval()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch.jit.trace, on which fvcore stands, is deprecated
            analysis = (
                FlopCountAnalysis(module, inputs).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            )
            analysis.tracer_warnings("none").set_op_handle(**HANDLES)
            found = analysis.by_operator()
            uncounted = analysis.unsupported_ops()
    finally:
        module.train(training)
    params = sum(p.numel() for p in module.parameters())
    return Cost(params, round(found["macs"]), round(found["other"]), tuple(sorted(uncounted)))
