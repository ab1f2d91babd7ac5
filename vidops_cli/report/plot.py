"""Rows -> plots: scaling, roofline, cost against accuracy. PNG, SVG or PDF by the ending of the file; no torch.

The same rows give the same file, byte for byte. matplotlib is imported only where something is drawn.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidops_cli import stats
from vidops_cli.record import write_bytes

from .scaling import decided
from .table import digits, number, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = dict[str, Any]

SUFFIXES = (".png", ".svg", ".pdf")
UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
HOLLOW = ("once", "noisy", "unstable", "loaded")  # flags of times that are not to be trusted
FEWEST, WIDEST = 4, 0.5  # an exponent in a legend: of so many sizes, half of its interval at most so wide
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#444444",
)  # Okabe and Ito: colour-blind safe
MARKERS = "osD^vP*"
NEAR = {"cost": 0.4, "accuracy": 0.06}  # share of a plot that a name takes
AXES = {
    "seq": r"positions $T \times H \times W$",
    "frames": "frames $T$",
    "channels": "channels $C$",
    "batch": "clips at a time",
}
STYLE = {
    "figure.dpi": 150,
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "pdf.fonttype": 42,  # TrueType, which publishers ask for
    "svg.hashsalt": "vidops",
}


def plot(
    rows: list[Row],
    path: Path,
    *,
    scaling: Sequence[Row] = (),
    ceilings: dict[str, float] | None = None,
) -> str:
    """Draw a sweep as a scaling plot, all else as a roofline; says which: "scaling" or "roofline".

    ValueError if there is neither a sweep nor a ceiling, nothing to draw, no matplotlib, or another ending.
    """
    check_suffix(path)
    if axis_of(rows):
        scaling_plot(rows, path, scaling=scaling)
        return "scaling"
    if ceilings is None:
        raise ValueError("nothing to plot: no size was swept, and there is no roofline", "as in --sweep seq=256..4096")
    roofline_plot(rows, ceilings, path)
    return "roofline"


def check_suffix(path: Path) -> None:
    """ValueError unless the file ends in .png, .svg or .pdf."""
    if Path(path).suffix not in SUFFIXES:
        raise ValueError(f"a plot is a .png, .svg or .pdf file, got {path}", "as in --plot scaling.png")


@contextmanager
def figure_of(path: Path, width: float, height: float, *, tight: bool = False) -> Iterator[Figure]:
    """A figure of so many inches, written when the block ends; tight: without the white around what is drawn."""
    check_suffix(path)
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("plots need matplotlib", "pip install 'vidops[plot]'") from None
    with matplotlib.rc_context(STYLE | ({"savefig.bbox": "tight", "savefig.pad_inches": 0.05} if tight else {})):
        figure = Figure((width, height), layout="constrained")
        yield figure
        drawn = io.BytesIO()
        kind = Path(path).suffix[1:]
        figure.savefig(drawn, format=kind, metadata=UNDATED.get(kind))
    write_bytes(Path(path), drawn.getvalue())


def drawn_as_is(name: str) -> str:
    """Words in which matplotlib reads no formula."""
    return printable(name).replace("$", r"\$")


# --- scaling ----------------------------------------------------------------------------------------------------------


def axis_of(rows: list[Row]) -> str | None:
    """The size that a sweep varies: "frames", "seq", "channels", "batch" or an option; None if all rows have one size.

    As the rows themselves say; of rows older than that, frames where T alone varies, else positions.
    """
    if any("axis" in row for row in rows):
        return next(iter(_axes(rows)), None)
    grids = {tuple(_shape(row)[3:]) for row in rows}
    for name in ["frames", "seq", "channels", "batch", *dict.fromkeys(key for row in rows for key in _options(row))]:
        if name == "frames" and len(grids) > 1:
            continue
        if any(len({x for row in line if (x := _value(row, name)) is not None}) > 1 for line in _lines(rows, name)):
            return name
    return None


def _axes(rows: list[Row]) -> list[str]:
    """The axes that rows name themselves."""
    return list(dict.fromkeys(row["axis"] for row in rows if row.get("axis")))


def _shape(row: Row) -> list[int]:
    return [int(part) for part in row["shape"].split("x")]


def _options(row: Row) -> dict[str, str]:
    return dict(part.split("=", 1) for part in (row.get("options") or "").split() if "=" in part)


def _value(row: Row, axis: str) -> float | None:
    """Where a row stands on an axis; None if its option is no positive number."""
    if "axis" in row:
        return row["at"] if row["axis"] == axis else None
    batch, channels, frames, *grid = _shape(row)
    known = {"seq": frames * math.prod(grid), "frames": frames, "channels": channels, "batch": batch}
    if axis in known:
        return known[axis]
    try:
        value = float(_options(row).get(axis, ""))
    except ValueError:
        return None
    return value if 0 < value < math.inf else None


def _name(row: Row, axis: str) -> str:
    """What names a line: the operator, the options that are not swept, and a form that is not the plain one."""
    options = [f"{key}={value}" for key, value in _options(row).items() if key != axis]
    form = [row["form"]] if row.get("form") not in (None, "eager") else []
    return " ".join([row["op"], *options, *form, *(["channels last"] if row.get("channels_last") else [])])


def _lines(rows: list[Row], axis: str) -> list[list[Row]]:
    """Rows of each line, along the axis."""
    lines: dict[str, list[Row]] = {}
    for row in rows:
        lines.setdefault(_name(row, axis), []).append(row)
    return [sorted(line, key=lambda row: _value(row, axis) or 0) for line in lines.values()]


def scaling_plot(rows: list[Row], path: Path, *, scaling: Sequence[Row] = ()) -> None:
    """Time and peak memory against the swept size, log-log: a line for each operator, with the band from p10 to p90.

    Panels of their own for each axis. `scaling` gives the exponents and crossovers of the legend, of which only those
    are told that are known well enough. A size that ran out of memory is a cross at the upper edge; a hollow point was
    timed once, or its time has one of the flags `HOLLOW`.
    """
    axis = axis_of(rows)
    if axis is None:
        raise ValueError("a scaling plot needs a size with two values", "as in --sweep seq=256..4096")
    ways = [way for way in ("fwd", "fwdbwd") if any(row.get(f"{way}_ms") is not None for row in rows)] or ["fwd"]
    by_axis = {axis: [row for row in rows if row.get("axis") == axis] for axis in _axes(rows)} or {axis: rows}
    most = max(len(_lines(swept, axis)) for axis, swept in by_axis.items())
    height = 2.75 + 0.16 * max(0, most - 4)  # a panel holds its legend
    with figure_of(path, 6.8, height * len(ways) * len(by_axis)) as figure:
        panels = figure.subplots(
            len(ways) * len(by_axis), 2, sharex=True if len(by_axis) == 1 else "row", squeeze=False
        )
        free = iter(panels)
        for axis, swept in by_axis.items():
            sizes = sorted({x for row in swept if (x := _value(row, axis)) is not None})
            for way in ways:
                time, memory = next(free)
                _pair(time, memory, way, _lines(swept, axis), axis, scaling)
                _ticks(time, sizes)
            for panel in (time, memory):
                panel.set_xlabel(AXES.get(axis, axis))
        _marks(figure, rows, ways)


def _pair(time: Axes, memory: Axes, way: str, lines: list[list[Row]], axis: str, scaling: Sequence[Row]) -> None:
    said = {"fwd": "forward", "fwdbwd": "forward + backward"}[way]
    _panel(time, lines, axis, f"{way}_ms", 1.0, scaling)
    time.set_ylabel(f"{said} time (ms)")
    _panel(memory, lines, axis, f"peak_{way}_bytes", 2.0**20, scaling)
    memory.set_ylabel(f"{said} peak (MiB)")


def _panel(panel: Axes, lines: list[list[Row]], axis: str, key: str, unit: float, scaling: Sequence[Row]) -> None:
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    for i, line in enumerate(lines):
        known = [(x, row) for row in line if (x := _value(row, axis)) is not None]
        points = [(x, row) for x, row in known if row.get(key)]
        label = drawn_as_is(_name(line[0], axis)) + _exponent(scaling, line[0]["op"], axis, key)
        panel.plot([x for x, _ in points], [row[key] / unit for _, row in points], label=label, **look(i))
        if key.endswith("_ms"):
            _spread(panel, points, key.removesuffix("_ms"), look(i))
        refused = [x for x, row in known if row.get("status") == "oom" and not row.get(key)]
        if refused:
            edge = {"transform": panel.get_xaxis_transform(), "clip_on": False, "linestyle": ""}
            panel.plot(refused, [1] * len(refused), color=look(i)["color"], marker="X", markersize=6, **edge)
    for at, told in _crossovers(scaling, axis, key):
        panel.axvline(at, color="#888888", linestyle=":", linewidth=1, label=told)
    panel.legend(loc="upper left", handlelength=1.6, labelspacing=0.3)
    low, high = panel.get_ylim()
    panel.set_ylim(low, high * (high / low) ** (0.07 * len(panel.get_legend_handles_labels()[0])))
    _plain(panel)


def _plain(panel: Axes) -> None:
    """Numbers at the ticks of a logarithmic y, which matplotlib would write as powers of ten, where it writes any."""
    from matplotlib.ticker import LogFormatterSciNotation

    class Plain(LogFormatterSciNotation):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    panel.yaxis.set_major_formatter(Plain())
    panel.yaxis.set_minor_formatter(Plain(labelOnlyBase=False))


def look(i: int) -> dict[str, str]:
    """Colour and marker of the i-th line; the first 49 differ."""
    return {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]}


def _spread(panel: Axes, points: list[tuple[float, Row]], way: str, look: dict[str, str]) -> None:
    """The band from p10 to p90; a hollow point where a time is not to be trusted."""
    band = [(x, row[f"{way}_p10"], row[f"{way}_p90"]) for x, row in points if row.get(f"{way}_p10")]
    if band:
        panel.fill_between(*zip(*band, strict=True), color=look["color"], alpha=0.2, linewidth=0)
    hollow = [(x, row[f"{way}_ms"]) for x, row in points if _hollow(row, way)]
    panel.plot([x for x, _ in hollow], [y for _, y in hollow], linestyle="", markerfacecolor="white", **look)


def _hollow(row: Row, way: str) -> list[str]:
    """Why a time is not to be trusted."""
    return [flag for flag in HOLLOW if flag in (row.get(f"{way}_flags") or []) and row.get(f"{way}_ms")]


def _marks(figure: Figure, rows: list[Row], ways: list[str]) -> None:
    """What the marks mean that stand in the panels."""
    from matplotlib.lines import Line2D

    grey = {"color": "#888888", "linestyle": ""}
    marks = []
    if any(row.get("status") == "oom" for row in rows):
        marks.append(Line2D([], [], marker="X", markersize=6, label="out of memory", **grey))
    if flags := {flag for row in rows for way in ways for flag in _hollow(row, way)}:
        told = ", ".join("a single run" if flag == "once" else flag for flag in HOLLOW if flag in flags)
        marks.append(Line2D([], [], marker="o", markerfacecolor="white", label=told, **grey))
    if any(row.get(f"{way}_p10") for row in rows for way in ways):
        marks.append(Line2D([], [], linewidth=6, alpha=0.4, color="#888888", label="p10 to p90"))
    if marks:
        figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))


def _exponent(scaling: Sequence[Row], op: str, axis: str, key: str) -> str:
    for entry in scaling:
        if "exponent" in entry and (entry["op"], entry["axis"], entry["what"]) == (op, axis, key):
            low, high = entry.get("low"), entry.get("high")
            if entry.get("n", 0) < FEWEST or low is None or high is None or high - low > 2 * WIDEST:
                return ""
            return f"  ∝ {axis}$^{{{entry['exponent']:.2f}\\pm{(high - low) / 2:.2f}}}$"
    return ""


def _crossovers(scaling: Sequence[Row], axis: str, key: str) -> list[tuple[float, str]]:
    return [
        (entry["crossover"], f"{entry['op']} = {entry['against']} at {digits(entry['crossover'])}")
        for entry in scaling
        if "crossover" in entry and decided(entry) and (entry["axis"], entry["what"]) == (axis, key)
    ]


def _ticks(panel: Axes, values: list[float]) -> None:
    """Ticks at the sizes that were run, at most six, as plain numbers."""
    shown = values[:: -(-len(values) // 6)]
    panel.set_xticks(shown, [f"{value:g}" for value in shown], minor=False)
    panel.minorticks_off()


# --- roofline ---------------------------------------------------------------------------------------------------------


def roofline_plot(rows: list[Row], ceilings: dict[str, float], path: Path) -> None:
    """Forward speed against arithmetic intensity, below the machine's ceilings `flops_per_s` and `bytes_per_s`.

    A point is (FLOPs executed per byte of input, parameters and output; FLOPs executed per second).
    """
    points = [
        (row["intensity"], 1e3 * row["flops_executed"] / row["fwd_ms"], row)
        for row in rows
        if row.get("intensity") and row.get("flops_executed") and row.get("fwd_ms") and row.get("passed") is not False
    ]
    if not points:
        raise ValueError("no row has a time and an intensity to draw", "see the table for what failed")
    peak, bandwidth = ceilings["flops_per_s"], ceilings["bytes_per_s"]
    ridge = peak / bandwidth
    left, right = min(ridge, *(x for x, *_ in points)) / 3, max(ridge, *(x for x, *_ in points)) * 3
    several = len({row["shape"] for *_, row in points}) > 1
    columns = 1 if several or max(len(_name(row, "")) for *_, row in points) > 16 else 2
    with figure_of(path, 4.6, 3.1 + 0.17 * math.ceil(len(points) / columns)) as figure:
        panel = figure.subplots()
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.plot([left, ridge, right], [left * bandwidth, peak, peak], color="#222222")
        for i, (x, y, row) in enumerate(sorted(points, key=lambda point: point[:2])):
            share = digits(100 * y / min(peak, x * bandwidth))
            name = _name(row, "") + (f", {row['shape']}" if several else "")
            panel.plot([x], [y], label=f"{drawn_as_is(name)}: {share} % of the bound", linestyle="", **look(i))
        panel.set_xlim(left, right)
        panel.set_ylim(top=2 * max(peak, *(y for _, y, _ in points)))
        above = {"textcoords": "offset points", "ha": "right"}
        panel.annotate(f"{number(peak)}FLOP/s", (right, peak), (-2, 3), **above)
        panel.annotate(f"{number(bandwidth)}B/s", (ridge, peak), (-6, 3), **above)
        panel.set_xlabel("arithmetic intensity (FLOPs per byte)")
        panel.set_ylabel("forward speed (FLOP/s)")
        figure.legend(loc="outside lower center", ncols=columns)


# --- cost against accuracy --------------------------------------------------------------------------------------------


def points_of(rows: list[Row], *, metric: str = "top1") -> list[Row]:
    """Training rows -> a point for each row of an ablation: name, cost, cost_unit, accuracy and spread (in %).

    Accuracy is the mean over seeds, spread its sample standard deviation (None for one seed). Cost is multiply-adds of
    one clip, or seconds of a run where one row has none: all points share one unit. Lines without `metric`, as the head
    of a results file, are passed over. ValueError if nothing is left.
    """
    scored = [row for row in rows if row.get("metric") == metric]
    if not scored:
        raise ValueError(
            f"no row tells {metric}", "metrics: " + ", ".join(sorted({r["metric"] for r in rows if "metric" in r}))
        )
    counted = all(row.get("macs") is not None for row in scored)
    key, unit = ("macs", "MACs per clip") if counted else ("seconds", "seconds per run")
    groups = {
        name: [row for row in scored if row["row"] == name] for name in dict.fromkeys(row["row"] for row in scored)
    }
    return [
        {
            "name": name,
            "cost": stats.mean([row[key] for row in group]),
            "cost_unit": unit,
            "accuracy": stats.mean([row["value"] for row in group]),
            "spread": stats.std([row["value"] for row in group]),
        }
        for name, group in groups.items()
    ]


def tradeoff_plot(
    points: list[Row], path: Path, *, metric: str = "top1", floors: dict[str, float] | None = None
) -> None:
    """Accuracy against cost, with the spread over seeds; a grey line joins the points that no other one beats in both.

    `floors` are shares of 1 that are drawn as dashed lines, as {"chance": 0.25}.
    """
    if not points:
        raise ValueError("there is no point to draw", "run the ablation first")
    costs, crowded = [point["cost"] for point in points], _crowded(points)
    with figure_of(path, 4.4, 3.0 + (0.17 * math.ceil(len(points) / 2) if crowded else 0)) as figure:
        panel = figure.subplots()
        panel.margins(x=0.1, y=0.1)
        if min(costs) > 0 and max(costs) > 5 * min(costs):
            panel.set_xscale("log")
        front = _front(points)
        steps = {"drawstyle": "steps-post", "color": "#bbbbbb", "linewidth": 1, "zorder": 1}
        panel.plot([point["cost"] for point in front], [point["accuracy"] for point in front], **steps)
        for i, point in enumerate(points):
            panel.errorbar(
                point["cost"],
                point["accuracy"],
                yerr=point["spread"],
                capsize=2,
                linestyle="",
                label=drawn_as_is(point["name"]),
                **look(i),
            )
            if not crowded:
                _beside(panel, point, look(i)["color"], on_the_left=point["cost"] == max(costs) > min(costs))
        if crowded:
            figure.legend(loc="outside lower center", ncols=2)
        for value in dict.fromkeys((floors or {}).values()):
            name = ", ".join(name for name, floor in (floors or {}).items() if floor == value)
            panel.axhline(100 * value, color="#888888", linestyle="--", linewidth=0.8)
            edge = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "ha": "right"}
            panel.annotate(drawn_as_is(name), (1, 100 * value), (-2, 2), color="#666666", **edge)
        panel.set_xlabel(points[0]["cost_unit"])
        spread = ", ± std over seeds" if any(point["spread"] is not None for point in points) else ""
        panel.set_ylabel(f"{metric} (%){spread}")
        panel.xaxis.set_major_formatter(lambda value, _: number(value))


def _crowded(points: list[Row]) -> bool:
    """Whether names beside the points would cover each other; a legend tells them then."""
    spans = {key: max(point[key] for point in points) - min(point[key] for point in points) for key in NEAR}
    near = [
        all(abs(a[key] - b[key]) < share * spans[key] or not spans[key] for key, share in NEAR.items())
        for a, b in combinations(points, 2)
    ]
    return any(near) and len(points) > 2


def _beside(panel: Axes, point: Row, colour: str, *, on_the_left: bool) -> None:
    """The name of a point, inwards."""
    place, side = ((-7, 4), "right") if on_the_left else ((7, 4), "left")
    at = (point["cost"], point["accuracy"])
    panel.annotate(drawn_as_is(point["name"]), at, place, textcoords="offset points", ha=side, color=colour)


def _front(points: list[Row]) -> list[Row]:
    """Points that are more accurate than all that cost as much or less, by cost."""
    found: list[Row] = []
    for point in sorted(points, key=lambda point: (point["cost"], -point["accuracy"])):
        if not found or point["accuracy"] > found[-1]["accuracy"]:
            found.append(point)
    return found
