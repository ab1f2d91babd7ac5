"""What is seen of an operator (`visualize/pictures.py`), drawn on the frames: one file for each picture. No torch.

Places and lengths are in pixels of the frames (T, H, W, 3), uint8. Each function draws one kind of picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .plot import drawn_as_is, figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

WIDTH, HEIGHT = 6.8, 7.5  # inches at most: a page of two columns
ARROWS = 18  # along the longer side of a frame
MARK = "#D55E00"
POSITIVE, SIGNED, LENGTH = "viridis", "RdBu_r", "plasma"


def draw(kind: str, frames: np.ndarray, told: dict[str, Any], path: Path, *, title: str) -> None:
    """Write one picture as PNG or SVG. ValueError on another ending, or without matplotlib."""
    KINDS[kind](frames, path, drawn_as_is(title), **told)


# --- parts ------------------------------------------------------------------------------------------------------------


def sheet(figure: Figure, rows: int, columns: int, title: str) -> np.ndarray:
    """Axes (rows, columns) without ticks, below a title."""
    figure.set_layout_engine("compressed")  # frames keep their shape
    figure.suptitle(title, fontsize=8)
    axes = figure.subplots(rows, columns, squeeze=False)
    for panel in axes.flat:
        bare(panel)
    return axes


def bare(panel: Axes) -> None:
    panel.set(xticks=[], yticks=[])
    panel.grid(False)
    panel.spines[:].set_visible(False)


def shape_of(frames: np.ndarray, columns: int, rows: int, *, aside: float = 0.9, above: float = 0.35) -> tuple:
    """Inches of a figure of rows x columns frames with titles, and a colour bar beside them."""
    side = min((WIDTH - aside) / columns, 2.6, HEIGHT / rows)
    height = side * frames.shape[1] / frames.shape[2] + 0.25
    return columns * side + aside, rows * height + above


def show(panel: Axes, frame: np.ndarray, title: str = "", *, pale: float = 0.0) -> None:
    """A frame; pale, from 0 to 1: grey, and nearer to white, so that what is drawn on it is seen."""
    if pale:
        grey = frame @ np.array([0.299, 0.587, 0.114])
        panel.imshow(pale * 240 + (1 - pale) * grey, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    else:
        panel.imshow(frame, interpolation="nearest")
    height, width = frame.shape[:2]
    panel.set_xlim(-0.5, width - 0.5)
    panel.set_ylim(height - 0.5, -0.5)
    panel.set_title(title, fontsize=7, pad=3)


def outside(panel: Axes, title: str) -> None:
    panel.text(0.5, 0.5, "outside\nthe clip", ha="center", va="center", transform=panel.transAxes, color="#666666")
    panel.set_title(title, fontsize=7, pad=3)


def overlaid(panel: Axes, values: np.ndarray, frame: np.ndarray, low: float, high: float) -> AxesImage:
    """A map over the whole of a frame."""
    edges = (-0.5, frame.shape[1] - 0.5, frame.shape[0] - 0.5, -0.5)
    look = {"cmap": POSITIVE, "vmin": low, "vmax": high, "alpha": 0.55, "interpolation": "nearest"}
    return panel.imshow(values, extent=edges, **look)


def cross(panel: Axes, point: Sequence[float]) -> None:
    """Marks the point that is asked about."""
    panel.plot(*point, marker="P", markersize=7, color=MARK, markeredgecolor="white", markeredgewidth=0.8)


def bar(figure: Figure, shown: Any, axes: Any, label: str, *, below: bool = False, extend: str = "neither") -> None:
    """A colour bar beside, or below, some panels."""
    panels = list(np.ravel(np.asarray(axes, dtype=object)))
    place = {"location": "bottom" if below else "right", "fraction": 0.05, "pad": 0.02, "aspect": 24}
    made = figure.colorbar(shown, ax=panels, extend=extend, **place)
    made.ax.locator_params(nbins=4 if below else 7)
    made.set_label(label, fontsize=7)
    made.ax.tick_params(labelsize=6)
    made.solids.set_alpha(1)
    made.outline.set_visible(False)


def limits(values: np.ndarray) -> tuple[str, float, float]:
    """Colours, and the values at their ends: around 0 where there are negative ones."""
    low, high = float(np.min(values)), float(np.max(values))
    if low < -0.05 * high:
        end = max(-low, high)
        return SIGNED, -end, end
    return POSITIVE, low if high > low else 0.0, high if high > low else max(high, 1.0)


def rounded(value: float) -> float:
    """1, 2 or 5 times a power of ten, not above a value."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(n * power for n in (5, 2, 1) if n * power <= value * 1.0001)


# --- kinds ------------------------------------------------------------------------------------------------------------


def motion(frames: np.ndarray, path: Path, title: str, *, panels: list[dict[str, Any]], what: str) -> None:
    """Arrows from one frame that end where its points are found in another; that other; how sure it is.

    Where nearly all arrows would be too short to be seen they are drawn longer, which their title tells.
    """
    upright = len(panels) <= 2
    rows, columns = (len(panels), 3) if upright else (3, len(panels))
    with figure_of(path, *shape_of(frames, columns, rows, aside=1.3 if upright else 0.9), tight=True) as figure:
        axes = sheet(figure, rows, columns, title)
        axes = axes if upright else axes.T
        lengths = np.concatenate([np.hypot(panel["u"], panel["v"]).ravel() for panel in panels])
        most, longest = float(np.quantile(lengths, 0.9)), float(np.quantile(lengths, 0.98)) or 1.0
        times = 2 ** max(0, math.floor(math.log2(frames.shape[2] / ARROWS / most))) if most else 1
        sure = np.stack([panel["sure"] for panel in panels])
        for panel, (first, second, third) in zip(panels, axes, strict=True):
            told = f"frame {panel['frame']} to frame {panel['to']}"
            drawn = f" (arrows x {times})" if times > 1 else ""
            show(first, frames[panel["frame"]], told + drawn, pale=0.6)
            arrows = _arrows(first, panel, longest, times)
            show(second, frames[panel["to"]], f"frame {panel['to']}")
            show(third, frames[panel["frame"]], f"{told}: {what.split(' (')[0]}" if upright else "", pale=0.3)
            shown = overlaid(third, panel["sure"], frames[0], float(sure.min()), float(sure.max()))
        bar(figure, arrows, axes[:, 0], "displacement (pixels)", below=upright, extend="max")
        bar(figure, shown, axes[:, 2], what, below=upright)


def _arrows(panel: Axes, told: dict[str, Any], longest: float, times: int) -> Any:
    every = max(1, math.ceil(max(told["u"].shape) / ARROWS))
    start = every // 2
    u, v = (told[key][start::every, start::every] for key in "uv")
    x, y = np.meshgrid(told["x"][start::every], told["y"][start::every])
    look = {"angles": "xy", "scale_units": "xy", "scale": 1 / times, "cmap": LENGTH, "width": 0.007, "headwidth": 4}
    arrows = panel.quiver(x, y, u, v, np.hypot(u, v), edgecolor="white", linewidth=0.2, **look)
    arrows.set_clim(0, longest)
    return arrows


def window(
    frames: np.ndarray,
    path: Path,
    title: str,
    *,
    frame: int,
    at: list[int | None],
    offsets: list[int],
    point: tuple[float, float],
    pitch: Sequence[float],
    maps: np.ndarray,
    names: list[str],
    what: str,
) -> None:
    """The frames of a window, with its edge and the point; below them, for each head, its values there.

    Of a window of one frame, heads stand beside it, four in a row.
    """
    groups, length = maps.shape[:2]
    columns = length if length > 1 else 1 + min(4, groups)
    rows = 1 + groups if length > 1 else math.ceil(groups / 4)
    colours, low, high = limits(maps)
    half = maps.shape[3] / 2 * pitch[0], maps.shape[2] / 2 * pitch[1]
    look = {"cmap": colours, "vmin": low, "vmax": high, "interpolation": "nearest"}
    with figure_of(path, *shape_of(frames, columns, rows), tight=True) as figure:
        axes = sheet(figure, rows, columns, title)
        tops, below = (axes[0], axes[1:]) if length > 1 else (axes[:1, 0], axes[:, 1:].reshape(-1, 1)[:groups])
        for panel, t, offset in zip(tops, at, offsets, strict=True):
            name = f"frame {frame + offset}" + (f" ({offset:+d})" if offset else "")
            if t is None:
                outside(panel, name)
                continue
            show(panel, frames[t], name)
            edge(panel, point, half)
            cross(panel, point)
        for values, name, line in zip(maps, names, below, strict=True):
            for panel, each in zip(line, values, strict=True):
                shown = panel.imshow(each, extent=(-half[0], half[0], half[1], -half[1]), **look)
                panel.plot(0, 0, marker="+", color="black", markersize=4, markeredgewidth=0.6)
            if length > 1:
                line[0].set_ylabel(name, fontsize=7)
            else:
                line[0].set_title(name or what.split(" (")[0], fontsize=7, pad=3)
        offsets_below(below[-1][0], half[0])
        bar(figure, shown, axes, what)


def edge(panel: Axes, point: Sequence[float], half: Sequence[float]) -> None:
    """The outline of a window."""
    from matplotlib.patches import Rectangle

    corner = point[0] - half[0], point[1] - half[1]
    panel.add_patch(Rectangle(corner, 2 * half[0], 2 * half[1], fill=False, edgecolor=MARK, linewidth=1.2))


def offsets_below(panel: Axes, half: float) -> None:
    """A scale of offsets in pixels."""
    end = rounded(half)
    panel.set_xticks([-end, 0, end], [f"{tick:g}" for tick in (-end, 0, end)], fontsize=6)
    panel.set_xlabel("offset (pixels)", fontsize=6, labelpad=1)


def taps(
    frames: np.ndarray,
    path: Path,
    title: str,
    *,
    frame: int,
    to: int,
    point: tuple[float, float],
    regular: tuple[np.ndarray, np.ndarray],
    read: tuple[np.ndarray, np.ndarray],
    weight: np.ndarray,
    what: str,
) -> None:
    """The point, and where its taps read, close by: circles are where they start, lines lead to where they read."""
    colours, low, high = limits(weight)
    near = 1.5 * max(4.0, *(float(np.abs(axis - at).max()) for axis, at in zip(read, point, strict=True)))
    with figure_of(path, *shape_of(frames, 3, 1), tight=True) as figure:
        axes = sheet(figure, 1, 3, title)[0]
        names = f"frame {frame}", f"frame {to}", f"frame {to}: where it reads"
        for panel, t, name in zip(axes, (frame, to, to), names, strict=True):
            show(panel, frames[t], name, pale=0.6 if panel is axes[2] else 0.0)
            cross(panel, point)
        edge(axes[1], point, (near, near))
        axes[2].set(xlim=(point[0] - near, point[0] + near), ylim=(point[1] + near, point[1] - near))
        for x0, y0, x1, y1 in zip(*regular, *read, strict=True):
            axes[2].plot([x0, x1], [y0, y1], color="black", linewidth=0.6)
        axes[2].scatter(*regular, s=40, facecolors="none", edgecolors="black", linewidths=0.6)
        look = {"cmap": colours, "vmin": low, "vmax": high, "edgecolors": "black", "linewidths": 0.4}
        shown = axes[2].scatter(*read, s=24, c=weight, zorder=3, **look)
        bar(figure, shown, axes, what)


def over_frames(
    frames: np.ndarray,
    path: Path,
    title: str,
    *,
    maps: np.ndarray,
    at: list[int],
    point: tuple[float, float] | None,
    frame: int,
    what: str,
) -> None:
    """A map over each frame, and the point that they are of."""
    columns = min(4, len(maps))
    rows = math.ceil(len(maps) / columns)
    _, low, high = limits(maps)
    with figure_of(path, *shape_of(frames, columns, rows), tight=True) as figure:
        axes = sheet(figure, rows, columns, title)
        for panel, values, t in zip(axes.flat, maps, at, strict=False):
            show(panel, frames[t], f"frame {t}", pale=0.3)
            shown = overlaid(panel, values, frames[t], low, high)
            if point is not None and t == frame:
                cross(panel, point)
        bar(figure, shown, axes, what)


def pair(
    frames: np.ndarray,
    path: Path,
    title: str,
    *,
    attention: list[np.ndarray],
    point: tuple[float, float],
    cosine: np.ndarray,
    refined: np.ndarray,
) -> None:
    """Two images with their co-attention; a point of the second, and what of the first matches it."""
    with figure_of(path, *shape_of(frames, 4, 2), tight=True) as figure:
        axes = sheet(figure, 2, 4, title)
        low, high = min(each.min() for each in attention), max(each.max() for each in attention)
        for line, image, values, name in zip(axes, frames, attention, ("support", "query"), strict=True):
            show(line[0], image, name)
            show(line[1], image, "co-attention", pale=0.3)
            shown = overlaid(line[1], values, image, low, high)
        bar(figure, shown, axes[:, 1], "attention, 1 = even", below=True)
        cross(axes[1][0], point)
        for i, values, name in ((2, cosine, "cosines C"), (3, refined, "refined h(C)")):
            show(axes[0][i], frames[0], f"{name} of the point", pale=0.3)
            shown = overlaid(axes[0][i], values, frames[0], float(values.min()), float(values.max()))
            bar(figure, shown, axes[:, i], name, below=True)
            axes[1][i].set_axis_off()


def gate(frames: np.ndarray, path: Path, title: str, *, gate: np.ndarray) -> None:
    """The frames, and below them the gate (T, features): its mean and where its middle four fifths lie."""
    count = min(len(frames), 8)
    chosen = np.linspace(0, len(frames) - 1, count).round().astype(int)
    side = WIDTH / count
    height = side * frames.shape[1] / frames.shape[2] + 0.3
    with figure_of(path, WIDTH, height + 2.0, tight=True) as figure:
        figure.suptitle(title, fontsize=8)
        above, below = figure.subfigures(2, 1, height_ratios=[height, 1.8])
        for panel, t in zip(above.subplots(1, count, squeeze=False)[0], chosen, strict=True):
            bare(panel)
            show(panel, frames[t], f"frame {t}")
        panel, x = below.subplots(), np.arange(len(gate))
        low, high = np.quantile(gate, [0.1, 0.9], axis=1)
        panel.fill_between(x, low, high, alpha=0.25, color=MARK, linewidth=0, label="p10 to p90 of the features")
        panel.plot(x, gate.mean(1), marker="o", color=MARK, label="mean over the features")
        panel.axhline(0.5, color="#888888", linestyle=":", linewidth=1)
        panel.set(xticks=x, xlabel="frame", ylim=(0, 1), ylabel="gate: 0 appearance, 1 pose")
        panel.legend(loc="best")


def patterns(
    frames: np.ndarray,
    path: Path,
    title: str,
    *,
    frame: int,
    tables: list[np.ndarray],
    names: tuple[str, str],
    pitch: Sequence[float],
    head: str,
    found: np.ndarray | None,
) -> None:
    """Tables over the offsets within a frame, one column for each pattern; below them where the first are found."""
    columns, rows = len(tables[0]), len(tables) + (found is not None)
    with figure_of(path, *shape_of(frames, columns, rows), tight=True) as figure:
        axes = sheet(figure, rows, columns, f"{title}, {head}")
        for row, table, name in zip(axes, tables, names, strict=False):
            colours, low, high = limits(table)
            half = table.shape[2] / 2 * pitch[0], table.shape[1] / 2 * pitch[1]
            for d, (panel, values) in enumerate(zip(row, table, strict=True)):
                extent = (-half[0], half[0], half[1], -half[1])
                look = {"cmap": colours, "vmin": low, "vmax": high, "interpolation": "nearest"}
                shown = panel.imshow(values, extent=extent, **look)
                panel.set_title(f"{drawn_as_is(name)}, {d + 1}", fontsize=7, pad=3)
            bar(figure, shown, row, "weight")
        offsets_below(axes[len(tables) - 1][0], half[0])
        if found is not None:
            _, low, high = limits(found)
            for d, (panel, values) in enumerate(zip(axes[-1], found, strict=True)):
                show(panel, frames[frame], f"s, {d + 1}", pale=0.3)
                shown = overlaid(panel, values, frames[frame], low, high)
            bar(figure, shown, axes[-1], f"s on frame {frame}")


KINDS = {kind.__name__: kind for kind in (motion, window, taps, over_frames, pair, gate, patterns)}
