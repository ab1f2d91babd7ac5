"""What a module costs, counted in up to three ways that share only the prices of single operations.

An operator's own formula says it (`op.cost`). fvcore counts a trace of the published algorithm with our handles. A
dispatch counter that knows aten alone counts that algorithm while it runs. An operation that a counter has no price for
is named in `uncounted`, never taken as zero. `flops_executed` is counted on the form that is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

from torch import Tensor, nn

from vidops_cli.ops.cost import Cost

from .counter import Counted, count_backward, count_forward, on_meta
from .handles import HANDLES
from .traced import as_published, evaluating, traced


@dataclass(frozen=True)
class Count:
    """Operations of one forward pass, as fvcore counts them. Counts, not thousands or millions."""

    params: int
    macs: int
    other_flops: int
    uncounted: tuple[str, ...]

    @property
    def flops(self) -> int:
        return 2 * self.macs + self.other_flops


def count(module: nn.Module, *inputs: Tensor) -> Count:
    """Operations of `module(*inputs)` in evaluation mode; of our operators, those of the published algorithm."""
    with as_published(module):
        found = traced(module, inputs, HANDLES)
    by_operator = found.by_operator()
    params = sum(p.numel() for p in module.parameters())
    uncounted = tuple(sorted(found.unsupported_ops()))
    return Count(params, round(by_operator["macs"]), round(by_operator["other"]), uncounted)


def count_shapes(module: nn.Module, *inputs: Tensor) -> Cost:
    """As `count`, of shapes alone: a module and inputs on the meta device, which fvcore cannot trace."""
    with as_published(module), evaluating(module):
        return count_forward(module, *inputs).cost


def costs(
    op: nn.Module, inputs: list[Tensor], published: Callable | None, itemsize: int, *, backward: bool = True
) -> dict[str, Any]:
    """The counts of a profile row, of one forward pass and of the backward pass alone.

    `published`: the published algorithm as a function of (op, *inputs). None: a module that is not ours, which has no
    formula; the dispatch counter sees all of it and gives its numbers. `itemsize`: bytes of a number, for the bytes
    that any form has to move: inputs, parameters and buffers read once, the output written once.
    """
    shapes_op, shapes = _countable(op, inputs, backward)
    form = partial(published, shapes_op) if published else shapes_op
    aten, executed = count_forward(form, *shapes), count_forward(shapes_op, *shapes, opened=True)
    back = _backward(form, shapes_op, shapes) if backward else None
    fvcore = _fvcore(shapes_op, shapes) or _fvcore(op, inputs)
    told = op.cost(*(tuple(x.shape) for x in inputs)) if published else aten.cost
    uncounted = {*aten.uncounted, *(executed.uncounted if published else ()), *(back.uncounted if back else ())}
    if published and fvcore:
        uncounted |= set(fvcore.uncounted)
    complete = [told, aten.cost] + ([fvcore] if fvcore and not fvcore.uncounted else [])
    read = [*inputs, *op.parameters(), *op.buffers()]
    moved = sum(itemsize * x.numel() if x.is_floating_point() else x.nbytes for x in read)
    return {
        "params": sum(p.numel() for p in op.parameters()),
        "macs": round(told.macs),
        "other_flops": round(told.other_flops),
        "flops": round(told.flops),
        "flops_executed": round(executed.cost.flops),
        "macs_bwd": round(back.cost.macs) if back else None,
        "flops_bwd": round(back.cost.flops) if back else None,
        "bytes_min": moved + itemsize * executed.outputs,
        "macs_fvcore": fvcore.macs if fvcore else None,
        "flops_fvcore": fvcore.flops if fvcore else None,
        "macs_aten": round(aten.cost.macs),
        "flops_aten": round(aten.cost.flops),
        "cost_gap": max(gap(a, b) for a, b in combinations(complete, 2)) if fvcore and len(complete) == 3 else None,
        "cost_from": "formula" if published else "aten",
        "uncounted": sorted(uncounted),
    }


def _backward(form: Callable, op: nn.Module, inputs: list[Tensor]) -> Counted:
    """Of the backward pass; where there is none it costs nothing, and that is said."""
    try:
        return count_backward(form, list(op.parameters()), *inputs)
    except RuntimeError as error:
        return Counted(Cost(), (f"backward ({' '.join(str(error).split())[:60]})",))


def gap(a: Any, b: Any) -> float:
    """Largest relative difference of two counts, in macs and in other operations."""
    pairs = [(a.macs, b.macs), (a.other_flops, b.other_flops)]
    return max(abs(x - y) / max(x, y) if x != y else 0.0 for x, y in pairs)


def _countable(op: nn.Module, inputs: list[Tensor], backward: bool) -> tuple[nn.Module, list[Tensor]]:
    """Shapes alone where the module runs on them; else the tensors themselves, as where it reads a value."""
    try:
        meta, shapes = on_meta(op, inputs)
        count_forward(meta, *shapes)
        if backward:
            count_backward(meta, list(meta.parameters()), *shapes)
    except Exception:  # a user's module may raise anything
        return op, inputs
    return meta, shapes


def _fvcore(op: nn.Module, inputs: list[Tensor]) -> Count | None:
    """fvcore's count; None where it cannot trace: convolutions of shapes alone, too little memory, a user's module."""
    try:
        return count(op, *inputs)
    except Exception:
        return None
