from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from vidops_cli.cli.common import known
from vidops_cli.ops import OPS
from vidops_cli.recipe import Known, Problem, Recipe, RecipeError, dump, load, resolve

GOOD = """\
title: a test
data:
  name: video_folder
  root: videos
model:
  name: resnet_tiny
  ops:
    - op: tsm
      options: {fold_div: 4}
train:
  epochs: 2
  batch: 4
  optimizer:
    lr: 1e-3
"""
ROWS = """\
ablation:
  seeds: [0, 1]
  rows:
    - name: plain
    - name: slow
      set:
        train.optimizer.lr: 1e-4
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "recipe.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def read(write):
    """The recipe of a text, with overrides."""
    return lambda text, *overrides: load(write(text), known(), list(overrides))


@pytest.fixture
def problems(write):
    """All problems of a text."""

    def problems(text: str, *overrides: str) -> list[Problem]:
        with pytest.raises(RecipeError) as error:
            load(write(text), known(), list(overrides))
        for problem in error.value.problems:
            assert problem.message and problem.hint
            assert "\n" not in problem.message + problem.hint
        return error.value.problems

    return problems


def the_one(found: list[Problem]) -> Problem:
    assert len(found) == 1, found
    return found[0]


def line(problem: Problem) -> int:
    """The line of a problem in recipe.yaml."""
    file, _, number = problem.where.rpartition(":")
    assert file.endswith("recipe.yaml")
    return int(number)


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


# --- what is wrong, and where -----------------------------------------------------------------------------------------


def test_unknown_key_names_the_line_and_the_nearest_key(problems):
    problem = the_one(problems(GOOD.replace("  batch: 4", "  batch: 4\n  label_smothing: 0.1")))
    assert line(problem) == 13
    assert "train.label_smothing" in problem.message
    assert "label_smoothing" in problem.hint


def test_unknown_key_at_the_top_and_in_a_list(problems):
    problem = the_one(problems(GOOD + "titel: again\n"))
    assert line(problem) == 15 and "'title'" in problem.hint
    problem = the_one(problems(GOOD.replace("options: {fold_div: 4}", "where: res2")))
    assert line(problem) == 9 and "model.ops.0.where" in problem.message


def test_an_unknown_key_like_no_other_lists_the_keys(problems):
    hint = the_one(problems(GOOD + "zzz: 1\n")).hint
    assert all(key in hint for key in ("title", "data", "model", "train", "ablation"))


@pytest.mark.parametrize(
    ("old", "new", "number", "key"),
    [
        ("epochs: 2", "epochs: two", 11, "train.epochs"),
        ("epochs: 2", "epochs: 2.5", 11, "train.epochs"),
        ("epochs: 2", "epochs: true", 11, "train.epochs"),
        ("epochs: 2", "epochs: 0", 11, "train.epochs"),
        ("batch: 4", "batch: '4'", 12, "train.batch"),
        ("root: videos", "root: 3", 4, "data.root"),
        ("root: videos", "root: videos\n  mean: [1, 2]", 5, "data.mean"),
        ("root: videos", "root: videos\n  std: [1, 1, 0]", 5, "data.std"),
        ("root: videos", "root: videos\n  frames: sorted", 5, "data.frames"),
        ("root: videos", "root: videos\n  flip: 2", 5, "data.flip"),
        ("root: videos", "root: videos\n  shuffle_labels: 1", 5, "data.shuffle_labels"),
        ("root: videos", "root: videos\n  splits: {trian: a.txt}", 5, "data.splits"),
        ("- op: tsm", "- op: [tsm]", 8, "model.ops.0.op"),
        ("- op: tsm", "- op: tsm\n      at: 3", 9, "model.ops.0.at"),
        ("title: a test", "scale: huge", 1, "scale"),
    ],
)
def test_wrong_values(problems, old, new, number, key):
    problem = the_one(problems(GOOD.replace(old, new)))
    assert line(problem) == number
    assert problem.message.startswith(key)
    assert "got" in problem.message


def test_missing_key(problems):
    problem = the_one(problems(GOOD.replace("  epochs: 2\n", "")))
    assert line(problem) == 10
    assert "'train.epochs' is missing" in problem.message


def test_all_type_errors_at_once(problems):
    text = GOOD.replace("epochs: 2", "epochs: two").replace("batch: 4", "batch: -1")
    text = text.replace("root: videos", "rot: videos")
    found = problems(text)
    assert len(found) == 4
    assert sorted(map(line, found)) == [2, 4, 11, 12]


def test_all_name_errors_at_once(problems):
    text = GOOD.replace("video_folder", "vido_folder").replace("resnet_tiny", "resnet_tinny")
    text = text.replace("fold_div", "fold").replace("    - op: tsm", "    - op: tms\n    - op: tsm")
    assert sorted(map(line, problems(text))) == [3, 6, 8, 10]


def test_errors_of_all_kinds_at_once(problems):
    """A wrong type does not hide an unknown operator, a bad option or a bad row."""
    text = GOOD.replace("epochs: 2", "epochs: two").replace("fold_div", "fold")
    text = text.replace("    - op: tsm", "    - op: tms\n    - op: tsm") + ROWS.replace("1e-4", "slow")
    found = problems(text)
    assert len(found) == 4, found
    assert sorted(map(line, found)) == [8, 10, 12, 22]


# --- names that must exist --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "number", "near"),
    [
        ("- op: tsm", "- op: tms", 8, "tsm"),
        ("resnet_tiny", "resnet_tinny", 6, "resnet_tiny"),
        ("video_folder", "vidoe_folder", 3, "video_folder"),
        ("fold_div: 4", "fold_dvi: 4", 9, "fold_div"),
    ],
)
def test_unknown_names_and_the_nearest(problems, old, new, number, near):
    problem = the_one(problems(GOOD.replace(old, new)))
    assert line(problem) == number
    assert near in problem.hint


def test_an_unknown_operator_like_no_other_lists_them(problems):
    assert "motion_squeeze" in the_one(problems(GOOD.replace("- op: tsm", "- op: zzzzzz"))).hint


MOTION = GOOD.replace("      options: {fold_div: 4}\n", "").replace("- op: tsm", "- op: motion_squeeze")


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("reduced: 1.5", "integer"),
        ("reduced: true", "integer"),
        ("sigma: wide", "number"),
        ("sigma: null", "number"),
        ("sigma: .nan", "number"),
        ("confidence: 1", "true or false"),
        ("displacement: hard_argmax", "kernel_soft_argmax"),
        ("displacement: 3", "word"),
    ],
)
def test_options_are_checked_against_the_card(problems, option, told):
    text = MOTION.replace("- op: motion_squeeze", f"- op: motion_squeeze\n      options:\n        {option}")
    problem = the_one(problems(text))
    assert line(problem) == 10
    assert f"motion_squeeze.{option.split(':')[0]}" in problem.message
    assert told in problem.message


def test_a_list_option(read, problems):
    def text(kernel: str) -> str:
        return GOOD.replace("- op: tsm", "- op: conv3d").replace("fold_div: 4", f"kernel: {kernel}")

    assert read(text("[3, 1, 1]")).model.ops[0].options == {"kernel": [3, 1, 1]}
    assert "list of integers" in the_one(problems(text("3"))).message
    assert "list of integers" in the_one(problems(text("[3, 1, x]"))).message


@pytest.mark.parametrize("at", ["res9", "res2.7", "[res2, res9]", "stem", "''"])
def test_a_place_that_does_not_exist(problems, at):
    problem = the_one(problems(GOOD.replace("- op: tsm", f"- op: tsm\n      at: {at}")))
    assert line(problem) == 9
    assert "res2.0" in problem.hint


def test_a_slot_that_does_not_exist(problems, read):
    problem = the_one(problems(GOOD.replace("- op: tsm", "- op: tsm\n      slot: attic")))
    assert "attic" in problem.message and "after_stage" in problem.hint
    assert (
        read(GOOD.replace("- op: tsm", "- op: tsm\n      slot: after_stage\n      at: res4")).model.ops[0].at == "res4"
    )


def test_an_operator_that_fits_no_slot_of_the_network(problems):
    text = GOOD.replace("- op: tsm", "- op: lisa").replace("fold_div: 4", "heads: 4")
    assert "mixer" in the_one(problems(text)).message


def test_a_place_whose_convolution_strides(problems, read):
    def text(name: str, at: str) -> str:
        placed = f"- op: {name}\n      slot: conv2\n      at: {at}"
        bare = GOOD.replace("      options: {fold_div: 4}\n", "").replace("resnet_tiny", "resnet50")
        return bare.replace("- op: tsm", placed)

    for at, rest in (("all", "res2.2, res3.1"), ("res3", "[res3.1, res3.2, res3.3]"), ("res4.0", "res2.0")):
        problem = the_one(problems(text("self_attention", at)))
        assert line(problem) == 10
        assert "self_attention has no stride" in problem.message
        assert rest in problem.hint
    assert read(text("self_attention", "[res2, res3.1]")).model.ops[0].at == ["res2", "res3.1"]
    assert read(text("conv3d", "all")).model.ops[0].at == "all"


def test_a_network_without_an_inflated_form(problems, read):
    text = GOOD.replace("name: resnet_tiny", "name: resnet_tiny\n  inflate: true")
    assert read(text).model.inflate
    other = text.replace("resnet_tiny", "vit_mini").replace("- op: tsm", "- op: lisa").replace("fold_div", "heads")
    problem = the_one(problems(other))
    assert line(problem) == 7
    assert "vit_mini has no inflated form" in problem.message and "resnet50" in problem.hint


def test_too_many_frames_for_an_operator(write):
    image = replace(OPS["tsm"], max_frames=1)
    names = Known(ops={**OPS, "tsm": image}, models=known().models, datasets=known().datasets)
    with pytest.raises(RecipeError, match=r"tsm takes 1 frames at most, data\.num_frames is 8"):
        load(write(GOOD), names)
    assert load(write(GOOD), names, ["data.num_frames=1"]).data.num_frames == 1


def test_too_few_frames_for_an_operator(problems, read):
    text = MOTION.replace("root: videos", "root: videos\n  num_frames: 1")
    problem = the_one(problems(text))
    assert line(problem) == 5
    assert "motion_squeeze needs at least 2 frames" in problem.message
    assert read(MOTION.replace("root: videos", "root: videos\n  num_frames: 2")).data.num_frames == 2


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


# --- rows -------------------------------------------------------------------------------------------------------------


def test_good_rows(read):
    told = read(GOOD + ROWS)
    assert [row.name for row in told.ablation.rows] == ["plain", "slow"]
    slow = resolve(told, told.ablation.rows[1], 1, known())
    assert (slow.train.optimizer.lr, slow.train.seed, slow.ablation) == (1e-4, 1, None)
    plain = resolve(told, told.ablation.rows[0], 0, known())
    assert (plain.train.optimizer.lr, plain.train.seed) == (1e-3, 0)


def test_two_rows_of_one_name(problems):
    problem = the_one(problems(GOOD + ROWS.replace("slow", "plain")))
    assert line(problem) == 19
    assert "'plain'" in problem.message


@pytest.mark.parametrize(
    "setting",
    ["train.optimizer.lr: 1e-3", "data.root: elsewhere", "data.workers: 2", "data.crop: null"],
)
def test_two_rows_that_are_the_same(problems, setting):
    problem = the_one(problems(GOOD + ROWS.replace("train.optimizer.lr: 1e-4", setting)))
    assert line(problem) == 19
    assert "'slow' is the same as 'plain'" in problem.message


def test_a_row_that_sets_the_seed(problems):
    """Seeds are those of `seeds:`; such a row would be the other row again."""
    problem = the_one(problems(GOOD + ROWS.replace("train.optimizer.lr: 1e-4", "train.seed: 5")))
    assert line(problem) in (19, 21)


def test_a_seed_that_stands_twice(problems):
    problem = the_one(problems(GOOD + ROWS.replace("[0, 1]", "[0, 1, 0]")))
    assert line(problem) == 16
    assert "seed 0" in problem.message


@pytest.mark.parametrize("seeds", ["[]", "[-1]", "[x]", "3"])
def test_bad_seeds(problems, seeds):
    assert line(the_one(problems(GOOD + ROWS.replace("[0, 1]", seeds)))) == 16


@pytest.mark.parametrize(
    "setting",
    [
        "train.epoch: 3",
        "train.epochs: many",
        "model.name: resnet",
        "model.ops.4.op: tsm",
        "model.ops: [{op: tms}]",
        "model.ops: [{op: tsm, at: res9}]",
        "model.ops: [{op: tsm, options: {fold: 3}}]",
        "data.num_frames: 0",
    ],
)
def test_a_row_is_checked_at_its_line(problems, setting):
    assert line(the_one(problems(GOOD + ROWS.replace("train.optimizer.lr: 1e-4", setting)))) == 21


def test_a_row_of_many_lines_names_the_very_line(problems):
    setting = "model.ops:\n          - op: tsm\n          - op: conv3d\n            options: {fold: 3}"
    assert line(the_one(problems(GOOD + ROWS.replace("train.optimizer.lr: 1e-4", setting)))) == 24


def test_two_operators_in_one_place(problems):
    setting = "model.ops: [{op: tsm, at: res2}, {op: conv3d}, {op: tsm, at: [res3, res2]}]"
    problem = the_one(problems(GOOD + ROWS.replace("train.optimizer.lr: 1e-4", setting)))
    assert "tsm and tsm both stand at res2.0 of slot block_input" in problem.message


def test_all_bad_rows_at_once(problems):
    more = "    - {name: third, set: {train.epochs: x}}\n    - {name: fourth, set: {modl.name: y}}\n"
    assert sorted(map(line, problems(GOOD + ROWS.replace("1e-4", "x") + more))) == [21, 22, 23]


def test_rows_are_wanted(problems):
    assert "ablation.rows" in the_one(problems(GOOD + "ablation: {rows: []}\n")).message
    assert "ablation.rows" in the_one(problems(GOOD + "ablation: {seeds: [0]}\n")).message


def test_an_unknown_metric(problems, read):
    """Otherwise all cells are trained, and the table then says that none was run."""
    assert read(GOOD + ROWS + "  metric: mean_class\n").ablation.metric == "mean_class"
    problem = the_one(problems(GOOD + ROWS + "  metric: topp1\n"))
    assert line(problem) == 22
    assert "topp1" in problem.message


# --- hash -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "override",
    ["title=other", "claim=other", "paper=other", "data.root=/elsewhere", "data.workers=3", "train.save_every=7"],
)
def test_hash_is_kept(read, override):
    assert read(GOOD, override).hash() == read(GOOD).hash()


def test_hash_is_kept_by_rows(read):
    assert read(GOOD + ROWS).hash() == read(GOOD).hash()


@pytest.mark.parametrize(
    "override",
    [
        "train.optimizer.lr=2e-3",
        "train.seed=1",
        "train.epochs=3",
        "model.ops.0.options.fold_div=8",
        "model.ops.0.at=res2",
        "model.name=resnet18",
        "model.inflate=true",
        "data.num_frames=4",
        "data.frames=reversed",
        "data.corruption={name: noise, amount: 40}",
        "data.splits={train: other.txt}",
        "eval.split=val",
    ],
)
def test_hash_is_changed(read, override):
    assert read(GOOD, override).hash() != read(GOOD).hash()


def test_a_key_that_came_later_is_not_in_the_hash_at_its_default(read):
    """Results of before it hold."""
    assert read(GOOD, "model.inflate=false").hash() == read(GOOD).hash()
    assert "inflate" not in read(GOOD).identity()["model"]
    assert read(dump(read(GOOD, "model.inflate=true"))).model.inflate


CORRUPTION = "data.corruption={name: noise, amount: 40, frames: 2}"


def test_corruption(read):
    told = read(GOOD, CORRUPTION).data.corruption
    assert (told.name, told.amount, told.frames) == ("noise", 40, 2)
    assert read(GOOD).data.corruption is None and "corruption" not in read(GOOD).identity()["data"]
    assert read(GOOD, CORRUPTION, "data.corruption.frames=3").hash() != read(GOOD, CORRUPTION).hash()
    assert read(dump(read(GOOD, CORRUPTION))).data.corruption == told


@pytest.mark.parametrize(
    "change",
    [
        "name=rain",
        "amount=0",
        "amount=-1",
        "amount=256",
        "frames=0",
        "frames=9",
        "{name: occlusion, amount: 1.1}",
        "{name: blur, amount: 65}",
        "{name: blur}",
        "{amount: 3}",
        "noise",
    ],
)
def test_corruption_that_is_none(problems, change):
    change = change if "=" not in change else f".{change}"
    text = f"data.corruption{change}" if change[0] == "." else f"data.corruption={change}"
    assert "data.corruption" in the_one(problems(GOOD, CORRUPTION, text)).message


def test_hash_does_not_tell_how_a_number_is_written(read):
    assert read(GOOD.replace("1e-3", "0.001")).hash() == read(GOOD).hash()


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["data.crop=16", "data.splits={train: a.txt}", "train.clip_norm=1", "title='ü: # \"x\"'"],
        ["model.ops=[{op: lisa, slot: conv2, at: [res3, res4], options: {window: null, heads: 4}}]"],
        ["model.ops=[{op: lisa, slot: conv2, options: {window: [1, 3, 3], rpe: fourier}}]"],
        ["model.ops=[{op: motion_squeeze, at: res2, options: {sigma: 1e-5}}]"],
    ],
)
def test_dump_is_read_back(read, overrides):
    told = read(GOOD + ROWS, *overrides)
    again = read(dump(told))
    assert isinstance(again, Recipe)
    assert again.hash() == told.hash()
    assert again == told


def test_dump_keeps_a_row_that_sets_nothing(read):
    told = read(
        GOOD.replace("root: videos", "root: videos\n  crop: 16")
        + ROWS.replace("train.optimizer.lr: 1e-4", "data.crop: null")
    )
    assert read(dump(told)) == told


def test_without_rows_the_ablation_is_left_out(write):
    """One run of a table's recipe may be given what a row sets."""
    path = write(GOOD + ROWS)
    told = load(path, known(), ["train.optimizer.lr=1e-4"], rows=False)
    assert (told.ablation, told.train.optimizer.lr) == (None, 1e-4)


@pytest.mark.parametrize(
    ("placed", "word"),
    [
        ("{op: conv2d, options: {kernel: 4}}", "odd"),
        ("{op: conv2d, options: {stride: 2}}", "size of the map"),
        ("{op: conv3d, options: {kernel: [1, -1, 3]}}", "at least 1"),
        ("{op: motion_squeeze, at: res2, options: {max_displacement: 0}}", "at least 1"),
        ("{op: motion_squeeze, at: res2, options: {sigma: 0}}", "more than 0"),
        ("{op: tsm, at: []}", "at least 1 item"),
    ],
)
def test_what_cannot_be_built_is_not_valid(write, placed, word):
    with pytest.raises(RecipeError, match=word):
        load(write(GOOD), known(), [f"model.ops=[{placed}]"])


def test_a_benchmark_of_directions_is_not_mirrored(write):
    with pytest.raises(RecipeError, match="mirrored"):
        load(write(GOOD), known(), ["data.name=mini_motion", "data.flip=0.5"])


# --- scales, places, claims -------------------------------------------------------------------------------------------

SCALED = """\
title: a test
data:
  name: video_folder
  root: videos
  num_frames: 16
model:
  name: resnet50
  places: {deep: [res4.1, res4.3]}
train:
  epochs: 50
  batch: 4
  optimizer:
    lr: 1e-3
mini:
  data: {num_frames: 8}
  model: {name: resnet_tiny, places: {deep: res3.0}}
  train: {epochs: 3}
ablation:
  seeds: [5, 6]
  reference: relational
  rows:
    - name: plain
      paper: {top1: {value: 46.0, source: "code: README.md", tier: code}}
    - name: relational
      set:
        model.ops: [{op: rsa, at: deep}]
    - name: shuffled
      kind: eval
      of: relational
      set: {data.frames: shuffled}
    - name: cost
      kind: profile
      set: {model.dropout: 0.5}
  quoted:
    - {name: other, paper: {gflops: {value: 33, source: "page: a.b", tier: page}}}
  claims:
    - {claim: relations help, better: relational, worse: plain, least: 0.5}
"""


def test_the_mini_block_changes_scale_and_never_rows(write):
    path = write(SCALED)
    full, mini, smoke = (load(path, known(), scale=scale) for scale in ("full", "mini", "smoke"))
    assert [told.scale for told in (full, mini, smoke)] == ["full", "mini", "smoke"]
    assert [(told.data.num_frames, told.train.epochs) for told in (full, mini, smoke)] == [(16, 50), (8, 3), (8, 1)]
    assert [told.ablation.seeds for told in (full, mini, smoke)] == [[5, 6], [5, 6], [5]]
    assert full.ablation.rows == mini.ablation.rows == smoke.ablation.rows
    assert (full.mini is None, mini.mini, smoke.mini) == (False, None, None)
    assert len({told.hash() for told in (full, mini, smoke)}) == 3
    with pytest.raises(ValueError, match="no mini: block"):
        load(write(GOOD + ROWS), known(), scale="mini")
    with pytest.raises(ValueError, match="no mini: block"):
        load(write(GOOD + ROWS + "mini: null\n"), known(), scale="mini")
    assert load(write(GOOD.replace("title", "scale: mini\ntitle") + ROWS), known(), scale="mini").scale == "mini"


def test_rows_name_places_that_each_scale_has_of_its_own(write):
    path = write(SCALED)
    for scale, places in (("full", ["res4.1", "res4.3"]), ("mini", "res3.0")):
        told = load(path, known(), scale=scale)
        assert resolve(told, told.ablation.rows[1], 0, known()).model.ops[0].at == places
    assert named_the_same(write) == 1


def named_the_same(write) -> int:
    """How many hashes a place has, told by name or in full."""
    texts = SCALED, SCALED.replace("at: deep", "at: [res4.1, res4.3]"), SCALED.replace("deep", "late")
    told = [load(write(text), known()) for text in texts]
    return len({resolve(one, one.ablation.rows[1], 0, known()).hash() for one in told})


def test_an_eval_row_has_the_settings_of_the_row_that_it_tests(write):
    told = load(write(SCALED), known())
    found = resolve(told, told.ablation.rows[2], 3, known())
    assert (found.model.ops[0].op, found.data.frames, found.train.seed) == ("rsa", "shuffled", 3)


def test_what_changes_no_key(write):
    plain = load(write(SCALED), known())
    other = (
        SCALED.replace("46.0", "47.0").replace("relations help", "they do").replace("num_frames: 8", "num_frames: 4")
    )
    other = other.replace("root: videos", "root: videos\n  classes: 174") + "convention: macs\n"
    assert load(write(other), known()).hash() == plain.hash()


def test_claims_on_costs_and_without_loss(write):
    own = "better: relational, worse: plain, "
    claims = f"least: 0.5}}\n    - {{claim: cheap, {own}metric: macs, most: -3}}\n    - {{claim: safe, {own}least: -2}}"
    told = load(write(SCALED.replace("least: 0.5}", claims)), known())
    assert [(one.metric, one.least, one.most) for one in told.ablation.claims] == [
        ("top1", 0.5, None),
        ("macs", 0.0, -3.0),
        ("top1", -2.0, None),
    ]
    assert load(write(dump(told)), known()) == told


def test_rows_of_claims_are_those_that_rates_are_for(write):
    text = SCALED.replace("seeds: [5, 6]", "seeds: [5, 6]\n  rates: [0.5, 2]")
    told = load(write(text), known())
    assert (told.rates, told.ablation.run_again) == ([0.5, 2.0], {"relational", "plain"})
    assert load(write(text), known(), scale="smoke").rates == []
    assert load(write(text), known(), ["ablation.rates=[]"]).rates == load(write(SCALED), known()).rates == []
    of_eval = load(write(text.replace("better: relational", "better: shuffled")), known())
    assert of_eval.ablation.run_again == {"shuffled", "relational", "plain"}
    of_cost = load(write(text.replace("least: 0.5", "metric: params, most: 0")), known())
    assert of_cost.ablation.run_again == set()
    assert told.hash() == of_eval.hash() == load(write(SCALED), known()).hash()


@pytest.mark.parametrize(
    "old, new, told",
    [
        ("reference: relational", "reference: relation", "no row 'relation'"),
        ("better: relational", "better: relation", "no row 'relation'"),
        ("better: relational", "better: plain", "with itself"),
        ("of: relational", "of: relation", "no trained row"),
        ("of: relational", "of: cost", "no trained row"),
        ("      of: relational\n", "", "tests the weights of another"),
        ("of: relational", "of: relational\n      control_of: relation", "no row 'relation'"),
        ("- name: plain", "- name: plain\n      control_of: plain", "a control of itself"),
        ("seeds: [5, 6]", "seeds: [5, 6]\n  rates: [0.5, 1]", "a rate of 1 is the row itself"),
        ("seeds: [5, 6]", "seeds: [5, 6]\n  rates: [0.5, 2, 0.5]", "a rate 0.5 stands twice"),
        ("seeds: [5, 6]", "seeds: [5, 6]\n  rates: [0]", "greater than 0"),
        ("least: 0.5}", "most: 2}", "a claim on top1 has no `most`"),
        ("least: 0.5}", "metric: macs, least: 0.5, most: 2}", "a claim on macs has no `least`"),
        ("least: 0.5}", "metric: flops}", "a claim on flops has to say `most`"),
        ("kind: profile", "of: plain", "a train row has no `of`"),
        ("name: other,", "name: plain,", "two rows are named 'plain'"),
        ("tier: code", "tier: rumour", "expected 'code', 'log'"),
        ("top1: {value", "top2: {value", "top2"),
        ("res4.1, res4.3]", "res4.1, res9]", "res9"),
        ("model.dropout: 0.5", "title: 0.5", "a row cannot set title"),
        ("{deep: [res4.1, res4.3]}", "{}", "no place 'deep'"),
    ],
)
def test_what_is_wrong_with_a_table(problems, old, new, told):
    assert told in the_one(problems(SCALED.replace(old, new, 1))).message


@pytest.mark.parametrize(
    "old, new, told, at",
    [
        ("train: {epochs: 3}", "train: {epoch: 3}", "unknown key 'train.epoch'", 17),
        ("places: {deep: res3.0}", "places: {deep: res5}", "res5", 26),
        ("data: {num_frames: 8}", "title: {num_frames: 8}", "mini", 15),
        ("data: {num_frames: 8}", "data: 8", "mini.data", 15),
    ],
)
def test_what_is_wrong_with_a_mini_block(write, old, new, told, at):
    with pytest.raises(RecipeError) as refused:
        load(write(SCALED.replace(old, new)), known(), scale="mini")
    (problem,) = refused.value.problems
    assert told in problem.message and line(problem) == at
