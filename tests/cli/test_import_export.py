"""vidops import and export, and runs that start from what they wrote."""

import json

import pytest
import torch
import yaml
from safetensors.torch import load_file
from terminal import told_errors

from vidops_cli.engine import made_of
from vidops_cli.models import MODELS
from vidops_cli.record import digest


@pytest.fixture
def official(place):
    """An image ResNet in the official layout, of 1,000 classes."""
    torch.manual_seed(0)
    state = MODELS["resnet18"].build(classes=1000).state_dict()
    state = {key: value.squeeze(2) if value.ndim == 5 else value for key, value in state.items()}
    torch.save({"state_dict": state}, place / "resnet18.pth")
    return state


def test_import_and_export(vidops, place, official):
    code, out, err = vidops("import", "torchvision", "resnet18.pth", "--out", "new/r18.safetensors")
    assert (code, err) == (0, "")
    told, fragment = out.split("; in a recipe:\n\n")
    assert told.splitlines() == [
        "torchvision: ImageNet ResNets and R(2+1)D of torchvision",
        "resnet18, 1000 classes",
        f"{len(official)} weights loaded, 0 left out, which compute nothing",
        "written: new/r18.safetensors",
    ]
    assert yaml.safe_load(fragment) == {"model": {"name": "resnet18", "weights": "new/r18.safetensors"}}
    code, out, _ = vidops("import", "torchvision", "resnet18.pth", "--out", "r18.safetensors", "--format", "json")
    assert code == 0 and json.loads(out) == {
        "written": "r18.safetensors",
        "source": "torchvision",
        "classes": 1000,
        "weights": len(official),
        "left_out": [],
        "notes": [],
        "model": {"name": "resnet18", "weights": "r18.safetensors"},
    }
    for name in ("back.pth", "back.safetensors"):
        code, out, _ = vidops("export", "torchvision", "new/r18.safetensors", "--like", "resnet18.pth", "--out", name)
        assert code == 0 and f"{len(official)} weights" in out
    back = torch.load(place / "back.pth", weights_only=True)["state_dict"]
    assert list(back) == list(official) and all(torch.equal(back[key], official[key]) for key in back)
    assert all(torch.equal(value, official[key]) for key, value in load_file(place / "back.safetensors").items())


def test_a_run_starts_from_imported_weights(vidops, place, official):
    assert vidops("import", "torchvision", "resnet18.pth", "--out", "r18.safetensors")[0] == 0
    words = ("one.yaml", "model.name=resnet18", "model.weights=r18.safetensors", "train.optimizer.lr=1e-9")
    code, _, err = vidops("train", *words, "--out", "run", "--device", "cpu")
    assert code == 0, err
    assert "r18.safetensors: 120 weights taken, 2 fresh (fc)" in err
    (started,) = json.loads((place / "run/summary.json").read_text())["weights"]
    assert (started["path"], started["taken"], started["fresh"]) == ("r18.safetensors", 120, 2)
    assert started["sha256"] == digest(place / "r18.safetensors")
    code, out, _ = vidops("train", *words, "--dry-run", "--device", "cpu")
    assert code == 0 and "\nweights  r18.safetensors: 120 taken, 2 fresh\n" in out
    code, out, err = vidops("train", "one.yaml", "model.weights=nothing.pth", "--dry-run", "--device", "cpu")
    ((error, hint),) = told_errors(err)
    assert (code, out, error) == (2, "", "no such checkpoint: nothing.pth") and ".safetensors" in hint
    state = torch.load(place / "run/last.pt", weights_only=True)["model"]
    torch.testing.assert_close(state["conv1.weight"].squeeze(2), official["conv1.weight"], atol=1e-4, rtol=0)
    assert vidops("export", "torchvision", "run/last.pt", "--like", "resnet18.pth")[0] == 2  # 4 classes, not 1,000
    assert json.loads((place / "run/summary.json").read_text())["metrics"]["n"] == 8


def test_a_recipe_takes_a_released_checkpoint_as_it_is(vidops, place, official):
    words = ("one.yaml", "model.name=resnet18", "model.weights=resnet18.pth", "train.optimizer.lr=1e-9")
    code, _, err = vidops("train", *words, "--out", "run", "--device", "cpu")
    assert code == 0 and "resnet18.pth: 120 weights taken, 2 fresh (fc)" in err, err
    code, _, err = vidops("train", "one.yaml", "model.weights=resnet18.pth", "--out", "other", "--device", "cpu")
    assert code == 2 and err.startswith("error: resnet18.pth is a checkpoint of another network: ")
    torch.save({"weights of nothing": torch.zeros(3)}, place / "odd.pth")
    code, _, err = vidops("train", "one.yaml", "model.weights=odd.pth", "--out", "other", "--device", "cpu")
    assert code == 2 and "is no checkpoint of vidops, nor of released code" in err


def test_eval_of_imported_weights(vidops, place):
    torch.manual_seed(0)
    network = MODELS["resnet_tiny"].build(classes=4)
    torch.save({"model": network.state_dict()}, place / "mine.pt")
    code, out, _ = vidops("eval", "one.yaml", "--checkpoint", "mine.pt", "--device", "cpu")
    assert code == 0 and "8 clips scored" in out


def test_weights_of_other_operators_are_not_tested(vidops, place, official):
    """Shifts have no weights: every key of a TSM fits a TSN."""
    tsm = {f"base_model.{key}".replace("base_model.fc.", "new_fc."): value for key, value in official.items()}
    torch.save({"state_dict": tsm}, place / "tsm.pth")
    assert vidops("import", "tsm", "tsm.pth", "--out", "tsm.safetensors")[0] == 0
    assert vidops("import", "tsm", "tsm.pth", "--no-shift", "--out", "tsn.safetensors")[0] == 0
    words = ("eval", "two.yaml", "model.name=resnet18", "--device", "cpu", "--checkpoint")
    for name, hint in (("tsm.safetensors", "--row 'TSM'; or use"), ("tsm.pth", "vidops import ... --no-shift")):
        code, out, err = vidops(*words, name)
        ((error, told),) = told_errors(err)
        assert (code, out) == (2, "") and hint in told and "--row 'TSM'" in told
        assert error == f"{name} is a checkpoint of another network: of resnet18 + tsm, the recipe of resnet18"
    assert vidops(*words, "tsm.safetensors", "--row", "TSM")[0] == 0
    assert vidops(*words, "tsn.safetensors")[0] == 0
    code, _, err = vidops(*words, "tsn.safetensors", "model.ops=[{op: tsm, at: res3}]")
    ((error, told),) = told_errors(err)
    assert code == 2 and "--row NAME, of 'TSN', 'TSM'" in told and "the recipe of resnet18 + tsm" in error
    code, _, err = vidops(*words, "tsm.safetensors", "model.ops=[{op: tsm, options: {fold_div: 4}}]")
    assert code == 2 and ": tsm fold_div=8 instead of 4 at block_input res2.0; " in err
    assert vidops(*words, "tsm.safetensors", "--other-network", "eval.split=val")[0] == 0
    assert vidops(*words, "tsm.safetensors", "--row", "TSM", "model.ops=[]")[0] == 2


def test_what_no_weight_tells_is_not_compared():
    """RENet's temperatures are words of the command that trained it; other options are those of the released code."""
    head = {"op": "cca", "options": {"planes": [16, 1]}}
    told = {"network": "renet", "ops": [head], "untold": ["attention_temperature"]}
    ours = {"network": "renet", "ops": [{"op": "cca", "at": "end", "options": {"attention_temperature": 2.0}}]}
    assert not made_of.differences(told, ours)
    assert made_of.differences({**told, "untold": []}, ours) == [
        "cca attention_temperature=5.0 instead of 2.0 at few_shot_head end"
    ]
    for odd in ([3], [{"op": "gone"}], [{"op": "cca", "options": 3}], "x", [{"op": "cca", "at": "res9"}]):
        assert made_of.differences({**told, "ops": odd}, ours) == ["operators that this vidops does not know"]


def test_a_runs_own_weights_tell_their_operators(vidops, place):
    assert vidops("train", "two.yaml", "--row", "TSM", "--out", "run", "--device", "cpu")[0] == 0
    code, _, err = vidops("eval", "two.yaml", "--checkpoint", "run/last.pt")
    assert code == 2 and "of resnet_tiny + tsm, the recipe of resnet_tiny" in err and "--row 'TSM'" in err
    assert vidops("eval", "run", "--device", "cpu")[0] == 0
    torch.save({"model": {"stem": torch.zeros(3)}, "recipe": ""}, place / "odd.pt")
    code, _, err = vidops("eval", "two.yaml", "--checkpoint", "odd.pt")
    assert code == 2 and "hint: a row of it: --row NAME, of 'TSN', 'TSM'; or use the recipe that trained it" in err


@pytest.mark.parametrize(
    "words, error, hint",
    [
        (("import", "resnet", "resnet18.pth"), "unknown source 'resnet'", "torchvision"),
        (("import", "rsa", "resnet18.pth"), "no checkpoint of rsa", "it looks like torchvision"),
        (("import", "rsa", "none.pth"), "no such file", "checkpoint of the released code"),
        (
            ("import", "rsa", "resnet18.pth", "--mode", "rgb_only"),
            "--mode is of integral_action, not of rsa",
            "leave it out",
        ),
        (("export", "rsa", "none.pt", "--like", "resnet18.pth"), "no such checkpoint", "vidops train"),
        (
            ("export", "rsa", "one.yaml", "--like", "resnet18.pth"),
            "one.yaml cannot be read: it is no checkpoint",
            "another",
        ),
    ],
)
def test_refused_imports(vidops, place, official, words, error, hint):
    code, out, err = vidops(*words)
    assert (code, out) == (2, "")
    told, hinted = err.splitlines()
    assert error in told and hint in hinted
    assert not (place / "model.safetensors").exists() and not (place / "official.pth").exists()
