from __future__ import annotations

import json
import re
import time
from dataclasses import replace

import pytest
from fakes import KINDS, TEXT, finish, grid, summary

from vidops_cli.ablation import attempt
from vidops_cli.ablation.claims import judge
from vidops_cli.ablation.grid import Cell
from vidops_cli.ablation.store import Plan, Store, plan, publish, rows_of
from vidops_cli.record import SCHEMA


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def found(tmp_path):
    return grid(tmp_path, KINDS)


TREE = {"depth": 0, "name": "", "params": 100, "macs": 2000, "other_flops": 30, "uncounted": ["sort"], "ms": 1.0}


def profile(store: Store, cell: Cell, *, code: str | None = None) -> None:
    """Write what `vidops profile` writes."""
    env = {**summary()["env"], "code": code or cell.code}
    store.folder(cell).mkdir(parents=True)
    document = {"schema": SCHEMA, "env": env, "rows": [TREE], "notes": []}
    (store.folder(cell) / "profile.json").write_text(json.dumps(document))


def test_a_cell_is_finished_when_its_result_is_there(store, found):
    finish(store, found[1])
    profile(store, found[8])
    (store.folder(found[2])).mkdir(parents=True)
    (store.folder(found[2]) / "last.pt").write_bytes(b"half way")
    done = [store.finished(cell) for cell in found]
    assert done == [False, True, *[False] * 6, True]
    assert [store.summary(cell) is not None for cell in found] == done
    assert store.folder(found[1]).name == found[1].key


def test_status(store, found):
    finish(store, found[0])
    assert store.status(found[0]) == {}
    (store.folder(found[0]) / "status.json").write_text('{"phase": "training", "done": 3}')
    assert store.status(found[0]) == {"phase": "training", "done": 3}


def test_states(store, found):
    finish(store, found[0])
    for cell, code in ((found[1], 3), (found[2], attempt.INTERRUPTED[0]), (found[3], None)):
        mine = attempt.take(store.folder(cell))
        if code is not None:
            attempt.end(mine, code, 1.0)
    (store.folder(found[2]) / "last.pt").write_bytes(b"half way")
    killed = attempt.take(store.folder(found[4]))
    killed.path.write_text(json.dumps({**killed.told, "pid": 2**22 + 1}))
    told = ["finished", "failed", "to continue", "running", "failed", "to run", "to run", "to run", "to run"]
    assert [store.state(cell) for cell in found] == told
    assert store.failed(found) == [found[1], found[4]]


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "hint"), [(SCHEMA + 1, "newer vidops"), (0, "--store"), (None, "--store"), ("2", "--store")]
)
def test_a_result_of_another_schema_is_refused(store, found, schema, hint):
    finish(store, found[0], schema=schema)
    before = (store.folder(found[0]) / "summary.json").read_bytes()
    for ask in (lambda: store.summary(found[0]), lambda: store.rows(found), lambda: plan(found, store)):
        with pytest.raises(ValueError, match=f"has schema {schema}, this vidops reads {SCHEMA}") as error:
            ask()
        assert str(store.folder(found[0])) in error.value.args[0]
        assert hint in error.value.args[1]
    assert (store.folder(found[0]) / "summary.json").read_bytes() == before


def test_a_result_cut_in_the_middle_is_named_and_can_be_set_aside(store, found):
    finish(store, found[0])
    path = store.folder(found[0]) / "summary.json"
    cut = path.read_bytes()[:-40]
    path.write_bytes(cut)
    with pytest.raises(ValueError, match=re.escape(str(path))) as error:
        store.rows(found)
    assert f"--force {found[0].key}" in error.value.args[1]
    assert (store.set_aside(found[0]) / "summary.json").read_bytes() == cut
    assert store.rows(found) == []


def test_a_list_is_no_result(store, found):
    finish(store, found[0])
    (store.folder(found[0]) / "summary.json").write_text("[]")
    with pytest.raises(ValueError, match="has schema None"):
        store.summary(found[0])


def test_a_store_that_cannot_be_written_is_still_read(store, found, monkeypatch):
    finish(store, found[0])

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert len(store.rows(found)) == 5
    assert plan(found, store).states[0] == "finished"
    for write in (store.check_writable, lambda: store.set_aside(found[0])):
        with pytest.raises(ValueError, match="cannot be written: Permission denied") as error:
            write()
        assert "--store" in error.value.args[1]
    assert store.finished(found[0])


# --- set aside --------------------------------------------------------------------------------------------------------


def test_setting_aside_loses_nothing(store, found):
    for i in (1, 2, 3):
        finish(store, found[0], top1=10.0 * i)
        (store.folder(found[0]) / "last.pt").write_bytes(bytes([i]))
        assert store.set_aside(found[0]) == store.root / "before" / found[0].key / str(i)
        assert not store.folder(found[0]).exists()
        assert store.state(found[0]) == "to run"
    assert store.set_aside(found[0]) is None
    kept = store.root / "before" / found[0].key
    assert [(kept / str(i) / "last.pt").read_bytes() for i in (1, 2, 3)] == [b"\1", b"\2", b"\3"]
    tops = [json.loads((kept / str(i) / "summary.json").read_text())["metrics"]["top1"] for i in (1, 2, 3)]
    assert tops == [10.0, 20.0, 30.0]


def test_a_cell_that_is_being_run_is_not_set_aside(store, found):
    attempt.take(store.folder(found[0]))
    with pytest.raises(ValueError, match=r"plain, seed 0 .* is being run"):
        store.set_aside(found[0])
    assert store.folder(found[0]).is_dir()


# --- rows -------------------------------------------------------------------------------------------------------------


def test_rows_of_finished_cells(store, found):
    finish(store, found[0], top1=40.0)
    finish(store, found[3], top1=70.0)
    rows = store.rows(found)
    assert {row["metric"] for row in rows} == {"top1", "top5", "mean_class", "loss", "train_top1"}
    assert len(rows) == 10
    top1 = {(row["row"], row["seed"]): row["value"] for row in rows if row["metric"] == "top1"}
    assert top1 == {("plain", 0): 40.0, ("shift", 1): 70.0}


def test_rows_have_the_keys_of_the_contract(found):
    cell = found[5]
    rows = rows_of(cell, summary())
    wanted = {"cell", "metric", "value", "seed", "n", "recipe", "code", "commit", "dirty", "torch", "device"}
    wanted |= {"seconds", "date", "scale", "kind"}
    for row in rows:
        assert wanted <= set(row)
        assert not [key for key, value in row.items() if isinstance(value, dict)]
        assert (row["cell"], row["row"], row["seed"], row["n"]) == (cell.key, "slow", 1, 16)
        assert (row["recipe"], row["scale"], row["kind"]) == (cell.recipe.hash(), "mini", "train")
        assert (row["code"], row["commit"], row["dirty"]) == ("abcdef012345", "0123456789ab", False)
        assert (row["torch"], row["device"], row["date"]) == ("2.13.0", "cpu", "2026-01-02T03:04:05Z")
        assert row["seconds"] == 2.5
        assert not {"correct", "older"} & set(row)
    json.dumps(rows, allow_nan=False)


def test_which_clips_were_right_stands_with_top1_alone(found):
    told = summary()
    told["metrics"]["correct"] = "ff00"
    rows = rows_of(found[0], told)
    assert {row["metric"]: row.get("correct") for row in rows} == {
        "top1": "ff00", "top5": None, "mean_class": None, "loss": None, "train_top1": None,
    }  # fmt: skip


def test_rows_of_episodes_and_of_another_learning_rate(found):
    told = summary()
    told["metrics"] |= {"correct": "ff00", "group": 4}
    rows = rows_of(replace(found[0], rate=0.5), told)
    assert {row["metric"]: row.get("group") for row in rows if row["metric"] != "loss"} == {
        "top1": 4, "top5": None, "mean_class": None, "train_top1": None,
    }  # fmt: skip
    assert {row["rate"] for row in rows} == {0.5}
    assert not any("rate" in row for row in rows_of(found[0], told))


def test_rows_at_other_learning_rates_judge_claims(store, tmp_path):
    """From cells to verdicts: what is ahead falls behind at half the rate, and is not run at twice."""
    own = {"claim": "c", "better": "reversed", "worse": "plain"}
    cells = grid(tmp_path, KINDS, "ablation.rates=[0.5, 2]", f"ablation.claims=[{own}]")
    for cell in cells:
        if cell.kind != "profile" and cell.rate != 2:
            ahead = (cell.row == "reversed") == (cell.rate == 1)
            finish(store, cell, metrics=summary(50.0 + 20 * ahead + cell.seed * (1 + 0.1 * ahead))["metrics"])
    rows = store.rows(cells)
    assert {row.get("rate", 1) for row in rows} == {1, 0.5}
    assert all(("rate" in row) == (row["cell"] not in {cell.key for cell in cells[:9]}) for row in rows)
    (entry,) = judge([{**own, "metric": "top1", "least": 0.0}], rows, scale="mini", rates=[0.5, 2.0])
    assert (entry["verdict"], entry["rates"]) == ("held", {"0.5": "not held", "2": "not run"})


def test_rows_of_an_eval_cell(store, found):
    told = {key: value for key, value in summary(top1=33.0).items() if key not in ("train", "train_seconds")}
    store.folder(found[6]).mkdir(parents=True)
    (store.folder(found[6]) / "summary.json").write_text(json.dumps(told))
    rows = store.rows(found)
    assert [row["metric"] for row in rows] == ["top1", "top5", "mean_class", "loss"]
    assert {(row["kind"], row["row"], row["train_seconds"], row["params"]) for row in rows} == {
        ("eval", "reversed", None, 78420)
    }


def test_rows_of_a_profile_cell(store, found):
    profile(store, found[8])
    rows = store.rows(found)
    assert [(row["metric"], row["value"]) for row in rows] == [("params", 100), ("macs", 2000)]
    for row in rows:
        assert (row["params"], row["macs"], row["other_flops"], row["flops"]) == (100, 2000, 30, 4030)
        assert (row["kind"], row["row"], row["uncounted"], row["torch"]) == ("profile", "wide", ["sort"], "2.13.0")
        assert not {"n", "split", "data", "present"} & set(row)


def test_rows_of_other_code_are_marked(store, found):
    """And those of weights that other code has trained."""
    finish(store, found[0])
    finish(store, found[1], code="other")
    finish(store, found[2], code="other")
    finish(store, found[6])
    finish(store, found[7])
    profile(store, found[8], code="other")
    marked = {row["cell"] for row in store.rows(found) if row.get("older")}
    assert marked == {found[i].key for i in (1, 2, 6, 8)}
    assert [row["cell"] for row in store.rows(found)] == sorted(
        [row["cell"] for row in store.rows(found)], key=[cell.key for cell in found].index
    )
    assert store.older(found) == [found[i] for i in (1, 2, 6, 8)]
    assert store.older(found[:1]) == []


# --- plan -------------------------------------------------------------------------------------------------------------


def test_a_plan_of_an_empty_store_knows_no_time(store, found):
    assert plan(found, store) == Plan(["to run"] * 9, None, 9)


def test_a_plan_takes_the_time_of_the_same_row_else_of_the_same_kind(store, found):
    finish(store, found[0], seconds=10.0)
    finish(store, found[2], seconds=30.0, code="other")
    told = plan(found, store)
    assert told.states == ["finished", "to run", "older code", *["to run"] * 6]
    assert told.seconds == pytest.approx(10 + 30 + 20 + 20)  # plain, shift, and twice slow: the mean of train cells
    assert told.unknown == 3  # no eval and no profile cell has finished
    finish(store, found[6], seconds=4.0)
    assert plan(found, store).seconds == pytest.approx(80 + 4)
    mine = attempt.take(store.folder(found[8]))
    attempt.end(mine, 1, 7.0)  # a failure tells no time
    assert plan(found, store).unknown == 1
    assert plan(found, store, found[:1]).seconds == plan(found, store, found[:1] * 2).seconds / 2
    assert plan(found, store).states[8] == "failed"


def test_a_plan_knows_what_a_profile_cell_took(store, tmp_path):
    found = grid(tmp_path, KINDS + "    - {name: wider, kind: profile, set: {data.crop: 64}}\n")[8:]
    profile(store, found[0])
    attempt.end(attempt.take(store.folder(found[0])), 0, 7.0)
    assert plan(found, store) == Plan(["finished", "to run"], 7.0, 0)


def test_a_plan_of_a_finished_table(store, found):
    for cell in found[:6]:
        finish(store, cell)
    assert plan(found[:6], store) == Plan(["finished"] * 6, None, 0)


# --- scale ------------------------------------------------------------------------------------------------------------


def test_rows_of_many_cells(tmp_path, store):
    """Ten thousand in less than two seconds of processor time, as a part of them tells."""
    found = grid(tmp_path, TEXT.replace("[0, 1]", str(list(range(500)))))
    assert len(found) == 1500
    for cell in found:
        finish(store, cell)
    times = []
    for _ in range(3):  # what else the process holds is looked through for garbage now and then
        began = time.process_time()
        rows = store.rows(found)
        times.append(time.process_time() - began)
    assert len(rows) == 7500
    assert min(times) * 10_000 / 1500 < 2.0, times


# --- the record -------------------------------------------------------------------------------------------------------


def test_publish_writes_a_head_rows_and_their_table(store, found, tmp_path):
    finish(store, found[0])
    rows, results = store.rows(found), tmp_path / "results"
    written = publish(results, "paper/table", {"env": {"device": "cpu"}}, rows, "# three rows\n")
    assert written == [results / "paper/table.jsonl", results / "paper/table.md"]
    head, *lines = [json.loads(line) for line in written[0].read_text().splitlines()]
    assert head == {"schema": SCHEMA, "env": {"device": "cpu"}}
    assert lines == rows
    assert written[1].read_text() == "# three rows\n"
    assert sorted(path.name for path in (results / "paper").iterdir()) == ["table.jsonl", "table.md"]


def test_rows_tell_what_was_trained_on_and_started_from(found):
    trained = {"fingerprint": "abc", "clips": 24}
    rows = rows_of(found[0], summary(data_train=trained, weights=[{"sha256": "123"}, {"sha256": "456"}]))
    assert {(row["data_train"], row["n_train"], row["weights"]) for row in rows} == {("abc", 24, "123, 456")}
    assert not {"data_train", "n_train", "weights"} & set(rows_of(found[0], summary())[0])  # as older ones tell it


def test_rows_of_several_views(found):
    told = summary()
    assert not any("views" in row for row in rows_of(found[0], told))
    told["metrics"] |= {"views": 30, "average": "logits"}
    told["cost"] |= {"macs": 7, "flops": 15}
    rows = rows_of(found[0], told)
    assert {row["metric"] for row in rows}.isdisjoint({"views", "average"})
    wanted = {"views": 30, "average": "logits", "macs": 7, "macs_in_all": 210, "flops_in_all": 450}
    assert all({key: row[key] for key in wanted} == wanted for row in rows)


def test_rows_tell_of_several_processes(tmp_path):
    store, found = Store(tmp_path / "store"), grid(tmp_path)[:2]
    finish(store, found[0], processes=8)
    finish(store, found[1])
    assert [row.get("processes") for row in store.rows(found) if row["metric"] == "top1"] == [8, None]
