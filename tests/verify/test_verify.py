"""Frozen data of the released code on our operators, and that a wrong operator or a changed file is seen."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vidops_cli.models import MODELS
from vidops_cli.ops import OPS
from vidops_cli.report.verify import verify_table
from vidops_cli.verify import SHIPPED, count_by_op, find, is_network, networks, source_of
from vidops_cli.verify.fill import fill, follows_rule
from vidops_cli.verify.run import verify
from vidops_cli.verify.sources import network_of

ROOT = Path(__file__).parent.parent.parent
CPU = torch.device("cpu")
CASES = find(SHIPPED)
OPERATORS = [case for case in CASES if not is_network(case)]
EVERY = [pytest.param(case, id=case.name) for case in OPERATORS]


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def changed(case, folder: Path, change, **meta) -> Path:
    """A copy of a case's file, its tensors put through `change` (in place) and its metadata updated."""
    tensors = load_file(case.path)
    change(tensors)
    path = folder / case.path.parent.name / case.path.name
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {**metadata(case.path), **meta})
    return path


def run(path: Path) -> dict:
    (case,) = [case for case in find(path.parent) if case.path == path]
    return verify(case, CPU)


def by_name(name: str):
    return next(case for case in CASES if case.name == name)


# --- what is shipped ------------------------------------------------------------------------------------------------


def test_what_is_shipped():
    assert len(OPERATORS) == 37
    assert len(CASES) - len(OPERATORS) == 14
    assert all(source_of(case) for case in OPERATORS)
    assert {source_of(case).op for case in OPERATORS} <= set(OPS)
    assert sum(count_by_op().values()) == 37
    assert count_by_op()["lisa"] == 0


@pytest.mark.parametrize("case", EVERY)
def test_operator_equals_the_released_code(case):
    row = verify(case, CPU)
    assert row["passed"] is True, row
    assert 0 <= row["err_out"] <= row["tol"] == 1e-5
    kinds = {name.partition(".")[0] for name in load_file(case.path)}
    assert (row["err_grad"] is not None) == ("grad" in kinds)
    assert (row["err_train"] is not None) == ("train_output" in kinds)
    assert row["left_out"] == 0


NETWORKS = [case for case in CASES if is_network(case)]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in NETWORKS])
def test_network_equals_the_released_code(case):
    row = verify(case, CPU)
    assert row["passed"] is True, row
    assert 0 <= row["err_out"] <= row["advised"] == 2e-5 < row["tol"] == 1e-4
    assert row["network"].split(" + ")[0] in MODELS


def test_features_of_networks_are_compared():
    """Of the cases that store them, at least a stage of each."""
    compared = {}
    for case in NETWORKS:
        parts = load_file(case.path)
        stored = {name.removeprefix("feat.") for name in parts if name.startswith("feat.")}
        if stored and case.path.stem != "episode_5w1s_84":  # its only feature is an output of ours
            given = {name.removeprefix("input."): value for name, value in parts.items() if name.startswith("input.")}
            with torch.no_grad():
                run = getattr(networks, network_of(case))(case, given, CPU)
                expected = {name: parts[f"feat.{name}"] for name in stored}
                compared[case.name] = {name for name, _ in networks.features(run, expected) if "whole" not in name}
            assert compared[case.name] <= stored
    assert sum(map(len, compared.values())) >= 24
    assert [name for name, found in compared.items() if not found] == ["sifa_net/c2d_sifa_swin_tiny112_contig"]


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda told: told["keys"][5].update(shape=[3]), "sums up to"),
        (lambda told: told["keys"][5].update(abssum=1e9), "sums up to"),
        (lambda told: told["keys"].pop(5), "no weight for 1 of ours"),
        (
            lambda told: told["keys"].append({**told["keys"][5], "key": "more.weight", "abssum": 0.0, "shape": [0]}),
            "no place",
        ),
    ],
)
def test_a_changed_manifest_is_seen(tmp_path, change, told):
    (case,) = [case for case in NETWORKS if case.path.stem == "resnet12_32"]
    shutil.copy(case.path, tmp_path)
    manifest = json.loads(case.path.with_name("resnet12.manifest.json").read_text())
    change(manifest)
    (tmp_path / "resnet12.manifest.json").write_text(json.dumps(manifest))
    (row,) = [verify(case, CPU) for case in find(tmp_path)]
    assert row["passed"] is False and told in row["note"]


def test_a_network_as_it_runs_by_accident_is_for_information(tmp_path):
    (case,) = [case for case in NETWORKS if case.path.stem == "c2d_sifa_r50_16f_64"]
    shutil.copy(case.path.with_suffix(".manifest.json"), tmp_path)
    told = {**metadata(case.path), "variant": "as run"}
    save_file(load_file(case.path), tmp_path / "c2d_sifa_r50_16f_64.safetensors", told)
    (row,) = [verify(case, CPU) for case in find(tmp_path)]
    assert (row["passed"], row["tol"]) == (None, 1e-3)
    assert "for information; within 1e-03: no" in row["note"] and row["err_out"] > 1e-3


def test_every_weight_is_the_fill_rules():
    seen = 0
    for case in OPERATORS:
        for name, value in load_file(case.path).items():
            kind, _, key = name.partition(".")
            if kind == "weight" and follows_rule(key, value):
                assert torch.allclose(fill(key, value.shape), value, rtol=1e-5, atol=1e-5), (case.name, key)
                seen += 1
    assert seen > 500


def test_fill_gains():
    plain = fill("layer1.0.bn3.weight", (4,))
    torch.testing.assert_close(fill("layer1.0.bn3.weight", (4,), [("bn3.weight", 0.5), ("weight", 9.0)]), 0.5 * plain)


# --- changed files --------------------------------------------------------------------------------------------------

KINDS = ("output", "weight", "train_output", "train_stat", "grad")


@pytest.mark.parametrize("case", EVERY)
def test_one_changed_value_is_seen(case, tmp_path):
    """In one tensor of each kind that the case has."""
    names = sorted(load_file(case.path))
    chosen = random.Random(case.name)
    seen = 0
    for kind in KINDS:
        of_kind = [name for name in names if name.startswith(f"{kind}.")]
        if not of_kind:
            continue
        name = chosen.choice(of_kind)

        def change(tensors, name=name):
            flat = tensors[name].reshape(-1)
            flat[chosen.randrange(len(flat))] += 1 if not flat.is_floating_point() else 0.01 * flat.abs().max() + 0.01
            tensors[name] = flat.view(tensors[name].shape)

        row = run(changed(case, tmp_path / kind, change))
        assert row["passed"] is False, (name, row)
        assert row["note"], name
        seen += 1
    assert seen >= 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_seen(value, tmp_path):
    def change(tensors):
        tensors["output.out"].view(-1)[0] = value

    row = run(changed(by_name("rsa_op/kV_fV"), tmp_path, change))
    assert row["passed"] is False
    assert "output.out" in row["note"]
    json.dumps(row, allow_nan=False)


def test_a_missing_tensor_is_seen(tmp_path):
    case = by_name("rsa_op/kVplusR_fVplusR")
    for i, name in enumerate(["weight.G.weight", "input.x", "output.out", "gradseed.out"]):
        row = run(changed(case, tmp_path / str(i), lambda tensors, name=name: tensors.pop(name)))
        assert row["passed"] is False, name


def test_tensors_that_nobody_knows_are_seen(tmp_path):
    case = by_name("rsa_op/kV_fV")
    for name in ("weight.H9.weight", "output.other", "grad.input.z", "something"):

        def change(tensors, name=name):
            tensors[name] = fill(name.partition(".")[2], (2,))

        row = run(changed(case, tmp_path / name, change))
        assert row["passed"] is False, name


def test_what_a_known_source_cannot_run_is_a_failure(tmp_path):
    case = by_name("rsa_op/kV_fV")
    row = run(changed(case, tmp_path / "a", lambda tensors: None, ctor='{"d_in": 16, "no_such_argument": 1}'))
    assert row["passed"] is False
    assert "no_such_argument" in row["note"]
    row = run(changed(by_name("renet_op/se"), tmp_path / "b", lambda tensors: None, cls="others/new.py::New"))
    assert row["passed"] is False
    assert "renet/models::others/new.py::New" in row["note"]


def test_statistics_are_compared_without_training_outputs(tmp_path):
    def change(tensors):
        for name in list(tensors):
            if name.startswith("train_output."):
                del tensors[name]
            if name.startswith("train_stat.") and name.endswith("running_mean"):
                tensors[name] += 1

    row = run(changed(by_name("renet_op/se"), tmp_path, change))
    assert row["passed"] is False
    assert "train_stat" in row["note"]


def test_networks_are_known_wherever_they_lie(tmp_path):
    for case in NETWORKS:
        shutil.copy(case.path, tmp_path / case.path.name)
    rows = [verify(case, CPU) for case in find(tmp_path)]
    assert len(rows) == 14
    assert all("no manifest of" in row["note"] and row["passed"] is False for row in rows)
    save_file({"weight": torch.zeros(3)}, tmp_path / "foreign.safetensors", {"format": "pt"})
    (foreign,) = [verify(case, CPU) for case in find(tmp_path) if case.path.stem == "foreign"]
    assert foreign["passed"] is False


# --- wrong operators --------------------------------------------------------------------------------------------------


def failing(op: str) -> set[str]:
    return {
        case.name for case in OPERATORS if source_of(case).op == op for row in [verify(case, CPU)] if not row["passed"]
    }


def test_a_swapped_soft_argmax_is_seen(monkeypatch):
    import vidops_cli.ops.motion_squeeze as module

    right = module.soft_argmax

    def swapped(*args, **kwargs):
        displacement, confidence = right(*args, **kwargs)
        return displacement.flip(1), confidence

    monkeypatch.setattr(module, "soft_argmax", swapped)
    assert {"ms_op/disp_P15", "ms_op/disp_reduction"} <= failing("motion_squeeze")


def test_rsa_without_g_is_seen(monkeypatch):
    from vidops_cli.ops.rsa import RSA

    right = RSA.forward

    def without(self, x):
        if hasattr(self, "G"):
            with torch.no_grad():
                self.G.weight.zero_()
        return right(self, x)

    monkeypatch.setattr(RSA, "forward", without)
    assert failing("rsa") == {case.name for case in OPERATORS if source_of(case).op == "rsa"} - {
        "rsa_op/kV_fV",
        "rsa_op/kVplusR_fV",  # these have no G
    }


# --- the verb ---------------------------------------------------------------------------------------------------------


def vidops(*words) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "vidops_cli", "verify", "--device", "cpu", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_exactly_the_changed_case_fails(tmp_path):
    for group in ("rsa_op", "rsa_net", "tsm"):
        shutil.copytree(SHIPPED / group, tmp_path / group)
    case = by_name("rsa_op/kR_fR")

    def change(tensors):
        tensors["output.out"].view(-1)[7] += 1e-3

    changed(case, tmp_path, change)
    done = vidops("--fixtures", tmp_path, "--format", "json")
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["schema"] == 1
    assert told["env"]["torch"] == torch.__version__
    assert len(told["rows"]) == 9
    assert [row["case"] for row in told["rows"] if row["passed"] is False] == ["rsa_op/kR_fR"]
    kinds = {"err_out", "err_grad", "err_train", "tol", "advised", "left_out"}
    assert {"case", "op", "network", "passed", "note", *kinds} == set(told["rows"][0])


def test_one_operator_as_a_table():
    done = vidops("--op", "tsm", "--op", "rsa")
    assert done.returncode == 0
    assert "tsm/tsm_ms_selfy" in done.stdout
    assert "8 passed, 0 failed\ntolerance 1e-05" in done.stdout
    assert "selfy" not in done.stdout.replace("tsm_ms_selfy", "")


def test_the_table_says_what_failed():
    rows = [
        {
            "case": "a/b",
            "op": None,
            "passed": False,
            "err_out": None,
            "err_grad": 2e-3,
            "err_train": None,
            "tol": 1e-5,
            "left_out": 2,
            "note": "grad.input.x is off by 2.0e-03",
        }
    ]
    table = verify_table(rows, {"device": "cpu", "cpu": "a processor", "torch": "2"})
    assert table.body == [["a/b", "-", "-", "2e-03", "-", "FAIL"]]
    assert table.notes[:3] == [
        "a/b: 2 positions left out; grad.input.x is off by 2.0e-03",
        "0 passed, 1 failed",
        "tolerance 1e-05",
    ]
    network = {**rows[0], "network": "resnet18 + tsm", "passed": True, "err_out": 3e-5, "tol": 1e-4, "advised": 2e-5}
    table = verify_table([*rows, network, {**network, "err_out": 1e-6}], {"device": "cpu", "cpu": "c", "torch": "2"})
    assert table.body[1][:3] == ["a/b", "resnet18 + tsm", "3e-05"]
    assert "tolerance 1e-05, 1e-04 of networks, of which 1 of 2 are within 2e-05" in table.notes


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--fixtures", "no_such_folder"], "no folder no_such_folder"),
        (["--fixtures", "recipes"], "no case in recipes"),
        (["--op", "score_average"], "no code of score_average was released"),
        (["--op", "rsaa"], "did you mean 'rsa'"),
        (["--format", "xml"], "unknown format 'xml'"),
    ],
)
def test_errors(words, told):
    done = vidops(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    error, hint = done.stderr.strip().splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    assert told in done.stderr


def test_broken_and_foreign_files(tmp_path):
    group = tmp_path / "rsa_op"
    group.mkdir()
    (group / "cut.safetensors").write_bytes((SHIPPED / "rsa_op/kV_fV.safetensors").read_bytes()[:5000])
    (group / "empty.safetensors").write_bytes(b"")
    save_file({"weight": torch.zeros(3)}, group / "foreign.safetensors", {"format": "pt"})
    done = vidops("--fixtures", tmp_path)
    assert done.returncode == 1
    assert "cannot be read" in " ".join(done.stdout.split())
    shutil.copy(SHIPPED / "rsa_op/kV_fV.safetensors", group)
    done = vidops("--fixtures", tmp_path, "--format", "json")
    assert done.returncode == 1
    rows = {row["case"]: row for row in json.loads(done.stdout)["rows"]}
    assert {name: row["passed"] for name, row in rows.items()} == {
        "rsa_op/cut": False,
        "rsa_op/empty": False,
        "rsa_op/foreign": False,
        "rsa_op/kV_fV": True,
    }
    assert "cannot be read" in rows["rsa_op/cut"]["note"]
    done = vidops("--fixtures", tmp_path, "--op", "rsa", "--format", "json")
    assert done.returncode == 1  # what cannot be read might be one of its cases
    assert len(json.loads(done.stdout)["rows"]) == 4
    assert "no known source" in rows["rsa_op/foreign"]["note"]


def test_foreign_files_alone(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "foreign.safetensors", {"format": "pt"})
    done = vidops("--fixtures", tmp_path)
    assert done.returncode == 2
    assert "no case in" in done.stderr and "of a known source" in done.stderr
