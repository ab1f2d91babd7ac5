"""Reports as text: what is escaped, which names are used twice, plots inside a page, tables read back."""

import re
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.axes import Axes

from vidops_cli.report.curves import Run, curves_plot, runs_table
from vidops_cli.report.document import Part, Plot, document
from vidops_cli.report.html import page
from vidops_cli.report.intervals import claims_plot
from vidops_cli.report.markdown import read_markdown
from vidops_cli.report.plot import tradeoff_plot
from vidops_cli.report.provenance import origin
from vidops_cli.report.svg import inline
from vidops_cli.report.table import Table

ROOT = Path(__file__).parent.parent.parent
EVIL = "</script></svg><script>alert('x')</script> \"quoted\" & $x$ \x1b[31m"
POINTS = [
    {"name": name, "cost": cost, "cost_unit": "MACs", "accuracy": 9.0, "spread": None}
    for name, cost in ((EVIL, 1e6), ("b", 2e6))
]


class Tags(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@cache
def drawn(title: str = EVIL, prefix: str = "p-") -> str:
    return inline(lambda path: tradeoff_plot(POINTS, path), title=title, prefix=prefix)


def test_what_comes_from_data_is_no_tag():
    origins = [{"commit": EVIL}, {"commit": "b"}]
    table = Table(EVIL, [EVIL, "n"], [[EVIL, "1"], ["b", "2"]], [EVIL], origins=origins)
    plots = [Plot(EVIL, drawn())]
    text = document(EVIL, {EVIL: [Part(EVIL, EVIL, EVIL, [table], plots)]}, [EVIL])
    tags = Tags(text).found
    assert [tag for tag, _ in tags].count("script") == 1 and text.count("<script>") == 1
    assert "\x1b" not in text and text.count("&lt;script&gt;alert") >= 10
    assert not any(name.startswith("on") for _, attrs in tags for name in attrs)
    fetched = [attrs for _, attrs in tags if {"src", "href", "action"} & attrs.keys()]
    assert all(attrs["href"].startswith("#") for attrs in fetched)


def test_names_for_links_are_used_once_and_all_links_lead_somewhere():
    parts = [Part("a b", "t", "s", [], [Plot("", drawn().replace("p-", f"p{i}-"))]) for i in range(2)]
    tags = Tags(document("title", {"x": parts, "x!": [Part("a b", "t", "s")], "": []})).found
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    linked = {attrs["href"][1:] for _, attrs in tags if "href" in attrs}
    assert {"x", "x-2", "x-a-b", "x-a-b-2", "x-a-b-3", "part"} <= set(ids) and linked <= set(ids)
    of_plots = [name for name in ids if name.startswith("p1-")]
    assert of_plots and len(set(ids)) == len(ids)


def test_ink_and_paper_are_those_of_the_page():
    text = drawn()
    root = ElementTree.fromstring(text)
    assert root.tag == "svg" and root.get("role") == "img" and "<script>" in root.get("aria-label")
    assert not re.search("#[0-9a-f]{6}|font-family|metadata|<style", text)
    words = ["".join(each.itertext()) for each in root.iter("text")]
    assert {"MACs", "b"} <= set(words) and any("alert('x')" in word and "$x$" in word for word in words)
    assert {"--paper", "--grid"} <= set(re.findall(r"var\((--\w+)\)", text)) <= set(SCHEMES[0])


STYLE = (ROOT / "vidops_cli/report/page.css").read_text()
SCHEMES = [
    dict(re.findall(r"(--\w+): #(\w+)", block)) for block in re.findall(r":root \{(.*?)\}", STYLE, re.S)
]  # light, dark, on paper


def light_of(colour: str) -> float:
    """Relative luminance, as WCAG 2 has it."""
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", SCHEMES, ids=["light", "dark", "print"])
def test_colours_can_be_read_on_their_paper(scheme):
    def contrast(name: str) -> float:
        low, high = sorted(map(light_of, (scheme[name], scheme["--paper"])))
        return (high + 0.05) / (low + 0.05)

    assert set(scheme) == set(SCHEMES[0]) and len(scheme) == 14
    assert all(contrast(name) >= 4.5 for name in ("--ink", "--soft", "--link"))
    assert all(contrast(f"--{name}") >= 2.2 for name in ("blue", "red", "green", "pink", "orange", "sky", "grey"))


def test_signs_of_a_formula_are_put_together():
    from vidops_cli.report.plot import scaling_plot

    rows = [{"op": "lisa", "shape": f"1x8x1x{n}x{n}", "options": "", "fwd_ms": n / 4} for n in (16, 32)]
    scaling = [{"op": "lisa", "axis": "seq", "what": "fwd_ms", "exponent": 0.5, "low": 0.4, "high": 0.6, "n": 4}]
    root = ElementTree.fromstring(inline(lambda path: scaling_plot(rows, path, scaling=scaling), title="", prefix=""))
    words = ["".join(each.itertext()) for each in root.iter("text")]
    assert "lisa\xa0\xa0∝\xa0seq0.50±0.10" in words and any(word.startswith("positions\xa0T") for word in words)


def test_names_that_would_cover_each_other_stand_in_a_legend():
    near = [{**POINTS[1], "name": name, "accuracy": 50 + i} for i, name in enumerate("xyz")]
    far = {**POINTS[1], "name": "far", "accuracy": 90.0}
    root = ElementTree.fromstring(inline(lambda path: tradeoff_plot([*near, far], path), title="", prefix=""))
    assert float(root.get("height")) > 1.6 * 72 * 3.2
    assert {"x", "y", "z", "far"} <= {"".join(each.itertext()) for each in root.iter("text")}


def test_an_interval_of_two_seeds_does_not_squeeze_the_others(monkeypatch, tmp_path):
    limits, plain = [], Axes.set_xlim
    monkeypatch.setattr(Axes, "set_xlim", lambda self, *at, **how: (limits.append(at), plain(self, *at, **how))[1])
    wide = {"claim": "c", "verdict": "undecided", "effect": 50.0, "low": -400.0, "high": 500.0, "least": 0}
    claims_plot([wide], tmp_path / "plot.svg")
    assert limits[-1] == (-105, 105)


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match="plots need matplotlib"):
        drawn("without")


# --- where numbers are from -------------------------------------------------------------------------------------------


def test_an_origin_tells_rows_apart_and_the_file_where_they_are_silent():
    env = {"commit": "c0", "cpu": "EPYC", "device": "cpu", "date": "2026-01-03T00:00:00Z", "code": None}
    rows = [{"recipe": "r1", "dirty": True}, {"recipe": "r2", "commit": "c1", "date": "2026-01-01T00:00:00Z"}]
    assert origin(rows, env) == {
        "commit": "c0, c1 (with uncommitted changes)",
        "recipe": "r1, r2",
        "date": "2026-01-01 to 2026-01-03",
        "machine": "EPYC, cpu",
    }
    assert origin([]) == {}


def test_origins_are_shown_once_where_all_lines_share_them():
    shared = Table("", ["row"], [["a"], ["b"]], origins=[{"commit": "c0"}] * 2)
    mixed = Table("", ["row"], [["a"], ["b"]], origins=[{"commit": "c0"}, {"code": "k"}])
    text = document("t", {"s": [Part("p", "p", "f", [shared])]})
    assert "<p>commit c0</p>" in text and text.count('<span class="origin">commit: c0</span>') == 2
    text = document("t", {"s": [Part("p", "p", "f", [mixed])]})
    assert '<th scope="col">commit</th><th scope="col">code</th>' in text
    assert '<tr><th scope="row">b</th><td></td><td>k</td></tr>' in text
    assert '<span class="origin">commit: c0</span>' in page([mixed])


# --- tables that are read back ----------------------------------------------------------------------------------------


def test_a_table_is_read_back_as_it_was_written():
    marks = {(0, 1): "bold", (1, 1): "underline", (2, 1): "grey"}
    body = [["a|b", "1.0", "*"], ["  _c_ \\ x", "2.0", "[l](u)"], ["<i> ~d~", "3.0", ""]]
    table = Table("T *1*", ["row", "n|m", "c"], body, ["a note | with `ticks`", "another"], marks=marks)
    assert read_markdown(table.markdown()) == table
    words = Table("", ["row", "n"], [["a", "b"]], numeric=False)
    assert read_markdown(words.markdown()) == words
    with pytest.raises(ValueError, match="no table"):
        read_markdown("# title\n\nwords | words\n")


def test_every_table_on_record_is_read_back():
    paths = [path for path in (ROOT / "results").rglob("*.md") if path.stem != "README"]
    assert len(paths) >= 30
    for path in paths:
        table = read_markdown(path.read_text())
        assert table.body and {len(row) for row in table.body} == {len(table.head)}, path


# --- runs -------------------------------------------------------------------------------------------------------------


def epochs(*losses: float) -> list[dict]:
    return [
        {"epoch": i, "train_loss": loss, "val_loss": loss + 1, "train_top1": 10.0 * i, "val_top1": 5.0 * i}
        for i, loss in enumerate(losses, 1)
    ]


RUN = Run("tsm", "runs/tsm", 0, epochs(2.0, 1.0), {"params": 1000, "metrics": {"top1": 61.5}, "seconds": 9.4})


def test_curves_are_of_runs_with_two_epochs(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr("matplotlib.axes.Axes.plot", lambda self, *at, **how: lines.append((at, how["linestyle"])))
    curves_plot([RUN, Run("short", "runs/short", 0, epochs(9.0), {})], tmp_path / "plot.svg")
    assert [(*map(list, at), style) for at, style in lines] == [
        ([1, 2], [2.0, 1.0], "-"),
        ([1, 2], [3.0, 2.0], "--"),
        ([1, 2], [10.0, 20.0], "-"),
        ([1, 2], [5.0, 10.0], "--"),
    ]
    with pytest.raises(ValueError, match="two epochs"):
        curves_plot([Run("short", "runs/short", 0, epochs(9.0), {})], tmp_path / "none.svg")


def test_a_run_that_has_not_finished_is_in_the_table_too():
    table = runs_table("t", [RUN, Run("new", "runs/new", None, [], {})])
    assert table.body[0] == ["tsm", "0", "2", "1.00", "2.00", "10.0", "61.5", "1.00 k", "-", "9", "runs/tsm"]
    assert table.body[1] == ["new", "-", "0", *["-"] * 7, "runs/new"]
