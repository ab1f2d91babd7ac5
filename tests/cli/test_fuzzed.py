"""Mutated input, a little of what `make faults` tries; and what it once found."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from terminal import told_errors, tree

from vidops_cli.cli.common import known
from vidops_cli.recipe import RecipeError, load

sys.path.append(str(Path(__file__).parents[1] / "faults"))
import fuzz
import judged
import mutations

few = settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@few
@given(draw=st.randoms(use_true_random=False))
def test_a_mutated_recipe_is_sound_or_refused(tmp_path, draw):
    (tmp_path / "recipe.yaml").write_bytes(
        mutations.mutate_text(draw, draw.choice(fuzz.tiny())[0]).encode("utf-8", "surrogatepass")
    )
    try:
        load(tmp_path / "recipe.yaml", known())
    except ValueError as error:
        message, hint = error.args
        assert message and hint


@few
@given(draw=st.randoms(use_true_random=False))
def test_nonsense_is_refused(tmp_path, draw):
    value = mutations.make_nonsense(draw, draw.choice(fuzz.tiny())[1])
    (tmp_path / "recipe.yaml").write_text(fuzz.yaml.dump(value, Dumper=fuzz.Dumper, allow_unicode=True))
    with pytest.raises(RecipeError):
        load(tmp_path / "recipe.yaml", known())
        load(tmp_path / "recipe.yaml", known(), scale="mini")


@few
@given(draw=st.randoms(use_true_random=False))
def test_mutated_results_are_shown_or_refused(vidops, tmp_path, draw):
    case = fuzz.results(draw)
    for name, content in case.files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    words = [word for word in case.words if not word.startswith(("--plot", "out/"))]
    code, out, err = vidops(*(str(tmp_path / word) if word in case.files else word for word in words))
    assert code in (0, 1, 2)
    assert not judged.RAW.search(out + err)
    if code == 2:
        assert len(told_errors(err)) == 1


@few
@given(draw=st.randoms(use_true_random=False))
def test_mutated_lists_are_read_or_refused(tmp_path, draw):
    (tmp_path / "train.txt").write_bytes(mutations.mutate_list(draw, b"a/b.mp4 0\nc.mp4 1\nd e.mp4 0\n"))
    from vidops_cli.data import DATASETS

    try:
        found = DATASETS["video_folder"].read(tmp_path, "train")
    except ValueError as error:
        assert len(error.args) == 2 and all(error.args)
    else:
        assert len(found.paths) == len(found.labels) > 0


DEEP, LONG = "[" * 50_000, "9" * 5_000


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (f"title: {DEEP}", "more than 32 levels"),  # libyaml took minutes
        ("x:\n  " + "- " * 50_000, "more than 32 levels"),  # and died
        ("x: " + "[" * 500 + "]" * 500, "more than 32 levels"),
        ("ablation: {rows: [{name: a, paper: {top1: {value: 1, source: b, tier: log, sorce: b}}}]}", "unknown key"),
        (f"title: {LONG}", "beyond whole numbers of 64 bits"),
        (f"claim: {LONG[:400]}", "beyond whole numbers of 64 bits"),
    ],
)
def test_what_ended_with_a_traceback_in_a_recipe(vidops, place, extra, message):
    (place / "recipe.yaml").write_text((place / "one.yaml").read_text().replace("title: Tiny [run]", extra, 1))
    code, out, err = vidops("validate", "recipe.yaml")
    assert (code, out) == (2, "")
    ((told, _),) = told_errors(err)
    assert message in told and len(told) < 300


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.ops.²=tsm"], "expected a valid list"),
        (["model.ops." + LONG + "=tsm"], "model.ops"),
        (["train.epochs=" + LONG], "beyond whole numbers"),
        (["data.crop=1000000000000"], "out of memory"),
        (["train.batch=1000000000000000000"], "out of memory"),
        (["model.width=1e12"], "out of memory"),
        (["model.width=1e300"], "out of memory"),
        (["data.generated.dials={size: 1000000000}"], "beyond 4096"),
        (["data.generated.dials={size: 4096, frames: 4096}"], "pixels"),
        (["title=&a [1]\nb: *a"], "title=&a [1] b: *a"),
    ],
    ids=lambda told: str(told)[:40],
)
def test_what_ended_with_a_traceback_on_a_command_line(vidops, place, words, message):
    before = tree(place)
    code, out, err = vidops("train", "one.yaml", "--dry-run", "data.root=nowhere", *words)
    assert (code, out) == (2, "")
    ((told, _),) = told_errors(err)
    assert message in told
    assert tree(place) == before


def test_no_more_seeds_than_there_are(vidops, place):
    code, _, err = vidops("ablate", "two.yaml", "--dry-run", "--seeds", 10**9)
    assert code == 2 and "--seeds" in told_errors(err)[0][0]


def test_nested_json(vidops, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").write_text('{"a":' * 50_000)
    (tmp_path / "a.jsonl").write_text("[" * 200_000 + "\n")
    for words in (["compare", "a.json", "a.json"], ["ablate", "a.jsonl"], ["compare", "a.jsonl", "a.json"]):
        code, out, err = vidops(*words)
        assert (code, out) == (2, "")
        assert len(told_errors(err)) == 1


def test_names_that_are_not_utf8(vidops, place, tiny):
    (place / "data/train/x").mkdir(parents=True)
    name = b"\xff\x1b[31m.mp4"
    (Path(str(place / "data/train/x").encode().decode()) / name.decode(errors="surrogateescape")).write_bytes(
        b"no video"
    )
    code, out, err = vidops("data", "verify", "video_folder", "--root", "data", "--split", "train", "--jobs", 1)
    assert code in (1, 2) and not judged.RAW.search(out + err)
    assert code == 1 or "not in UTF-8" in err
