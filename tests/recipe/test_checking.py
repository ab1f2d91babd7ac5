"""What is wrong with a recipe, and where."""

from __future__ import annotations

from dataclasses import replace

import pytest
from texts import GOOD, ROWS, line, the_one

from vidops_cli.cli.common import known
from vidops_cli.ops import OPS
from vidops_cli.recipe import Known, RecipeError, load

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
