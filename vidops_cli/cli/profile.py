"""vidops profile"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import Device, OneRow, Overrides, find_op, options_of
from .output import FORMATS, SUFFIXES, Output

if TYPE_CHECKING:
    from vidops_cli.profiling.cases import Case

WHAT, HOW, SHOWN = "What", "How", "Shown"


def command(
    context: typer.Context,
    recipe: Annotated[
        Path | None,
        typer.Argument(
            help="A recipe: its whole network, as a tree. Or rows (.json, .jsonl): their tables again.",
            show_default=False,
        ),
    ] = None,
    overrides: Overrides = None,
    row: OneRow = None,
    op: Annotated[
        list[str] | None,
        typer.Option(help="Operator, or package.module:Class of yours. Repeatable.", rich_help_panel=WHAT),
    ] = None,
    suite: Annotated[Path | None, typer.Option(help="Layers of a suite file.", rich_help_panel=WHAT)] = None,
    seq: Annotated[
        int | None, typer.Option(help="Positions, as the most square H x W at T = 1.", rich_help_panel=WHAT)
    ] = None,
    grid: Annotated[
        str | None, typer.Option(help="Input as TxHxW. Default: the operator's paper layer.", rich_help_panel=WHAT)
    ] = None,
    channels: Annotated[
        int | None, typer.Option(min=1, help="Default: the operator's paper layer.", rich_help_panel=WHAT)
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Clips at a time.", rich_help_panel=WHAT)] = 1,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Option of the operator, as window=[3,5,5]; of each --op. Repeatable.", rich_help_panel=WHAT
        ),
    ] = None,
    input_: Annotated[
        list[str] | None,
        typer.Option("--input", help="Shape that a module of yours takes, as 'B C H W'.", rich_help_panel=WHAT),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            help="AXIS=VALUES, as seq=256..4096 (doubles) or window=3,5,7; an axis is seq, frames, size (H = W), "
            "channels, batch or an option. Repeatable: each is a list of its own, not a grid.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    depth: Annotated[int, typer.Option(min=0, help="Levels of a network's tree.", rich_help_panel=WHAT)] = 2,
    classes: Annotated[
        int | None, typer.Option(min=1, help="Classes of a recipe's network without its data.", rich_help_panel=WHAT)
    ] = None,
    views: Annotated[
        str, typer.Option(help="Clips x crops of a video, as 10x3; counts stay per clip.", rich_help_panel=WHAT)
    ] = "1",
    baseline: Annotated[
        str | None,
        typer.Option(help="Operator to time in turns with; or textbook, or eager (--compile).", rich_help_panel=HOW),
    ] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.", rich_help_panel=HOW)] = "float32",
    device: Device = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads on a CPU. Default: torch's own choice.", rich_help_panel=HOW)
    ] = None,
    backward: Annotated[
        bool, typer.Option(help="Time and measure forward + backward too.", rich_help_panel=HOW)
    ] = True,
    compile_: Annotated[bool, typer.Option("--compile", help="Time the compiled form.", rich_help_panel=HOW)] = False,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Inputs in channels-last memory.", rich_help_panel=HOW)
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Time each row in so many processes of its own; 0: all in one. Default: the suite's, or 0.",
            rich_help_panel=HOW,
            show_default=False,
        ),
    ] = None,
    row_budget: Annotated[
        float, typer.Option(min=0.0, help="Seconds of a pass from which it is timed once.", rich_help_panel=HOW)
    ] = 30.0,
    format: Annotated[str, typer.Option(help=", ".join(FORMATS) + ".", rich_help_panel=SHOWN)] = "table",
    full: Annotated[bool, typer.Option("--full", help="More columns in the table.", rich_help_panel=SHOWN)] = False,
    columns: Annotated[
        str | None, typer.Option(help="Columns of the table, as op,shape,fwd_ms,fwd_peak.", rich_help_panel=SHOWN)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help=f"Write to a file ending in {', '.join(SUFFIXES)}.", rich_help_panel=SHOWN),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the sweep, or the roofline: .png, .svg, .pdf.", rich_help_panel=SHOWN)
    ] = None,
) -> None:
    """Measure operators: multiply-adds, FLOPs, peak memory, latency.

    Each form is first checked against the published algorithm in float64, output
    and gradients; no time is given if they differ.

    Example: vidops profile --op lisa --baseline self_attention --seq 4096
    """
    from vidops_cli.report.profile import choose

    output = Output(format, out, plot, full, () if columns is None else choose(columns))
    if [bool(recipe), bool(op), bool(suite)].count(True) != 1:
        raise ValueError(
            "profile takes one of --op, --suite and a recipe", "as in --op rsa; see `vidops profile --help`"
        )
    rows = recipe is not None and recipe.suffix in (".json", ".jsonl")
    _refuse_others(context, "rows" if rows else "a recipe" if recipe else "--suite" if suite else "--op")
    size = None if grid is None else _grid(grid)
    if seq is not None and (size or not op):
        raise ValueError("--seq and --grid, a suite or a recipe all say a size", "give one of them")

    import os

    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the memory profiler tells every start and stop on stderr
    import torch

    from vidops_cli.engine.setup import pick_device
    from vidops_cli.profiling.profile import DTYPES, Settings, refuse_frames

    from . import measuring

    if dtype not in DTYPES:
        raise ValueError(f"unknown dtype {dtype!r}", f"one of {', '.join(DTYPES)}")
    if threads:
        if threads > 8 * (os.cpu_count() or 1):
            raise ValueError(f"--threads {threads} is far more than the {os.cpu_count()} cores here", "take fewer")
        torch.set_num_threads(threads)
    if rows:
        measuring.again(recipe, output)
        return
    where = pick_device(device)
    if recipe:
        measuring.network(
            recipe, overrides, where, output, depth=depth, grid=size, classes=classes, views=_views(views), row=row
        )
        return
    settings = Settings(
        device=where,
        dtype=dtype,
        backward=backward,
        compiled=compile_,
        channels_last=channels_last,
        limit=row_budget,
        views=_views(views),
    )
    title, claims, beside = "", [], _baseline(baseline)
    if suite:
        title, claims, cases = _layers(suite, beside)
    else:
        cases = _operators(op or [], beside, channels, batch, size, seq, set_, input_)
    if not (suite or sweep):
        for case in cases:
            refuse_frames(case)  # before anything is measured
    lenient = bool(suite or sweep)
    cases = _sweeps(cases, sweep or [])
    if processes is not None:
        cases = [replace(case, processes=processes) for case in cases]
    measuring.operators(cases, settings, output, title=title, lenient=lenient, claims=claims)


_LAYER = {"seq", "channels", "batch", "set_", "input_", "sweep"}
_TREE = {"depth", "classes", "row"}
_HOW = {
    "baseline",
    "dtype",
    "backward",
    "compile_",
    "channels_last",
    "processes",
    "row_budget",
    "full",
    "columns",
    "plot",
}
_ALL = _LAYER | _TREE | (_HOW - {"full", "columns", "plot"}) | {"grid", "overrides", "views", "device", "threads"}
OTHERS = {"rows": _ALL, "a recipe": _LAYER | _HOW, "--suite": _LAYER - {"sweep"} | _TREE | {"grid"}, "--op": _TREE}


def _refuse_others(context: typer.Context, mode: str) -> None:
    """ValueError for options that mean nothing beside what is profiled, instead of passing them over."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name != "DEFAULT" and parameter.name in OTHERS[mode]:
            raise ValueError(f"{parameter.opts[0]} means nothing beside {mode}", "leave it out")


def _operators(
    names: list[str],
    baseline: str | None,
    channels: int | None,
    batch: int,
    grid: tuple[int, int, int] | None,
    seq: int | None,
    given: list[str] | None,
    inputs: list[str] | None,
) -> list[Case]:
    from vidops_cli.ops import OPS
    from vidops_cli.own import is_own
    from vidops_cli.profiling.cases import Case, Shape, grid_of

    given, names = given or [], list(dict.fromkeys(names))
    if inputs and not any(is_own(name) for name in names):
        raise ValueError("--input is of modules of yours, as package.module:Class", "leave it out")
    if seq is not None:
        grid = grid_of(seq)
    found = []
    for name in names:
        card = find_op(name, inputs)
        shape = Shape(batch, channels or card.layer[0], grid or card.layer[1:])
        found.append(Case(card, shape, options_of(card, given), baseline=baseline))
    if baseline in OPS:  # measured too, first, and where the others are
        card = OPS[baseline]
        known = [text for text in given if text.partition("=")[0] in card.options]
        found = [case for case in found if case.card is not card]
        shape = found[0].shape if found else Shape(batch, channels or card.layer[0], grid or card.layer[1:])
        found.insert(0, Case(card, shape, options_of(card, known), reference=True))
    return found


def _layers(path: Path, baseline: str | None) -> tuple[str, list[dict[str, Any]], list[Case]]:
    """A suite's title and claims, and a case for each of its layers; `baseline` is of those that say none."""
    from vidops_cli.profiling.cases import Case, Shape
    from vidops_cli.recipe.suite import load_suite

    from .common import known

    names = known()
    told = load_suite(path, names)
    cases = []
    for layer in told.layers:
        shape = Shape(layer.batch, layer.channels, tuple(layer.grid))
        case = Case(
            names.ops[layer.op],
            shape,
            layer.options,
            axis=layer.sweep,
            at=layer.sweep and shape.along(layer.sweep),
            layer=layer.name,
            baseline=_baseline(layer.baseline or told.baseline or baseline),
            inputs=layer.inputs,
            call=layer.call,
            released=layer.released.model_dump(),
            processes=told.processes if layer.processes is None else layer.processes,
        )
        cases.append(case)
    return told.title, [claim.model_dump() for claim in told.claims], cases


def _sweeps(cases: list[Case], sweeps: list[str]) -> list[Case]:
    """The cases at every value of every sweep, one sweep after the other."""
    from vidops_cli.profiling.cases import sweep
    from vidops_cli.profiling.scaling import parse_sweep

    if not sweeps:
        return cases
    options = [name for case in cases for name in case.card.options]
    told = [parse_sweep(text, options) for text in sweeps]
    return [case for axis, values in told for case in sweep(cases, axis, values)]


def _baseline(name: str | None) -> str | None:
    from vidops_cli.own import is_own
    from vidops_cli.profiling.profile import OWN_BASELINES

    if name is not None and is_own(name):
        raise ValueError(f"the baseline {name} is not of the zoo", "give both with --op, or take one that is")
    return name if name is None or name in OWN_BASELINES else find_op(name).name


def _grid(text: str) -> tuple[int, int, int]:
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*x[1-9]\d*", text):
        raise ValueError(f"--grid takes TxHxW, got {text!r}", "as in --grid 8x28x28")
    T, H, W = (int(part) for part in text.split("x"))
    return T, H, W


def _views(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)?", text):
        raise ValueError(f"--views takes a number, or clips x crops, got {text!r}", "as in --views 10x3")
    count = 1
    for part in text.split("x"):
        count *= int(part)
    return count
