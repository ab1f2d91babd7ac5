"""Profiles row by row: progress, rows in processes of their own, and nothing lost where it stops."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import typer

from vidops_cli.ablation.claims import growth
from vidops_cli.ops import OPS
from vidops_cli.own import OwnCard
from vidops_cli.profiling import scaling
from vidops_cli.profiling.apart import apart
from vidops_cli.profiling.cases import Case
from vidops_cli.profiling.latency import load
from vidops_cli.profiling.memory import limited
from vidops_cli.profiling.profile import DTYPES, Settings, blank, profile, rebound
from vidops_cli.profiling.roofline import beaten, ceilings
from vidops_cli.record import SCHEMA, command_line, environment
from vidops_cli.report.claims import claims_table
from vidops_cli.report.profile import limits_of, means, means_table, profile_table, tree_table
from vidops_cli.report.scaling import scaling_table
from vidops_cli.report.table import Table, counted, number

from .common import console, known, load_run, of_no_row
from .live import clock
from .output import Output

INTERRUPTED = 130


def operators(
    cases: list[Case],
    settings: Settings,
    output: Output,
    *,
    title: str,
    lenient: bool,
    claims: list[dict[str, Any]],
) -> None:
    """A row for each case. `lenient`: a case that is refused is a row too, and the others go on.

    `claims` on the exponents of series are judged below the tables.
    """
    env = {**environment(str(settings.device)), "command": command_line()}
    if own := {case.card.name: case.card.source.code for case in cases if isinstance(case.card, OwnCard)}:
        env["own"] = own
    rows: list[dict[str, Any]] = []
    stopped, raised, began = False, False, time.monotonic()
    notes = console(stderr=True, note=True)
    _tell_load(settings.device)
    with notes.status("measuring this machine's matrix product and copy") as status:
        limits = ceilings(settings.device, DTYPES[settings.dtype], torch.get_num_threads())
        for i, case in enumerate(cases):
            env["ceilings"] = asdict(limits)
            settings = replace(settings, ceilings=limits)
            status.update(f"{i + 1}/{len(cases)} {case}")
            if not notes.is_terminal:
                notes.print(f"{i + 1}/{len(cases)} {case}, {clock(time.monotonic() - began)}", soft_wrap=True)
            try:
                rows.append(_row(case, settings, lenient))
            except KeyboardInterrupt:
                stopped = True
                break
            except Exception:
                if rows:
                    output.show(*_document(rows, env, output, title, claims))  # what is finished is not lost
                raise
            if not raised and beaten(rows[-1]["bound_by"], rows[-1]["bound_share"]):  # once: it may be as it is
                raised = True
                limits = ceilings(settings.device, DTYPES[settings.dtype], torch.get_num_threads(), again=True)
                rows, env["ceilings"] = [rebound(row, limits) for row in rows], asdict(limits)
            output.write(*_document(rows, env, output, title, claims))
    document, tables = _document(rows, env, output, title, claims)
    if rows:
        _show(output, document, tables)
    if stopped:
        typer.echo(f"stopped: {len(rows)} of {len(cases)} rows", err=True)
        raise typer.Exit(INTERRUPTED)
    if any(row["status"] in ("red", "error") for row in rows):
        raise typer.Exit(1)


def again(path: Path, output: Output) -> None:
    """The tables of rows that were measured before. ValueError for a file that holds none."""
    from vidops_cli.report.compare import rows_of

    from .compare import read

    found = read(path)
    rows, env = rows_of(found, str(path))
    _show(output, *_document(rows, env, output, found.get("title", ""), found.get("growth", [])))


def _tell_load(device: torch.device) -> None:
    """A note if other processes are busy on the processor that is measured."""
    found = load() if device.type == "cpu" else None
    if found:
        fewer = ", or --threads 1" if torch.get_num_threads() > 1 else ""
        told = f"load {found[0]:.0f} on {found[1]} core{'s' if found[1] > 1 else ''}: times will be wrong; wait{fewer}"
        console(stderr=True, note=True).print(told, soft_wrap=True)


def _show(output: Output, document: dict[str, Any], tables: list[Table]) -> None:
    """Tables, the file and the plot."""
    notes = console(stderr=True, note=True)
    output.show(document, tables)
    if output.out:
        notes.print(f"written: {output.out}", soft_wrap=True)
    if output.plot:
        from vidops_cli.report.plot import plot

        swept = scaling.series(document["rows"], OPS) or document["rows"]
        limits = limits_of(document["env"])
        kind = plot(swept, output.plot, scaling=document["scaling"], ceilings=limits)
        notes.print(f"{kind} plot: {output.plot}", soft_wrap=True)


def _row(case: Case, settings: Settings, lenient: bool) -> dict[str, Any]:
    try:
        return profile(case, settings, run=apart) if case.processes else profile(case, settings)
    except ValueError as error:
        if not lenient:
            raise
        return {**blank(case, settings), "status": "error", "error": str(error.args[0])}


def _document(
    rows: list[dict[str, Any]], env: dict[str, Any], output: Output, title: str, claims: list[dict[str, Any]]
) -> tuple[dict[str, Any], list[Table]]:
    found, mean = scaling.summary(scaling.series(rows, OPS)), means(rows)
    tables = [replace(profile_table(rows, env, full=output.full, chosen=output.columns), title=title)] if rows else []
    tables += [means_table(mean)] if mean else []
    tables += [scaling_table(found)] if found else []
    document = {"schema": SCHEMA, "env": env, "title": title, "scaling": found, "means": mean}
    if claims:
        document["growth"] = claims
        tables += [claims_table(growth(claims, found), {"title": title})]
    return {**document, "rows": rows}, tables


def network(
    path: Path,
    overrides: list[str] | None,
    device: torch.device,
    output: Output,
    *,
    depth: int,
    grid: tuple[int, int, int] | None,
    classes: int | None,
    views: int,
    row: str | None,
) -> None:
    """The tree of a recipe's network: parameters, operations, memory and time of its modules."""
    from vidops_cli.ablation.grid import code_of
    from vidops_cli.engine.setup import Setup
    from vidops_cli.profiling.convention import as_printed
    from vidops_cli.profiling.tree import tree
    from vidops_cli.recipe.suite import is_suite

    if is_suite(path):
        raise ValueError(f"{path} is a suite of layers, not a recipe", f"give --suite {path}")
    told = load_run(path, overrides, row)
    if classes is not None:
        told = told.model_copy(update={"data": told.data.model_copy(update={"classes": classes})})
    clip, classes, notes = _clip(told, grid, classes)
    notes += of_no_row(path, overrides, row)
    setup = Setup.of(told, str(device))
    model = setup.build(classes)
    inputs = [x.to(device) for x in setup.example(model, clip)]
    model = model.to(device)
    shape = [1, *clip]
    _tell_load(device)
    with console(stderr=True, note=True).status(f"measuring {told.model.name} on {'x'.join(map(str, shape))}"):
        with limited(device):
            rows = tree(model, inputs, device, depth=depth)
        printed = as_printed(model, *inputs, convention=told.convention) if told.convention else None
        if printed is not None:
            notes.append(f"as the paper counts ({told.convention}): {number(printed)} a clip")
    if views > 1:
        notes.append(f"{views} views: {number(views * rows[0]['macs'])} MACs a video")
    env = {**environment(str(device), code_of(told, known())), "command": command_line()}
    head = {
        "recipe": str(path),
        "row": row,
        "network": told.model.name,
        "clip": shape,
        "classes": classes,
        "views": views,
    }
    document = {"schema": SCHEMA, "env": {**env, **head}, "rows": rows, "notes": notes, "printed": printed}
    table = tree_table(rows)
    threads = f", {counted(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else ""
    place = f"float32 on {env['device']} ({env['cpu']}){threads}; torch {env['torch']}"
    table.notes.extend([*notes, f"{told.model.name}, one clip of {'x'.join(map(str, clip))}; {place}"])
    _show(output, document, [table])


def _clip(told: Any, grid: tuple[int, int, int] | None, classes: int | None) -> tuple[tuple[int, ...], int, list[str]]:
    """Shape of a clip and number of classes: from the recipe's data where they are there, else as told."""
    from vidops_cli.engine.setup import open_clips

    notes = []
    try:
        clips = open_clips(told, "train", train=True)
        shape, found = tuple(clips.shape()), len(clips.annotations.classes)
    except (ValueError, OSError) as error:
        side = told.data.crop or told.data.resize
        if grid is None and side is None:
            raise ValueError(
                f"the size of a clip is not known without its data: {error.args[0]}",
                "get the data, or say the size, as in --grid 8x32x32 --classes 4",
            ) from None
        size = side if isinstance(side, list) else (side, side)
        shape, found = (3, told.data.num_frames, *size), told.data.classes or 400
        if classes is None and told.data.classes is None:
            notes.append("400 classes are taken: the data are not at hand; --classes says another number")
    return (3, *grid) if grid else shape, classes or found, notes
