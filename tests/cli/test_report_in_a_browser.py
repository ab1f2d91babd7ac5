"""The page of vidops report in Chromium: it sorts, plots show, nothing is fetched and nothing complains."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from vidops_cli.cli import report

ROOT = Path(__file__).parent.parent.parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install -y chromium")

# what the page does when its headings are pressed, as one line of JSON at its end
PRESS = """<script>
const shown = (cell) => cell.firstChild?.textContent ?? "";
const order = (table, column) => [...table.tBodies[0].rows].map((line) => shown(line.cells[column]));
const seen = { tables: {} };
for (const table of document.querySelectorAll("table.sortable")) {
  const told = seen.tables[table.closest("article").id] ??= [];
  const columns = [...table.tHead.rows[0].cells].map((heading, column) => {
    const button = heading.querySelector("button"), states = [heading.ariaSort], orders = [];
    for (let i = 0; i < 3; i++) { button.click(); states.push(heading.ariaSort); orders.push(order(table, column)); }
    button.focus();
    return { name: button.textContent, states, orders, focus: document.activeElement === button };
  });
  told.push(columns);
}
seen.plots = [...document.querySelectorAll("figure svg")].map((plot) => {
  const box = plot.getBoundingClientRect(), text = plot.querySelector("text");
  const marks = [...plot.querySelectorAll("path, use")].filter((each) => each.getBoundingClientRect().width > 1).length;
  return { width: box.width, height: box.height, marks, ink: getComputedStyle(text).fill };
});
seen.paper = getComputedStyle(document.body).backgroundColor;
seen.fetched = performance.getEntriesByType("resource").map((each) => each.name);
seen.wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
const pre = document.createElement("pre");
pre.id = "seen";
pre.textContent = JSON.stringify(seen);
document.body.append(pre);
console.log("pressed");
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """A report of a few results; names in it are made to harm."""
    place = tmp_path_factory.mktemp("report")
    (place / "results").mkdir()
    for name in ("quickstart.jsonl", "profile/seq.json", "verify.json"):
        shutil.copy(ROOT / "results" / name, place / "results")
    name = "</script><script>console.error('harmed')</script><img src=x onerror=console.error(1)>"
    scores = [("9.5 k", 3), ("1.2 M", 2), ("-", None), ("300", 1), ("not run", 7), ("22.5 ± 3.0", 4)]
    rows = [{"row": f"{name} {i}", "value": value, "n": n} for i, (value, n) in enumerate(scores)]
    (place / "results/harm.json").write_text(json.dumps({"title": name, "env": {"commit": name}, "rows": rows}))
    report.command(place / "results", runs=None, out=place / "page.html")
    return place / "page.html"


@pytest.fixture(scope="module")
def opened(page) -> tuple[dict, list[str]]:
    """What was seen on the page, on a narrow dark screen, and what stands in the browser's console.

    The page's own policy stays in force, but that the script above runs too.
    """
    text, count = re.subn(r"script-src 'sha256-[^']+'", "script-src 'unsafe-inline'", page.read_text())
    assert count == 1
    page.write_text(text.replace("</body>", f"{PRESS}</body>"))
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent / 'profile'}"]
    words += ["--window-size=400,800", "--blink-settings=preferredColorScheme=0"]
    words += ["--enable-logging=stderr", "--virtual-time-budget=2000", "--dump-dom", page.as_uri()]
    env = {**os.environ, "HOME": str(page.parent)}
    done = subprocess.run([CHROMIUM, *words], capture_output=True, text=True, timeout=100, env=env)
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.S)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1])), re.findall(r"CONSOLE.*?\] (.*)", done.stderr)


def test_nothing_is_fetched_and_nothing_complains(opened):
    seen, console = opened
    assert len(console) == 1 and "pressed" in console[0]
    assert seen["fetched"] == [] and seen["wide"] is False  # at 400 pixels tables scroll, the page does not


def test_headings_sort_by_value(opened):
    (columns,) = opened[0]["tables"]["results-harm"]
    by_name = {column["name"]: column for column in columns}
    value = by_name["value"]
    assert value["states"] == ["none", "ascending", "descending", "none"]
    numbers = ["22.5 ± 3.0", "300", "9.5 k", "1.2 M"]
    written = ["9.5 k", "1.2 M", "-", "300", "not run", "22.5 ± 3.0"]
    assert value["orders"] == [[*numbers, "not run", "-"], [*numbers[::-1], "not run", "-"], written]
    assert by_name["n"]["orders"][:2] == [["1", "2", "3", "4", "7", "-"], ["7", "4", "3", "2", "1", "-"]]
    assert [name.rpartition(" ")[2] for name in by_name["row"]["orders"][1]] == list("543210")
    assert all(column["focus"] for column in columns)


def test_every_column_of_every_table_sorts(opened):
    tables = opened[0]["tables"]
    columns = [column for tables_of in tables.values() for table in tables_of for column in table]
    assert len(columns) > 40
    for column in columns:
        upwards, downwards, written = column["orders"]
        assert column["states"] == ["none", "ascending", "descending", "none"]
        assert sorted(upwards) == sorted(downwards) == sorted(written)
    (scores, *_) = tables["results-quickstart"]
    assert scores[1]["orders"][1] == ["93.9 ± 0.2", "37.8 ± 9.3", "26.2 ± 0.6"]
    assert scores[3]["name"] == "vs TSN" and scores[3]["orders"][1][2] == scores[3]["orders"][0][2] == ""


def test_plots_show(opened):
    plots = opened[0]["plots"]
    assert len(plots) == 3
    for plot in plots:
        assert plot["width"] > 200 and plot["height"] > 80 and plot["marks"] > 10
        assert brightness(plot["ink"]) > 180 > 60 > brightness(opened[0]["paper"])


def brightness(colour: str) -> float:
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3
