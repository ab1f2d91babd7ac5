"""Operators that are not of the zoo, from the command line: a class of a file beside the recipe, a package's."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from vidops_cli.ops import OPS
from vidops_cli.own import BUILT_IN, registered

SOURCE = '''
import torch
from torch import nn
from helper import squash


class Gate(nn.Module):
    """A gate from the difference of frames.

    scale: by which it is divided
    """

    slot = "after_stage"
    min_frames = 2

    def __init__(self, channels: int, *, scale: float = 1.0):
        super().__init__()
        self.mix = nn.Conv3d(channels, channels, 1)
        self.scale = scale

    def forward(self, x):
        if x.shape[2] < 2:
            raise ValueError("a difference needs 2 frames", "raise data.num_frames")
        return x + x * squash(self.mix(x.roll(-1, 2) - x) / self.scale)


class Bad(nn.Module):
    shared = nn.Parameter(torch.ones(1))

    def __init__(self, channels, **anything):
        super().__init__()
        self.weight, self.idle = Bad.shared, nn.Linear(2, 2)
        torch.set_default_dtype(torch.float32)

    def forward(self, x):
        return Wrong.apply(x * self.weight)[..., 1:]


class Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class WrongGradient(nn.Module):
    """Without a slot."""

    def __init__(self, channels, depth: int):
        super().__init__()

    def forward(self, x):
        return Wrong.apply(x)
'''
METADATA = "Metadata-Version: 2.1\nName: fancy-ops\nVersion: 1.2\n"


@pytest.fixture
def lab(place, monkeypatch):
    """A working folder with a user's module, which is forgotten afterwards."""
    (place / "lab_ops.py").write_text(SOURCE)
    (place / "helper.py").write_text("from torch import sigmoid as squash\n")
    monkeypatch.setattr(sys, "path", [str(place), *sys.path])
    monkeypatch.setenv("COLUMNS", "200")
    registered.cache_clear()
    yield place
    registered.cache_clear()
    for name in [name for name in OPS if name not in BUILT_IN]:
        del OPS[name]
    for name in ("lab_ops", "helper"):
        sys.modules.pop(name, None)


def install(folder, *points):
    """A package of one module, as pip leaves it: metadata beside it."""
    info = folder / "fancy_ops-1.2.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text("\n".join(["[vidops.ops]", *points, ""]))
    registered.cache_clear()


def recipe(lab, ops):
    (lab / "own.yaml").write_text((lab / "one.yaml").read_text() + f"model:\n  ops: [{ops}]\n")
    return lab / "own.yaml"


@pytest.mark.parametrize(
    ("ops", "told"),
    [
        ("{op: 'lab_op:Gate', at: res2}", ("no module named 'lab_op'", "did you mean lab_ops?")),
        ("{op: 'lab_ops:Gat', at: res2}", ("lab_ops has no 'Gat'", "did you mean lab_ops:Gate?")),
        ("{op: 'lab_ops:', at: res2}", ("names no class", "package.module:Class")),
        ("{op: 'lab_ops:Gate', options: {scal: 1}}", ("has no option 'scal'", "did you mean 'scale'?")),
        ("{op: 'lab_ops:Gate', options: {scale: x}}", ("expected a number, got 'x'", "by which it is divided")),
        ("{op: 'lab_ops:Gate', slot: conv3}", ("has no slot 'conv3'", "its slots: ")),
        ("{op: 'lab_ops:WrongGradient', slot: conv2, at: res2}", ("needs the option 'depth'", "{depth: VALUE}")),
        ("{op: 'lab_ops:WrongGradient', options: {depth: 1}}", ("does not say where", "add slot: one of block_input")),
        ("{op: fancy, at: res2}", ("unknown operator 'fancy'", "operators: conv2d, ")),
    ],
)
def test_what_is_wrong_with_one_in_a_recipe(lab, vidops, ops, told):
    code, out, err = vidops("validate", recipe(lab, ops))
    error, hint = [line for line in err.splitlines() if not line.startswith("own operator ")]
    assert (code, out) == (2, "") and told[0] in error and told[1] in hint
    assert "own.yaml:9: " in error


def test_a_run_of_it(lab, vidops):
    """It is told which file is imported, before it is and once; the plan counts its parameters and frames."""
    path = recipe(lab, "{op: 'lab_ops:Gate', at: res2, options: {scale: 2.0}}")
    code, out, err = vidops("train", path, "--dry-run")
    assert (code, err) == (0, f"own operator lab_ops:Gate from {lab / 'lab_ops.py'}\n")
    assert "78.7 k parameters" in out and "a training step and a tested batch run on the meta device" in out
    code, _, err = vidops("validate", path, lab / "one.yaml")
    assert (code, err) == (0, "")
    told = vidops("train", path, "--dry-run", "data.num_frames=1")[2]
    assert "lab_ops:Gate needs at least 2 frames" in told


def test_a_recipe_of_another_folder(lab, vidops, tmp_path_factory, monkeypatch):
    """The module beside it is found, by the processes that run its cells too; what is not there is told once."""
    monkeypatch.setenv("VIDOPS_BESIDE", "")
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(lab)])
    (lab / "table.yaml").write_text((lab / "two.yaml").read_text().replace("op: tsm", "op: 'lab_ops:Gate', at: res2"))
    (lab / "lost.yaml").write_text((lab / "table.yaml").read_text().replace("lab_ops:", "lab_opps:"))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert vidops("validate", lab / "table.yaml")[0] == 0
    source = "from vidops_cli.own.source import locate; print(locate('lab_ops'))"  # as a cell does, from its own folder
    child = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
    assert child.stdout == f"{lab / 'lab_ops.py'}\n", child.stderr
    code, _, err = vidops("validate", lab / "lost.yaml")
    assert code == 2 and err.count("no module named 'lab_opps'") == 1 and str(lab) in err


def test_of_a_package_in_a_cell(lab, vidops):
    """By its name, in a process of its own; when its code changes the cell is of older code."""
    install(lab, "gate = lab_ops:Gate")
    (lab / "table.yaml").write_text((lab / "two.yaml").read_text().replace("op: tsm", "op: gate, at: res2"))
    words = ("ablate", lab / "table.yaml", "--store", lab / "runs")
    code, out, _ = vidops(*words, "--only", "TSM")
    (log,) = (lab / "runs").glob("cells/*/log.txt")
    assert code == 0 and "78.7 k" in out, log.read_text()
    file = lab / "lab_ops.py"
    assert f"own operator gate from {file}, lab_ops:Gate of the package fancy-ops 1.2\n" in log.read_text()
    assert "finished" in vidops(*words, "--dry-run")[1] and "older code" not in vidops(*words, "--dry-run")[1]
    (lab / "helper.py").write_text("from torch import tanh as squash\n")
    del OPS["gate"], sys.modules["lab_ops"], sys.modules["helper"]
    assert "older code" in vidops(*words, "--dry-run")[1]


def test_of_a_package_by_its_name(lab, vidops):
    install(lab, "gate = lab_ops:Gate")
    code, out, err = vidops("list", "ops", "--format", "json")
    assert (code, err) == (0, "") and "lab_ops" not in sys.modules
    last = json.loads(out)["ops"][-1]
    assert (last["name"], last["operator"], last["status"]) == ("gate", "lab_ops:Gate", "of the package fancy-ops 1.2")
    code, out, _ = vidops("show", "gate")
    assert code == 0 and "A gate from the difference of frames." in out and "by which it is divided" in out
    words = ("--set", "scale=2", "--grid", "2x4x4", "--channels", "8", "--no-backward")
    code, out, err = vidops("profile", "--op", "gate", *words)
    assert code == 0 and err.startswith("own operator gate from") and "itself in float64" in out
    assert "gate: no published form is known; MACs and FLOPs are of the form that ran" in out
    code, _, err = vidops("profile", "--op", "tsm", "--baseline", "gate")
    assert code == 2 and "the baseline gate is not of the zoo" in err


def test_of_a_package_that_takes_the_name_of_another(lab, vidops):
    install(lab, "rsa = lab_ops:Gate")
    for words in (("list", "ops"), ("validate", "one.yaml"), ("profile", "--op", "rsa"), ("show", "rsa")):
        told = "fancy-ops 1.2 registers an operator 'rsa', which is one of vidops\nhint: uninstall it, or ask"
        assert vidops(*words)[0] == 2 and told in vidops(*words)[2]


def test_a_good_one_is_verified(lab, vidops):
    code, out, err = vidops("verify", "--op", "lab_ops:Gate")
    assert code == 0 and "10 passed, 0 failed" in out and "refused: a difference needs 2 frames" in out
    assert err == f"own operator lab_ops:Gate from {lab / 'lab_ops.py'}\n"


def test_bad_ones_are_told_why(lab, vidops):
    code, out, _ = vidops("verify", "--op", "lab_ops:Bad", "--op", "lab_ops:WrongGradient", "--set", "depth=1")
    assert code == 2  # Bad has no such option
    code, out, _ = vidops("verify", "--op", "lab_ops:Bad", "--format", "json")
    rows = {row["contract"]: row for row in json.loads(out)["rows"]}
    assert code == 1 and len(rows) == 10
    notes = {name: row["note"] for name, row in rows.items() if not row["passed"]}
    assert "a slot keeps the shape" in notes["shape"] and "leave **kwargs out" in notes["unknown options"]
    assert "two of them share weight" in notes["no global state"]
    assert "no gradient reaches idle.weight" in notes["gradients"]
    assert "the gradient of the input is not that of differences" in notes["gradcheck"]
    assert rows["input kept"]["passed"] and rows["same seed, same bits"]["passed"]
    assert "--set depth=VALUE" in vidops("verify", "--op", "lab_ops:WrongGradient")[2]
    code, out, _ = vidops("verify", "--op", "lab_ops:WrongGradient", "--set", "depth=1")
    assert code == 1 and "9 passed, 1 failed" in out and "gradcheck" in out
