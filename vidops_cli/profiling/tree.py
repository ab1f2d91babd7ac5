"""A whole network, module by module: parameters, operations, peak memory, time.

Who calls whom is told by hooks on the modules, and by fvcore, which keeps the same account. Operations and time belong
to the innermost module at work, and every row adds up what is below it: children never exceed their parent, and what a
module does itself, in functions or by another's .forward(), is its row "(rest)". An operator of ours is one row: its
operations are those of the published algorithm, which need not be those of its own parts.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from vidops_cli import stats

from .handles import HANDLES
from .traced import as_published, evaluating, operator_of, traced

FEWEST, MOST = 3, 50  # passes that are timed
REST = 0.01  # share of the root's time or FLOPs from which the rest of a module is shown, if it holds no multiply-adds


def tree(
    model: nn.Module, inputs: Tensor | Sequence[Tensor], device: torch.device, *, depth: int = 2, budget: float = 2.0
) -> list[dict[str, Any]]:
    """Rows of `model(*inputs)` in evaluation mode: the root, and the modules down to `depth`, in the order of calls.

    Model and inputs are on `device`. A row: depth, name (dotted; the root's is ""), kind (the class), calls, params,
    macs, other_flops, uncounted (names of operations), peak_bytes (above what was live at its start; the largest of its
    calls), ms (median over passes that take `budget` seconds in all), share (of the root's ms). A module that is shared
    has a row below each that calls it; a container that nobody calls has 0 calls and the sum of what it holds. A module
    with parameters that was not called, or by .forward() alone, has 0 calls and None for what is not known.
    `ms` is measured with hooks on; the root alone tells `plain_ms`, without them, and `overhead`, their share of it.
    """
    given = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    calls = _Calls(model)
    with evaluating(model):
        calls.discover(lambda: model(*given))
    counted = _operations(calls, model, given)
    calls.keep(depth)
    with evaluating(model):
        peaks = (_cuda_peaks if device.type == "cuda" else _cpu_peaks)(calls, lambda: model(*given), device)
        plain, spent = _passes(calls, lambda: model(*given), device, budget)
    rows = list(_rows(calls, depth, counted, peaks, spent))
    plain_ms = stats.quantile(plain, 0.5)
    for row in rows:
        row["plain_ms"] = row["overhead"] = None
    rows[0]["plain_ms"], rows[0]["overhead"] = plain_ms, rows[0]["ms"] / plain_ms - 1
    return rows


# --- who calls whom ---------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Node:
    """A module as called by the one above it."""

    name: str
    module: nn.Module
    calls: int = 0
    below: dict[str, _Node] = field(default_factory=dict)

    def total(self, own: Mapping[_Node, float]) -> float:
        return own.get(self, 0) + sum(node.total(own) for node in self.below.values())


class _Calls:
    """The tree of calls below a network; empty slots (nn.Identity) and the parts of operators are left out."""

    def __init__(self, model: nn.Module):
        self.root = _Node("", model)
        self.modules = dict(model.named_modules(remove_duplicate=False))
        self.names: dict[nn.Module, list[str]] = {}
        inside = {part for op in model.modules() if operator_of(op) for part in op.modules() if part is not op}
        for name, module in self.modules.items():
            if name and type(module) is not nn.Identity and module not in inside:
                self.names.setdefault(module, []).append(name)
        self._found: dict[tuple[_Node, nn.Module], _Node] = {}

    def called(self, caller: _Node, module: nn.Module) -> _Node:
        """The node of a call; between it and its caller stand containers that nobody calls, as an nn.ModuleList."""
        if (caller, module) not in self._found:
            names, prefix = self.names[module], f"{caller.name}." if caller.name else ""
            own = next((name for name in names if name.startswith(prefix)), None)
            node, path = caller, [names[0]] if own is None else _steps(prefix, own)
            for name in path:
                node = node.below.setdefault(name, _Node(name, self.modules[name]))
            self._found[caller, module] = node
        return self._found[caller, module]

    @contextmanager
    def watched(self, enter: Callable[[_Node], None], leave: Callable[[_Node], None]) -> Iterator[None]:
        stack = [self.root]

        def before(module: nn.Module, inputs: Any) -> None:
            stack.append(self.called(stack[-1], module))
            enter(stack[-1])

        def after(module: nn.Module, inputs: Any, outputs: Any) -> None:
            leave(stack[-1])
            stack.pop()

        hooks = [module.register_forward_pre_hook(before) for module in self.names]
        hooks += [module.register_forward_hook(after) for module in self.names]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def discover(self, call: Callable[[], object]) -> None:
        def enter(node: _Node) -> None:
            node.calls += 1

        self.root.calls = 1
        with self.watched(enter, lambda node: None):
            call()

    def keep(self, depth: int) -> None:
        """Watch from now on only what rows down to `depth` are made of: the fewer hooks, the less they cost."""
        kept: set[nn.Module] = set()

        def look(node: _Node, level: int) -> None:
            if level < depth or not node.calls:  # a container is the sum of what it holds
                for child in node.below.values():
                    kept.add(child.module)
                    look(child, level + 1)

        look(self.root, 0)
        self.names = {module: names for module, names in self.names.items() if module in kept}


def _steps(prefix: str, name: str) -> list[str]:
    """a., a.b.c -> [a.b, a.b.c]"""
    return [prefix + step for step in accumulate(name.removeprefix(prefix).split("."), "{}.{}".format)]


# --- operations -------------------------------------------------------------------------------------------------------


def _operations(calls: _Calls, model: nn.Module, inputs: Sequence[Tensor]) -> dict[str, dict[_Node, Any]]:
    """What each node does itself: {"macs": ..., "other": ...} in numbers, {"uncounted": ...} in sets of names."""
    handles = {kind: _placed(handle) for kind, handle in HANDLES.items()}
    with as_published(model):
        analysis = traced(model, inputs, handles)
        unknown = analysis.unsupported_ops()
        if unknown:
            named = {kind: _placed(lambda inputs, outputs, kind=kind: Counter({kind: 1})) for kind in unknown}
            analysis = traced(model, inputs, {**handles, **named})
    own: dict[str, dict[_Node, Any]] = {"macs": {}, "other": {}, "uncounted": {}}
    for (scope, what), amount in analysis.by_operator().items():
        node = calls.root
        for name in filter(None, scope.split("/")):
            module = calls.modules[name]
            node = calls.called(node, module) if module in calls.names else node
        if what in unknown:
            own["uncounted"].setdefault(node, set()).add(what)
        else:
            own[what][node] = own[what].get(node, 0) + round(amount)
    return own


def _placed(handle: Callable) -> Callable:
    """A handle that tells with each count where in the calls it was made, as fvcore writes it: /layer1/layer1.0."""

    def ours(inputs: list[Any], outputs: list[Any]) -> Counter:
        scope = outputs[0].node().scopeName()
        return Counter({(scope, what): amount for what, amount in handle(inputs, outputs).items()})

    return ours


# --- memory -----------------------------------------------------------------------------------------------------------


def _cpu_peaks(calls: _Calls, call: Callable[[], object], device: torch.device) -> dict[_Node, int]:
    """The allocator's events between a module's start and end."""
    nodes, scopes = [], []

    def enter(node: _Node) -> None:
        scopes.append(torch.profiler.record_function(f"vidops::call {len(nodes)}"))
        nodes.append(node)
        scopes[-1].__enter__()

    def leave(node: _Node) -> None:
        scopes.pop().__exit__(None, None, None)

    activities = [torch.profiler.ProfilerActivity.CPU]
    with (
        torch.profiler.profile(activities=activities, profile_memory=True) as profiler,
        calls.watched(enter, leave),
    ):
        enter(calls.root)
        call()
        leave(calls.root)
    events = profiler.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    times, live = [at for at, _ in changes], list(accumulate((size for _, size in changes), initial=0))
    peaks: dict[_Node, int] = {}
    for event in events:
        if event.name().startswith("vidops::call "):
            node = nodes[int(event.name().split()[1])]
            first, end = bisect_left(times, event.start_ns()), bisect_left(times, event.end_ns())
            peaks[node] = max(peaks.get(node, 0), max(live[first : end + 1]) - live[first])
    return peaks


def _cuda_peaks(calls: _Calls, call: Callable[[], object], device: torch.device) -> dict[_Node, int]:
    """The allocator's highest mark, read and set back at every start and end."""
    peaks: dict[_Node, int] = {}
    working: list[list[int]] = []  # of every module at work: bytes at its start, the most since then

    def mark() -> None:
        highest = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        for module in working:
            module[1] = max(module[1], highest)

    def enter(node: _Node) -> None:
        mark()
        working.append([torch.cuda.memory_allocated(device)] * 2)

    def leave(node: _Node) -> None:
        mark()
        start, highest = working.pop()
        peaks[node] = max(peaks.get(node, 0), highest - start)

    with calls.watched(enter, leave):
        enter(calls.root)
        call()
        leave(calls.root)
    return peaks


# --- time -------------------------------------------------------------------------------------------------------------


def _passes(
    calls: _Calls, call: Callable[[], object], device: torch.device, budget: float
) -> tuple[list[float], list[dict[_Node, float]]]:
    """Milliseconds of passes without hooks, and what each node took itself in passes with them, taken by turns."""
    now, read = _cuda_clock(device) if device.type == "cuda" else (time.perf_counter, _since_the_first)

    def plain() -> float:
        marks = [now()]
        call()
        return read([*marks, now()])[-1]

    def hooked() -> dict[_Node, float]:
        marks: list[tuple[_Node | None, Any]] = []  # a module that starts, or None where one ends
        with calls.watched(lambda node: marks.append((node, now())), lambda node: marks.append((None, now()))):
            marks.append((calls.root, now()))
            call()
            marks.append((None, now()))
        return _own([node for node, _ in marks], read([mark for _, mark in marks]))

    once = plain() + sum(hooked().values())  # the first pass of each is a warm-up
    passes = int(min(MOST, max(FEWEST, 1e3 * budget / max(once, 1e-6))))
    found = [(plain(), hooked()) for _ in range(passes)]
    return [ms for ms, _ in found], [own for _, own in found]


def _own(nodes: list[_Node | None], times: list[float]) -> dict[_Node, float]:
    """The time between one mark and the next belongs to the innermost module at work."""
    own: dict[_Node, float] = defaultdict(float)
    working: list[_Node] = []
    for node, began, ended in zip(nodes[:-1], times[:-1], times[1:], strict=True):
        if node is None:
            working.pop()
        else:
            working.append(node)
        own[working[-1]] += ended - began
    return own


def _since_the_first(marks: list[float]) -> list[float]:
    return [1e3 * (mark - marks[0]) for mark in marks]


def _cuda_clock(device: torch.device) -> tuple[Callable[[], Any], Callable[[list[Any]], list[float]]]:
    def now() -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def read(marks: list[Any]) -> list[float]:
        torch.cuda.synchronize(device)
        return [marks[0].elapsed_time(mark) for mark in marks]

    return now, read


# --- rows -------------------------------------------------------------------------------------------------------------


def _rows(
    calls: _Calls,
    depth: int,
    counted: dict[str, dict[_Node, Any]],
    peaks: dict[_Node, int],
    spent: list[dict[_Node, float]],
) -> Iterator[dict[str, Any]]:
    whole = stats.quantile([calls.root.total(own) for own in spent], 0.5)
    flops = 2 * calls.root.total(counted["macs"]) + calls.root.total(counted["other"])
    called = set(_modules(calls.root))

    def row(level: int, name: str, kind: str, of_calls: int, params: int, **told: Any) -> dict[str, Any]:
        unknown = {"macs": None, "other_flops": None, "uncounted": [], "peak_bytes": None, "ms": None, "share": None}
        return {"depth": level, "name": name, "kind": kind, "calls": of_calls, "params": params, **unknown, **told}

    def cost(macs: float, other: float, uncounted: set[str], milliseconds: list[float]) -> dict[str, Any]:
        ms = stats.quantile(milliseconds, 0.5)
        told = {"macs": macs, "other_flops": other, "uncounted": sorted(uncounted)}
        return {**told, "ms": ms, "share": ms / whole if whole else None}

    def walk(node: _Node, level: int) -> Iterator[dict[str, Any]]:
        yield row(
            level,
            node.name,
            type(node.module).__name__,
            node.calls,
            _size(node.module.parameters()),
            peak_bytes=peaks.get(node),
            **cost(
                node.total(counted["macs"]),
                node.total(counted["other"]),
                _names(node, counted["uncounted"]),
                [node.total(own) for own in spent],
            ),
        )
        if level == depth:
            return
        for child in node.below.values():
            yield from walk(child, level + 1)
        for name, child in () if operator_of(node.module) else node.module.named_children():
            unseen = called.isdisjoint(child.modules())
            if unseen and _size(child.parameters()):
                name = f"{node.name}.{name}" if node.name else name
                yield row(level + 1, name, type(child).__name__, 0, _size(child.parameters()))
        rest = cost(
            counted["macs"].get(node, 0),
            counted["other"].get(node, 0),
            counted["uncounted"].get(node, set()),
            [own.get(node, 0.0) for own in spent],
        )
        much = (rest["share"] or 0) >= REST or rest["other_flops"] > REST * flops
        if node.below and (rest["macs"] or rest["uncounted"] or much):
            name = f"{node.name}.(rest)" if node.name else "(rest)"
            yield row(level + 1, name, "", node.calls, _size(node.module.parameters(recurse=False)), **rest)

    return walk(calls.root, 0)


def _modules(node: _Node) -> Iterator[nn.Module]:
    yield node.module
    for child in node.below.values():
        yield from _modules(child)


def _names(node: _Node, own: Mapping[_Node, set[str]]) -> set[str]:
    return set().union(own.get(node, ()), *(_names(child, own) for child in node.below.values()))


def _size(parameters: Iterator[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
