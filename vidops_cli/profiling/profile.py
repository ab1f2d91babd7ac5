"""One operator on one shape -> one row."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vidops_cli.ops import Card
from vidops_cli.textbook import textbook

from .cost import count
from .executed import executed
from .latency import Latency, measure
from .memory import peak_bytes

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
TOLERANCE = {"float32": 1e-5, "bfloat16": 5e-2, "float16": 1e-2}
ROUNDING = 4  # an error may be this many times what the textbook form itself rounds
REFERENCE_POSITIONS = {"mixer": 1024}  # a map that the textbook form can be computed on; mixers form N x N matrices


@dataclass(frozen=True)
class Shape:
    """Input of an operator: (batch, channels, T, H, W)."""

    batch: int
    channels: int
    grid: tuple[int, int, int]

    def __str__(self) -> str:
        return f"{self.batch}x{self.channels}x" + "x".join(map(str, self.grid))


def profile(
    card: Card,
    shape: Shape,
    *,
    options: dict[str, Any] | None = None,
    dtype: str = "float32",
    device: torch.device,
    backward: bool = True,
) -> dict[str, Any]:
    """A profile row: operations, peak memory, latency, and whether the form that was timed equals its textbook form.

    ValueError if the operator refuses the shape. An operator that disagrees with its textbook form gets no timing.
    """
    T = shape.grid[0]
    if card.min_frames > T:
        raise ValueError(f"{card.name} needs at least {card.min_frames} frames, got T = {T}", "give --grid TxHxW")
    if card.max_frames and card.max_frames < T:
        raise ValueError(f"{card.name} takes at most {card.max_frames} frames, got T = {T}", "give --grid TxHxW")
    if not any("H" in told.shape for told in card.inputs) and shape.grid[1:] != card.layer[2:]:
        H, W = card.layer[2:]
        raise ValueError(f"{card.name} takes no map, so that no size of one can be given", f"give --grid {T}x{H}x{W}")
    torch.manual_seed(0)
    try:
        op = card.load()(shape.channels, **(options or {})).eval()
    except ValueError as error:
        raise ValueError(f"{card.name}: {error.args[0]}", "give other --channels") from None
    inputs = card.example(shape.batch, shape.channels, shape.grid)
    cost = count(op, *inputs)
    row: dict[str, Any] = {
        "op": card.name,
        "shape": str(shape),
        "dtype": dtype,
        "device": str(device),
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "params": cost.params,
        "macs": cost.macs,
        "other_flops": cost.other_flops,
        "flops": cost.flops,
        "flops_executed": executed(op, *inputs),
        "uncounted": list(cost.uncounted),
    }
    op, inputs = op.to(device, DTYPES[dtype]), [x.to(device, DTYPES[dtype]) for x in inputs]
    row["checked"], row["checked_on"], row["passed"] = _check(card, op, inputs, shape, TOLERANCE[dtype])
    empty = {"ms": None, "p10": None, "p90": None, "n": None}
    for name, call in (("fwd", _forward(op, inputs)), ("fwdbwd", _forward_backward(op, inputs))):
        wanted = (name == "fwd" or backward) and row["passed"]
        told = _latency(measure(call, device)) if wanted else empty
        row.update({f"{name}_{key}": value for key, value in told.items()})
        row[f"peak_{name}_bytes"] = peak_bytes(call, device) if wanted else None
    return row


def _latency(found: Latency) -> dict[str, float]:
    return {"ms": found.median, "p10": found.p10, "p90": found.p90, "n": found.n}


def _forward(op: nn.Module, inputs: list[torch.Tensor]):
    def call():
        with torch.no_grad():
            return op(*inputs)

    return call


def _forward_backward(op: nn.Module, inputs: list[torch.Tensor]):
    """Forward, and backward to the inputs and all parameters; the gradients made are given back with the call."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    wanted = [*leaves, *op.parameters()]

    def call():
        y = op(*leaves)
        return torch.autograd.grad(y, wanted, torch.ones_like(y), allow_unused=True)

    return call


def _check(
    card: Card, op: nn.Module, inputs: list[torch.Tensor], shape: Shape, tolerance: float
) -> tuple[float, str, bool]:
    """Largest error of output and gradients, the shape it was taken on, and whether each is small enough.

    An error is max |a - b| / max(1, max |b|), b the textbook form in float64: up to the tolerance, or to a few times
    what the textbook form itself rounds in this dtype, as where large terms cancel to a gradient of zero, and never ten
    tolerances. Of a map with more than REFERENCE_POSITIONS a corner is compared.
    """
    T, H, W = shape.grid
    while REFERENCE_POSITIONS.get(card.slot, 8 * 56 * 56) < T * H * W and max(H, W) > 1:
        H, W = -(-H // 2), -(-W // 2)
    if shape.grid != (T, H, W):
        shape = Shape(shape.batch, shape.channels, (T, H, W))
        inputs = [
            x[..., :H, :W] if told.shape.endswith("H W") else x for x, told in zip(inputs, card.inputs, strict=True)
        ]
    exact = copy.deepcopy(op).double()
    published = textbook(card.name)
    true = _results(lambda *parts: published(exact, *parts), exact, [x.double() for x in inputs])

    def errors(found: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack([(a - b).abs().max() / b.abs().max().clamp(min=1) for a, b in zip(found, true, strict=True)])

    ours = errors(_results(op, op, inputs))
    rounding = errors(_results(lambda *parts: published(op, *parts), op, inputs))
    allowed = (ROUNDING * rounding).clamp(tolerance, 10 * tolerance)
    return ours.max().item(), str(shape), bool((ours <= allowed).all())


def _results(form: Callable[..., torch.Tensor], op: nn.Module, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Output, and gradients of a fixed weighted sum of it to the inputs and all parameters."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    y = form(*leaves)
    weights = torch.linspace(-1, 1, y.numel(), device=y.device).view(y.shape).to(y.dtype)
    grads = torch.autograd.grad(y, [*leaves, *op.parameters()], weights, allow_unused=True)
    return [y, *(torch.zeros(1, device=y.device) if grad is None else grad for grad in grads)]


def grid_of(sequence: int) -> tuple[int, int, int]:
    """The most square 1 x H x W grid of `sequence` positions with H <= W <= 2H; ValueError with the nearest if none."""
    if sequence < 1:
        raise ValueError(f"a sequence has at least 1 position, got {sequence}", "as in --seq 4096")

    def split(n: int) -> tuple[int, int] | None:
        height = int(n**0.5)
        while height and n % height:
            height -= 1
        return (height, n // height) if height and n // height <= 2 * height else None

    found = split(sequence)
    if found:
        return (1, *found)
    below = next((n for n in range(sequence - 1, 0, -1) if split(n)), None)
    above = next(n for n in range(sequence + 1, 3 * sequence + 3) if split(n))
    near = " and ".join(str(n) for n in (below, above) if n)
    raise ValueError(
        f"{sequence} positions make no grid with H <= W <= 2H", f"the nearest that do: {near}; or give --grid TxHxW"
    )
