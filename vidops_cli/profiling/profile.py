"""One operator on one shape -> one row."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vidops_cli.ops import OPS, Card
from vidops_cli.own import OwnCard
from vidops_cli.textbook import published, textbook

from .apart import Ended
from .cases import Case, Shape
from .check import check
from .cost import costs
from .counter import on_meta
from .latency import Comparison, Latency, compare, measure, over
from .memory import is_out_of_memory, limited, peak, peak_bytes, saved_bytes
from .roofline import Ceilings
from .roofline import bound as lower_bound
from .traced import try_out

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
OWN_BASELINES = ("textbook", "eager")  # other forms of the operator itself
FEW = 5  # pairs in each of several processes

Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How operators are measured.

    `limit`: seconds of a single pass from which on it is timed once; `budget`: seconds of timing on each side.
    """

    device: torch.device
    dtype: str = "float32"
    backward: bool = True
    compiled: bool = False
    channels_last: bool = False
    limit: float = 30.0
    budget: float = 1.0
    views: int = 1
    ceilings: Ceilings | None = None


Times = dict[str, Latency | Comparison]  # by "fwd" and "fwdbwd"


def profile(case: Case, settings: Settings, *, run: Callable[..., Any] = lambda part, *given: part(*given)) -> Row:
    """A profile row: operations, peak memory, latency, and whether the form that was timed equals its reference.

    ValueError if the operator refuses the shape or the options. A form that differs from its reference is a row of
    status red, with no times; one that needs more memory than there is, a row of status oom. `run(part, *arguments)`
    runs a part of it, as in `apart`: all but times, and then times, as often as the case has processes.
    """
    row = blank(case, settings)
    with _failing_into(row, case, settings):
        row |= run(examine, case, settings)
        if row["status"] == "ok":
            row["status"] = "error"
            if row["error"] and row["baseline_peak_fwd_bytes"] is None:  # it is wrong, or fits nowhere
                case = replace(case, baseline=None)
            _finish(row, [run(time, case, settings) for _ in range(case.processes or 1)])
    return row


@contextmanager
def _failing_into(row: Row, case: Case, settings: Settings) -> Iterator[None]:
    """What goes wrong in measuring goes into the row; what is wrong in the case, or a bug of ours, is raised."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            row.update(status="oom", error=_shortage(error))
        elif isinstance(error, Ended):
            row.update(status="oom" if error.by_memory else "error", error=str(error))
        elif isinstance(error, ValueError) or (_is_ours(case.card) and not settings.compiled):
            raise
        else:  # a module of one's own, or a compiler, may raise anything
            told = " ".join(str(error).split())[:160]
            row.update(status="error", error=f"{type(error).__name__}: {told}")


@contextmanager
def float32_exact() -> Iterator[None]:
    """Convolutions on CUDA would round float32 to TF32 by torch's default."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def blank(case: Case, settings: Settings) -> Row:
    """A row that says what is to be measured, every number of it still unknown."""
    T, H, W = case.shape.grid
    told = case.options | case.call | {name: shape.replace(" ", "x") for name, shape in case.inputs.items()}
    row: Row = {
        "op": case.card.name,
        "options": " ".join(f"{name}={_word(value)}" for name, value in told.items()),
        "layer": case.layer,
        "shape": str(case.shape),
        "positions": T * H * W,
        "axis": case.axis,
        "at": case.at,
        "batch": case.shape.batch,
        "dtype": settings.dtype,
        "device": str(settings.device),
        "threads": torch.get_num_threads() if settings.device.type == "cpu" else None,
        "form": "compiled" if settings.compiled else "eager",
        "channels_last": settings.channels_last,
        "status": "error",
        "error": None,
        "views": settings.views,
        "processes": case.processes,
        "baseline": None if case.baseline == case.card.name else case.baseline,
        "released_fwd_ms": case.released.get("fwd_ms"),
        "released_fwdbwd_ms": case.released.get("fwdbwd_ms"),
        "uncounted": [],
        "fwd_flags": [],
        "fwdbwd_flags": [],
    }
    times = [f"{which}_{key}" for which in ("fwd", "fwdbwd") for key in TIMES]
    return row | dict.fromkeys((*COUNTS, *CHECKS, *times, *RATES, *MEMORY, *BESIDE, *BOUNDS))


COUNTS = ("params", "macs", "other_flops", "flops", "flops_executed", "macs_bwd", "flops_bwd", "bytes_min")
COUNTS += ("macs_fvcore", "flops_fvcore", "macs_aten", "flops_aten", "cost_gap", "cost_from")
CHECKS = ("checked", "checked_how", "passed")
TIMES = ("ms", "p10", "p90", "p99", "n", "speedup", "speedup_low", "speedup_high", "verdict", "pairs")
RATES = ("clips_per_s", "train_clips_per_s")
MEMORY = ("peak_fwd_bytes", "peak_fwdbwd_bytes", "saved_bytes", "reserved_fwd_bytes", "reserved_fwdbwd_bytes")
BESIDE = ("baseline_fwd_ms", "baseline_fwdbwd_ms", "baseline_peak_fwd_bytes", "baseline_peak_fwdbwd_bytes")
BESIDE += ("fwd_memory", "fwdbwd_memory")  # of the baseline; peak over the baseline's peak
BOUNDS = ("intensity", "bound_ms", "bound_share", "bound_by")


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def examine(case: Case, settings: Settings) -> Row:
    """All of a profile row but its times; its status is "ok" if they are worth taking."""
    row = blank(case, settings)
    with _failing_into(row, case, settings), limited(settings.device), float32_exact():
        _examine(row, case, settings)
    return row


def counts(card: Card) -> Row:
    """The counts of an operator at its own layer, without those of the backward pass, as its profile row has them."""
    case = Case(card, Shape(1, card.layer[0], card.layer[1:]))
    return costs(*build(case), _published(case), DTYPES["float32"].itemsize, backward=False)


def _published(case: Case) -> Callable[..., Any] | None:
    return partial(published(case.card.name), **case.call) if _is_ours(case.card) else None


def _examine(row: Row, case: Case, settings: Settings) -> None:
    op, inputs = build(case)
    itemsize = DTYPES[settings.dtype].itemsize
    row.update(costs(op, inputs, _published(case), itemsize, backward=settings.backward))
    timed, op, inputs = _ready(op, inputs, settings)
    try:
        found = check(case.card, op, timed, inputs, **case.call)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        forward(timed, op, inputs)()  # raises where not even the operator fits
        row.update(error=f"not checked, and so not timed: its float64 reference: {_shortage(error)}")
        return
    error = found.error if math.isfinite(found.error) else None
    row.update(checked=error, checked_how=found.how, passed=found.passed)
    if not found.passed:
        row.update(status="red", error="differs from its reference")
        return
    try:
        other = _baseline(case, op, inputs, settings, checked=True)
    except Exception as error:
        if not (isinstance(error, ValueError) or is_out_of_memory(error)):
            raise
        other = None
        row["error"] = f"not compared: {error.args[0] if isinstance(error, ValueError) else _shortage(error)}"
    for which, make in _passes(settings):
        most = peak(make(timed, op, inputs), settings.device)
        row[f"peak_{which}_bytes"], row[f"reserved_{which}_bytes"] = most.allocated, most.reserved
        if other:
            its, error = _unless_short(case, peak_bytes, make(*other), settings.device)
            row["error"] = row["error"] or error
            row[f"baseline_peak_{which}_bytes"], row[f"{which}_memory"] = its, most.allocated / its if its else None
    if settings.backward:
        row["saved_bytes"] = saved_bytes(lambda: timed(*_leaves(inputs)), [*inputs, *op.parameters(), *op.buffers()])
    if settings.ceilings:
        bound = lower_bound(row["flops_executed"], row["bytes_min"], settings.ceilings)
        row.update(intensity=bound.intensity, bound_ms=bound.ms, bound_by=bound.by)
    row["status"] = "ok"


def time(case: Case, settings: Settings) -> tuple[Times, str | None]:
    """Times of a case that `examine` found right; of its baseline where both fit, else the reason why not."""
    keep: dict[str, Any] = {"budget": settings.budget / (case.processes or 1), "limit": settings.limit}
    few = {"fewest": FEW} if case.processes > 1 else {}
    found, told = {}, None
    with limited(settings.device), float32_exact():
        timed, op, inputs = _ready(*build(case), settings)
        other = _baseline(case, op, inputs, settings, checked=False)
        for which, make in _passes(settings):
            call, pair = make(timed, op, inputs), None
            if other:
                pair, error = _unless_short(case, compare, call, make(*other), settings.device, **keep, **few)
                told = told or error
            found[which] = pair or measure(call, settings.device, **keep)
    return found, told


def _passes(settings: Settings) -> list[tuple[str, Callable]]:
    return [("fwd", forward), ("fwdbwd", forward_backward)][: 2 if settings.backward else 1]


def _ready(op: nn.Module, inputs: list[Tensor], settings: Settings) -> tuple[Callable, nn.Module, list[Tensor]]:
    """What is timed, its module and its inputs, where and as they are measured."""
    op = _placed(op, settings)
    return _compiled(op) if settings.compiled else op, op, [_placed(x, settings) for x in inputs]


def _unless_short(case: Case, measure: Callable[..., Any], *given: Any, **how: Any) -> tuple[Any, str | None]:
    """What is measured of the baseline, or None and the reason where it does not fit into memory."""
    try:
        return measure(*given, **how), None
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None, f"not compared: {case.baseline}: {_shortage(error)}"


def _finish(row: Row, times: Sequence[tuple[Times, str | None]]) -> None:
    """Add the times, one for each process, and what follows from them."""
    row["error"] = row["error"] or next((error for _, error in times if error), None)
    for which in times[0][0]:
        found = over([one[which] for one, _ in times])
        time = found.a if isinstance(found, Comparison) else found
        told = {"ms": time.median, "p10": time.p10, "p90": time.p90, "p99": time.p99, "n": time.n}
        if isinstance(found, Comparison):
            told |= {"speedup": found.speedup, "speedup_low": found.low, "speedup_high": found.high}
            told |= {"verdict": found.verdict, "pairs": found.pairs}
            row[f"baseline_{which}_ms"] = found.b.median
        row |= {f"{which}_{key}": value for key, value in told.items()} | {f"{which}_flags": list(time.flags)}
    row["clips_per_s"] = 1e3 * row["batch"] / row["fwd_ms"]
    if row["fwdbwd_ms"] is not None:
        row["train_clips_per_s"] = 1e3 * row["batch"] / row["fwdbwd_ms"]
    if row["bound_ms"] is not None:
        row["bound_share"] = row["bound_ms"] / row["fwd_ms"]
    row["status"] = "ok"


def rebound(row: Row, ceilings: Ceilings) -> Row:
    """The row with its bound by other ceilings."""
    if row["bound_ms"] is None:
        return row
    bound = lower_bound(row["flops_executed"], row["bytes_min"], ceilings)
    share = bound.ms / row["fwd_ms"] if row["fwd_ms"] else None
    return {**row, "bound_ms": bound.ms, "bound_by": bound.by, "bound_share": share}


def _shortage(error: BaseException) -> str:
    """What an allocator says, in short."""
    told = " ".join(str(error).split())
    asked = re.search(r"allocate (\d+) bytes", told)
    return (
        f"{int(asked.group(1)) / 2**30:.3g} GiB more do not fit into memory" if asked else told[:160] or "out of memory"
    )


def refuse_frames(case: Case) -> None:
    """ValueError if the operator takes no clips of that many frames."""
    card, T = case.card, case.shape.grid[0]
    if card.min_frames > T:
        raise ValueError(f"{card.name} needs at least {card.min_frames} frames, got T = {T}", "give --grid TxHxW")
    if card.max_frames and card.max_frames < T:
        raise ValueError(f"{card.name} takes at most {card.max_frames} frames, got T = {T}", "give --grid TxHxW")


def build(case: Case) -> tuple[nn.Module, list[Tensor]]:
    """The operator in evaluation mode, its weights from seed 0, and random inputs; ValueError if it refuses them."""
    refuse_frames(case)
    card, shape = case.card, case.shape
    torch.manual_seed(0)
    try:
        op = card.load()(shape.channels, **case.options).eval()
    except ValueError as error:
        named = [option for option in case.options if option in str(error.args[0])]
        advice = f"give another --set {named[0]}, or other --channels" if named else "give other --channels"
        raise ValueError(f"{card.name}: {error.args[0]}", *(error.args[1:] or (advice,))) from None
    _make_generic(op)
    if card.draws:
        op.size = shape.grid[1:]
    inputs = case.example()
    if isinstance(card, OwnCard):
        try_out(card, op, inputs)
    if case.call:  # bound for good, so that whoever calls the operator, or asks what it costs, need not know
        for name in case.call.keys() - inspect.signature(op.forward).parameters.keys():
            raise ValueError(f"{card.name}: its forward takes no {name!r}", "see `call` in the suite")
        op.forward, op.cost = partial(op.forward, **case.call), partial(op.cost, **case.call)
    if case.call or case.inputs:
        _refuse_inputs(card, op, inputs)
    return op, inputs


@torch.no_grad()
def _refuse_inputs(card: Card, op: nn.Module, inputs: list[Tensor]) -> None:
    """ValueError if the operator does not take what a suite made of its inputs; its textbook form would not say why."""
    meta, shapes = on_meta(op, inputs)
    try:
        meta(*shapes)
    except RuntimeError as error:
        raise ValueError(f"{card.name} does not take these inputs: {error}", "see `inputs` in the suite") from None


@torch.no_grad()
def _make_generic(op: nn.Module) -> None:
    """Move parameters that start at zero or one: they would hide what they multiply, and put ReLUs on their kink."""
    for parameter in op.parameters():
        if parameter.is_floating_point() and (parameter == parameter.flatten()[0]).all():
            parameter.add_(torch.randn_like(parameter), alpha=0.1 / parameter[0].numel() ** 0.5)


def _is_ours(card: Card) -> bool:
    return not isinstance(card, OwnCard)


def _placed(what: Any, settings: Settings) -> Any:
    """A module or a tensor on the device, in the dtype and memory format that are measured."""
    if isinstance(what, Tensor) and not what.is_floating_point():
        return what.to(settings.device)
    what = what.to(settings.device, DTYPES[settings.dtype])
    if settings.channels_last and isinstance(what, Tensor) and what.dim() in (4, 5):
        return what.contiguous(memory_format=(torch.channels_last, torch.channels_last_3d)[what.dim() - 4])
    return what


def _compiled(op: nn.Module) -> Callable[..., Tensor]:
    return torch.compile(op, dynamic=False)


def _baseline(
    case: Case, op: nn.Module, inputs: list[Tensor], settings: Settings, *, checked: bool
) -> tuple[Callable[..., Tensor], nn.Module, list[Tensor]] | None:
    """Form, module and inputs that the operator is timed against; `checked`: ValueError if the baseline is wrong."""
    name = case.baseline
    if name is None or name == case.card.name or (name == "eager" and not settings.compiled):
        return None
    if name == "eager":
        return op, op, inputs
    if name == "textbook":
        return (partial(textbook(case.card.name), op, **case.call), op, inputs) if _is_ours(case.card) else None
    known = {key: value for key, value in case.options.items() if key in OPS[name].options}
    its, its_inputs = build(Case(OPS[name], case.shape, known))
    timed, its, its_inputs = _ready(its, its_inputs, settings)
    if checked and not check(OPS[name], its, timed, its_inputs).passed:
        raise ValueError(f"the baseline {name} differs from its reference on {case.shape}", "take another --baseline")
    return timed, its, its_inputs


def forward(timed: Callable[..., Tensor], op: nn.Module, inputs: list[Tensor]) -> Callable[[], Tensor]:
    def call() -> Tensor:
        with torch.no_grad():
            return timed(*inputs)

    return call


def forward_backward(timed: Callable[..., Tensor], op: nn.Module, inputs: list[Tensor]) -> Callable[[], tuple]:
    """Forward, and backward to the inputs and all parameters; the gradients made are given back with the call."""
    leaves = _leaves(inputs)
    wanted = [x for x in (*leaves, *op.parameters()) if x.requires_grad]

    def call() -> tuple:
        y = timed(*leaves)
        return torch.autograd.grad(y, wanted, torch.ones_like(y), allow_unused=True)

    return call


def _leaves(inputs: list[Tensor]) -> list[Tensor]:
    return [x.detach().requires_grad_(x.is_floating_point()) for x in inputs]
