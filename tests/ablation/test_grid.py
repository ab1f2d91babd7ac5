from __future__ import annotations

import re
import subprocess
import sys

import pytest
from fakes import KINDS, STARTED, TEXT
from fakes import grid as made

from vidops_cli import record
from vidops_cli.ablation.grid import Cell, cells, code_of, only, with_takers
from vidops_cli.ablation.store import Store
from vidops_cli.cli.common import known
from vidops_cli.recipe import Recipe, load, resolve


@pytest.fixture
def read(tmp_path):
    def read(text: str = TEXT, *overrides: str) -> Recipe:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return load(path, known(), list(overrides))

    return read


@pytest.fixture
def grid(tmp_path):
    def grid(text: str = TEXT, *overrides: str, fingerprint: str = "data") -> list[Cell]:
        return made(tmp_path, text, *overrides, fingerprint=fingerprint)

    return grid


def keys(found: list[Cell]) -> dict[tuple[str, int], str]:
    return {(cell.row, cell.seed): cell.key for cell in found}


def test_cells_are_rows_times_seeds(grid):
    found = grid()
    assert [(cell.row, cell.seed) for cell in found] == [
        (row, seed) for row in ("plain", "shift", "slow") for seed in (0, 1)
    ]
    assert len({cell.key for cell in found}) == 6
    for cell in found:
        assert re.fullmatch(r"[0-9a-f]{12}", cell.key)
        assert cell.recipe.train.seed == cell.seed
        assert cell.recipe.ablation is None
        assert cell.recipe_hash == cell.recipe.hash()
        assert bool(cell.recipe.model.ops) == (cell.row == "shift")
        assert cell.recipe.train.optimizer.lr == (1e-4 if cell.row == "slow" else 1e-3)


def test_keys_do_not_change_from_one_version_to_the_next(grid):
    """Else the cells of every store would be lost."""
    assert keys(grid()) == {
        ("plain", 0): "8a73e629c592",
        ("plain", 1): "e1ea250ea578",
        ("shift", 0): "38d0d4f1b4f5",
        ("shift", 1): "70786eccd530",
        ("slow", 0): "454432188c75",
        ("slow", 1): "c8113c13cb7d",
    }


def test_a_seed_is_put_in_as_resolving_does_it(grid, read):
    recipe = read(KINDS)
    rows = {row.name: row for row in recipe.ablation.rows}
    found = grid(KINDS)
    assert len(found) == 9
    for cell in found:
        told = resolve(recipe, rows[cell.row], cell.seed, known())
        assert (cell.recipe, cell.recipe.hash()) == (told, told.hash())


def test_a_changed_option_of_a_row_changes_the_keys_of_that_row_only(grid):
    before, after = keys(grid()), keys(grid(TEXT.replace("fold_div: 8", "fold_div: 4")))
    assert {cell for cell in before if before[cell] != after[cell]} == {("shift", 0), ("shift", 1)}


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("title=other", 0),
        ("claim=other", 0),
        ("data.root=elsewhere", 0),
        ("data.workers=2", 0),
        ("data.classes=4", 0),
        ("ablation.metric=mean_class", 0),
        ("ablation.rows.0.name=renamed", 0),
        ("ablation.rows.0.paper={top1: {value: 50, source: code, tier: code}}", 0),
        ("ablation.claims=[{claim: c, better: shift, worse: plain}]", 0),
        ("ablation.rates=[0.5, 2]", 0),  # no claim, no row of one
        ("train.batch=8", 6),
        ("model.dropout=0.5", 6),
        ("eval.split=val", 6),
    ],
)
def test_which_changes_make_new_cells(grid, override, changed):
    before = [cell.key for cell in grid()]
    after = [cell.key for cell in grid(TEXT, override)]
    assert sum(a != b for a, b in zip(before, after, strict=True)) == changed


def test_more_seeds_keep_the_cells_there_are(grid):
    before, after = keys(grid()), keys(grid(TEXT, "ablation.seeds=[0, 1, 2]"))
    assert len(after) == 9
    assert before.items() <= after.items()


def test_other_data_are_other_cells(grid):
    before, after = keys(grid(fingerprint="one")), keys(grid(fingerprint="other"))
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


def test_kinds(grid):
    found = grid(KINDS)
    assert [(cell.kind, cell.row, cell.seed) for cell in found[6:]] == [
        ("eval", "reversed", 0),
        ("eval", "reversed", 1),
        ("profile", "wide", 0),
    ]
    assert [cell.of for cell in found[6:]] == [found[2].key, found[3].key, None]
    assert found[6].recipe.data.frames == "reversed"
    assert found[6].recipe.model.ops == found[2].recipe.model.ops
    assert len({cell.key for cell in found}) == 9
    after = grid(KINDS.replace("fold_div: 8", "fold_div: 4"))
    assert [a.key == b.key for a, b in zip(found, after, strict=True)] == [True] * 2 + [False] * 2 + [True] * 2 + [
        False,
        False,
        True,
    ]
    other = grid(KINDS, fingerprint="other")
    assert [a.key == b.key for a, b in zip(found, other, strict=True)] == [False] * 8 + [True]


def test_the_kind_is_part_of_the_key(grid):
    """An eval row that changes nothing is still another cell than the one it tests."""
    text = KINDS.replace("      set:\n        data.frames: reversed\n", "")
    found = grid(text)
    assert found[6].recipe_hash == found[2].recipe_hash
    assert found[6].key != found[2].key


def test_the_order_is_that_of_the_table(grid):
    text = KINDS.replace("    - name: plain\n", "    - {name: first, kind: eval, of: shift}\n    - name: plain\n")
    found = grid(text)
    assert [cell.row for cell in found[:3]] == ["first", "first", "plain"]
    assert found[0].of == next(cell.key for cell in found if cell.row == "shift")


def test_cells_without_their_data(read):
    def fingerprint(told) -> str:
        raise ValueError("no such folder of videos: videos", "set data.root")

    found = cells(read(KINDS), known(), fingerprint)
    assert len({cell.key for cell in found}) == 9
    assert {cell.lacking for cell in found[:8]} == {("no such folder of videos: videos", "set data.root")}
    assert found[8].lacking == ()


def test_weights_that_a_recipe_starts_from_count_with_what_is_in_them(grid, tmp_path):
    before, file = grid(KINDS), tmp_path / "image.pth"
    absent = grid(KINDS, f"model.weights={file}")
    assert {cell.lacking[0] for cell in absent if cell.kind == "train"} == {f"model.weights: no such file: {file}"}
    assert Store(tmp_path).state(absent[0]) == "weights not there"
    found = []
    for content in (b"one", b"other", b"one"):
        file.write_bytes(content)
        found.append([cell.key for cell in grid(KINDS, f"model.weights={file}")])
        assert not any(cell.lacking for cell in grid(KINDS, f"model.weights={file}"))
    assert found[0] == found[2]
    same = [a == b for a, b in zip(found[0], found[1], strict=True)]
    assert same == [False] * 8 + [True]  # what a network costs hangs on no weights
    assert [cell.key for cell in grid(KINDS)] == [cell.key for cell in before]


def test_keys_of_what_is_published_stay(grid):
    assert [cell.key for cell in grid(KINDS)[::4]] == ["8a73e629c592", "454432188c75", "93c85a338c10"]


RATES = "ablation.rates=[0.5, 2]"
CLAIM = "ablation.claims=[{claim: c, better: reversed, worse: plain}, {claim: d, better: wide, worse: slow, %s}]"


def test_rates_run_the_rows_of_claims_again_after_all_others(grid):
    before = grid(KINDS)
    found = grid(KINDS, RATES, CLAIM % "metric: macs, most: 2")
    assert found[:9] == before
    again = found[9:]
    assert [(cell.rate, cell.row, cell.seed) for cell in again] == [
        (rate, row, seed) for rate in (0.5, 2.0) for row in ("plain", "shift", "reversed") for seed in (0, 1)
    ]
    assert {(cell.rate, cell.recipe.train.optimizer.lr) for cell in again} == {(0.5, 5e-4), (2.0, 2e-3)}
    assert len({cell.key for cell in found}) == 21
    for trained, tested in ((9 + 2, 9 + 4), (9 + 8, 9 + 10)):  # the weights tested are of the same rate
        assert found[tested].of == found[trained].key
    assert again[0].label == "plain, lr x0.5" and before[0].label == "plain"
    assert [cell.rate for cell in grid(KINDS, RATES, CLAIM % "least: 1") if cell.row == "slow"] == [
        1,
        1,
        0.5,
        0.5,
        2,
        2,
    ]
    assert grid(KINDS.replace("scale: mini", "scale: smoke"), RATES, CLAIM % "least: 1")[-1].rate == 1


def test_a_cell_at_a_rate_is_that_of_its_learning_rate(grid):
    """As if the row had been written with it."""
    found = grid(TEXT, RATES, "ablation.claims=[{claim: c, better: shift, worse: plain}]")
    told = grid(TEXT, "train.optimizer.lr=5e-4")
    assert [cell.key for cell in found[6:10]] == [cell.key for cell in told[:4]]


def test_a_recipe_without_an_ablation(grid):
    with pytest.raises(ValueError, match="has no ablation") as error:
        grid(TEXT[: TEXT.index("ablation:")])
    assert "vidops train" in error.value.args[1]


def test_only(grid):
    found = grid()
    assert only(found, ["shift"]) == found[2:4]
    assert only(found, ["slow/1"]) == found[5:]
    assert only(found, [found[0].key]) == found[:1]
    assert only(found, ["shift/0", "plain/1", "shift"]) == [found[2], found[1], found[3]]
    with pytest.raises(ValueError, match="no cell 'shfit'") as error:
        only(found, ["plain", "shfit"])
    assert "shift" in error.value.args[1]


def test_only_picks_a_row_at_every_rate(grid):
    found = grid(TEXT, RATES, "ablation.claims=[{claim: c, better: shift, worse: plain}]")
    assert [(cell.rate, cell.seed) for cell in only(found, ["shift/1"])] == [(1, 1), (0.5, 1), (2, 1)]
    assert len(only(found, ["shift"])) == 6
    assert only(found, [found[-1].key]) == [found[-1]]


def test_cells_with_those_that_take_their_weights(grid):
    found = grid(KINDS)
    assert with_takers([found[2]], found) == [found[2], found[6]]
    assert with_takers([found[0], found[7]], found) == [found[0], found[7]]
    found = grid(STARTED)
    assert with_takers([found[3]], found) == [found[3], found[7], found[9]]


def test_a_row_starts_from_the_weights_of_another(grid):
    found = grid(STARTED)
    assert found[:6] == grid()
    assert [(cell.row, cell.seed, cell.weights) for cell in found[6:]] == [
        ("built on", 0, {"layers": found[2].key}),
        ("built on", 1, {"layers": found[3].key}),
        ("built on that", 0, {"layers": found[6].key}),
        ("built on that", 1, {"layers": found[7].key}),
    ]
    assert [cell.needs for cell in found[6:8]] == [[found[2].key], [found[3].key]]
    other = grid(STARTED.replace("fold_div: 8", "fold_div: 4"))
    assert not {cell.key for cell in found[6:]} & {cell.key for cell in other[6:]}
    again = grid(STARTED, "ablation.rates=[2]", "ablation.claims=[{claim: c, better: built on that, worse: plain}]")
    assert [cell.label for cell in again[10::2]] == [
        f"{row}, lr x2" for row in ("plain", "shift", "built on", "built on that")
    ]
    assert again[14].weights == {"layers": again[12].key}


# --- code -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The package's sources, to be edited."""
    import shutil

    shutil.copytree(record.PACKAGE, tmp_path / "package", ignore=shutil.ignore_patterns("__pycache__", "fixtures"))
    monkeypatch.setattr(record, "PACKAGE", tmp_path / "package")
    return tmp_path / "package"


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("ops/lisa.py", []),
        ("ops/cards/tsm.py", []),
        ("cli/train.py", []),
        ("ablation/grid.py", []),
        ("ops/tsm.py", ["shift"]),
        ("ops/conv3d.py", ["plain", "shift", "slow"]),  # networks are made of it
        ("ops/layers.py", ["plain", "shift", "slow"]),
        ("models/resnet.py", ["plain", "shift", "slow"]),
        ("functional/shift.py", ["plain", "shift", "slow"]),
        ("engine/tasks.py", ["plain", "shift", "slow"]),
        ("data/clips.py", ["plain", "shift", "slow"]),
    ],
)
def test_whose_code_an_edit_changes(grid, copied, file, changed):
    before = {cell.row: cell.code for cell in grid()}
    assert all(re.fullmatch(r"[0-9a-f]{12}", code) for code in before.values())
    assert before["plain"] == before["slow"] != before["shift"]
    (copied / file).write_text((copied / file).read_text() + "\n# edited\n")
    after = {cell.row: cell.code for cell in grid()}
    assert [row for row in after if after[row] != before[row]] == changed


def test_the_code_of_a_recipe_by_itself_is_that_of_its_cell(grid):
    for cell in grid(KINDS):
        assert code_of(cell.recipe, known()) == cell.code


# --- speed ------------------------------------------------------------------------------------------------------------


def test_a_hundred_cells_in_no_time_and_without_torch(tmp_path):
    """In a process of its own, in processor time."""
    (tmp_path / "recipe.yaml").write_text(TEXT.replace("[0, 1]", str(list(range(34)))))
    source = """
import sys, time
from pathlib import Path
from vidops_cli.ablation.grid import cells
from vidops_cli.cli.common import known
from vidops_cli.recipe import load
recipe, names = load(Path(sys.argv[1]), known()), known()
began = time.process_time()
found = cells(recipe, names, lambda told: "data")
sys.stdout.write(f"{len(found)} {time.process_time() - began} {'torch' in sys.modules}")
"""
    done = subprocess.run(
        [sys.executable, "-c", source, str(tmp_path / "recipe.yaml")], capture_output=True, text=True, check=True
    )
    count, seconds, torch = done.stdout.split()
    assert (count, torch) == ("102", "False")
    assert float(seconds) < 0.5
