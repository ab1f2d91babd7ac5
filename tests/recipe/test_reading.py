"""From files to a recipe: bases, overrides, what is no YAML."""

from __future__ import annotations

import re

import pytest
from texts import GOOD, line, the_one

from vidops_cli.cli.common import known
from vidops_cli.recipe import load

# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_good_recipe_and_its_defaults(read):
    told = read(GOOD)
    assert told.train.optimizer.lr == 0.001
    assert told.data.num_frames == 8
    assert told.model.ops[0].options == {"fold_div": 4}
    assert told.model.ops[0].at == "all"
    assert told.ablation is None


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 1e-3), ("4E2", 400), ("2.5e-1", 0.25), ("0.1", 0.1), ("3", 3), ("1.e+1", 10)]
)
def test_numbers(read, text, value):
    assert read(GOOD.replace("1e-3", text)).train.optimizer.lr == value


@pytest.mark.parametrize("text", ["fast", "'1e-3'", "true", "1e", "e3", ".inf", "0", "-1e-3"])
def test_what_is_no_learning_rate(problems, text):
    assert line(the_one(problems(GOOD.replace("1e-3", text)))) == 14


def test_base_is_merged_key_by_key(read, write):
    write(GOOD.replace("batch: 4", "batch: 4\n  seed: 7"), "base.yaml")
    told = read("base: base.yaml\ntitle: above\ntrain:\n  epochs: 5\n  optimizer: {momentum: 0.5}\nmodel: {ops: []}\n")
    assert told.title == "above"
    assert (told.train.epochs, told.train.batch, told.train.seed) == (5, 4, 7)
    assert (told.train.optimizer.lr, told.train.optimizer.momentum) == (0.001, 0.5)
    assert told.model.name == "resnet_tiny"
    assert told.model.ops == []


def test_base_in_another_folder_and_its_lines(read, problems, write):
    write(GOOD, "base/below.yaml")
    assert read("base: base/below.yaml\n").train.epochs == 2
    write(GOOD.replace("epochs: 2", "epochs: many"), "base/below.yaml")
    problem = the_one(problems("base: base/below.yaml\ntitle: above\n"))
    assert problem.where.endswith("base/below.yaml:11")


def test_a_base_may_stand_on_another(read, write):
    write(GOOD.replace("batch: 4", "batch: 4\n  seed: 7"), "base/lowest.yaml")
    write("base: lowest.yaml\ntrain: {epochs: 3, batch: 5}\n", "base/middle.yaml")
    told = read("base: base/middle.yaml\ntrain: {epochs: 9}\n")
    assert (told.train.epochs, told.train.batch, told.train.seed) == (9, 5, 7)


def test_a_recipe_that_is_its_own_base(problems, write):
    write("base: recipe.yaml\n" + GOOD, "middle.yaml")
    assert "base" in the_one(problems("base: middle.yaml\n")).message
    assert "base" in the_one(problems("base: recipe.yaml\n")).message


def test_a_missing_base(problems, write):
    write(GOOD, "nowhere_near.yaml")
    problem = the_one(problems(GOOD + "base: nowhere_nearr.yaml\n"))
    assert line(problem) == 15
    assert "nowhere_nearr.yaml" in problem.message and "nowhere_near.yaml" in problem.hint


def test_base_is_one_file(problems):
    assert line(the_one(problems(GOOD + "base: [a.yaml, b.yaml]\n"))) == 15


# --- overrides --------------------------------------------------------------------------------------------------------


def test_overrides(read):
    told = read(
        GOOD,
        "train.epochs=9",
        "train.optimizer.lr=2e-2",
        "data.crop=16",
        "model.ops.0.options.fold_div=8",
        "model.ops.0.at=[res2, res3.0]",
        "title=with = sign",
        "train.schedule.warmup=0.1",
    )
    assert told.train.epochs == 9
    assert told.train.optimizer.lr == 0.02
    assert told.data.crop == 16
    assert told.model.ops[0].options == {"fold_div": 8}
    assert told.model.ops[0].at == ["res2", "res3.0"]
    assert told.title == "with = sign"
    assert told.train.schedule.warmup == 0.1


def test_a_later_override_wins(read):
    assert read(GOOD, "train.epochs=3", "train.epochs=4").train.epochs == 4


@pytest.mark.parametrize("text", ["train.epochs", "=3", "train epochs=3", "--train.epochs=3", "train..epochs=3", ""])
def test_what_is_no_override(read, text):
    with pytest.raises(ValueError, match="not an override") as error:
        read(GOOD, text)
    assert "key=value" in error.value.args[1]


@pytest.mark.parametrize(
    "text",
    [
        "train.epochs=many",
        "train.epochs=",
        "train.epoch=3",
        "train.epochs.more=3",
        "trian.epochs=3",
        "model.ops.3.op=tsm",
        "model.ops.first.op=tsm",
        "model.ops.0.op=tms",
        "model.ops=[{op: tsm, options: {fold_div: x}}]",
        "data.0=1",
        "train=3",
    ],
)
def test_a_bad_override_is_reported_where_it_was_written(problems, text):
    assert the_one(problems(GOOD, text)).where == text


def test_an_override_that_is_no_yaml(problems):
    assert the_one(problems(GOOD, "model.ops=[{")).where.startswith("model.ops=[{")


# --- YAML that is not read --------------------------------------------------------------------------------------------


def test_duplicate_key(problems):
    problem = the_one(problems(GOOD.replace("  batch: 4", "  batch: 4\n  epochs: 3")))
    assert line(problem) == 13
    assert "'epochs' stands twice" in problem.message


def test_an_alias_is_refused(problems):
    problem = the_one(problems(GOOD.replace("videos", "&x videos") + "claim: *x\n"))
    assert line(problem) == 15
    assert "alias" in problem.message


@pytest.mark.parametrize(
    ("old", "new", "number"),
    [
        ("a test", "!!python/name:os.system", 1),
        ("a test", "!!python/object/apply:os.system ['touch made']", 1),
        ("{fold_div: 4}", "!!python/object:builtins.dict {fold_div: 4}", 9),
        ("lr: 1e-3", "lr: !!python/object/apply:float [1]", 14),
        ("  ops:\n", "  ops: !!python/tuple\n", 7),
        ("a test", "!mine text", 1),
    ],
)
def test_tags_of_python_objects_are_refused(problems, tmp_path, monkeypatch, old, new, number):
    monkeypatch.chdir(tmp_path)
    problem = the_one(problems(GOOD.replace(old, new)))
    assert line(problem) == number
    assert "tag" in problem.message
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "text", ["a: [1, 2\nb: 3\n", "a: b: c\n", "\ta: 1\n", "a: 'b\n", "a: 1\n---\nb: 2\n", "a: \0\n"]
)
def test_what_is_no_yaml(problems, text):
    problem = the_one(problems(text))
    assert "recipe.yaml" in problem.where
    assert "not valid YAML" in problem.message


@pytest.mark.parametrize("text", ["3: 4\n", "[a, b]: 4\n", "true: 4\n", "null: 4\n"])
def test_keys_are_words(problems, text):
    problem = the_one(problems(GOOD + text))
    assert line(problem) == 15
    assert "must be a word" in problem.message


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "---\n"])
def test_an_empty_file(read, text):
    with pytest.raises(ValueError, match=r"recipe\.yaml is empty") as error:
        read(text)
    assert "quickstart" in error.value.args[1]


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n", "3\n"])
def test_no_mapping(read, text):
    with pytest.raises(ValueError, match=r"recipe\.yaml holds .*, not keys and values"):
        read(text)


def test_a_file_that_is_no_text(write, tmp_path):
    path = write("")
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ValueError, match="not a text file"):
        load(path, known())
    with pytest.raises(ValueError, match="is a folder"):
        load(tmp_path, known())


def test_a_missing_file_and_the_nearest_name(write, tmp_path):
    write(GOOD, "quickstart.yaml")
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "quikstart.yaml"))) as error:
        load(tmp_path / "quikstart.yaml", known())
    assert str(tmp_path / "quickstart.yaml") in error.value.args[1]
    with pytest.raises(ValueError, match="no such recipe") as error:
        load(tmp_path / "nowhere" / "other.yaml", known())
    assert "vidops list recipes" in error.value.args[1]
