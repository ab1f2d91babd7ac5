"""What runs wrote after each epoch -> a table and loss curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .plot import drawn_as_is, figure_of, look
from .provenance import origin
from .table import Table, digits, number

Row = dict[str, Any]

PANELS = {"loss": "loss", "top1": "top1 (%)"}
MOST = 14  # names in a legend
NAMED = 60  # characters of one


@dataclass(frozen=True)
class Run:
    """`name`: runs that differ in their seed alone share it; `epochs`: lines of metrics.jsonl; `summary`: its end."""

    name: str
    folder: str
    seed: int | None
    epochs: list[Row]
    summary: Row


def runs_table(title: str, runs: Sequence[Run]) -> Table:
    """One line for each run: its last epoch, its test if it has finished, what it took."""
    head = ["run", "seed", "epochs", "train loss", "val loss", "val top1 (%)", "test top1 (%)", "params", "MACs"]
    head += ["seconds", "folder"]
    body, origins = [], []
    for run in runs:
        last, told = run.epochs[-1] if run.epochs else {}, run.summary
        body.append(
            [
                run.name,
                "-" if run.seed is None else str(run.seed),
                str(last.get("epoch", 0)),
                *(digits(last.get(key)) for key in ("train_loss", "val_loss")),
                *("-" if value is None else f"{value:.1f}" for value in (last.get("val_top1"), _test(told))),
                number(told.get("params")),
                number((told.get("cost") or {}).get("macs")),
                "-" if told.get("seconds") is None else f"{told['seconds']:.0f}",
                run.folder,
            ]
        )
        origins.append(origin([told], told.get("env")) if told else {})
    notes = [
        "losses and val top1 of the last epoch that is written; test top1: of the finished run, on the split that its "
        "recipe tests; a curve is drawn from two epochs on"
    ]
    return Table(title, head, body, notes, origins=origins)


def _test(summary: Row) -> float | None:
    return (summary.get("metrics") or {}).get("top1")


def curves_plot(runs: Sequence[Run], path: Path) -> None:
    """Loss and accuracy over epochs: train solid, val dashed; runs of one name in one colour.

    ValueError if no run has finished two epochs.
    """
    runs = [run for run in runs if len(run.epochs) > 1]
    if not runs:
        raise ValueError("no run has finished two epochs", "a curve needs two points")
    names = list(dict.fromkeys(run.name for run in runs))
    shown = names[:MOST]
    with figure_of(path, 6.8, 2.8 + 0.16 * math.ceil((len(shown) + 2) / 2)) as figure:
        from matplotlib.lines import Line2D
        from matplotlib.ticker import MaxNLocator

        for panel, (key, label) in zip(figure.subplots(1, 2), PANELS.items(), strict=True):
            for run in runs:
                for split, dashes in (("train", "-"), ("val", "--")):
                    known = [epoch for epoch in run.epochs if epoch.get(f"{split}_{key}") is not None]
                    points = [(epoch["epoch"], epoch[f"{split}_{key}"]) for epoch in known]
                    style = {**look(names.index(run.name)), "linestyle": dashes, "linewidth": 1}
                    panel.plot(*zip(*points, strict=True), **style) if points else None
            panel.set_xlabel("epoch")
            panel.set_ylabel(label)
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        handles = [Line2D([], [], label=drawn_as_is(_short(name)), **look(i)) for i, name in enumerate(shown)]
        more = f" (of {len(names)}, the first {MOST} named)" if len(names) > MOST else ""
        handles += [Line2D([], [], color="#888888", label=f"train{more}")]
        handles += [Line2D([], [], color="#888888", linestyle="--", label="val")]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)


def _short(name: str) -> str:
    return name if len(name) <= NAMED else name[: NAMED - 1] + "…"
