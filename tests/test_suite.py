from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vidops_cli.cli.common import known
from vidops_cli.ops import OPS
from vidops_cli.profiling.cases import Case, Shape
from vidops_cli.recipe import RecipeError, dump, load
from vidops_cli.recipe.suite import load_suite

RECIPES = Path(__file__).parent.parent / "recipes"
LAYERS, SPEED = (RECIPES / "profile" / name for name in ("layers.yaml", "speed.yaml"))
GOOD = """\
title: two layers
layers:
  - {name: one, op: rsa, channels: 64, grid: [2, 6, 6], options: {heads: 4}, paper: "2111.01673"}
  - name: other
    op: conv2d
    channels: 16
    grid: [1, 4, 5]
    batch: 3
"""


@pytest.fixture
def read(tmp_path):
    def read(text: str):
        path = tmp_path / "suite.yaml"
        path.write_text(text, encoding="utf-8")
        return load_suite(path, known())

    return read


@pytest.fixture
def problems(read):
    """(line, message, hint) of all problems of a text."""

    def problems(text: str) -> list[tuple[int, str, str]]:
        with pytest.raises(RecipeError) as error:
            read(text)
        for problem in error.value.problems:
            assert problem.message and problem.hint
        return [(int(p.where.rpartition(":")[2]), p.message, p.hint) for p in error.value.problems]

    return problems


def test_a_suite_is_read(read):
    told = read(GOOD)
    assert told.title == "two layers"
    assert [layer.name for layer in told.layers] == ["one", "other"]
    assert told.layers[0].options == {"heads": 4}
    assert [layer.batch for layer in told.layers] == [1, 3]
    assert told.layers[1].grid == [1, 4, 5]
    assert told.layers[1].options == {}
    assert (told.baseline, told.layers[0].baseline, told.layers[0].released.fwd_ms) == (None, None, None)


SHOTS = """\
baseline: textbook
layers:
  - name: five shots
    op: cca
    channels: 16
    grid: [1, 4, 5]
    inputs: {support: 25 C T H W}
    call: {shots: 5}
    baseline: conv2d
    released: {fwd_ms: 3, fwdbwd_ms: 4.5}
    sweep: seq
"""


def test_what_a_layer_is_timed_against_and_called_with(read):
    told = read(SHOTS)
    (layer,) = told.layers
    assert (told.baseline, layer.baseline, layer.sweep) == ("textbook", "conv2d", "seq")
    assert (layer.inputs, layer.call) == ({"support": "25 C T H W"}, {"shots": 5})
    assert (layer.released.fwd_ms, layer.released.fwdbwd_ms) == (3, 4.5)


@pytest.mark.parametrize(
    ("old", "new", "line", "told", "hint"),
    [
        ("baseline: textbook", "baseline: textbok", 1, "unknown baseline 'textbok'", "did you mean 'textbook'?"),
        ("baseline: conv2d", "baseline: conv2", 9, "unknown baseline 'conv2'", "did you mean 'conv2d'?"),
        ("baseline: conv2d", "baseline: 3", 9, "layers.0.baseline: expected", "layers.yaml"),
        ("support: 25", "suport: 25", 7, "cca takes no input 'suport'", "did you mean 'support'?"),
        ("25 C T", "25 C", 7, "cca.support: expected a shape like '5 C T H W', got '25 C H W'", "B C T H W"),
        ("25 C T", "25 K T", 7, "cca.support: expected a shape", "letters of B C T H W"),
        ("25 C T", "0 C T", 7, "cca.support: expected a shape", "numbers"),
        ("shots: 5", "shots: five", 8, "layers.0.call.shots: expected", "layers.yaml"),
        ("fwd_ms: 3", "fwd_ms: 0", 10, "layers.0.released.fwd_ms: expected greater than 0", "layers.yaml"),
        ("fwd_ms: 3", "fw_ms: 3", 10, "unknown key 'layers.0.released.fw_ms'", "did you mean 'fwd_ms'?"),
        ("sweep: seq", "sweep: length", 11, "layers.0.sweep: expected 'seq'", "layers.yaml"),
    ],
)
def test_a_problem_of_what_it_is_timed_against_is_told(read, old, new, line, told, hint):
    with pytest.raises(RecipeError) as error:
        read(SHOTS.replace(old, new, 1))
    (problem,) = error.value.problems
    assert int(problem.where.rpartition(":")[2]) == line
    assert told in problem.message and hint in problem.hint, problem


@pytest.mark.parametrize(
    ("old", "new", "line", "told", "hint"),
    [
        ("op: conv2d", "op: conv2", 5, "unknown operator 'conv2'", "did you mean 'conv2d'?"),
        ("{heads: 4}", "{head: 4}", 3, "rsa has no option 'head'", "did you mean 'heads'?"),
        ("{heads: 4}", "{heads: 0}", 3, "rsa.heads: expected at least 1, got 0", "queries"),
        ("channels: 16", "channels: 0", 6, "layers.1.channels", "layers.yaml"),
        ("channels: 16", "chanels: 16", 6, "unknown key 'layers.1.chanels'", "did you mean 'channels'?"),
        ("grid: [1, 4, 5]", "grid: [4, 5]", 7, "layers.1.grid: expected", "layers.yaml"),
        ("    batch: 3\n", "    batch: 1.5\n", 8, "layers.1.batch: expected a valid integer", "layers.yaml"),
        ("name: other", "name: one", 4, "two layers are named 'one'", "name of its own"),
        ('"2111.01673"', "2111.01673", 3, "layers.0.paper: expected a valid string, got 2111.01673", "layers.yaml"),
        ("op: rsa, ", "", 3, "'layers.0.op' is missing", "add op"),
        ("title: two", "titel: two", 1, "unknown key 'titel'", "did you mean 'title'?"),
        ("op: conv2d", "op: sifa", 7, "sifa needs at least 2 frames, got T = 1", "grid: [T, H, W]"),
        (
            "rsa, channels: 64, grid: [2, 6, 6], options: {heads: 4}",
            "cca, channels: 64, grid: [2, 6, 6]",
            3,
            "at most",
            "g",
        ),
        ("op: conv2d", "op: pose_to_feature", 7, "takes no map", "grid: [1, 56, 56]"),
    ],
)
def test_a_problem_is_told_with_its_line_and_a_hint(problems, old, new, line, told, hint):
    assert old in GOOD
    found = problems(GOOD.replace(old, new))
    assert any(at == line and told in message and hint in advice for at, message, advice in found), found


def test_all_problems_are_told_at_once(problems):
    found = problems(GOOD.replace("op: conv2d", "op: conv2").replace("heads", "head").replace("batch: 3", "batch: no"))
    assert [line for line, _, _ in found] == [8, 3]  # the second layer's names are read once it is sound
    found = problems(GOOD.replace("op: conv2d", "op: conv2").replace("heads", "head").replace("title", "titel"))
    assert [line for line, _, _ in found] == [1, 3, 5]


@pytest.mark.parametrize("text", ["layers: []\n", "title: none\n", "layers: {a: 1}\n"])
def test_layers_are_needed(problems, text):
    assert any("layers" in message for _, message, _ in problems(text))


def test_no_file(tmp_path):
    (tmp_path / "layers.yaml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(ValueError, match="no such suite") as error:
        load_suite(tmp_path / "layer.yaml", known())
    assert "layers.yaml" in error.value.args[1]
    (tmp_path / "empty.yaml").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="is empty") as error:
        load_suite(tmp_path / "empty.yaml", known())
    assert "recipes/profile/layers.yaml" in error.value.args[1]


def test_imports_no_torch():
    source = "import sys, vidops_cli.recipe.suite\nsys.stdout.write('torch' if 'torch' in sys.modules else 'free')"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
    assert done.stdout == "free", done.stderr


# --- the papers' layers -----------------------------------------------------------------------------------------------


def test_layers_of_the_papers():
    """All operators; every source told; each layer built and run without numbers."""
    suite = load_suite(LAYERS, known())
    assert len(suite.layers) >= 60
    assert {layer.op for layer in suite.layers} == set(OPS)
    for layer in suite.layers:
        assert layer.paper and len(layer.source) > 10, layer.name
        card = OPS[layer.op]
        op = card.load()(layer.channels, **layer.options).eval().to("meta")
        with torch.no_grad():
            y = op(*(x.to("meta") for x in card.example(layer.batch, layer.channels, tuple(layer.grid))))
        assert len(y) == (layer.batch if card.slot != "pose_input" else 1)
        if card.slot in ("conv2", "after_conv2", "after_stage", "mixer", "block_input", "block_output"):
            assert y.shape == (layer.batch, layer.channels, *layer.grid), layer.name


def test_small_layers_of_the_papers_run():
    seen = set()
    for layer in load_suite(LAYERS, known()).layers:
        size = layer.batch * layer.channels * layer.grid[0] * layer.grid[1] * layer.grid[2]
        if size > 810_000 or layer.op in seen:
            continue
        card = OPS[layer.op]
        torch.manual_seed(0)
        with torch.no_grad():
            y = card.load()(layer.channels, **layer.options).eval()(
                *card.example(layer.batch, layer.channels, tuple(layer.grid))
            )
        assert y.isfinite().all(), layer.name
        seen.add(layer.op)
    assert len(seen) >= 18


@pytest.mark.parametrize("path", [LAYERS, SPEED], ids=lambda path: path.name)
def test_it_says_how_it_is_run(path):
    head = path.read_text(encoding="utf-8").split("title:")[0]
    assert f"vidops profile --suite recipes/profile/{path.name}" in head


# --- speed ------------------------------------------------------------------------------------------------------------

TIMED = {  # op: (batch, channels, grid) -> milliseconds of the released code, forward and forward + backward
    "rsa": {
        (1, 64, (8, 56, 56)): (None, None),
        (1, 128, (8, 28, 28)): (164.1, 1115.0),
        (1, 256, (8, 14, 14)): (182.4, 506.9),
        (1, 256, (16, 14, 14)): (None, None),
        (1, 512, (8, 7, 7)): (107.8, 364.2),
    },
    "motion_squeeze": {(1, 512, (8, 28, 28)): (153.7, 792.7)},
    "selfy": {(1, 512, (8, 28, 28)): (383.8, 1768.1)},
    "scr": {(80, 640, (1, 5, 5)): (529.3, 1356.1)},
    "sifa": {
        (1, 128, (4, 28, 28)): (216.8, 399.5),
        (1, 128, (8, 28, 28)): (None, None),
        (1, 256, (4, 14, 14)): (121.0, 212.8),
        (1, 256, (8, 14, 14)): (None, None),
        (1, 512, (4, 7, 7)): (62.5, 146.8),
        (1, 512, (8, 7, 7)): (None, None),
    },
}


def test_the_suite_of_speed_is_complete():
    suite = load_suite(SPEED, known())
    assert suite.baseline == "textbook"
    assert all(layer.paper and len(layer.source) > 10 for layer in suite.layers)
    by_op = {op: [layer for layer in suite.layers if layer.op == op] for op in {layer.op for layer in suite.layers}}
    assert set(by_op) == {*TIMED, "cca", "lisa"} and sum(map(len, by_op.values())) == 23
    for op, layers in TIMED.items():
        told = {
            (layer.batch, layer.channels, tuple(layer.grid)): (layer.released.fwd_ms, layer.released.fwdbwd_ms)
            for layer in by_op[op]
        }
        assert told == layers
        assert not any(layer.options or layer.baseline or layer.sweep for layer in by_op[op])
    assert {(layer.batch, layer.channels, *layer.grid) for layer in by_op["cca"]} == {(75, 640, 1, 5, 5)}
    one, five = by_op["cca"]
    assert (one.call, one.inputs, one.released.fwd_ms, one.released.fwdbwd_ms) == ({}, {}, 264.9, 701.1)
    assert (five.call, five.inputs, five.released.fwd_ms) == ({"shots": 5}, {"support": "25 C T H W"}, None)
    assert [layer.grid[1] * layer.grid[2] for layer in by_op["lisa"]] == [2**n for n in range(10, 17)]
    for layer in by_op["lisa"]:
        against = "self_attention" if layer.grid[1] * layer.grid[2] <= 2**14 else "lisa"  # itself: timed alone
        assert (layer.channels, layer.baseline, layer.sweep) == (256, against, "seq")
        assert layer.options == {"grid": layer.grid} and OPS["lisa"].options["heads"].default == 8


def test_layers_of_the_suite_of_speed_run():
    """As they are profiled, without numbers."""
    for layer in load_suite(SPEED, known()).layers:
        card = OPS[layer.op]
        case = Case(card, Shape(layer.batch, layer.channels, tuple(layer.grid)), layer.options, inputs=layer.inputs)
        op = card.load()(layer.channels, **layer.options).eval().to("meta")
        with torch.no_grad():
            y = op(*(x.to("meta") for x in case.example()), **layer.call)
        assert y.shape == ((75, 5) if layer.op == "cca" else (layer.batch, layer.channels, *layer.grid)), layer.name


# --- how a paper counted ----------------------------------------------------------------------------------------------

QUICKSTART = RECIPES / "quickstart.yaml"
QUICKSTART_HASH = "3eca92a6d0c8"  # before the key


def test_convention_is_no_part_of_the_hash():
    plain = load(QUICKSTART, known())
    assert plain.convention is None
    for name in ("macs", "flops", "motionsqueeze"):
        told = load(QUICKSTART, known(), [f"convention={name}"])
        assert told.convention == name
        assert told.hash() == plain.hash()
        assert f"convention: {name}\n" in dump(told)
    assert "convention" not in plain.identity()


def test_hashes_are_those_of_before_there_was_a_convention():
    """As in the cells that are stored: a cell that has finished is not run again."""
    assert load(QUICKSTART, known(), rows=False).hash() == QUICKSTART_HASH


def test_an_unknown_convention():
    with pytest.raises(RecipeError, match="expected 'macs', 'flops' or 'motionsqueeze'"):
        load(QUICKSTART, known(), ["convention=thop"])


SERIES = """\
baseline: self_attention
layers:
  - {name: a, op: lisa, channels: 32, grid: [1, 4, 4], options: {grid: [1, 4, 4]}, sweep: seq}
  - {name: b, op: lisa, channels: 32, grid: [1, 4, 8], options: {grid: [1, 4, 8]}, sweep: seq}
claims:
  - {claim: it grows slowly, op: lisa, what: fwd_ms, below: 1.5}
  - {claim: more slowly than attention, op: lisa, what: fwd_ms, than: self_attention}
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "told", "hint"),
    [
        ("slowly, op: lisa", "slowly, op: rsa", 6, "no series of 'rsa'", "lisa"),
        ("than: self_attention", "than: lysa", 7, "no series of 'lysa'", "did you mean 'lisa'?"),
        (", below: 1.5", "", 6, "held against a number or an operator", "below"),
        ("below: 1.5", "below: 1.5, than: lisa", 6, "held against a number or an operator", "below"),
        ("what: fwd_ms, b", "what: ms, b", 6, "claims.0.what: expected", "layers.yaml"),
    ],
)
def test_problems_of_claims_on_growth(read, problems, old, new, line, told, hint):
    assert [(claim.below, claim.than) for claim in read(SERIES).claims] == [(1.5, None), (None, "self_attention")]
    ((where, message, advice),) = problems(SERIES.replace(old, new))
    assert where == line and told in message and hint in advice


def test_claims_of_a_suite_are_judged_and_join_those_of_tables(read, tmp_path):
    (tmp_path / "series.yaml").write_text(SERIES)

    def vidops(*words: str) -> str:
        command = [sys.executable, "-m", "vidops_cli", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    profile = ("profile", "--suite", "series.yaml", "--device", "cpu", "--format", "markdown")
    out = vidops(*profile, "--out", "kept/series.jsonl")
    assert "claims" in out and "exponent below self_attention" in out
    joined = vidops("ablate", "kept", "--claims", "--format", "markdown")
    assert [line.split("|")[1].strip() for line in joined.splitlines()[2:4]] == ["series", "series"]
    assert "exponent below 1.5" in joined
