"""A case run on our operator -> one row: errors of outputs, gradients and training-mode outputs."""

from __future__ import annotations

import contextlib
import importlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from .adapter import Adapted, Tensors
from .cases import ADVISED, AS_RUN, NETWORK, TOLERANCE, Case
from .fill import fill, follows_rule
from .sources import is_network, network_of, source_of

LEFT_OUT = 0.01  # largest share of an output that may be left out of a comparison


def verify(case: Case, device: torch.device) -> dict[str, Any]:
    """A verify row. A case that cannot be run has failed; `passed` is None where it is for information alone."""
    source, network = source_of(case), is_network(case)
    row: dict[str, Any] = {"case": case.name, "op": source.op if source else None, "network": None, "passed": None}
    row |= {"err_out": None, "err_grad": None, "err_train": None, "tol": TOLERANCE, "advised": None, "left_out": 0}
    row["note"] = ""
    try:
        if case.broken:
            raise ValueError(case.broken)
        if network:
            with _exact():
                return row | _network(case, device)
        if source is None:
            raise ValueError(f"no known source: {case.official or 'its metadata name none'}")
        with _exact():
            row |= _compare(case, source.adapter, device)
    except Exception as error:  # whatever goes wrong in a case is that case's failure, and the others go on
        told = str(error.args[0] if error.args else error).strip().splitlines() or [""]
        return row | {"passed": False, "note": f"{type(error).__name__}: {told[0]}"[:300]}
    return row


def _network(case: Case, device: torch.device) -> dict[str, Any]:
    """A whole network: its outputs, and features of its parts."""
    from . import networks
    from .sifa import accidents

    name = network_of(case)
    if name is None:
        raise ValueError(f"no known network: {case.official}")
    parts: dict[str, Tensors] = {}
    for key, value in load_file(case.path).items():
        kind, _, rest = key.partition(".")
        parts.setdefault(kind, {})[rest] = value.to(device)
    if "output" not in parts:
        raise ValueError("the case has no outputs")
    informational = bool(accidents(case))
    judge = _Judge({}, False, tolerance=AS_RUN if informational else NETWORK)
    with torch.no_grad():
        run = getattr(networks, name)(case, parts.get("input", {}), device)
        outputs = run.outputs()
        judge.outputs("err_out", "output", outputs, parts["output"])
        stored = parts.get("feat", {}) | {f"{key} (whole)": value for key, value in parts.get("featstat", {}).items()}
        ours = {key: value for key, value in outputs.items() if key in stored} | dict(networks.features(run, stored))
        judge.named("err_out", "feat", ours, {key: value for key, value in stored.items() if key in ours})
    row = judge.row()
    row |= {"network": run.name, "tol": judge.tolerance, "advised": ADVISED}
    if not informational:
        return row
    within = f"within {AS_RUN:.0e}: {'yes' if row['passed'] else 'no'}"
    told = f"as the released code runs by accident, for information; {within}"
    return row | {"passed": None, "note": "; ".join(filter(None, (told, row["note"])))}


def _compare(case: Case, adapter: str, device: torch.device) -> dict[str, Any]:
    parts: dict[str, Tensors] = {}
    for name, value in load_file(case.path).items():
        kind, _, rest = name.partition(".")
        parts.setdefault(kind, {})[rest] = value.to(device)
    weights, inputs = parts.get("weight", {}), parts.get("input", {})
    if not inputs or "output" not in parts:
        raise ValueError("the case has no inputs or no outputs")
    _check_weights(weights, case.meta.get("fill_gains") or ())
    file, _, function = adapter.partition(".")
    adapted = getattr(importlib.import_module(f"{__package__}.{file}"), function)(case, inputs, weights)
    adapted.module.to(device)
    judge = _Judge(adapted.leave_out(inputs, parts["output"]), adapted.pixels)

    _load(adapted, weights)
    adapted.module.eval()
    leaves = {name: _leaf(value) for name, value in inputs.items()}
    outputs = adapted.run(leaves)
    judge.outputs("err_out", "output", outputs, parts["output"])
    if "grad" in parts:
        judge.named("err_grad", "grad", dict(_gradients(adapted, leaves, outputs, parts)), parts["grad"])
    if "train_output" in parts or "train_stat" in parts:
        _load(adapted, weights)
        adapted.module.train()
        judge.outputs("err_train", "train_output", adapted.run(inputs), parts.get("train_output", {}))
        state = adapted.module.state_dict()
        told = {  # an idle norm keeps the statistics that it was given
            name: weights.get(name) if (key := adapted.key(name)) is None else state.get(key)
            for name in parts.get("train_stat", {})
        }
        judge.named("err_train", "train_stat", told, parts.get("train_stat", {}))
    unknown = set(parts) - {"weight", "input", "output", "gradseed", "grad", "train_output", "train_stat"}
    if unknown:
        raise ValueError(f"tensors of an unknown kind: {', '.join(sorted(unknown))}")
    return judge.row()


def _check_weights(weights: Tensors, gains: Any) -> None:
    """Every weight of a case follows the fill rule: one that does not was changed or broken."""
    for key, value in weights.items():
        if follows_rule(key, value):
            expected = fill(key, value.shape, gains)
            # processors without wide vectors make other normal numbers in the last digit
            if not torch.allclose(value.cpu().double(), expected.double(), rtol=TOLERANCE, atol=TOLERANCE):
                raise ValueError(f"weight.{key} is not what the fill rule gives")


def _load(adapted: Adapted, weights: Tensors) -> None:
    """Put official weights into our module, each one once; axes of size 1 may stand elsewhere."""
    state, done = adapted.module.state_dict(), set()
    for official, value in weights.items():
        if official in adapted.built:
            if not torch.equal(value, adapted.built[official].to(value)):
                raise ValueError(f"weight.{official} is not what the released module builds")
            continue
        key = adapted.key(official)
        if key is None:
            continue
        if key not in state:
            raise ValueError(f"weight.{official} has no place in ours (looked for {key})")
        if state[key].squeeze().shape != value.squeeze().shape:
            raise ValueError(f"weight.{official} {tuple(value.shape)} does not fit ours {tuple(state[key].shape)}")
        with torch.no_grad():
            state[key].copy_(value.reshape(state[key].shape))
        done.add(key)
    if missing := [key for key in state if key not in done]:
        raise ValueError(f"the case gives no weight for ours: {', '.join(missing)}")


def _leaf(value: Tensor) -> Tensor:
    return value.clone().requires_grad_(value.is_floating_point())


def _gradients(adapted: Adapted, leaves: Tensors, outputs: Tensors, parts: dict[str, Tensors]) -> Iterator:
    """Gradients of the sum of all seeded outputs, under the case's names."""
    seeds = parts.get("gradseed", {})
    loss = sum((outputs[name] * seed).sum() for name, seed in seeds.items())
    ours = dict(adapted.module.named_parameters())
    wanted = []
    for name in parts["grad"]:
        kind, _, rest = name.partition(".")
        wanted.append(leaves[rest] if kind == "input" else ours[adapted.key(rest) or rest])
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    for (name, expected), gradient in zip(parts["grad"].items(), found, strict=True):
        yield name, torch.zeros_like(expected) if gradient is None else gradient.reshape(expected.shape)


class _Judge:
    """Collects the largest error of each kind, and what it was in."""

    def __init__(self, left_out: Tensors, pixels: bool, tolerance: float = TOLERANCE):
        self.left_out, self.tolerance = left_out, tolerance
        self.worst: dict[str, tuple[float, str]] = {}
        self.count = 0
        self.equal: list[Tensor] | None = [] if pixels else None

    def outputs(self, kind: str, prefix: str, ours: Tensors, expected: Tensors) -> None:
        """Official outputs; one whose name ends in 64 is the float64 run of the output of that name."""
        for name, value in expected.items():
            plain = name.removesuffix("64") if value.dtype == torch.float64 else name
            left_out = self.left_out.get(plain)
            if left_out is not None and left_out.any():
                share = left_out.float().mean().item()
                if share > LEFT_OUT:
                    raise ValueError(f"{share:.1%} of {prefix}.{name} would be left out, {LEFT_OUT:.0%} may be")
                self.count += int(left_out.sum())
            self._take(kind, f"{prefix}.{name}", ours.get(plain), value, left_out)

    def named(self, kind: str, prefix: str, ours: dict[str, Tensor | None], expected: Tensors) -> None:
        for name, value in expected.items():
            self._take(kind, f"{prefix}.{name}", ours.get(name), value, None)

    def _take(self, kind: str, name: str, ours: Tensor | None, expected: Tensor, left_out: Tensor | None) -> None:
        if ours is None:
            raise ValueError(f"ours has no {name}")
        if ours.shape != expected.shape:
            raise ValueError(f"{name}: expected {tuple(expected.shape)}, ours is {tuple(ours.shape)}")
        difference = (ours.detach().double() - expected.double()).abs()
        if self.equal is not None:
            self.equal.append((difference <= self.tolerance).flatten())
        if left_out is not None:
            difference = difference.masked_fill(left_out.expand_as(difference), 0)
        error = (difference.max() / expected.double().abs().max().clamp(min=1)).item() if expected.numel() else 0.0
        error = math.inf if math.isnan(error) else error
        if error >= self.worst.get(kind, (-1.0, ""))[0]:
            self.worst[kind] = (error, name)

    def row(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            kind: error if math.isfinite(error) else None for kind, (error, _) in self.worst.items()
        }
        off = [f"{name} is off by {error:.1e}" for error, name in self.worst.values() if not error <= self.tolerance]
        passed = not off
        if self.equal:
            off.append(f"{torch.cat(self.equal).double().mean().item():.4%} of pixels equal")
        return found | {"passed": passed, "left_out": self.count, "note": "; ".join(off)}


@contextlib.contextmanager
def _exact() -> Iterator[None]:
    """float32 means float32: no TF32 on a GPU."""
    settings = [(torch.backends.cuda.matmul, "allow_tf32"), (torch.backends.cudnn, "allow_tf32")]
    before = [getattr(place, name) for place, name in settings]
    for place, name in settings:
        setattr(place, name, False)
    try:
        yield
    finally:
        for (place, name), value in zip(settings, before, strict=True):
            setattr(place, name, value)
