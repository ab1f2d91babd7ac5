"""Is the form that is timed right? It is held against the published algorithm in float64, output and gradients.

Where the reference would take too long or too much memory, 64 random output positions of the operator's own float64
form are held against it, the timed output against that form everywhere, and three derivatives along random directions
against differences of it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from vidops_cli.ops import Card
from vidops_cli.own import OwnCard
from vidops_cli.textbook import module_of

from .counter import Counter, on_meta

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 5e-2, torch.float16: 1e-2}
HALF = (torch.bfloat16, torch.float16)
EXACT = 1e-8  # two float64 forms differ by no more
ROUNDING = 4  # an error may be this many times what the textbook form itself rounds
KINKS = 1e-2  # share of the norm that rounding may move where a maximum or a floor jumps
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


def check(card: Card, op: nn.Module, timed: Form, inputs: list[Tensor], **call: Any) -> Checked:
    """Compare `timed(*inputs)`, a form of `op`, with the textbook form of `op` in float64, with gradients and without.

    An error is max |a - b| / max(1, max |b|), b the reference; in half precision |a - b| / |b| for each result. It may
    reach the tolerance, or a few times what the textbook form itself rounds in this dtype, and never ten (half
    precision: three) tolerances. Two exceptions, both only where rounding explains it: in half precision a gradient
    that the textbook form too gets wrong is judged together with all others; in float32, where an operator jumps (a
    floor, a maximum), single elements of the output (0.1 %) and of the gradients to inputs (1 %) may be wrong if its
    own float64 form equals the reference and 99 % of the norms are right; `how` then says so. A module that is not ours
    is held against itself in float64. `call`: keywords that the textbook form takes beside the inputs, as shots; `op`
    and `timed` have them already.
    """
    exact, true_inputs = copy.deepcopy(op).double(), [x.double() if x.is_floating_point() else x for x in inputs]
    book = None if isinstance(card, OwnCard) else module_of(card.name)
    if book and _too_large(book, exact, true_inputs, **call):
        part = _at_random(book, exact, true_inputs)
        if part is not None:
            return _in_part(exact, _run(timed, op, inputs), true_inputs, *part)

    def published(parameters: nn.Module) -> Form:
        return partial(book.forward, parameters, **call) if book else parameters

    true = _run(published(exact), exact, true_inputs)
    found = _run(timed, op, inputs)
    worst, passed = _judged(
        found,
        true,
        inputs=len(inputs),
        rounded=lambda: _run(published(op), op, inputs) if book else None,
        doubled=lambda: _run(exact, exact, true_inputs) if book else None,
    )
    how = "all positions" if book else "itself in float64"
    return Checked(worst, _told(how, worst, passed, found[0]), passed)


def _told(how: str, worst: float, passed: bool, y: Tensor) -> str:
    jumps = passed and y.dtype == torch.float32 and worst > 10 * TOLERANCE[torch.float32]
    return f"{how}, equal in float64" if jumps else how


def _run(form: Form, op: nn.Module, inputs: list[Tensor]) -> list[Tensor]:
    """Output as it is timed, without gradients; output; gradients of a weighted sum to inputs and parameters."""
    with torch.no_grad():
        alone = form(*inputs)
    leaves = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in inputs]
    y = form(*leaves)
    wanted = [x for x in (*leaves, *op.parameters()) if x.requires_grad]
    if not y.requires_grad:
        return [alone, y]
    grads = torch.autograd.grad(y, wanted, _weights(y), allow_unused=True)
    return [alone, y.detach(), *(torch.zeros_like(x) if g is None else g for x, g in zip(wanted, grads, strict=True))]


def _weights(y: Tensor) -> Tensor:
    """Of each number of the output, at random, so that no error of a gradient cancels."""
    return torch.randn(y.shape, generator=torch.Generator().manual_seed(2)).to(y.device, y.dtype)


def _judged(
    found: list[Tensor],
    true: list[Tensor],
    *,
    inputs: int,
    rounded: Callable[[], list[Tensor] | None],
    doubled: Callable[[], list[Tensor] | None],
) -> tuple[float, bool]:
    """Largest error, and whether each is allowed.

    `rounded` gives the textbook form in this dtype, None if there is none; `doubled` the operator itself in float64.
    """
    if [x.shape for x in found] != [x.shape for x in true]:
        return math.inf, False
    tolerance, half = TOLERANCE[found[0].dtype], found[0].dtype in HALF
    errors = _errors(found, true)
    worst = errors.max().item()
    if (errors <= tolerance).all():
        return worst, True
    if (book := rounded()) is None:
        return worst, False
    rounding = _errors(book, true)
    allowed = (ROUNDING * rounding).clamp(tolerance, (3 if half else 10) * tolerance)
    if half:
        judged = (rounding <= tolerance) | (torch.arange(len(errors)) < 2)
        worst = max(errors[judged].max().item(), _norm(found[2:], true[2:]))
        return worst, bool((errors <= allowed)[judged].all()) and _norm(found[2:], true[2:]) <= tolerance
    if (errors <= allowed).all():
        return worst, True
    return worst, (_errors(doubled(), true) <= EXACT).all().item() and _jumps(found, true, inputs)


def _errors(found: list[Tensor], true: list[Tensor]) -> Tensor:
    def error(a: Tensor, b: Tensor) -> Tensor:
        if a.shape != b.shape:
            return torch.tensor(torch.inf)
        if not a.numel():
            return torch.tensor(0.0)
        if a.dtype in HALF:
            return (a - b).norm() / b.norm().clamp(min=1e-12)
        return (a - b).abs().max() / b.abs().max().clamp(min=1)

    return torch.stack([error(a, b).double().cpu() for a, b in zip(found, true, strict=True)]).nan_to_num(torch.inf)


def _norm(found: list[Tensor], true: list[Tensor]) -> float:
    """|a - b| / |b| of all tensors together."""
    apart = sum((a - b).double().square().sum() for a, b in zip(found, true, strict=True))
    return math.sqrt(apart / sum(b.double().square().sum() for b in true)) if true else 0.0


def _jumps(found: list[Tensor], true: list[Tensor], inputs: int) -> bool:
    """Whether only single elements of outputs and of gradients to inputs are wrong, and little of the whole norm."""
    pairs = list(zip(found, true, strict=True))
    shares = [
        ((a - b).abs() <= TOLERANCE[torch.float32] * b.abs().max().clamp(min=1)).double().mean().item()
        for a, b in pairs[: 2 + inputs]
    ]
    few = all(share >= (0.999 if i < 2 else 0.99) for i, share in enumerate(shares))
    return few and all(_norm(*map(list, zip(*part, strict=True))) <= KINKS for part in (pairs[:2], pairs[2:]) if part)


# --- where the reference is too large ---------------------------------------------------------------------------------


def _too_large(book: ModuleType, exact: nn.Module, inputs: list[Tensor], **call: Any) -> bool:
    """From the operations and bytes of the reference, counted on shapes alone; with its gradients about three times."""
    meta, shapes = on_meta(exact, inputs)
    mode = Counter()
    with torch.no_grad(), mode:
        book.forward(meta, *shapes, **call)
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
    """Float64 form against the reference at positions; the output against that form; gradients against differences."""
    how = f"{sites.shape[1]} positions, {DIRECTIONS} directions"
    tolerance = TOLERANCE[found[0].dtype]
    with torch.no_grad():
        y = exact(*true_inputs)
    t, h, w = sites.to(values.device)
    if len(found) < 3 or found[0].shape != y.shape or not (_errors([y[:, :, t, h, w]], [values]) <= EXACT).all():
        return Checked(_errors([y[:, :, t, h, w]], [values]).item(), how, False)
    errors = _errors(found[:2], [y, y])
    slopes, scale = _slopes(exact, true_inputs), max(1.0, _size(found[2:]))
    apart = ((_along(exact, true_inputs, found[2:]) - slopes).abs() / scale).max().nan_to_num(torch.inf).item()
    worst = max(errors.max().item(), apart)
    passed = worst <= tolerance
    if not passed and found[0].dtype == torch.float32:
        doubled = _run(exact, exact, true_inputs)
        along = _along(exact, true_inputs, doubled[2:])
        smaller = (_slopes(exact, true_inputs, step) for step in (STEP, STEP / 50))  # a difference may span a jump
        fits = any(((along - slopes).abs() <= tolerance * scale).all() for slopes in smaller)
        passed = fits and _jumps(found, doubled, len(true_inputs))
    return Checked(worst, _told(how, worst, passed, found[0]), passed)


def _size(gradients: list[Tensor]) -> float:
    return math.sqrt(sum(g.double().square().sum().item() for g in gradients))


def _directions(exact: nn.Module, inputs: list[Tensor]) -> list[list[Tensor]]:
    """Random directions of the space of inputs and parameters, each number of them of size 1."""
    draw = torch.Generator().manual_seed(1)
    leaves = [*inputs, *exact.parameters()]
    return [
        [torch.randn(x.shape, generator=draw, dtype=x.dtype).to(x.device) for x in leaves] for _ in range(DIRECTIONS)
    ]


def _along(exact: nn.Module, inputs: list[Tensor], gradients: list[Tensor]) -> Tensor:
    """Derivatives along the directions, as gradients tell them."""
    return torch.tensor(
        [
            sum((g.double() * v).sum().item() for g, v in zip(gradients, direction, strict=True))
            for direction in _directions(exact, inputs)
        ],
        dtype=torch.float64,
    )


def _slopes(exact: nn.Module, inputs: list[Tensor], step: float = STEP) -> Tensor:
    """Derivatives along the directions, from differences of the weighted sum of the output."""
    return torch.tensor(
        [
            (_moved(exact, inputs, direction, step) - _moved(exact, inputs, direction, -step)).item() / (2 * step)
            for direction in _directions(exact, inputs)
        ],
        dtype=torch.float64,
    )


@torch.no_grad()
def _moved(exact: nn.Module, inputs: list[Tensor], direction: list[Tensor], step: float) -> Tensor:
    """The weighted sum of the output, all inputs and parameters moved by `step` along a direction."""
    there = copy.deepcopy(exact)
    moved = [x + step * v for x, v in zip(inputs, direction[: len(inputs)], strict=True)]
    for parameter, v in zip(there.parameters(), direction[len(inputs) :], strict=True):
        parameter.add_(v, alpha=step)
    y = there(*moved)
    return (y * _weights(y)).sum()
