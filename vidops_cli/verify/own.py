"""An operator against the contract of a slot: a row for each thing that networks, recipes and runs rely on."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError

from vidops_cli.ops import Card

GRIDS = ((3, 4, 5), (4, 6, 3))  # clips of different size, one after the other
SMALL = (2, 3, 3)  # of the gradient check, whose cost grows with it

Make = Callable[[], nn.Module]


class Broken(Exception):
    """What is not as the contract says."""


def contract(card: Card, channels: int = 16, options: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of `vidops verify` for an operator of (B, C, T, H, W) maps without frozen cases, on the CPU.

    `note` says why one fails. `channels` is C, `options` are the constructor's. ValueError, with a hint, if it cannot
    be made at all.
    """
    options = dict(options or {})

    def make(**more: Any) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return card.load()(channels, **options, **more)

    make()
    for name, check in CHECKS.items():
        row: dict[str, Any] = {"case": f"{card.name} {name}", "op": card.name, "network": None, "contract": name}
        row |= dict.fromkeys(("err_out", "err_grad", "err_train", "tol", "advised")) | {"left_out": 0}
        try:
            with torch.random.fork_rng(devices=[]):
                note = check(make, channels, max(card.min_frames, 1)) or ""
            yield row | {"passed": True, "note": note}
        except Broken as broken:
            yield row | {"passed": False, "note": str(broken)}
        except Exception as error:  # a user's class may raise anything
            yield row | {"passed": False, "note": f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]}


def clip(channels: int, grid: tuple[int, int, int], *, least: int = 1, batch: int = 2, seed: int = 0) -> Tensor:
    T, H, W = grid
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, max(T, least), H, W, generator=generator)


def awake(op: nn.Module) -> nn.Module:
    """A little noise on all parameters: branches that start at zero say nothing, and ReLUs start on their kink."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in op.parameters():
            if parameter.is_floating_point():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator).to(parameter.dtype))
    return op


# --- the contract -----------------------------------------------------------------------------------------------------


def _options(make: Callable[..., nn.Module], channels: int, least: int) -> None:
    try:
        make(no_such_option=1)
    except (TypeError, ValueError):  # of own ones a ValueError, whatever the constructor raises
        return
    raise Broken("takes an option that it does not have: leave **kwargs out of its constructor")


def _shape(make: Make, channels: int, least: int) -> None:
    for training in (False, True):
        op = make().train(training)
        for grid in GRIDS:
            x = clip(channels, grid, least=least)
            y = op(x)
            if not isinstance(y, Tensor):
                raise Broken(f"gives {type(y).__name__}, not one tensor")
            if y.shape != x.shape:
                raise Broken(f"gives {tuple(y.shape)} for {tuple(x.shape)}: a slot keeps the shape")


def _dtype(make: Make, channels: int, least: int) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        x = clip(channels, GRIDS[0], least=least).to(dtype)
        y = make().to(dtype).eval()(x)
        if y.dtype != dtype:
            raise Broken(f"gives {_word(y.dtype)} for {_word(dtype)}")
        if not y.isfinite().all():
            raise Broken(f"gives numbers that are not finite in {_word(dtype)}")


def _one_frame(make: Make, channels: int, least: int) -> str:
    x = clip(channels, (1, 4, 5))
    try:
        y = make().eval()(x)
    except ValueError as error:
        if len(error.args) > 1 and least > 1:
            return f"refused: {error.args[0]}"
        missing = (
            "a hint, as in ValueError(message, hint)" if least > 1 else "min_frames = 2 as an attribute of its class"
        )
        raise Broken(f"refuses T = 1 without {missing}: {error.args[0] if error.args else error}") from None
    if y.shape != x.shape:
        raise Broken(f"gives {tuple(y.shape)} for {tuple(x.shape)}")
    if least > 1:
        raise Broken(f"takes T = 1 although its class says min_frames = {least}")
    return ""


def _input_kept(make: Make, channels: int, least: int) -> None:
    for training in (False, True):
        x = clip(channels, GRIDS[0], least=least)
        before = x.clone()
        make().train(training)(x)
        if not torch.equal(x, before):
            raise Broken(f"modifies its input in {'training' if training else 'evaluation'}: an operation in place")


def _same_bits(make: Make, channels: int, least: int) -> None:
    a, b = make(), make()
    for (name, ours), theirs in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        if not torch.equal(ours, theirs):
            raise Broken(f"the same seed gives another {name}: draw it from torch's own generator")
    x = clip(channels, GRIDS[0], least=least)
    for training in (False, True):
        torch.manual_seed(3)
        first = a.train(training)(x)
        torch.manual_seed(3)
        if not torch.equal(first, b.train(training)(x)):
            raise Broken(f"the same seed gives another output in {'training' if training else 'evaluation'}")


def _no_state(make: Make, channels: int, least: int) -> None:
    with _settings_kept():
        a, b = make().eval(), make().eval()
        x, other = (clip(channels, grid, least=least, seed=i) for i, grid in enumerate(GRIDS))
        drawn, kept = torch.get_rng_state(), {name: value.clone() for name, value in a.state_dict().items()}
        first = a(x)
        if not torch.equal(drawn, torch.get_rng_state()):
            raise Broken("draws random numbers in evaluation")
        b(other)
        a(other)
        if not torch.equal(first, a(x)):
            raise Broken("gives another output after other clips: it keeps something between calls")
        if changed := [name for name, value in a.state_dict().items() if not torch.equal(value, kept[name])]:
            raise Broken(f"changes {changed[0]} in evaluation")
        own = {x.data_ptr(): name for name, x in a.state_dict().items() if x.numel()}
        if shared := [own[x.data_ptr()] for x in b.state_dict().values() if x.data_ptr() in own]:
            raise Broken(f"two of them share {shared[0]}: make it in the constructor")
        a.train()(x.requires_grad_()).sum().backward()


@contextmanager
def _settings_kept() -> Iterator[None]:
    """Broken if something changes how the rest of a process computes; it is set back."""
    before, (python, numbers) = {name: get() for name, (get, _) in SETTINGS.items()}, _drawn()
    try:
        yield
    finally:
        changed = [name for name, (get, _) in SETTINGS.items() if get() != before[name]]
        for name in changed:
            SETTINGS[name][1](before[name])
    if changed:
        raise Broken(f"changes torch's {changed[0]}")
    if _drawn() != (python, numbers):
        raise Broken("draws from Python's or NumPy's global generator, which no recipe seeds")


def _drawn() -> tuple[Any, bytes]:
    return random.getstate(), np.random.get_state()[1].tobytes() + bytes(np.random.get_state()[2])


SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "number of threads": (torch.get_num_threads, torch.set_num_threads),
    "deterministic algorithms": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "precision of matrix products": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "backends.cudnn.benchmark": (
        lambda: torch.backends.cudnn.benchmark,
        partial(setattr, torch.backends.cudnn, "benchmark"),
    ),
}


def _gradients(make: Make, channels: int, least: int) -> None:
    op, x = awake(make()).train(), clip(channels, GRIDS[0], least=least).requires_grad_()
    y = op(x)
    named = {"the input": x, **dict(op.named_parameters())}
    named = {name: value for name, value in named.items() if value.requires_grad}
    found = torch.autograd.grad((y * torch.randn_like(y)).sum(), list(named.values()), allow_unused=True)
    for name, gradient in zip(named, found, strict=True):
        if gradient is None:
            raise Broken(f"no gradient reaches {name}")
        if not gradient.isfinite().all():
            raise Broken(f"the gradient of {name} is not finite")


def _gradcheck(make: Make, channels: int, least: int) -> None:
    """In float64 and evaluation, of input and parameters, along random directions."""
    op = awake(make().double()).eval()
    names, parameters = zip(*op.named_parameters(), strict=True) if any(True for _ in op.parameters()) else ((), ())
    x = clip(channels, SMALL, least=least, batch=1).double().requires_grad_()

    def run(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(op, dict(zip(names, values, strict=True)), (x,))

    try:
        torch.autograd.gradcheck(run, (x, *parameters), fast_mode=True)
    except GradcheckError as error:
        found = re.search(r"with respect to input (\d+)", str(error))
        which = ("the input", *names)[int(found[1])] if found else ""
        told = f"the gradient of {which} is not that of differences" if which else str(error).split("\n")[0][:160]
        raise Broken(f"{told}, in float64") from None


def _meta(make: Make, channels: int, least: int) -> None:
    x = clip(channels, GRIDS[0], least=least).to("meta")
    try:
        y = make().to("meta").eval()(x)
    except Exception as error:
        told = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise Broken(f"does not run on shapes alone, as dry runs and counts do: {told}"[:300]) from None
    if y.shape != x.shape:
        raise Broken(f"gives {tuple(y.shape)} on the meta device")


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


CHECKS: dict[str, Callable[[Callable[..., nn.Module], int, int], str | None]] = {
    "shape": _shape,
    "dtype": _dtype,
    "one frame": _one_frame,
    "unknown options": _options,
    "input kept": _input_kept,
    "same seed, same bits": _same_bits,
    "no global state": _no_state,
    "meta device": _meta,
    "gradients": _gradients,
    "gradcheck": _gradcheck,
}
