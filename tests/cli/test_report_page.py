"""vidops report: on results whole, strange and damaged."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a table of three rows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    shutil.copy(ROOT / "results/quickstart.jsonl", "results")
    return tmp_path


@pytest.fixture
def plain(monkeypatch):
    """No matplotlib: what is drawn is tried elsewhere."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)


def test_every_file_of_the_record_is_shown(vidops, tmp_path, plain):
    code, out, err = vidops("report", ROOT / "results", "--out", tmp_path / "page.html")
    assert code == 0 and re.fullmatch(r".*page\.html: \d+ tables, 0 plots, \d\.\d MiB\n", out)
    assert err == "without plots, which need matplotlib: pip install 'vidops[plot]'\n"
    text = (tmp_path / "page.html").read_text()
    assert len(text) < 3e6 and text.count("<script>") == 1 and str(ROOT) not in text
    results = ROOT / "results"
    files = [path.relative_to(results) for path in results.rglob("*.json*") if "first" not in path.parts]  # a run
    assert len(files) >= 25
    assert [path for path in files if f'<p class="file">{path.as_posix()}</p>' not in text] == []
    assert "<td>first</td>" in text
    assert '<p class="file">claims/search/rsa.md, without its rows</p>' in text
    for note in ("its level after Holm", "interval: 95 % bootstrap", "no operation is left uncounted", "51 passed"):
        assert note in text
    for kind in ("commit: ", "code: ", "recipe: ", "data: ", "date: ", "machine: AMD EPYC, cpu"):
        assert kind in text


def test_what_cannot_be_read_is_named_and_left_out(vidops, place, plain):
    head = json.loads((place / "results/quickstart.jsonl").read_text().splitlines()[0])
    bad = {
        "cut.jsonl": (ROOT / "results/quickstart.jsonl").read_bytes()[:-10],
        "none.json": b"[1, 2]",
        "half.json": b'{"rows": [',
        "empty.jsonl": b"",
        "head.jsonl": json.dumps(head).encode() + b"\n",
        "fields.jsonl": json.dumps(head).encode() + b'\n{"row": "a"}\n',
        "words.md": b"# words\n",
        "bytes.json": b"\xff\xfe\x00",
        "deep.json": b"[" * 10**5,
        "nan.json": b'{"rows": [{"op": "a", "shape": "1x1", "fwd_ms": NaN}]}',
        "other.json": b'{"env": {}, "rows": [{"name": "<b>\\u001b[31m", "score": 1.5, "seen": null, "list": [1]}]}',
    }
    for name, content in bad.items():
        (place / "results" / name).write_bytes(content)
    (place / "results/README.md").write_text("# a page\n")
    code, out, err = vidops("report")
    assert code == 0 and out.startswith("report.html: 6 tables")
    lines = err.splitlines()[:-1]
    assert "cut.jsonl: the last 1 lines cannot be read" in lines
    named = {line.split(":")[0] for line in lines if "left out" in line}
    assert named == bad.keys() - {"cut.jsonl", "other.json"}, err
    text = (place / "report.html").read_text()
    assert "&lt;b&gt;" in text and "\x1b" not in text and "README" not in text
    assert "<p>half.json: left out: " in text and "Traceback" not in err


def run(folder: Path, losses: list[float], **model) -> None:
    folder.mkdir(parents=True)
    recipe = {"title": "Tiny", "model": {"name": "resnet_tiny", **model}, "train": {"seed": 3}, "data": {"root": "x"}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    lines = [{"epoch": i, "train_loss": loss, "val_loss": loss, "val_top1": 50.0} for i, loss in enumerate(losses, 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_runs_are_named_by_their_rows_networks_and_folders(vidops, place):
    run(place / "store/cells/7d4235180598", [1.0])  # a cell of the table
    run(place / "store/cells/aaaa", [2.0, 1.0], ops=[{"op": "tsm"}, {"op": "rsa"}])
    run(place / "store/cells/bbbb", [2.0, 1.0])
    run(place / "one", [2.0, 1.5])
    (place / "one/summary.json").write_text("{")
    (place / "store/cells/bbbb/summary.json").write_text(json.dumps({"metrics": {"top1": 61.5}, "env": {"code": "k9"}}))
    code, out, err = vidops("report", "--runs", "store", "--runs", "one", "--out", "page.html")
    assert code == 0 and out.startswith("page.html: 5 tables, 3 plots"), err
    assert "one/summary.json: left out: " in err
    text = (place / "page.html").read_text()
    for name in ("TSN", "resnet_tiny + tsm + rsa", "resnet_tiny", "one"):
        assert re.search(rf'<th scope="row"( class="long")?>{re.escape(name)}(<span|</th>)', text), name
    assert "code: k9" in text and "val loss" in text and text.count("<figcaption>Tiny: loss and accuracy") == 1


def test_a_store_alone_is_a_report_too(vidops, tmp_path, monkeypatch, plain):
    monkeypatch.chdir(tmp_path)
    run(tmp_path / "runs/cells/aaaa", [2.0, 1.0])
    for words in (["runs"], ["--runs", "runs"]):
        code, out, _ = vidops("report", *words)
        assert (code, out.split(",")[0]) == (0, "report.html: 1 table")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "no folder nowhere here"),
        (["results", "--runs", "nowhere"], "no folder nowhere here"),
        (["page.txt"], "nothing of page.txt can be shown: page.txt: left out"),
        (["results", "--out", "page.pdf"], "--out ends in .html"),
        (["results", "--out", "results"], "--out ends in .html"),
        (["results", "--out", "folder.html"], "folder.html cannot be written"),
        (["empty"], "nothing below empty can be shown"),
    ],
)
def test_what_is_asked_wrongly(vidops, place, words, told):
    (place / "page.txt").write_text("words")
    for name in ("empty", "folder.html"):
        (place / name).mkdir()
    code, out, err = vidops("report", *words)
    assert (code, out) == (2, "") and told in err and "hint: " in err and len(err.splitlines()) == 2


def test_a_file_is_a_report_too(vidops, place, plain):
    run(place / "runs/one", [2.0, 1.0])
    code, out, err = vidops("report", "results/quickstart.jsonl", "--runs", "runs", "--title", "Mine & yours")
    assert code == 0 and out.startswith("report.html: "), err
    text = (place / "report.html").read_text()
    assert '<p class="file">quickstart.jsonl</p>' in text and "<h1>Mine &amp; yours</h1>" in text
    assert text.index('id="runs"') < text.index('id="quickstart"') and "held where the whole interval" in text
