"""Claims -> a plot of their effects with intervals, verdict by colour. PNG or SVG; no torch."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from .plot import drawn_as_is, figure_of

COLOURS = {"held": "#009E73", "not held": "#D55E00", "undecided": "#444444"}
BOUND = 105  # points: no effect is larger than 100, though an interval of two seeds may be


def claims_plot(judged: list[dict[str, Any]], path: Path) -> None:
    """One line for each claim on accuracy that was judged: effect in points, its interval, and a tick at its `least`.

    Entries are those of `ablation.claims.judge`, with the name of their table under "table". ValueError if none has an
    effect.
    """
    shown = [entry for entry in judged if entry["effect"] is not None and entry.get("least") is not None]
    if not shown:
        raise ValueError("no claim on accuracy has an effect to draw", "run the ablations first")
    with figure_of(path, 6.4, 0.6 + 0.3 * len(shown)) as figure:
        panel = figure.subplots()
        panel.axvline(0, color="#888888", linewidth=0.8)
        for i, entry in enumerate(shown):
            colour = COLOURS.get(entry["verdict"], COLOURS["undecided"])
            reach = None
            if entry["low"] is not None:
                reach = [[entry["effect"] - entry["low"]], [entry["high"] - entry["effect"]]]
            panel.errorbar(entry["effect"], i, xerr=reach, color=colour, marker="o", capsize=2)
            panel.plot([entry["least"]] * 2, [i - 0.3, i + 0.3], color="#888888", linewidth=1.2)
        names = [f"{entry['table']}: {entry['claim']}" if entry.get("table") else entry["claim"] for entry in shown]
        panel.set_yticks(
            range(len(shown)), ["\n".join(textwrap.wrap(drawn_as_is(name), 60)) for name in names], fontsize=6
        )
        panel.set_ylim(len(shown) - 0.4, -0.6)
        left, right = panel.get_xlim()
        panel.set_xlim(max(left, -BOUND), min(right, BOUND))
        panel.set_xlabel("effect (points); tick: the least that bears the claim")
        for verdict in dict.fromkeys(entry["verdict"] for entry in shown):
            panel.plot([], [], color=COLOURS.get(verdict, COLOURS["undecided"]), marker="o", label=verdict)
        figure.legend(loc="outside upper right", ncols=3)
