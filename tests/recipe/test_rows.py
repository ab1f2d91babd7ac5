"""Rows of an ablation, their scales, places and claims."""

from __future__ import annotations

import pytest
from texts import GOOD, ROWS, line, the_one

from vidops_cli.cli.common import known
from vidops_cli.recipe import RecipeError, dump, load, resolve

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


STARTED = (
    ROWS
    + """\
    - name: built on
      weights: {rgb: slow}
    - name: tested
      kind: eval
      of: built on
      set: {data.frames: reversed}
"""
)


def test_a_row_starts_from_the_weights_of_one_above(read):
    told = read(GOOD + STARTED, "ablation.rates=[2]", "ablation.claims=[{claim: c, better: tested, worse: plain}]")
    assert told.ablation.run_again == {"tested", "built on", "slow", "plain"}


@pytest.mark.parametrize(
    "old, new, told",
    [
        ("{rgb: slow}", "{rgb: slw}", "no trained row 'slw' above"),
        ("{rgb: slow}", "{rgb: built on}", "no trained row 'built on' above"),
        ("{rgb: slow}", "{rgb: tested}", "no trained row 'tested' above"),
        ("{rgb: slow}", "{rgb: 3}", "ablation.rows.2.weights.rgb: expected"),
        ("{rgb: slow}", "{}", "'built on' is the same as 'plain'"),
        ("      of: built on", "      of: built on\n      weights: {rgb: plain}", "eval rows start from no weights"),
    ],
)
def test_weights_of_no_row_above(problems, old, new, told):
    assert told in the_one(problems(GOOD + STARTED.replace(old, new, 1))).message


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
