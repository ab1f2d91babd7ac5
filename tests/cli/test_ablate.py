"""vidops ablate, as it is used."""

from __future__ import annotations

import csv
import json
import resource
import shutil

import pytest
from terminal import ROOT, shell, told_errors, tree, write_recipes

from vidops_cli import __version__


@pytest.fixture(scope="module")
def ablated(tmp_path_factory, tiny):
    """Two rows, trained into the folder `kept`."""
    folder = tmp_path_factory.mktemp("ablated")
    write_recipes(folder, tiny)
    words = ("ablate", "two.yaml", "--store", "kept", "--device", "cpu", "--track", "tensorboard")
    return shell(*words, cwd=folder), folder


def test_ablate(ablated):
    done, folder = ablated
    assert done.returncode == 0, done.stderr
    assert "cells: 2, of which run now: 2" in done.stdout
    assert "TSN" in done.stdout and "TSM" in done.stdout and "not run" not in done.stdout
    assert "chance 25.0 %" in done.stdout and "8/8" in done.stdout and "scale: mini" in done.stdout
    assert done.stderr.count("done: ") == 2
    cells = list((folder / "kept/cells").iterdir())
    assert len(cells) == 2
    assert all((cell / "summary.json").is_file() and (cell / "log.txt").is_file() for cell in cells)
    assert all(len(list(cell.glob("tensorboard/events.*"))) == 1 for cell in cells)


def test_ablate_again_runs_nothing(ablated):
    _, folder = ablated
    before, used = tree(folder), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = shell("ablate", "two.yaml", "--store", "kept", cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, "")
    assert "cells: 2, of which run now: 0" in done.stdout
    assert "TSM" in done.stdout and "not run" not in done.stdout
    assert tree(folder) == before
    assert after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime < 2


def test_ablate_dry_run(ablated, vidops, monkeypatch):
    _, folder = ablated
    monkeypatch.chdir(folder)
    before = tree(folder)
    code, out, err = vidops("ablate", "two.yaml", "--store", "kept", "--dry-run")
    assert (code, err) == (0, "")
    assert out.count("finished") == 2 and "0 of 2 cells to run" in out
    code, out, _ = vidops("ablate", "two.yaml", "--store", "kept", "--dry-run", "--seeds", 2, "--only", "TSM")
    assert code == 0
    assert out.count("finished") == 2 and out.count("left out") == 1 and "1 of 4 cells to run" in out
    code, out, _ = vidops("ablate", "two.yaml", "--store", "elsewhere", "--dry-run")
    assert "2 of 2 cells to run" in out
    told = json.loads(vidops("ablate", "two.yaml", "--store", "kept", "--dry-run", "--format", "json")[1])
    assert told["to_run"] == 0 and [row["state"] for row in told["rows"]] == ["finished"] * 2
    assert told["steps"] == {"rows": 2, "failed": [], "not_stepped": []}
    code, out, err = vidops("ablate", "two.yaml", "--store", "kept", "--claims")
    assert (code, err) == (0, "the recipe claims nothing\n") and "verdict" not in out
    assert tree(folder) == before


def test_ablate_formats(ablated, vidops, monkeypatch):
    _, folder = ablated
    monkeypatch.chdir(folder)
    code, out, _ = vidops("ablate", "two.yaml", "--store", "kept", "--format", "json")
    told = json.loads(out)
    assert code == 0 and told["schema"] == 1
    assert {(row["row"], row["metric"]) for row in told["rows"]} >= {("TSN", "top1"), ("TSM", "top1")}
    code, out, _ = vidops("ablate", "two.yaml", "--store", "kept", "--format", "markdown")
    assert code == 0
    assert out.startswith("# Tiny [run]\n\n|") and "| TSM" in out


def test_ablate_only_one_row_and_a_row_that_fails(ablated, vidops, monkeypatch):
    """The third row cannot be trained: the others stay, it is told, and it alone is run again."""
    _, folder = ablated
    monkeypatch.chdir(folder)
    code, out, _ = vidops("ablate", "three.yaml", "--store", "kept", "--only", "TSM")
    assert code == 0
    assert "cells: 3, of which run now: 0" in out and out.count("not run") == 1
    before = tree(folder / "kept")
    done = shell("ablate", "three.yaml", "--store", "kept", "--device", "cpu", cwd=folder)
    assert done.returncode == 1
    assert "failed: broken, seed 0: error: the loss is" in done.stderr
    assert "log.txt" in done.stderr and "Traceback" not in done.stderr
    assert done.stdout.count("not run") == 1 and "TSM" in done.stdout
    after = tree(folder / "kept")
    assert {path: after[path] for path in before} == before
    assert vidops("ablate", "three.yaml", "--store", "kept", "--dry-run")[1].count("finished") == 2


def test_publish(ablated, vidops, place):
    _, folder = ablated
    kept = folder / "kept"
    code, _, err = vidops("ablate", "three.yaml", "--store", kept, "--only", "TSM", "--publish")
    assert code == 2
    assert "not finished" in told_errors(err)[0][0]
    assert not (place / "results").exists()
    code, out, _ = vidops("ablate", "two.yaml", "--store", kept, "--publish")
    assert code == 0
    assert "results/two.jsonl" in out and "results/two.md" in out
    head, *rows = [json.loads(line) for line in (place / "results/two.jsonl").read_text().splitlines()]
    assert head["schema"] == 1 and head["env"]["vidops"] == __version__
    assert {row["row"] for row in rows} == {"TSN", "TSM"}
    told = (place / "results/two.md").read_text()
    assert told == vidops("ablate", "two.yaml", "--store", kept, "--format", "markdown")[1]
    assert sorted(path.name for path in (place / "results").iterdir()) == ["two.jsonl", "two.md"]


def test_publish_keeps_the_folders_of_a_recipe(ablated, vidops, place):
    (place / "recipes/paper").mkdir(parents=True)
    shutil.copy("two.yaml", place / "recipes/paper/table.yaml")
    code, _, _ = vidops("ablate", "recipes/paper/table.yaml", "--store", ablated[1] / "kept", "--publish")
    assert code == 0
    assert (place / "results/paper/table.jsonl").is_file()


def test_ablate_alone_tells_of_all_tables(ablated, vidops, place, monkeypatch):
    (place / "recipes").mkdir()
    shutil.copy("two.yaml", place / "recipes/two.yaml")
    shutil.copy("bad.yaml", place / "recipes/bad.yaml")
    shutil.copy("one.yaml", place / "recipes/one.yaml")
    code, out, err = vidops("ablate", "--store", ablated[1] / "kept")
    assert (code, err) == (0, "")
    assert "recipes/two.yaml" in out and "2/2" in out
    assert "recipes/bad.yaml" in out and "not valid" in out
    assert "recipes/one.yaml" not in out
    moved = (place / "two.yaml").read_text().replace("data:\n", "data:\n  generated: {}\n")
    (place / "recipes/two.yaml").write_text(moved.replace("root: ", "root: nowhere"))
    assert "makes its data, 0/2" in vidops("ablate", "--store", ablated[1] / "kept")[1]
    monkeypatch.chdir(ROOT)
    code, out, err = vidops("ablate", "--store", place / "none")
    assert (code, err) == (0, "")
    assert "recipes/quickstart.yaml" in out and "0/6" in out


EMPTY = '{"schema": 1, "table": {}}\n'
CLAIMS = "  claims:\n    - {claim: a shift helps, better: TSM, worse: TSN, least: 1.0}\n"


def test_ablate_shows_what_is_stored_and_runs_nothing(ablated, vidops, place):
    kept = ablated[1] / "kept"
    (place / "claim.yaml").write_text((place / "two.yaml").read_text() + CLAIMS)
    before = tree(kept)
    code, out, _ = vidops("ablate", "claim.yaml", "--store", kept, "--table")
    assert code == 0 and "TSM" in out and "not run" not in out and "a shift helps" not in out
    code, out, _ = vidops("ablate", "claim.yaml", "--store", "nowhere", "--table")
    assert code == 0 and out.count("not run") == 2 and not (place / "nowhere").exists()
    code, out, _ = vidops("ablate", "claim.yaml", "--store", kept, "--claims")
    assert code == 0 and "a shift helps" in out and "undecided" in out  # of one seed nothing can be told
    assert vidops("ablate", "claim.yaml", "--store", kept, "--check")[0] == 1
    assert vidops("ablate", "two.yaml", "--store", kept, "--check")[0] == 0  # claims nothing
    code, out, _ = vidops("ablate", "claim.yaml", "--store", kept, "--check", "--format", "json")
    assert code == 1 and [entry["verdict"] for entry in json.loads(out)["claims"]] == ["undecided"]
    assert tree(kept) == before


@pytest.mark.parametrize(
    ("name", "begins"),
    [("t.tex", "%"), ("t.html", "<!doctype html>"), ("t.md", "# Tiny [run]"), ("t.csv", "row,"), ("t.json", "{")],
)
def test_ablate_writes_its_table(ablated, vidops, place, name, begins):
    code, _, _ = vidops("ablate", "two.yaml", "--store", ablated[1] / "kept", "--table", "--out", f"new/{name}")
    text = (place / "new" / name).read_text()
    assert code == 0 and text.startswith(begins) and "TSM" in text


def test_ablate_published_rows(ablated, vidops, place):
    kept = ablated[1] / "kept"
    (place / "claim.yaml").write_text((place / "two.yaml").read_text() + CLAIMS)
    assert vidops("ablate", "claim.yaml", "--store", kept, "--publish")[0] == 0
    code, out, _ = vidops("ablate", "results/claim.jsonl", "--format", "markdown")
    assert (code, out) == (0, (place / "results/claim.md").read_text())
    assert vidops("ablate", "results/claim.jsonl", "--check")[0] == 1
    lines = (place / "results/claim.jsonl").read_text().splitlines(True)
    first = next(row for row in map(json.loads, lines[1:]) if row["metric"] == "top1")
    for changed in ({"value": 99.0, "correct": "80", "n": 8}, {"value": 99.0, "correct": "none"}):
        (place / "changed.jsonl").write_text(lines[0] + json.dumps(first | changed) + "\n")
        code, _, err = vidops("ablate", "changed.jsonl")
        assert code == 2 and "has top1 99.0, its clips say otherwise" in told_errors(err)[0][0]
    (place / "cut.jsonl").write_text("".join(lines[:-1]) + lines[-1][:40])
    assert vidops("ablate", "cut.jsonl")[0] == 0  # what is whole is shown
    for text, told in (
        ("", "no table"),
        ('{"schema": 9, "table": {}}\n', "schema 9"),
        ("{\n", "no table"),
        (EMPTY, "was published"),
    ):
        (place / "bad.jsonl").write_text(text)
        code, _, err = vidops("ablate", "bad.jsonl")
        assert code == 2 and told in told_errors(err)[0][0]


def test_ablate_claims_of_a_folder_of_published_rows(ablated, vidops, place):
    kept, claim = ablated[1] / "kept", (place / "two.yaml").read_text() + CLAIMS
    cost = "    - {claim: it is free, better: TSM, worse: TSN, metric: macs, most: 0}\n"
    for name, text in (("claim", claim), ("more", claim + cost), ("two", "")):
        (place / f"{name}.yaml").write_text(text or (place / "two.yaml").read_text())
        assert vidops("ablate", f"{name}.yaml", "--store", kept, "--publish")[0] == 0
    (place / "results/other.jsonl").write_text('{"rows": "of something else"}\n')
    code, out, _ = vidops("ablate", "results", "--claims", "--format", "markdown")
    assert code == 0 and out.startswith("| table") and out.count("| a shift helps") == 2
    assert [line.split("|")[1].strip() for line in out.splitlines() if line.startswith("|")][2:] == [
        "claim", "more", "more",
    ]  # fmt: skip
    assert "+0.00 %" in out and "two" not in out.split("\n\n")[0]
    assert vidops("ablate", "results", "--check", "--plot", "all.svg")[0] == 1
    assert "more: a shift helps" in (place / "all.svg").read_text()
    code, out, _ = vidops("ablate", "results", "--claims", "--format", "json", "--out", "all.csv")
    assert [(entry["table"], entry["verdict"]) for entry in json.loads(out)["claims"]] == [
        ("claim", "undecided"), ("more", "undecided"), ("more", "held"),
    ]  # fmt: skip
    assert len(list(csv.reader((place / "all.csv").read_text().splitlines()))) == 4
    for words, told in (([], "claims are shown"), (["--claims", "--publish"], "published already")):
        code, _, err = vidops("ablate", "results", *words)
        assert code == 2 and told in told_errors(err)[0][0]
    (place / "results/more.jsonl").write_text(EMPTY)
    code, _, err = vidops("ablate", "results", "--claims")
    assert code == 2 and "more.jsonl is no table" in told_errors(err)[0][0]
    for name in ("more", "claim"):
        (place / f"results/{name}.jsonl").unlink()
    assert "claims anything" in vidops("ablate", "results", "--claims")[2]


def test_ablate_runs_the_rows_of_claims_at_other_learning_rates(ablated, vidops, place):
    (place / "claim.yaml").write_text((place / "two.yaml").read_text() + CLAIMS + "  rates: [0.5, 2]\n")
    words = ("ablate", "claim.yaml", "--store", ablated[1] / "kept")
    code, out, _ = vidops(*words, "--dry-run")
    assert code == 0 and "4 of 6 cells to run" in out and "TSM, lr x0.5" in out
    assert "4 of 6 cells to run" in vidops(*words, "--dry-run", "--only", "TSM", "--only", "TSN/0")[1]
    assert "0 of 2 cells to run" in vidops(*words, "ablation.rates=[]", "--dry-run")[1]
    code, out, _ = vidops(*words, "--claims")
    assert code == 0 and "x0.5 not run, x2 not run" in out and "flips)" not in out.split("x0.5, x2:")[0]
    assert "not finished" in vidops(*words, "--table", "--publish")[2]


def test_ablate_force_and_older(ablated, vidops, place, monkeypatch):
    kept = ablated[1] / "kept"
    code, out, _ = vidops("ablate", "two.yaml", "--store", kept, "--dry-run", "--force", "TSM")
    assert code == 0 and out.count("finished, to run again") == 1 and "1 of 2 cells to run, about" in out
    code, out, _ = vidops("ablate", "two.yaml", "--store", kept, "--dry-run", "--rerun", "older")
    assert code == 0 and "0 of 2 cells to run" in out
    monkeypatch.setattr("vidops_cli.ablation.grid.code_of", lambda *_: "changed")
    code, out, _ = vidops("ablate", "two.yaml", "--store", kept, "--table")
    assert code == 0 and out.count("(older code)") == 2
    code, out, _ = vidops("ablate", "two.yaml", "--store", kept, "--dry-run", "--rerun", "older")
    assert code == 0 and out.count("older code, to run again") == 2
    code, out, _ = vidops("ablate", "two.yaml", "--store", kept, "--dry-run")
    assert "0 of 2 cells to run" in out


def test_published_rows_stand_for_cells(ablated, vidops, place):
    """Where the store is gone: further seeds are added to a table, and nothing of it is run again."""
    kept = ablated[1] / "kept"
    assert vidops("ablate", "two.yaml", "--store", kept, "--publish")[0] == 0
    whole = (place / "results/two.md").read_text()
    words = ("ablate", "two.yaml", "--store", "new", "--record", "results/two.jsonl")
    code, out, _ = vidops(*words, "--format", "markdown")
    assert (code, out) == (0, whole) and not (place / "new").exists()
    code, out, _ = vidops(*words, "--dry-run", "--seeds", 2)
    assert code == 0 and "2 of 4 cells to run" in out and out.count("finished") == 2
    assert "1 of 2 cells to run" in vidops(*words, "--dry-run", "--force", "TSM")[1]
    (place / "results/two.jsonl").rename(place / "before.jsonl")
    words = ("ablate", "two.yaml", "--store", "new", "--record", "before.jsonl")
    assert vidops(*words, "--table", "--publish")[0] == 0
    assert (place / "results/two.md").read_text() == whole
    tested = "    - {name: reversed, kind: eval, of: TSM, set: {data.frames: reversed}}\n"
    (place / "more.yaml").write_text((place / "two.yaml").read_text() + tested)
    code, out, err = vidops("ablate", "more.yaml", "--store", "new", "--record", "before.jsonl", "--dry-run")
    assert code == 0, err
    assert "2 of 3 cells to run" in out  # TSM's weights are not in the record
    code, _, err = vidops("ablate", "two.yaml", "--store", "new", "--record", "two.yaml")
    assert code == 2 and "no table" in told_errors(err)[0][0]
    (place / "bare.jsonl").write_text('{"schema": 1, "table": {}}\n{"row": "TSM", "cell": "0"}\n')
    code, _, err = vidops("ablate", "two.yaml", "--store", "new", "--record", "bare.jsonl")
    assert code == 2 and "rows without a cell or a metric" in told_errors(err)[0][0]
    code, _, err = vidops(*words, "train.seed=5", "train.batch=4", "--dry-run")
    assert code == 2 and "before.jsonl has no cell of this table" in told_errors(err)[0][0]
    code, _, err = vidops("ablate", ".", "--store", "new", "--record", "before.jsonl")
    assert code == 2 and "--record are of one table" in told_errors(err)[0][0]


def test_ablate_smoke_in_a_folder(place):
    """Every table of a folder, at one seed and one epoch, published under a name of its own; again nothing is run."""
    (place / "tables").mkdir()
    (place / "tables/two.yaml").write_text((place / "two.yaml").read_text() + CLAIMS)
    words = ("ablate", "tables", "--smoke", "--publish", "--claims", "--store", "kept", "--device", "cpu")
    done = shell(*[word for word in words if word not in ("--claims", "--publish")], cwd=place)
    assert done.returncode == 0, done.stderr
    assert "1 of 1 tables are whole" in done.stderr and "one seed, one epoch" in done.stdout
    done = shell(*words, cwd=place)
    assert done.returncode == 0 and "smoke" in done.stdout and "held" not in done.stdout
    head, *rows = [json.loads(line) for line in (place / "results/two_smoke.jsonl").read_text().splitlines()]
    assert head["table"]["scale"] == "smoke" and {row["scale"] for row in rows} == {"smoke"}
    assert {row["seed"] for row in rows} == {0}
