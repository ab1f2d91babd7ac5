import csv
import io
import random
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console

from vidops_cli.report.html import page
from vidops_cli.report.table import Table, _Grid


def printed(thing, *, encoding: str, color: bool) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=file, width=1000, force_terminal=color, color_system="standard" if color else None).print(thing)
    file.flush()
    return file.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize(("encoding", "letters"), [("utf-8", "abc é±視 -xyz,"), ("ascii", "abcdefg -xyz,")])
def test_a_grid_is_that_of_rich(encoding, letters):
    """Character for character: cells to be broken, wide letters, heads of several lines, no rows."""
    rng = random.Random(0)

    def word() -> str:
        return "".join(rng.choice(letters) for _ in range(rng.choice([0, 1, 8, 20, 40, 60])))

    broken = 0
    for _ in range(100):
        columns = rng.randint(1, 6)
        head, *body = [[word() or "x" for _ in range(columns)] for _ in range(rng.randint(1, 6))]
        grid = _Grid(head, body, numeric=rng.random() < 0.7)
        ours, theirs = (printed(thing, encoding=encoding, color=False) for thing in (grid, grid._flowing()))
        assert ours == theirs
        broken += len(ours.splitlines()) > len(body) + 4
    assert broken > 20


def test_heads_are_bold_on_a_terminal():
    told = printed(_Grid(["name", "value"], [["a", "1"]], numeric=True), encoding="utf-8", color=True)
    assert told.count("\x1b[1m") == 2 and "a    │     1" in told


# --- marks ------------------------------------------------------------------------------------------------------------

NAMES = ["a|b & 5%", "#1 _x_ <i>", "{~^$\\}", "[x] *y* `z`", '&amp; "q"', "plain_name ± 2"]
MARKED = Table(
    "Title of <all> & 100%",
    ["name", *(f"quantity {j}" for j in range(1, 8))],
    [[name, *(f"{i}.{j}" for j in range(1, 8))] for i, name in enumerate(NAMES)],
    ["note of <b> & 50%"],
    marks={(0, 1): "bold", (1, 0): "grey", (2, 3): "underline", (3, 7): "bold", (5, 5): "grey", (0, 0): "underline"},
)


def drawn(table: Table, width: int) -> dict[str, set[str]]:
    """Words of a table on a terminal, and the styles they are drawn in."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True)
    found: dict[str, set[str]] = {}
    for text, style, _ in console.render(replace(table, title="", notes=[]).rich(width)):
        told = style and {"bold": style.bold, "underline": style.underline, "grey": style.dim}
        for word in re.split(r" *[│┃\n] *", text):  # unstyled cells are drawn with their bars
            found.setdefault(word.strip(), set()).update(mark for mark, on in (told or {}).items() if on)
    return found


@pytest.mark.parametrize(
    ("width", "parts", "turned"), [(130, 1, False), (100, 1, True), (50, 4, False), (30, 7, False)]
)
def test_marks_on_a_terminal(width, parts, turned):
    """Whole, on its side, in parts, and in parts that flow."""
    found = drawn(MARKED, width)
    plain = Console(file=io.StringIO(), width=width)
    plain.print(MARKED.rich(width))
    assert plain.file.getvalue().count("┏") == parts
    in_head = set(NAMES) if turned else set()
    for i, row in enumerate(MARKED.body):
        for j, cell in enumerate(row):
            wanted = {MARKED.marks[i, j]} if (i, j) in MARKED.marks else set()
            assert found[cell] == wanted | ({"bold"} if cell in in_head else set())


def test_marks_do_not_reach_beyond_the_words():
    """No underlined padding, in a grid or where rich itself draws."""
    table = Table("", ["name", "value"], [["a", "1"], ["long name", "100000"]], marks={(0, 1): "underline"})
    for width in (80, 16):
        console = Console(file=io.StringIO(), width=width, force_terminal=True)
        under = [text for text, style, _ in console.render(table.rich(width)) if style and style.underline]
        assert under == ["1"]


def test_marks_of_a_cell_that_is_broken():
    table = Table("", ["name", "value"], [["a", "one two three " * 4], ["b", "x"]], marks={(0, 1): "underline"})
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    under = [text for text, style, _ in console.render(table.rich(80)) if style and style.underline]
    assert len(under) > 1 and " ".join(under).split() == ["one", "two", "three"] * 4


def test_marks_in_markdown():
    lines = MARKED.markdown().splitlines()
    assert lines[0] == r"# Title of \<all> & 100%" and lines[-1] == r"- note of \<b> & 50%"
    body = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[4:10]]
    assert [line[0] for line in body] == [
        r"<u>a\|b & 5%</u>",
        r"*#1 \_x\_ \<i>*",
        r"{\~^$\\}",
        r"[x] \*y\* \`z\`",
        r'\&amp; "q"',
        "plain_name ± 2",
    ]
    assert (body[0][1], body[2][3], body[3][7], body[5][5]) == ("**0.1**", "<u>2.3</u>", "**3.7**", "*5.5*")
    assert sum(cell[0] in "*<" for line in body for cell in line) == len(MARKED.marks)


def latex_cells(table: Table) -> list[list[str]]:
    """Cells of a tabular, each of which must be text that LaTeX takes: braces in pairs, nothing special left bare."""
    lines = [line for line in table.latex().splitlines() if line.endswith(r"\\")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)&", line.removesuffix(r"\\"))] for line in lines]
    for cell in (cell for line in cells for cell in line):
        bare = re.sub(r"\\ensuremath\{[<>]\}|\$\\pm\$|\\([A-Za-z]+|[&%$#_^{}~])", "", cell)
        assert not set(bare) & set("\\&%$#_^~<>|"), cell
        depth = 0
        for letter in bare:
            depth += {"{": 1, "}": -1}.get(letter, 0)
            assert depth >= 0, cell
        assert depth == 0, cell
    return cells


def test_marks_in_latex():
    head, *body = latex_cells(MARKED)
    assert len(head) == 8 and [len(line) for line in body] == [8] * 6
    assert body[0][:2] == [r"\underline{a\textbar{}b \& 5\%}", r"\textbf{0.1}"]
    assert body[1][0] == r"\textcolor{gray}{\#1 \_x\_ \ensuremath{<}i\ensuremath{>}}"
    assert (body[2][3], body[3][7], body[5][5]) == (r"\underline{2.3}", r"\textbf{3.7}", r"\textcolor{gray}{5.5}")
    assert body[5][0] == r"plain\_name $\pm$ 2"
    assert r"needs \usepackage{booktabs}, \usepackage{xcolor}" in MARKED.latex()
    assert "xcolor" not in replace(MARKED, marks={(0, 1): "bold"}).latex()
    assert latex_cells(Table("", ["[x]", "a|b"], [["y", "1"]]))[0] == ["{}[x]", r"a\textbar{}b"]


def test_a_remark_behind_a_number_is_not_marked_in_latex():
    cells = ["37.8 ± 9.3 (older code)", "93.9 (older code)", "46.0 (memory)", "(all of it)"]
    marks = {(i, 1): mark for i, mark in enumerate(["bold", "underline", "grey", "bold"])}
    _, *body = latex_cells(Table("", ["row", "top1"], [["a", cell] for cell in cells], marks=marks))
    assert [line[1] for line in body] == [
        r"\textbf{37.8 $\pm$ 9.3} (older code)",
        r"\underline{93.9} (older code)",
        r"\textcolor{gray}{46.0 (memory)}",
        r"\textbf{(all of it)}",
    ]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_compiles(tmp_path):
    (tmp_path / "table.tex").write_text(MARKED.latex())
    document = r"\documentclass{article}\usepackage{booktabs,xcolor}\begin{document}\input{table}\end{document}"
    (tmp_path / "page.tex").write_text(document)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "Missing" not in done.stdout, done.stdout
    assert (tmp_path / "page.pdf").is_file()


class Reader(HTMLParser):
    """Title, rows and notes of a page, and the tags around the words of cells."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self.said: dict[str, list[str]] = {}
        self.marks: dict[tuple[int, int], str] = {}

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag != "meta":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("b", "u", "span"):
            self.marks[len(self.rows) - 2, len(self.rows[-1]) - 1] = dict(attrs).get("class", tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "tr" in self.open:
            self.rows[-1][-1] += data
        elif data.strip():
            self.said.setdefault(self.open[-1], []).append(data)


def test_html():
    text = MARKED.html()
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert text.startswith("<!doctype html>") and reader.open == []
    assert reader.rows == [MARKED.head, *MARKED.body]
    assert reader.marks == {
        cell: {"bold": "b", "underline": "u", "grey": "grey"}[mark] for cell, mark in MARKED.marks.items()
    }
    assert (reader.said["title"], reader.said["h1"], reader.said["li"]) == (
        [MARKED.title],
        [MARKED.title],
        MARKED.notes,
    )
    assert "color-scheme: light dark" in text and '<table class="numeric">' in text
    assert not {"script", "link", "img"} & reader.tags and "http" not in text


def test_html_without_title_and_notes():
    text = Table("", ["a"], [["x"]], numeric=False).html()
    assert "<title>table</title>" in text and "<table>" in text
    assert "<h1" not in text and "<ul" not in text


def test_a_page_of_two_tables():
    text = page([replace(MARKED, title=""), Table("<second>", ["a"], [["x"]])])
    assert text.count("<!doctype") == text.count("</html>") == text.count("<h1>") == 1
    assert text.count("<table") == 2 and "<title>&lt;second&gt;</title>" in text


def test_csv_of_a_table():
    assert list(csv.reader(io.StringIO(MARKED.csv()))) == [MARKED.head, *MARKED.body]


def test_a_narrow_terminal_goes_without_spare_columns():
    """The first named first, and only as many as it takes; where not even that helps, blocks tell all."""
    long = "of many words that would be broken into a narrow column"
    body = [["a" * 20, long, long, long]]
    table = Table("", ["name", "paper", "status", "what"], body, numeric=False, spare=("status", "paper", "other"))

    def shown(width):
        console = Console(width=width, file=io.StringIO())
        console.print(table.rich(width))
        return console.file.getvalue()

    for width, gone in ((120, []), (75, ["status"]), (50, ["status", "paper"])):
        text = shown(width)
        heads = [word for word in table.head if word in text.splitlines()[1]]
        assert heads == [word for word in table.head if word not in gone]
        assert (f"no room for: {', '.join(gone)}" in text) == bool(gone)
    blocks = shown(30)
    assert "no room" not in blocks and all(word in blocks for word in table.head) and "┃" not in blocks
