"""fvcore's trace of a module in evaluation mode, with handles of one's own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn

from .counter import eager, opened_functions


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every part is in the mode that it was in."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes.items():
            part.training = training


def traced(module: nn.Module, inputs: Sequence[Tensor], handles: Mapping[str, Callable]) -> FlopCountAnalysis:
    """The finished analysis of `module(*inputs)`: a handle takes a node's inputs and outputs and returns a Counter."""
    with warnings.catch_warnings(), evaluating(module), eager(), opened_functions():
        warnings.simplefilter("ignore")  # torch.jit.trace, on which fvcore stands, is deprecated
        analysis = FlopCountAnalysis(module, tuple(inputs)).tracer_warnings("none")
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).set_op_handle(**handles)
        analysis.by_operator()  # traces now, not when it is read
    return analysis
