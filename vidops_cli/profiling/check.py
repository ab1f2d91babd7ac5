"""Is the form that is timed right? It is held against the published algorithm in float64, output and gradients.

Where the reference would take too long or too much memory, 64 random output positions are computed exactly, and three
derivatives along random directions are compared with differences of the operator's own float64 output.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor, nn

from vidops_cli.ops import OPS, Card
from vidops_cli.textbook import module_of

from .counter import Counter, on_meta

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 5e-2, torch.float16: 1e-2}
ROUNDING = 4  # an error may be this many times what the textbook form itself rounds
SECONDS, BYTES = 2.0, 2**31  # the most that a reference may take
SPEED = {"cpu": (1e10, 2e9), "cuda": (1e13, 5e11)}  # float64 operations and bytes written in a second, about
POSITIONS, DIRECTIONS, STEP = 64, 3, 1e-9

Form = Callable[..., Tensor]


@dataclass(frozen=True)
class Checked:
    """Largest error, what it was taken over, and whether each is small enough."""

    error: float
    how: str
    passed: bool


def check(card: Card, op: nn.Module, timed: Form, inputs: list[Tensor]) -> Checked:
    """Compare `timed(*inputs)`, a form of `op`, with the textbook form of `op` in float64.

    An error is max |a - b| / max(1, max |b|), b the reference. In half precision it is |a - b| / |b| of the output, and
    of all gradients together: a ReLU that rounding turns over makes single elements wrong by their whole value, and a
    sum that cancels a whole gradient. An error may reach the tolerance, or a few times what the textbook form itself
    rounds in this dtype, and never ten tolerances. A module that is not ours is held against itself in float64.
    """
    exact, true_inputs = copy.deepcopy(op).double(), [x.double() if x.is_floating_point() else x for x in inputs]
    book = module_of(card.name) if OPS.get(card.name) is card else None
    if book and _too_large(book, exact, true_inputs):
        found = _at_random(book, exact, true_inputs)
        if found is not None:
            return _in_part(exact, results(timed, op, inputs), true_inputs, *found)

    def published(parameters: nn.Module) -> Form:
        return (lambda *parts: book.forward(parameters, *parts)) if book else parameters

    true = results(published(exact), exact, true_inputs)
    ours = _errors(results(timed, op, inputs), true)
    tolerance = TOLERANCE[inputs[0].dtype]
    passed = bool((ours <= tolerance).all())
    if not passed and book:
        rounding = _errors(results(published(op), op, inputs), true)
        passed = bool((ours <= (ROUNDING * rounding).clamp(tolerance, 10 * tolerance)).all())
    return Checked(ours.max().item(), "all positions" if book else "itself in float64", passed)


def results(form: Form, op: nn.Module, inputs: list[Tensor]) -> list[Tensor]:
    """Output, and gradients of a fixed weighted sum of it to the inputs and all parameters."""
    leaves = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in inputs]
    y = form(*leaves)
    wanted = [x for x in (*leaves, *op.parameters()) if x.requires_grad]
    if not (wanted and y.requires_grad):
        return [y]
    grads = torch.autograd.grad(y, wanted, _weights(y), allow_unused=True)
    return [y, *(torch.zeros_like(x) if grad is None else grad for x, grad in zip(wanted, grads, strict=True))]


def _weights(y: Tensor) -> Tensor:
    """Of each number of the output, at random, so that no error of a gradient cancels."""
    return torch.randn(y.shape, generator=torch.Generator().manual_seed(2)).to(y.device, y.dtype)


def _errors(found: list[Tensor], true: list[Tensor]) -> Tensor:
    """Of each result; in half precision of the output, and of all gradients taken together."""
    if found[0].dtype in (torch.float16, torch.bfloat16):
        parts = [(found[:1], true[:1]), (found[1:], true[1:])] if len(found) > 1 else [(found, true)]
        joined = [[torch.cat([x.double().flatten() for x in side]) for side in part] for part in parts]
        errors = [(a - b).norm() / b.norm().clamp(min=1e-12) for a, b in joined]
    else:
        errors = [(a - b).abs().max() / b.abs().max().clamp(min=1) for a, b in zip(found, true, strict=True)]
    return torch.stack([error.detach().double() for error in errors]).nan_to_num(torch.inf)


def _too_large(book: ModuleType, exact: nn.Module, inputs: list[Tensor]) -> bool:
    """From the operations and bytes of the reference, counted on shapes alone; with its gradients about three times."""
    meta, shapes = on_meta(exact, inputs)
    mode = Counter()
    with torch.no_grad(), mode:
        book.forward(meta, *shapes)
    flops, written = SPEED[inputs[0].device.type]
    return 3 * (mode.cost.flops / flops + mode.written / written) > SECONDS or mode.written > BYTES


@torch.no_grad()
def _at_random(book: ModuleType, exact: nn.Module, inputs: list[Tensor]) -> tuple[Tensor, Tensor] | None:
    """Random positions (3, P) in time, height and width, and the reference there, (B, C, P).

    From their rows of the N x N map, or from crops around them. None where that would be no less than the whole map.
    """
    T, H, W = inputs[0].shape[2:]
    meta, shapes = on_meta(exact, inputs)
    if meta(*shapes).shape[2:] != inputs[0].shape[2:]:
        return None  # a stride: positions of the output are not those of the input
    draw = torch.Generator().manual_seed(0)
    if hasattr(book, "at"):
        t, h, w = sites = torch.stack([torch.randint(size, (POSITIONS,), generator=draw) for size in (T, H, W)])
        return sites, book.at(exact, *inputs, positions=((t * H + h) * W + w).to(inputs[0].device))
    if not hasattr(book, "reach"):
        return None
    reach, places = book.reach(exact, *inputs), -(-POSITIONS // T)  # a crop holds all frames of its places
    for side in range(1, math.isqrt(places - 1) + 2):  # scattered places; blocks of them where crops would overlap
        blocks, crop = -(-places // side**2), 2 * reach + side + 1
        if blocks * min(crop, H) * min(crop, W) <= H * W / 2:
            corners = torch.stack([torch.randint(max(1, n - side + 1), (blocks,), generator=draw) for n in (H, W)], 1)
            found = [_block(book, exact, inputs, top, left, side, reach) for top, left in corners.tolist()]
            sites, values = (torch.cat(parts, -1)[..., :POSITIONS] for parts in zip(*found, strict=True))
            return sites, values
    return None


def _block(
    book: ModuleType, exact: nn.Module, inputs: list[Tensor], top: int, left: int, side: int, reach: int
) -> tuple[Tensor, Tensor]:
    """All frames of side x side places, and the reference there, from a crop that holds all they depend on."""
    T, H, W = inputs[0].shape[2:]
    bottom, right = min(H, top + side), min(W, left + side)
    above, before = (max(0, place - reach) // 2 * 2 for place in (top, left))  # even, for operators of half the size
    crop = [x[..., above : bottom + reach, before : right + reach] for x in inputs]
    y = book.forward(exact, *crop)[..., top - above : bottom - above, left - before : right - before]
    sites = torch.cartesian_prod(torch.arange(T), torch.arange(top, bottom), torch.arange(left, right))
    return sites.T, y.flatten(2)


def _in_part(
    exact: nn.Module, found: list[Tensor], true_inputs: list[Tensor], sites: Tensor, values: Tensor
) -> Checked:
    """Output at positions against the reference, gradients along random directions against differences."""
    t, h, w = sites.to(values.device)
    errors = [_errors([found[0][:, :, t, h, w]], [values])]
    leaves = [*true_inputs, *exact.parameters()]
    draw = torch.Generator().manual_seed(1)
    pairs = []
    for _ in range(DIRECTIONS):
        direction = [torch.randn(x.shape, generator=draw, dtype=x.dtype).to(x.device) for x in leaves]
        ahead, behind = (_moved(exact, true_inputs, direction, step) for step in (STEP, -STEP))
        along = sum((g.double() * v).sum() for g, v in zip(found[1:], direction, strict=True))
        pairs.append((along, (ahead - behind) / (2 * STEP)))
    along, true = (torch.stack(side) for side in zip(*pairs, strict=True))
    errors.append(((along - true).abs() / true.abs().max().clamp(min=1)).nan_to_num(torch.inf))
    worst = torch.cat([part.flatten() for part in errors]).max().item()
    how = f"{len(t)} positions, {DIRECTIONS} directions"
    return Checked(worst, how, worst <= TOLERANCE[found[0].dtype])


@torch.no_grad()
def _moved(exact: nn.Module, inputs: list[Tensor], direction: list[Tensor], step: float) -> Tensor:
    """The weighted sum of the output, all inputs and parameters moved by `step` along a direction."""
    there = copy.deepcopy(exact)
    moved = [x + step * v for x, v in zip(inputs, direction[: len(inputs)], strict=True)]
    for parameter, v in zip(there.parameters(), direction[len(inputs) :], strict=True):
        parameter.add_(v, alpha=step)
    y = there(*moved)
    return (y * _weights(y)).sum()
