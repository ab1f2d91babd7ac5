"""What the verbs that run nothing answer."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from terminal import ROOT, shell

from vidops_cli import __version__
from vidops_cli.data import DATASETS
from vidops_cli.models import MODELS
from vidops_cli.ops import OPS


def test_version():
    done = subprocess.run([sys.executable, "-m", "vidops_cli", "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"vidops {__version__}\n", "")
    assert shell("--version", cwd=ROOT).stdout == f"vidops {__version__}\n"


def test_help(vidops):
    for words in ((), ("--help",), ("-h",)):
        code, out, err = vidops(*words)
        assert code == 0
        assert err == ""
        for verb in ("train", "eval", "profile", "ablate", "list", "show", "validate", "data"):
            assert verb in out


def test_list(vidops, monkeypatch):
    monkeypatch.chdir(ROOT)
    code, out, err = vidops("list")
    assert (code, err) == (0, "")
    for name in (*OPS, *MODELS, *DATASETS, "recipes/quickstart.yaml"):
        assert name in out
    kinds = {"ops": OPS, "models": MODELS, "datasets": DATASETS, "recipes": ["recipes/quickstart.yaml"]}
    for kind, names in kinds.items():
        code, out, _ = vidops("list", kind)
        assert code == 0
        assert all(name in out for name in names)
        first = {line[1:].split("│")[0].strip() for line in out.splitlines() if line.startswith("│")}
        assert not any(name in first for other in kinds.values() if other is not names for name in other)


def test_list_as_json(vidops, monkeypatch):
    monkeypatch.chdir(ROOT)
    code, out, _ = vidops("list", "--format", "json")
    told = json.loads(out)
    assert code == 0
    assert set(told) == {"ops", "models", "datasets", "recipes"}
    assert [row["name"] for row in told["ops"]] == list(OPS)
    assert [row["name"] for row in told["models"]] == list(MODELS)
    assert [row["name"] for row in told["datasets"]] == list(DATASETS)
    assert "recipes/quickstart.yaml" in [row["file"] for row in told["recipes"]]


@pytest.mark.parametrize("name", OPS)
def test_show_an_operator(vidops, name):
    code, out, err = vidops("show", name)
    assert (code, err) == (0, "")
    card = OPS[name]
    flat = " ".join(out.split())
    assert card.title in flat and card.arxiv in flat and card.equation[:30] in flat
    assert all(option in out for option in card.options)
    assert "MACs" in out and "parameters" in out


def test_the_paper_of_an_operator_as_bibtex(vidops):
    code, out, err = vidops("show", "rsa", "--format", "bibtex")
    assert (code, err) == (0, "") and out.startswith("@inproceedings{rsa2021,\n  title = {{Relational Self-Attention")
    assert "author = {Kim, Manjin and Kwon, Heeseung and" in out and "eprint = {2111.01673}" in out
    assert "@article{lisa2025," in vidops("show", "lisa", "--format", "bibtex")[1]
    out = vidops("show", "tsm", "--format", "bibtex")[1]
    assert out.startswith("% the authors are not on the card") and "author =" not in out
    assert "booktitle = {ICCV},\n  year = {2019}" in out and out.count("{") == out.count("}")
    for name, told in (("conv2d", "of no paper"), ("resnet_tiny", "no operator")):
        code, out, err = vidops("show", name, "--format", "bibtex")
        assert (code, out) == (2, "") and told in err


@pytest.mark.parametrize("name", MODELS)
def test_show_a_network(vidops, name):
    code, out, _ = vidops("show", name)
    assert code == 0
    assert MODELS[name].title in out
    flat = " ".join(out.split())
    for slot, places in MODELS[name].slots.items():
        assert f"slot {slot} " in flat and places[0] in flat and places[-1] in flat
    assert ("inflate" in out) == MODELS[name].inflates


@pytest.mark.parametrize("name", DATASETS)
def test_show_a_data_set(vidops, name):
    code, out, _ = vidops("show", name)
    assert code == 0
    assert DATASETS[name].how.split(",")[0] in out


def test_the_card_of_a_benchmark_shows_what_is_published_of_it(vidops, place):
    code, before, _ = vidops("show", "mini_motion")
    assert code == 0 and "recipes/claims/order.yaml" in before and "measured" not in before
    rows = [{"name": name, "kind": "train", "paper": {}} for name in ("TSN", "TSM, reversed")]
    head = {"schema": 1, "table": {"title": "Order", "metric": "top1", "seeds": [0], "rows": rows}}
    told = {"metric": "top1", "seed": 0, "n": 8, "present": "8/8", "split": "test", "seconds": 1.0, "dirty": False}
    told |= {"code": "c", "torch": "t", "device": "cpu", "cpu": "p", "commit": "0", "date": "2026-01-02T03:04:05Z"}
    lines = [head, *({**told, "row": row["name"], "value": 12.5 + 10 * i} for i, row in enumerate(rows))]
    (place / "results/claims").mkdir(parents=True)
    (place / "results/claims/order.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    code, out, _ = vidops("show", "mini_motion")
    assert code == 0 and out.startswith(before)
    told = [line.split("│")[1:4] for line in out.splitlines() if line.startswith("│")]
    assert [[word.strip() for word in words] for words in told] == [
        ["order", "TSN", "12.5"],
        ["order", "TSM, reversed", "22.5"],
    ]


def test_show_the_keys_of_recipes(vidops):
    code, out, _ = vidops("show", "recipe")
    assert code == 0
    for key in ("data.root", "data.num_frames", "model.name", "train.optimizer.lr", "train.seed", "ablation"):
        assert key in out


def test_validate(vidops, place):
    code, out, err = vidops("validate", "one.yaml", "two.yaml")
    assert (code, err) == (0, "")
    assert out.splitlines() == ["one.yaml: valid", "two.yaml: valid, 2 rows x 1 seed"]


@pytest.mark.parametrize("name", ["[red]", "[bold] x", "a [/b]"])
def test_names_with_brackets_are_printed_as_they_are(vidops, place, name):
    (place / name).mkdir(parents=True)
    shutil.copy("one.yaml", place / name / "one.yaml")
    code, out, _ = vidops("validate", f"{name}/one.yaml")
    assert (code, out) == (0, f"{name}/one.yaml: valid\n")
    code, out, err = vidops("train", "one.yaml", "--dry-run", "--out", f"{name}/run")
    assert (code, err) == (0, "")
    assert f"{name}/run" in out and "Tiny [run]" in out
