"""fvcore's trace of a module in evaluation mode, with handles of one's own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn

from vidops_cli import ops
from vidops_cli.own import OwnCard
from vidops_cli.own.source import one_line
from vidops_cli.textbook import published

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


@contextmanager
def as_published(module: nn.Module) -> Iterator[None]:
    """Runs the operators of ours that the module holds as the published algorithm, whatever their own form is."""
    kept = [(part, vars(part).get("forward")) for part in module.modules() if operator_of(part)]
    for part, bound in kept:
        keywords = bound.keywords if isinstance(bound, partial) else {}
        part.forward = partial(published(operator_of(part)), part, **keywords)
    try:
        yield
    finally:
        for part, bound in kept:
            del part.forward
            if bound:
                part.forward = bound


def operator_of(part: nn.Module) -> str | None:
    """The name of an operator of the zoo; None of any other module."""
    home, _, name = type(part).__module__.rpartition(".")
    return name if home == ops.__name__ and name in ops.OPS and ops.OPS[name].cls == type(part).__name__ else None


def try_out(card: OwnCard, op: nn.Module, inputs: Sequence[Tensor]) -> None:
    """One forward pass. ValueError if the module refuses its inputs, or gives something else than one tensor."""
    shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
    try:
        with evaluating(op):
            y = op(*inputs)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        told = " ".join(f'"{told.shape}"' for told in card.inputs)
        raise ValueError(
            f"{card.name} refuses {shapes}: {one_line(error)}",
            f'its inputs were taken to be {told}: say --input for each, as in --input "B C H W", or --channels',
        ) from error
    if not isinstance(y, Tensor) or not y.is_floating_point():
        raise ValueError(f"{card.name} gives {type(y).__name__}, not one tensor of numbers", "wrap it in a module")


def traced(module: nn.Module, inputs: Sequence[Tensor], handles: Mapping[str, Callable]) -> FlopCountAnalysis:
    """The finished analysis of `module(*inputs)`: a handle takes a node's inputs and outputs and returns a Counter."""
    with warnings.catch_warnings(), evaluating(module), eager(), opened_functions():
        warnings.simplefilter("ignore")  # torch.jit.trace, on which fvcore stands, is deprecated
        analysis = FlopCountAnalysis(module, tuple(inputs)).tracer_warnings("none")
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).set_op_handle(**handles)
        analysis.by_operator()  # traces now, not when it is read
    return analysis
