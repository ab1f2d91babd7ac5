"""What stands in the plots: read from the figures before they are written, and from the files."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from matplotlib.colors import to_hex

from vidops_cli.report import plot as module
from vidops_cli.report.plot import AXES, axis_of, plot, points_of, roofline_plot, scaling_plot, tradeoff_plot

ROOT = Path(__file__).parent.parent.parent


def measured(op: str, shape: str, ms: float | None, **changes) -> dict:
    row = {"op": op, "shape": shape, "options": "", "form": "eager", "status": "ok" if ms else "oom", "passed": True}
    row |= {"fwd_ms": ms, "fwd_p10": ms and 0.9 * ms, "fwd_p90": ms and 1.2 * ms, "fwd_flags": []}
    row |= {"fwdbwd_ms": None, "peak_fwd_bytes": ms and ms * 2**20, "flops_executed": 10**9, "intensity": 20.0}
    return {**row, **changes}


SWEEP = [measured("lisa", f"1x8x1x{n}x{n}", n / 4) for n in (16, 32, 64)]
SWEEP += [measured("self_attention", f"1x8x1x{n}x{n}", n**2 / 256 if n < 64 else None) for n in (64, 16, 32)]
SCALING = [
    {"op": "lisa", "axis": "seq", "what": "fwd_ms", "exponent": 0.5, "low": 0.4, "high": 0.6, "n": 4},
    {"op": "lisa", "axis": "frames", "what": "fwd_ms", "exponent": 7.0, "low": 6.0, "high": 8.0, "n": 3},
    {"op": "lisa", "against": "self_attention", "axis": "seq", "what": "fwd_ms", "crossover": 4096.0}
    | {"low": 4000.0, "high": 4200.0},
    {"op": "lisa", "against": "self_attention", "axis": "seq", "what": "peak_fwd_bytes", "crossover": None},
    {"op": "lisa", "axis": "seq", "largest": 4096, "refused": None},
]
CEILINGS = {"flops_per_s": 1e11, "bytes_per_s": 1e10}


@pytest.fixture
def figures(monkeypatch):
    """Figures that were drawn."""
    found, plain = [], module.figure_of

    @contextmanager
    def kept(*args):
        with plain(*args) as figure:
            found.append(figure)
            yield figure

    monkeypatch.setattr(module, "figure_of", kept)
    return found


def lines(panel) -> dict[str, tuple[list, list]]:
    """Labelled lines of a panel."""
    found = [line for line in panel.lines if not line.get_label().startswith("_")]
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in found}


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_the_same_rows_give_the_same_file(tmp_path, suffix, start):
    paths = [tmp_path / f"{name}{suffix}" for name in ("a", "b")]
    for path in paths:
        scaling_plot(SWEEP, path, scaling=SCALING)
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(start)
    assert first == second
    assert b"<dc:date>" not in first and b"CreationDate" not in first


def test_a_plot_is_png_svg_or_pdf(tmp_path):
    for draw in (lambda path: plot(SWEEP, path), lambda path: tradeoff_plot([point("a", 1, 2)], path)):
        with pytest.raises(ValueError, match=r"\.png, \.svg or \.pdf") as caught:
            draw(tmp_path / "plot.gif")
        assert "scaling.png" in caught.value.args[1]
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match="plots need matplotlib") as caught:
        plot(SWEEP, tmp_path / "plot.png")
    assert caught.value.args[1] == "pip install 'vidops[plot]'"


def test_reading_the_module_imports_neither_matplotlib_nor_torch():
    source = "import sys, vidops_cli.report.plot; sys.exit(bool({'matplotlib', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", source], timeout=60).returncode == 0


# --- which plot -------------------------------------------------------------------------------------------------------


def shapes(*told: str, **changes) -> list[dict]:
    return [measured("lisa", shape, 1.0, **changes) for shape in told]


@pytest.mark.parametrize(
    ("rows", "axis"),
    [
        (SWEEP, "seq"),
        (shapes("1x8x4x7x7", "1x8x8x7x7"), "frames"),
        (shapes("1x8x4x7x7", "1x8x8x14x14"), "seq"),
        (shapes("1x8x4x7x7", "1x16x4x7x7"), "channels"),
        (shapes("1x8x4x7x7", "2x8x4x7x7"), "batch"),
        (shapes("1x8x4x7x7", options="window=3 heads=4") + shapes("1x8x4x7x7", options="window=5 heads=4"), "window"),
        (shapes("1x8x4x7x7", options="kind=a") + shapes("1x8x4x7x7", options="kind=b"), None),
        (shapes("1x8x4x7x7", "1x8x4x7x7"), None),
        ([*shapes("1x8x4x7x7"), measured("rsa", "1x16x8x7x7", 1.0)], None),  # two operators, each at its own size
        ([], None),
    ],
)
def test_the_axis_of_a_sweep(rows, axis):
    assert axis_of(rows) == axis


def test_a_sweep_is_drawn_as_scaling_and_all_else_as_roofline(tmp_path):
    assert plot(SWEEP, tmp_path / "a.png", ceilings=CEILINGS) == "scaling"
    assert plot(SWEEP[:1], tmp_path / "b.png", ceilings=CEILINGS) == "roofline"
    with pytest.raises(ValueError, match="nothing to plot"):
        plot(SWEEP[:1], tmp_path / "c.png")
    with pytest.raises(ValueError, match="two values"):
        scaling_plot(SWEEP[:1], tmp_path / "c.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


# --- scaling ----------------------------------------------------------------------------------------------------------


def test_scaling(tmp_path, figures):
    scaling_plot(SWEEP, tmp_path / "plot.svg", scaling=SCALING)
    (figure,) = figures
    time, memory = figure.axes
    assert lines(time) == {
        "lisa  ∝ seq$^{0.50\\pm0.10}$": ([256, 1024, 4096], [4, 8, 16]),
        "self_attention": ([256, 1024], [1, 4]),
        "lisa = self_attention at 4096": ([4096, 4096], [0, 1]),
    }
    assert lines(memory) == {"lisa": ([256, 1024, 4096], [4, 8, 16]), "self_attention": ([256, 1024], [1, 4])}
    assert {panel.get_xscale() for panel in figure.axes} == {panel.get_yscale() for panel in figure.axes} == {"log"}
    assert (time.get_ylabel(), memory.get_ylabel()) == ("forward time (ms)", "forward peak (MiB)")
    assert "positions" in time.get_xlabel()
    band = time.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (pytest.approx(0.9 * 4), pytest.approx(1.2 * 16))
    assert not memory.collections


def test_a_size_that_ran_out_of_memory_is_a_cross_at_the_edge(tmp_path, figures):
    scaling_plot(SWEEP, tmp_path / "plot.png")
    for panel in figures[0].axes:
        (cross,) = (line for line in panel.lines if line.get_marker() == "X")
        assert (list(cross.get_xdata()), list(cross.get_ydata())) == ([4096], [1])
        attention = next(line for line in panel.lines if line.get_label().startswith("self_attention"))
        assert cross.get_color() == attention.get_color()
    assert [text.get_text() for text in figures[0].legends[0].texts] == ["out of memory", "p10 to p90"]


def test_a_single_run_is_hollow(tmp_path, figures):
    rows = [SWEEP[0], {**SWEEP[1], "fwd_flags": ["once"]}]
    scaling_plot(rows, tmp_path / "plot.png")
    time, memory = figures[0].axes
    (hollow,) = (line for line in time.lines if line.get_markerfacecolor() == "white")
    assert list(hollow.get_xdata()) == [1024]
    assert not [line for line in memory.lines if line.get_markerfacecolor() == "white"]
    assert "a single run" in [text.get_text() for text in figures[0].legends[0].texts]


def test_flagged_times_are_hollow_and_the_legend_says_why(tmp_path, figures):
    rows = [
        {**row, "fwd_flags": flags}
        for row, flags in zip(SWEEP, (["noisy"], ["launch-bound"], ["loaded", "once"]), strict=False)
    ]
    scaling_plot(rows, tmp_path / "plot.png")
    (hollow,) = (line for line in figures[0].axes[0].lines if line.get_markerfacecolor() == "white")
    assert list(hollow.get_xdata()) == [256, 4096]
    assert "a single run, noisy, loaded" in [text.get_text() for text in figures[0].legends[0].texts]


@pytest.mark.parametrize("changes", [{"n": 3}, {"low": None}, {"low": -0.1, "high": 1.1}, {"low": 0.2, "high": 1.3}])
def test_an_exponent_that_is_not_known_well_is_not_in_the_legend(tmp_path, figures, changes):
    scaling_plot(SWEEP, tmp_path / "plot.png", scaling=[{**SCALING[0], **changes}])
    assert list(lines(figures[0].axes[0])) == ["lisa", "self_attention"]


def test_a_crossover_that_is_undecided_is_not_drawn(tmp_path, figures):
    scaling_plot(SWEEP, tmp_path / "plot.png", scaling=[{**SCALING[2], "high": None}])
    assert list(lines(figures[0].axes[0])) == ["lisa", "self_attention"]


def test_two_axes_have_panels_of_their_own(tmp_path, figures):
    rows = [measured("rsa", f"1x8x{T}x7x7", T, axis="frames", at=T) for T in (4, 8)]
    rows += [measured("rsa", f"1x{C}x4x7x7", C, axis="channels", at=C) for C in (32, 64, 128)]
    scaling_plot(rows, tmp_path / "plot.png")
    panels = figures[0].axes
    assert [panel.get_xlabel() for panel in panels] == [AXES["frames"]] * 2 + [AXES["channels"]] * 2
    assert [lines(panel)["rsa"][0] for panel in panels] == [[4, 8]] * 2 + [[32, 64, 128]] * 2
    assert list(panels[2].get_xticks()) == [32, 64, 128]


def test_ticks_of_memory_are_plain_numbers(tmp_path, figures):
    scaling_plot([SWEEP[0], {**SWEEP[1], "peak_fwd_bytes": 9 * 2**20}], tmp_path / "plot.png")
    told = [text.get_text() for text in figures[0].axes[1].get_yticklabels(which="both")]
    assert "4" in told and not any("^" in word for word in told)


def test_forward_and_backward_have_a_row_of_panels_each(tmp_path, figures):
    more = {"fwdbwd_ms": 9.0, "fwdbwd_p10": 8.0, "fwdbwd_p90": 10.0, "peak_fwdbwd_bytes": 2**21}
    scaling_plot([{**row, **more} for row in SWEEP[:3]], tmp_path / "plot.png")
    labels = [panel.get_ylabel() for panel in figures[0].axes]
    assert labels[2:] == ["forward + backward time (ms)", "forward + backward peak (MiB)"]
    assert lines(figures[0].axes[3])["lisa"][1] == [2, 2, 2]


def test_options_and_forms_that_are_not_swept_make_lines_of_their_own(tmp_path, figures):
    rows = [measured("rsa", f"1x8x{T}x7x7", T, options=f"window={w}") for T in (4, 8) for w in (3, 5)]
    rows += [measured("rsa", f"1x8x{T}x7x7", T, options="window=3", form="compiled") for T in (4, 8)]
    scaling_plot(rows, tmp_path / "plot.png")
    assert list(lines(figures[0].axes[0])) == ["rsa window=3", "rsa window=5", "rsa window=3 compiled"]


def test_lines_differ(tmp_path, figures):
    rows = [measured(f"op{i}", f"1x8x{T}x7x7", T) for i in range(49) for T in (4, 8)]
    scaling_plot(rows, tmp_path / "plot.png")
    looks = {(to_hex(line.get_color()), line.get_marker()) for line in figures[0].axes[0].lines}
    assert len(looks) == 49


# --- roofline ---------------------------------------------------------------------------------------------------------


def test_roofline(tmp_path, figures):
    rows = [measured("lisa", "1x8x1x4x4", 20.0), measured("tsm", "1x8x1x4x4", 200.0, intensity=1.0)]
    rows += [measured("red", "1x8x1x4x4", 1.0, passed=False), measured("unknown", "1x8x1x4x4", 1.0, intensity=None)]
    roofline_plot(rows, CEILINGS, tmp_path / "plot.png")
    (panel,) = figures[0].axes
    points = {label: (x[0], y[0]) for label, (x, y) in lines(panel).items()}
    # 1e9 FLOPs in 20 ms of at most 1e11 a second; in 200 ms of at most 1 FLOP/byte x 1e10 bytes/s
    assert points == {"lisa: 50.0 % of the bound": (20, 5e10), "tsm: 50.0 % of the bound": (1, 5e9)}
    roof = panel.lines[0]
    assert list(roof.get_xdata())[1] == 10 and list(roof.get_ydata())[1:] == [1e11, 1e11]
    assert roof.get_ydata()[0] == pytest.approx(1e10 * roof.get_xdata()[0])
    assert [text.get_text() for text in panel.texts] == ["100 GFLOP/s", "10.0 GB/s"]


def test_a_roofline_without_a_point(tmp_path):
    with pytest.raises(ValueError, match="no row has a time"):
        roofline_plot([measured("lisa", "1x8x1x4x4", None)], CEILINGS, tmp_path / "plot.png")


# --- cost against accuracy --------------------------------------------------------------------------------------------


def point(name: str, cost: float, accuracy: float, spread: float | None = None) -> dict:
    return {"name": name, "cost": cost, "cost_unit": "MACs per clip", "accuracy": accuracy, "spread": spread}


def test_points_of_a_results_file():
    rows = [json.loads(line) for line in (ROOT / "results/quickstart.jsonl").read_text().splitlines()]
    points = points_of(rows)
    assert [told["name"] for told in points] == ["TSN", "TSM", "TSM + MotionSqueeze"]
    assert {told["cost_unit"] for told in points} == {"MACs per clip"}
    for told in points:
        values = [row["value"] for row in rows if row.get("row") == told["name"] and row["metric"] == "top1"]
        assert len(values) == 2
        assert told["accuracy"] == pytest.approx(sum(values) / 2)
        assert told["spread"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
        assert told["cost"] in [row["macs"] for row in rows if row.get("row") == told["name"]]


def test_points_share_one_unit():
    rows = [
        {"row": name, "metric": "top1", "value": 50.0, "macs": macs, "seconds": 3.0}
        for name, macs in (("a", 9), ("b", None))
    ]
    assert [(told["cost"], told["cost_unit"], told["spread"]) for told in points_of(rows)] == [
        (3, "seconds per run", None)
    ] * 2
    with pytest.raises(ValueError, match="no row tells top5") as caught:
        points_of(rows, metric="top5")
    assert "top1" in caught.value.args[1]


def test_tradeoff(tmp_path, figures):
    points = [point("small", 1e6, 40.0, 2.0), point("worse", 2e6, 30.0), point("large", 3e6, 60.0)]
    tradeoff_plot(points, tmp_path / "plot.svg", floors={"chance": 0.25})
    (panel,) = figures[0].axes
    front = panel.lines[0]
    assert (list(front.get_xdata()), list(front.get_ydata())) == ([1e6, 3e6], [40, 60])
    assert [text.get_text() for text in panel.texts] == ["small", "worse", "large", "chance"]
    assert panel.get_ylabel() == "top1 (%), ± std over seeds" and panel.get_xlabel() == "MACs per clip"
    assert any(set(line.get_ydata()) == {25.0} for line in panel.lines)
    assert panel.get_xscale() == "linear"
    tradeoff_plot([point("a", 1, 5), point("b", 100, 6)], tmp_path / "wide.svg")
    assert figures[1].axes[0].get_xscale() == "log" and figures[1].axes[0].get_ylabel() == "top1 (%)"
    with pytest.raises(ValueError, match="no point"):
        tradeoff_plot([], tmp_path / "none.png")
