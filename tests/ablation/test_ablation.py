from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import pytest

from vidops_cli.ablation import launch
from vidops_cli.ablation.grid import Cell, cells, only
from vidops_cli.ablation.launch import failure, run_cells
from vidops_cli.ablation.store import Store, publish, training_rows
from vidops_cli.cli.common import known
from vidops_cli.recipe import load
from vidops_cli.record import SCHEMA
from vidops_cli.report.ablation import ablation_table

TEXT = """\
title: three rows
scale: mini
data:
  name: video_folder
  root: videos
model:
  name: resnet_tiny
train:
  epochs: 2
  batch: 4
  optimizer:
    lr: 1e-3
ablation:
  seeds: [0, 1]
  rows:
    - name: plain
    - name: shift
      set:
        model.ops:
          - op: tsm
            options: {fold_div: 8}
    - name: slow
      set:
        train.optimizer.lr: 1e-4
"""


@pytest.fixture
def read(tmp_path):
    def read(text: str = TEXT, *overrides: str):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return load(path, known(), list(overrides))

    return read


def grid(recipe, fingerprint: str = "data") -> list[Cell]:
    return cells(recipe, known(), lambda told: fingerprint)


def keys(found: list[Cell]) -> dict[tuple[str, int], str]:
    return {(cell.row, cell.seed): cell.key for cell in found}


# --- grid -------------------------------------------------------------------------------------------------------------


def test_cells_are_rows_times_seeds(read):
    found = grid(read())
    assert [(cell.row, cell.seed) for cell in found] == [
        (row, seed) for row in ("plain", "shift", "slow") for seed in (0, 1)
    ]
    assert len({cell.key for cell in found}) == 6
    for cell in found:
        assert re.fullmatch(r"[0-9a-f]{12}", cell.key)
        assert cell.recipe.train.seed == cell.seed
        assert cell.recipe.ablation is None
        assert bool(cell.recipe.model.ops) == (cell.row == "shift")
        assert cell.recipe.train.optimizer.lr == (1e-4 if cell.row == "slow" else 1e-3)


def test_keys_are_the_same_every_time(read):
    assert keys(grid(read())) == keys(grid(read()))


def test_a_changed_option_of_a_row_changes_the_keys_of_that_row_only(read):
    before, after = keys(grid(read())), keys(grid(read(TEXT.replace("fold_div: 8", "fold_div: 4"))))
    assert {cell for cell in before if before[cell] != after[cell]} == {("shift", 0), ("shift", 1)}


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("title=other", 0),
        ("claim=other", 0),
        ("data.root=elsewhere", 0),
        ("data.workers=2", 0),
        ("ablation.metric=mean_class", 0),
        ("ablation.rows.0.name=renamed", 0),
        ("train.batch=8", 6),
        ("model.dropout=0.5", 6),
        ("eval.split=val", 6),
    ],
)
def test_which_changes_make_new_cells(read, override, changed):
    before = [cell.key for cell in grid(read())]
    after = [cell.key for cell in grid(read(TEXT, override))]
    assert sum(a != b for a, b in zip(before, after, strict=True)) == changed


def test_more_seeds_keep_the_cells_there_are(read):
    before, after = keys(grid(read())), keys(grid(read(TEXT, "ablation.seeds=[0, 1, 2]")))
    assert len(after) == 9
    assert before.items() <= after.items()


def test_other_data_are_other_cells(read):
    before, after = keys(grid(read(), "one")), keys(grid(read(), "other"))
    assert not set(before.values()) & set(after.values())


def test_the_fingerprint_is_taken_once_for_each_data_set(read):
    asked = []

    def fingerprint(told) -> str:
        asked.append(told.data.root)
        return told.data.root

    text = TEXT.replace("train.optimizer.lr: 1e-4", "data.root: elsewhere")
    text = text.replace("set:\n        data.root", "set:\n        train.epochs: 3\n        data.root")
    found = cells(read(text), known(), fingerprint)
    assert asked == ["videos", "elsewhere"]
    assert len({cell.key for cell in found}) == 6


def test_a_recipe_without_an_ablation(read):
    with pytest.raises(ValueError, match="has no ablation") as error:
        grid(read(TEXT[: TEXT.index("ablation:")]))
    assert "vidops train" in error.value.args[1]


def test_only(read):
    found = grid(read())
    assert only(found, ["shift"]) == found[2:4]
    assert only(found, ["slow/1"]) == found[5:]
    assert only(found, [found[0].key]) == found[:1]
    assert only(found, ["shift/0", "plain/1", "shift"]) == [found[2], found[1], found[3]]
    with pytest.raises(ValueError, match="no cell 'shfit'") as error:
        only(found, ["plain", "shfit"])
    assert "shift" in error.value.args[1]


# --- store ------------------------------------------------------------------------------------------------------------


def summary(top1: float = 50.0, **changes) -> dict:
    return {
        "schema": SCHEMA,
        "split": "test",
        "metrics": {"top1": top1, "top5": 100.0, "mean_class": top1, "loss": 1.2, "n": 16, "present": "16/16"},
        "train": {"train_top1": 61.0},
        "floors": {"chance": 0.25},
        "data": "data",
        "params": 78420,
        "cost": {"macs": 14950400, "other_flops": 313376, "flops": 30214176, "uncounted": []},
        "train_seconds": 1.5,
        "seconds": 2.5,
        "env": {
            "code": "abcdef012345",
            "commit": "0123456789ab",
            "dirty": False,
            "torch": "2.13.0",
            "device": "cpu",
            "cpu": "processor",
            "date": "2026-01-02T03:04:05Z",
        },
        **changes,
    }


@pytest.fixture
def finish(tmp_path):
    """Write the summary of a cell."""
    store = Store(tmp_path / "store")

    def finish(cell: Cell, **changes) -> Store:
        store.folder(cell).mkdir(parents=True, exist_ok=True)
        (store.folder(cell) / "summary.json").write_text(json.dumps(summary(**changes)))
        return store

    return finish


def test_a_cell_is_finished_when_its_summary_is_there(read, finish):
    found = grid(read())
    store = finish(found[1])
    (store.folder(found[2])).mkdir(parents=True)
    (store.folder(found[2]) / "last.pt").write_bytes(b"half way")
    assert [store.summary(cell) is not None for cell in found] == [False, True, False, False, False, False]
    assert store.folder(found[1]).name == found[1].key


def test_status(read, finish):
    found = grid(read())
    store = finish(found[0])
    assert store.status(found[0]) == {}
    (store.folder(found[0]) / "status.json").write_text('{"phase": "training", "done": 3}')
    assert store.status(found[0]) == {"phase": "training", "done": 3}


def test_a_summary_of_another_schema_is_refused(read, finish):
    found = grid(read())
    store = finish(found[0], schema=SCHEMA + 1)
    with pytest.raises(ValueError, match="schema") as error:
        store.summary(found[0])
    assert str(store.folder(found[0])) in error.value.args[0]
    assert "--store" in error.value.args[1]


def test_rows_of_finished_cells(read, finish):
    found = grid(read())
    store = finish(found[0], top1=40.0)
    finish(found[3], top1=70.0)
    rows = store.rows(found)
    assert {row["metric"] for row in rows} == {"top1", "top5", "mean_class", "loss", "train_top1"}
    assert len(rows) == 10
    top1 = {(row["row"], row["seed"]): row["value"] for row in rows if row["metric"] == "top1"}
    assert top1 == {("plain", 0): 40.0, ("shift", 1): 70.0}


def test_training_rows_have_the_keys_of_the_contract(read):
    cell = grid(read())[5]
    rows = training_rows(cell.key, cell.row, cell.recipe, summary())
    wanted = {"cell", "metric", "value", "seed", "n", "recipe", "code", "commit", "dirty", "torch", "device"}
    wanted |= {"seconds", "date", "scale"}
    for row in rows:
        assert wanted <= set(row)
        assert not [key for key, value in row.items() if isinstance(value, dict)]
        assert (row["cell"], row["row"], row["seed"], row["n"]) == (cell.key, "slow", 1, 16)
        assert (row["recipe"], row["scale"]) == (cell.recipe.hash(), "mini")
        assert (row["code"], row["commit"], row["dirty"]) == ("abcdef012345", "0123456789ab", False)
        assert (row["torch"], row["device"], row["date"]) == ("2.13.0", "cpu", "2026-01-02T03:04:05Z")
        assert row["seconds"] == 2.5
    json.dumps(rows, allow_nan=False)


def test_publish_writes_rows_and_a_table_that_is_rendered_from_them(read, finish, tmp_path):
    recipe = read()
    found = grid(recipe)
    for i, cell in enumerate(found):
        store = finish(cell, top1=30.0 + 7.3 * i)
    rows = store.rows(found)

    def table(rows: list[dict]) -> str:
        return ablation_table(
            title=recipe.title,
            row_names=[row.name for row in recipe.ablation.rows],
            seeds=recipe.ablation.seeds,
            metric=recipe.ablation.metric,
            rows=rows,
            floors={"chance": 0.25},
            scale=recipe.scale,
        ).markdown()

    results = tmp_path / "results"
    written = publish(results, "paper/table", {"env": {"device": "cpu"}}, rows, table(rows))
    assert written == [results / "paper/table.jsonl", results / "paper/table.md"]
    head, *lines = [json.loads(line) for line in written[0].read_text().splitlines()]
    assert head == {"schema": SCHEMA, "env": {"device": "cpu"}}
    assert lines == rows
    assert table(lines) == written[1].read_text()
    assert "# three rows" in written[1].read_text()
    assert sorted(path.name for path in (results / "paper").iterdir()) == ["table.jsonl", "table.md"]


# --- launch -----------------------------------------------------------------------------------------------------------

WRITE = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
time.sleep(float(sys.argv[3]))
if sys.argv[2] == "fail":
    print("error: it failed", file=sys.stderr)
    print("hint: none", file=sys.stderr)
    sys.exit(3)
folder.joinpath("summary.json").write_text(sys.argv[2])
"""


@pytest.fixture
def fake(monkeypatch):
    """Cells that take a moment, and of which those named fail."""

    def fake(*fails: tuple[str, int], seconds: float = 0.05) -> list[str]:
        started = []

        def start(cell: Cell, store: Store, device: str) -> subprocess.Popen:
            folder = store.folder(cell)
            folder.mkdir(parents=True, exist_ok=True)
            started.append(cell.key)
            what = "fail" if (cell.row, cell.seed) in fails else json.dumps(summary())
            command = [sys.executable, "-S", "-c", WRITE, str(folder), what, str(seconds)]
            with open(folder / "log.txt", "ab") as log:
                return subprocess.Popen(command, stdout=log, stderr=log)

        monkeypatch.setattr(launch, "_start", start)
        return started

    return fake


def test_finished_cells_are_reported(read, tmp_path, fake):
    started = fake()
    found = grid(read())
    store = Store(tmp_path / "store")
    codes = run_cells(found, store, jobs=3, device="cpu")
    assert codes == {cell.key: 0 for cell in found}
    assert started == [cell.key for cell in found]
    assert all(store.summary(cell)["metrics"]["n"] == 16 for cell in found)
    assert len(store.rows(found)) == 30


def test_a_failed_cell_does_not_stop_the_others(read, tmp_path, fake):
    fake(("plain", 0), ("shift", 1))
    found = grid(read())
    store = Store(tmp_path / "store")
    codes = run_cells(found, store, jobs=2, device="cpu")
    assert [codes[cell.key] for cell in found] == [3, 0, 0, 3, 0, 0]
    assert [store.summary(cell) is not None for cell in found] == [False, True, True, False, True, True]
    assert failure(store.folder(found[0])) == "error: it failed"


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_no_more_jobs_than_allowed(read, tmp_path, fake, jobs):
    fake(seconds=0.3)
    found = grid(read())[:4]
    seen = []

    def watch(running: list[Cell], codes: dict[str, int], waiting: list[Cell]) -> None:
        seen.append(len(running))
        assert len(running) + len(codes) + len(waiting) == 4

    codes = run_cells(found, Store(tmp_path / "store"), jobs=jobs, device="cpu", watch=watch)
    assert len(codes) == 4
    assert max(seen) == jobs
    assert seen[-1] == 0


OBEY = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def save(*_):
    folder.joinpath("saved").touch()
    sys.exit(130)
signal.signal(signal.SIGTERM, save)
folder.joinpath("ready").touch()
time.sleep(30)
"""


def test_an_interrupt_lets_the_children_save(read, tmp_path, monkeypatch):
    store, found, processes = Store(tmp_path / "store"), grid(read())[:2], []

    def start(cell: Cell, store: Store, device: str) -> subprocess.Popen:
        store.folder(cell).mkdir(parents=True)
        processes.append(subprocess.Popen([sys.executable, "-S", "-c", OBEY, str(store.folder(cell))]))
        return processes[-1]

    def watch(running: list[Cell], codes: dict[str, int], waiting: list[Cell]) -> None:
        if all((store.folder(cell) / "ready").exists() for cell in found):
            raise KeyboardInterrupt

    monkeypatch.setattr(launch, "_start", start)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_cells(found, store, jobs=2, device="cpu", watch=watch)
    assert [process.poll() for process in processes] == [130, 130]
    assert all((store.folder(cell) / "saved").exists() for cell in found)
    assert time.monotonic() - began < 15


def test_what_is_told_of_a_failure(tmp_path):
    assert failure(tmp_path) == "no output"
    (tmp_path / "log.txt").write_bytes(b"epoch 1\nTraceback\nKeyError: \xff\n\n")
    assert failure(tmp_path).startswith("KeyError")
    (tmp_path / "log.txt").write_text("error: first\nhint: x\nerror: second\nhint: y\n")
    assert failure(tmp_path) == "error: second"
