"""vidops eval: views, scores that are kept, scored again, put together and compared."""

from __future__ import annotations

import json

import numpy as np
import pytest
from terminal import told_errors

VIEWS = ("data.resize=40", "data.crop=32", "eval.clips=2", "eval.crops=3", "eval.crop=40")


@pytest.fixture
def run(vidops, place):
    assert vidops("train", "one.yaml", "--out", "run", "--device", "cpu")[0] == 0
    return place / "run"


def test_scores_are_kept_and_scored_again(vidops, place, run):
    told = json.loads(vidops("eval", "run", "--device", "cpu", "--dump", "a.npz", "--format", "json")[1])
    assert told["metrics"]["views"] == 1
    code, out, _ = vidops("eval", "run", *VIEWS, "--device", "cpu", "--dump", "b.npz", "--out", "viewed", "--per-class")
    assert code == 0 and "6 views (2 clips x 3 crops of 40), softmax averaged" in out and "MACs a view" in out
    assert "classes, the best first" in out
    summary = json.loads((place / "viewed/summary.json").read_text())
    assert (summary["metrics"]["views"], summary["cost"]["views"]) == (6, 6)
    assert summary["cost"]["macs_in_all"] == 6 * summary["cost"]["macs"]

    again = json.loads(vidops("eval", "--scores", "a.npz", "--per-class", "--format", "json")[1])
    for name in ("top1", "top5", "mean_class", "loss"):
        assert again["metrics"][name] == pytest.approx(told["metrics"][name])
    assert sum(row["n"] for row in again["per_class"]) == told["metrics"]["n"] == 8
    both = json.loads(vidops("eval", "--scores", "a.npz", "b.npz", "--format", "json")[1])
    assert both["views"] == 7 and both["files"] == ["a.npz", "b.npz"]
    code, out, _ = vidops("eval", "--scores", "b.npz", "--against", "a.npz")
    assert code == 0 and "by a paired bootstrap over 8 clips" in out and "right alone on" in out


def test_words_and_files_that_do_not_fit(vidops, place, run):
    assert vidops("eval", "run", "--device", "cpu", "--dump", "a.npz")[0] == 0
    assert vidops("eval", "run", "eval.split=val", "--device", "cpu", "--dump", "val.npz")[0] == 0
    assert vidops("eval", "run", *VIEWS, "--device", "cpu", "--dump", "views.npz")[0] == 0
    (place / "cut.npz").write_bytes((place / "a.npz").read_bytes()[:300])
    np.savez(place / "foreign.npz", x=np.zeros(3))
    refused = [
        ("run --scores a.npz", "--scores runs no network", "leave one"),
        ("one.yaml train.epochs=2 --scores a.npz", "one.yaml train.epochs=2", "leave one"),
        ("--scores a.npz --dump b.npz", "--dump", "leave --dump out"),
        ("--scores a.npz --scores val.npz", "other lists", "same split"),
        ("--scores a.npz --against val.npz", "other lists", "same split"),
        ("--scores a.npz --scores views.npz --average logits", "logits were not kept", "eval.average=logits"),
        ("--scores a.npz --average mean", "mean", "softmax"),
        ("--scores cut.npz", "cut short", "--dump"),
        ("--scores foreign.npz", "no file of scores", "--dump"),
        ("--scores absent.npz", "absent.npz", "--dump"),
        ("run --against a.npz", "--against is of --scores", "--scores"),
        ("a.npz --per-class", "a.npz holds scores", "vidops eval --scores a.npz"),
        ("run --dump scores.txt", ".npz", "--dump"),
        ("", "--scores", "vidops eval runs/first"),
        ("run data.resize=40 eval.crop=48", "48 does not fit frames of data.resize 40", "at most 40"),
        ("run eval.crop=300 --device cpu", "a 300 crop does not fit", "data.resize"),
        ("run model.name=resnet18 --device cpu", "another network", "recipe that trained it"),
    ]
    for words, what, hint in refused:
        code, _, err = vidops("eval", *words.split())
        errors = told_errors(err)
        assert code == 2 and len(errors) == 1, (words, err)
        assert what in err and hint in err, (words, err)
