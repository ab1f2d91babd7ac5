"""What `vidops_cli` offers to notebooks and scripts. Imports no torch until a function is called."""

from __future__ import annotations

import functools
import inspect
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from vidops_cli.ops.refused import Refused

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vidops_cli.ops import Card
    from vidops_cli.recipe import Known, Recipe

P = ParamSpec("P")
R = TypeVar("R")


def _readable(function: Callable[P, R]) -> Callable[P, R]:
    """Errors with a hint read well under a traceback: str(ValueError(message, hint)) would be a tuple."""

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Refused:
            raise
        except ValueError as error:
            problems = getattr(error, "problems", [])
            told = "\n".join(f"{p.where}: {p.message}; {p.hint}" for p in problems[:-1])
            last = f"{problems[-1].where}: {problems[-1].message}" if problems else str((error.args or ("",))[0])
            hint = [problems[-1].hint] if problems else error.args[1:2]
            raise Refused("\n".join(filter(None, (told, last))), *hint) from error.__cause__

    return called


def known(tell: Callable[[str], None] = lambda line: None) -> Known:
    """Names that a recipe may use; `tell` takes a line on each own operator that is imported for it."""
    from vidops_cli.data import DATASETS
    from vidops_cli.models import MODELS
    from vidops_cli.own import Operators
    from vidops_cli.recipe import Known

    return Known(ops=Operators(tell), models=MODELS, datasets=DATASETS)


@_readable
def create_op(op: str, channels: int, **options: Any) -> nn.Module:
    """An operator by its name (`vidops list ops`), or a class of yours as "package.module:Class".

    `channels` is C of its input; `options` are those of its card, with the paper's defaults (`vidops show NAME`), and
    out_channels where it takes that. The module maps (B, C, T, H, W) to the same shape, T = 1 for images, unless its
    card names other inputs; T, H and W are read from the input. It is on the CPU, in float32 and in training mode, its
    weights are drawn from torch's generator (`torch.manual_seed`). Source of each: the head of its file in
    vidops_cli/ops, and `vidops show`.

    ValueError, with a hint, for a name, an option or a value that it does not have.
    """
    card = _card(op)
    build = card.load()
    beside = {*inspect.signature(build).parameters} - {"channels", *card.options}  # as out_channels
    _check_options(card, {name: value for name, value in options.items() if name not in beside})
    _check_number("channels", channels)
    try:
        return build(channels, **options)
    except ValueError as error:
        told, *hint = error.args
        raise ValueError(f"{card.name}: {told}", *(hint or [f"see `vidops show {card.name}`"])) from error.__cause__


@_readable
def create_model(
    network: str | Recipe,
    classes: int,
    ops: str | Sequence[str | Mapping[str, Any]] = (),
    *,
    weights: str | Path | Mapping[str, str] | None = None,
    **model: Any,
) -> nn.Module:
    """A network by its name (`vidops list models`), with operators in its slots; or that of a recipe.

    `ops` and the other keywords are those of a recipe's `model:` block (`vidops show recipe`): each of `ops` is an
    operator's name, or a mapping of op, at, slot and options, as in {"op": "motion_squeeze", "at": "res3"}; dropout,
    drop_path, width, inflate, skeleton ... `weights` is a checkpoint of `vidops train` or `vidops import`, or one for
    each part.
    The module takes clips (B, 3, T, H, W), T = 1 for images, as normalised floats, and gives scores (B, classes);
    networks that see joints take (clip, coords (B, T, persons, joints, 2) in pixels, scores (B, T, persons, joints)).
    CPU, float32, training mode, weights from torch's generator. Source: `vidops show NETWORK`.

    ValueError, with a hint, for all that a recipe would be refused for.
    """
    from vidops_cli.models import MODELS
    from vidops_cli.recipe import Recipe, RecipeError
    from vidops_cli.recipe.checking import check_model

    _check_number("classes", classes)
    if isinstance(network, Recipe):
        if ops or model:
            raise ValueError("a recipe says its operators itself", "change it by load_recipe(path, [KEY=VALUE, ...])")
        told = network.model
        weights = told.weights if weights is None else weights
    else:
        block = {"name": network, "ops": _placed(ops), **model}
        told, problems = check_model(block, known())
        if told is None:
            raise RecipeError(problems)
    keys = ("dropout", "drop_path", "inflate", "width", "fresh_blocks")
    placed = [op.model_dump() for op in told.ops]
    given = {key: getattr(told, key) for key in keys}
    made = MODELS[told.name].drawing(told.skeleton).build(classes=classes, ops=placed, **given)
    if weights:
        _fill(made, weights)
    return made


@_readable
def profile(
    what: str | nn.Module,
    shape: Sequence[int] | None = None,
    *,
    inputs: Sequence[Tensor] | None = None,
    device: str = "auto",
    dtype: str = "float32",
    backward: bool = True,
    baseline: str | None = None,
    depth: int = 2,
    **options: Any,
) -> list[dict[str, Any]]:
    """Measure an operator by its name or a module as it is: the rows of `vidops profile` (docs/profile.md).

    An operator's name, with its `options`: one row, of the form that is first held against the published algorithm in
    float64, output and gradients. `shape` is (B, C, T, H, W); None: one clip of its paper's layer. Keys among others:
    params, macs, flops (counts), fwd_ms, fwdbwd_ms (median milliseconds), peak_fwd_bytes, peak_fwdbwd_bytes, checked,
    status: ok, red (it differs, and is not timed), oom or error. `baseline`: an operator, or "textbook", that is timed
    in turns with it.

    A module: the rows of its tree down to `depth`, root first: name, kind, params, macs, other_flops, ms, peak_bytes,
    in evaluation mode, forward alone. `shape` is that of its one input, or `inputs` are the tensors. `device` "auto" is
    where its parameters are; on another a copy is measured.

    Names: `device` is auto, cpu or cuda; `dtype` float32, bfloat16 or float16. Counts are of the published algorithm
    (multiply-adds as macs; flops = 2 macs + the rest); of a module that is not ours, of the form that runs.
    ValueError, with a hint, for names and shapes that do not fit.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the memory profiler tells every start and stop on stderr
    if isinstance(what, str):
        if inputs is not None:
            raise ValueError("an operator's inputs are made for its shape", "give shape=(B, C, T, H, W)")
        return [_profile_op(what, shape, options, device, dtype, backward, baseline)]
    if options or baseline or dtype != "float32":
        wrong = next(iter(options), "baseline" if baseline else "dtype")
        raise ValueError(f"a module is measured as it is, {wrong} means nothing beside it", "leave it out")
    return _profile_module(what, shape, inputs, device, depth)


@_readable
def load_recipe(path: str | Path, overrides: str | Sequence[str] = ()) -> Recipe:
    """A recipe (YAML), merged over its base, changed by `overrides` as in ["train.epochs=2"], and checked.

    The same as the command line reads it: `told.model`, `told.data`, `told.train` ... hold its keys (`vidops show
    recipe`), `told.hash()` what decides a result. A recipe that names an own operator imports its module; which file
    that is, is logged.

    ValueError, with every problem, its line and a hint.
    """
    from vidops_cli.own.source import look_beside
    from vidops_cli.recipe import load

    look_beside(Path(path))
    given = [overrides] if isinstance(overrides, str) else list(overrides)
    return load(Path(path), known(logging.getLogger("vidops_cli").warning), given)


# --- how --------------------------------------------------------------------------------------------------------------


def _card(name: str) -> Card:
    from vidops_cli.recipe import nearest

    ops = known().ops
    if name not in ops:
        raise ValueError(f"unknown operator {name!r}", nearest(name, ops, "operators"))
    return ops[name]


def _placed(ops: object) -> list[dict[str, Any]]:
    """As a recipe says it; a name alone is the operator in its own slot, with its defaults."""
    given = [ops] if isinstance(ops, (str, Mapping)) else ops
    if not isinstance(given, Sequence) or not all(isinstance(op, (str, Mapping)) for op in given):
        hint = 'as in ["tsm"], or [{"op": "motion_squeeze", "at": "res3"}]'
        raise ValueError(f"ops: expected names of operators, or mappings, got {ops!r}", hint)
    return [{"op": op} if isinstance(op, str) else dict(op) for op in given]


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}: expected a number from 1, got {value!r}", f"as in {name}=64")


def _check_options(card: Card, options: Mapping[str, Any]) -> None:
    from vidops_cli.profiling.cases import find_option

    for name, value in options.items():
        if problem := find_option(card, name).problem(value):
            raise ValueError(f"{card.name}: {name}: {problem}", f"see `vidops show {card.name}`")


def _fill(model: nn.Module, weights: str | Path | Mapping[str, str]) -> None:
    from vidops_cli.engine import checkpoint

    if isinstance(weights, (str, Path)):
        checkpoint.start_from(model, Path(weights))
        return
    for part, path in weights.items():
        checkpoint.load_part(model, part, Path(path))


def _profile_op(
    name: str,
    shape: Sequence[int] | None,
    options: Mapping[str, Any],
    device: str,
    dtype: str,
    backward: bool,
    baseline: str | None,
) -> dict[str, Any]:
    import torch

    from vidops_cli.engine.setup import pick_device
    from vidops_cli.profiling.cases import Case, Shape
    from vidops_cli.profiling.profile import DTYPES, OWN_BASELINES, Settings, rebound
    from vidops_cli.profiling.profile import profile as measure
    from vidops_cli.profiling.roofline import beaten, ceilings

    card = _card(name)
    _check_options(card, options)
    if dtype not in DTYPES:
        raise ValueError(f"unknown dtype {dtype!r}", f"one of {', '.join(DTYPES)}")
    if baseline is not None and baseline not in OWN_BASELINES:
        baseline = _card(baseline).name
    if shape is not None and len(shape) != 5:
        raise ValueError(f"shape is (B, C, T, H, W), got {tuple(shape)}", "an image has T = 1")
    batch, channels, frames, height, width = map(int, shape or (1, *card.layer))
    case = Case(card, Shape(batch, channels, (frames, height, width)), dict(options), baseline=baseline)
    where = pick_device(device)
    limits = ceilings(where, DTYPES[dtype], torch.get_num_threads())
    row = measure(case, Settings(device=where, dtype=dtype, backward=backward, ceilings=limits))
    if beaten(row["bound_by"], row["bound_share"]):
        row = rebound(row, ceilings(where, DTYPES[dtype], torch.get_num_threads(), again=True))
    return row


def _profile_module(
    module: nn.Module, shape: Sequence[int] | None, inputs: Sequence[Tensor] | None, device: str, depth: int
) -> list[dict[str, Any]]:
    import copy

    import torch

    from vidops_cli.engine.setup import pick_device
    from vidops_cli.profiling.memory import limited
    from vidops_cli.profiling.tree import tree

    if (shape is None) == (inputs is None):
        raise ValueError("a module is measured on inputs of a size", "give shape=(B, 3, T, H, W), or inputs=[...]")
    held = next((x.device for x in (*module.parameters(), *module.buffers())), torch.device("cpu"))
    where = held if device == "auto" else pick_device(device)
    if where.type != held.type:
        module = copy.deepcopy(module).to(where)
    given = [torch.randn(*map(int, shape or ()))] if inputs is None else list(inputs)
    with limited(where):
        return tree(module, [x.to(where) for x in given], where, depth=depth)
