"""One cell of each kind, run by `vidops` itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidops_cli.ablation.grid import Cell, cells
from vidops_cli.ablation.launch import failure, run_cells
from vidops_cli.ablation.store import Store
from vidops_cli.cli.common import known
from vidops_cli.data import DATASETS
from vidops_cli.data.mini import benchmark, motion
from vidops_cli.recipe import load

TEXT = """\
scale: smoke
data: {{name: mini_motion, root: {root}, num_frames: 4}}
model: {{name: resnet_tiny}}
train:
  epochs: 1
  batch: 8
  optimizer: {{lr: 1e-3}}
  threads: 1
  checkpoint: best
ablation:
  rows:
    - {{name: tested, kind: eval, of: trained, set: {{data.frames: reversed}}}}
    - {{name: trained, set: {{model.ops: [{{op: tsm}}]}}}}
    - {{name: counted, kind: profile, set: {{model.ops: [{{op: tsm}}], data.crop: 16, data.classes: 4}}}}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[list[Cell], Store]:
    place = tmp_path_factory.mktemp("kinds")
    dials = motion.Dials(frames=4, size=16, radius=4.0, speed=4.0, crf=0)
    benchmark.generate("mini_motion", place / "clips", dials=dials, sizes={"train": 16, "val": 8, "test": 12})
    (place / "recipe.yaml").write_text(TEXT.format(root=place / "clips"))

    def fingerprint(told) -> str:
        return DATASETS[told.data.name].read(Path(told.data.root), "test", {}).fingerprint

    found, store = cells(load(place / "recipe.yaml", known()), known(), fingerprint), Store(place / "store")
    codes = run_cells(found, store, jobs=2, device="cpu")
    assert codes == {cell.key: 0 for cell in found}, [failure(store.folder(cell)) for cell in found]
    return found, store


def test_results_of_each_kind(ran):
    found, store = ran
    tested, trained, counted = (store.summary(cell) for cell in found)
    assert (tested["kind"], trained["kind"]) == ("eval", "train")
    assert tested["floors"] == trained["floors"]
    assert tested["params"] == trained["params"] == counted["rows"][0]["params"]
    assert tested["cost"] == trained["cost"]
    assert counted["rows"][0]["macs"] == trained["cost"]["macs"]
    assert tested["env"]["code"] == trained["env"]["code"] == found[0].code
    assert (store.folder(found[1]) / "best.pt").exists()


def test_rows_of_each_kind(ran):
    found, store = ran
    rows = store.rows(found)
    metrics = {kind: [row["metric"] for row in rows if row["kind"] == kind] for kind in ("train", "eval", "profile")}
    assert metrics == {
        "train": ["top1", "top5", "mean_class", "loss", "train_top1"],
        "eval": ["top1", "top5", "mean_class", "loss"],
        "profile": ["params", "macs"],
    }
    assert not any(row.get("older") for row in rows)


def test_which_clips_were_right(ran):
    """As many as the accuracy says, and none beyond the twelve of the split."""
    found, store = ran
    tops = [row for row in store.rows(found) if row["metric"] == "top1"]
    assert len(tops) == 2
    for row in tops:
        bits = bin(int(row["correct"], 16))[2:].zfill(16)
        assert (row["n"], len(row["correct"])) == (12, 4)
        assert bits[12:] == "0000"
        assert bits.count("1") == round(row["value"] * 12 / 100)
