"""Checkpoints of released code: read, placed, brought back, and refused."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vidops_cli.engine import checkpoint
from vidops_cli.models import CHECKPOINTS, MODELS, weights
from vidops_cli.models.weights import SOURCES, export_to, import_from, read
from vidops_cli.verify import SHIPPED
from vidops_cli.verify.fill import fill

MANIFESTS = {
    "ia_net/integralaction_rgb_pose_i18_p18": ("integral_action", {}),
    "ms_net/msnet_r18_8f_64": ("motionsqueeze", {}),
    "renet_net/renet_scr_64": ("renet", {}),
    "renet_net/renet_se": ("renet", {}),
    "rsa_net/rsanet_r50_8f_64": ("rsa", {}),
    "selfy_net/selfynet_tsm_r50_8f_64": ("selfy", {}),
    "sifa_net/c2d_sifa_r50_16f_64": ("sifa_net", {}),
    "sifa_net/c2d_sifa_swin_tiny112": ("sifa_swin", {}),
    "timm_net/deit_tiny_224": ("timm", {}),
    "timm_net/swin_tiny_224": ("timm", {}),
    "torchvision_net/r2plus1d_18_8f_64": ("torchvision", {}),
}


def official(name):
    told = json.loads((SHIPPED / f"{name}.manifest.json").read_text())["keys"]
    return {key["key"]: fill(key["key"], key["shape"]) for key in told if key["filled"]}


@pytest.fixture(scope="module")
def msnet():
    return official("ms_net/msnet_r18_8f_64")


@pytest.fixture
def saved(tmp_path):
    """A function that saves an object and gives its file."""

    def save(found, name="official.pth"):
        torch.save(found, tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("name", MANIFESTS)
def test_there_and_back_again(name, saved):
    source, given = MANIFESTS[name]
    state = official(name)
    path = saved(state)
    found = import_from(source, path, **given)
    network = MODELS[found.layout.network].build(classes=found.layout.classes, ops=list(map(dict, found.layout.ops)))
    network.load_state_dict(found.weights)
    assert set(found.left_out) == {key for key in state if found.layout.key(key) is None}
    assert found.layout.network in CHECKPOINTS[source]
    counted = sum(state[key].numel() for key in state if key not in found.left_out)
    assert counted == sum(value.numel() for value in found.weights.values())
    back = export_to(source, network.state_dict(), path, **given)
    assert list(back) == list(state)
    for key, value in state.items():
        assert torch.equal(back[key], value), key


def test_every_source_is_tried():
    told = {source for source, _ in MANIFESTS.values()}
    assert set(SOURCES) - told == {"tsm"}
    assert list(SOURCES) == list(CHECKPOINTS)
    assert all(set(networks) <= set(MODELS) for networks in CHECKPOINTS.values())


@pytest.mark.parametrize(
    "mode, network", [("rgb_only", "resnet18"), ("pose_only", "pose18"), ("rgb+pose", "two_stream18")]
)
def test_the_modes_of_integral_action(saved, mode, network):
    path = saved(official("ia_net/integralaction_rgb_pose_i18_p18"))
    found = import_from("integral_action", path, mode=mode)
    assert found.layout.network == network
    ungated = import_from("integral_action", path, gate=False)
    assert ungated.layout.ops[1]["options"]["gate"] == "none"
    assert any(key.startswith("aggregator.pose_gate_fc") for key in ungated.left_out)


def test_image_resnets_and_their_older_files(saved):
    torch.manual_seed(0)
    network = MODELS["resnet18"].build(classes=1000)
    state = {key: value.squeeze(2) if value.ndim == 5 else value for key, value in network.state_dict().items()}
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    for told in (state, old):
        found = import_from("torchvision", saved(told))
        assert (found.layout.network, found.layout.classes, found.layout.ops) == ("resnet18", 1000, ())
        assert set(found.weights) == set(network.state_dict())
        assert all(torch.equal(found.weights[key], value) for key, value in network.state_dict().items())


def test_shifts_alone(saved, msnet):
    told = {key: value for key, value in msnet.items() if "chnl_reduction" not in key and "flow_refinement" not in key}
    found = import_from("tsm", saved(told))
    assert (found.layout.network, [op["op"] for op in found.layout.ops]) == ("resnet18", ["tsm"])
    assert {key.rpartition(".")[0] for key in found.left_out} == {"base_model.bn2"}
    assert import_from("tsm", saved(told), shift=False).layout.ops == ()
    for name, op in (("ms_net/msnet_r18_8f_64", "motion_squeeze"), ("selfy_net/selfynet_tsm_r50_8f_64", "selfy")):
        found = import_from(MANIFESTS[name][0], saved(official(name)), shift=False)
        assert [told["op"] for told in found.layout.ops] == [op]


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: {"epoch": 3, "arch": "resnet", "state_dict": state, "best_prec1": torch.tensor(40.0)},
        lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}, "score": np.float64(1)},
        lambda state: {"params": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {"network": state, "optimizer": {"param_groups": [{"lr": 0.1}]}},
        lambda state: {"model": {"state_dict": state}},
    ],
)
def test_what_weights_are_wrapped_in(saved, msnet, wrapped):
    found = import_from("motionsqueeze", saved(wrapped(msnet)))
    assert found.notes == ()
    assert torch.equal(found.weights["fc.weight"], msnet["new_fc.weight"].squeeze(-1))


def test_names_of_an_export_are_those_of_the_file(saved, msnet):
    """Those of DataParallel's too, which released code loads into a network in it."""
    for prefix in ("module.", ""):
        path = saved({"state_dict": {f"{prefix}{key}": value for key, value in msnet.items()}})
        found = export_to("motionsqueeze", import_from("motionsqueeze", path).weights, path)
        assert list(found) == [f"{prefix}{key}" for key in msnet]
        assert all(torch.equal(found[f"{prefix}{key}"], value) for key, value in msnet.items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_and_said(saved, msnet, dtype):
    halves = {key: value.to(dtype) if value.is_floating_point() else value for key, value in msnet.items()}
    found = import_from("motionsqueeze", saved(halves))
    assert {value.dtype for value in found.weights.values()} == {torch.float32, torch.int64}
    (note,) = found.notes
    assert note.endswith("weights in half precision were widened to float32")
    assert torch.equal(found.weights["conv1.weight"].flatten(), halves["base_model.conv1.weight"].float().flatten())


def test_safetensors_are_read_and_written(tmp_path, msnet):
    save_file(msnet, tmp_path / "official.safetensors")
    found = import_from("motionsqueeze", tmp_path / "official.safetensors")
    save_file(
        {key: value.contiguous() for key, value in found.weights.items()},
        tmp_path / "ours.safetensors",
        found.metadata(),
    )
    told = weights.told_of(tmp_path / "ours.safetensors")
    assert (told["source"], told["network"], told["classes"]) == ("motionsqueeze", "resnet18", 174)
    assert [op["op"] for op in told["ops"]] == ["tsm", "motion_squeeze"]
    state = checkpoint.load(tmp_path / "ours.safetensors")
    assert state["classes"] == 174 and set(state["model"]) == set(found.weights)
    assert weights.told_of(tmp_path / "official.safetensors") == weights.told_of(tmp_path / "none.safetensors") == {}


# --- what is refused --------------------------------------------------------------------------------------------------


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_a_file_that_would_run_code(saved, capsys):
    with pytest.raises(ValueError, match="would run code") as error:
        read(saved({"state_dict": {}, "args": Evil()}))
    assert "state dict alone" in error.value.args[1] and capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["official.pth", "official.safetensors"])
def test_a_file_that_was_cut_short(tmp_path, msnet, name):
    path = tmp_path / name
    save_file(msnet, path) if name.endswith("safetensors") else torch.save(msnet, path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="cannot be read"):
        read(path)


@pytest.mark.parametrize("found", [{}, {"state_dict": {}}, [1, 2], {"epoch": 3}])
def test_a_file_without_weights(saved, found):
    with pytest.raises(ValueError, match="holds no weights"):
        read(saved(found))


def test_an_absent_file(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read(tmp_path / "none.pth")


def test_another_source_is_named(saved, msnet):
    path = saved(msnet)
    for source in set(SOURCES) - {"motionsqueeze"}:
        with pytest.raises(ValueError, match=f"no checkpoint of {source}: ") as error:
            import_from(source, path)
        assert error.value.args[1] == "it looks like motionsqueeze"
    with pytest.raises(ValueError, match="unknown source 'msnet'"):
        import_from("msnet", path)


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda state: state.pop("base_model.layer3.1.conv2.weight"), "no weight for 1 of ours: layer3.1.conv2.weight"),
        (lambda state: state.pop("new_fc.weight"), "it has no new_fc.weight"),
        (lambda state: state.update({"base_model.more.weight": torch.zeros(2)}), "base_model.more.weight has no place"),
        (lambda state: state.update({"base_model.bn1.weight": torch.zeros(32)}), r"\(32,\) does not fit ours \(64,\)"),
    ],
)
def test_what_is_missing_or_too_much(saved, msnet, change, told):
    state = dict(msnet)
    change(state)
    with pytest.raises(ValueError, match=told):
        import_from("motionsqueeze", saved(state))


def test_export_of_another_network_is_refused(saved, msnet):
    path = saved(msnet)
    ours = MODELS["resnet18"].build(classes=174).state_dict()
    with pytest.raises(ValueError, match="ours have no after_res3") as error:
        export_to("motionsqueeze", ours, path)
    assert "resnet18" in error.value.args[1]


def test_a_classifier_of_other_classes_starts_anew(tmp_path, saved, msnet):
    found = import_from("motionsqueeze", saved(msnet))
    save_file({key: value.contiguous() for key, value in found.weights.items()}, tmp_path / "ours.safetensors")
    ops = list(map(dict, found.layout.ops))
    for classes, fresh in ((174, ()), (8, ("fc.weight", "fc.bias"))):
        network = MODELS["resnet18"].build(classes=classes, ops=ops)
        before = network.fc.weight.clone()
        assert checkpoint.start_from(network, tmp_path / "ours.safetensors").fresh == fresh
        assert torch.equal(network.fc.weight, before) == bool(fresh)
        assert torch.equal(
            network.layer1[0].conv1.weight.flatten(), msnet["base_model.layer1.0.conv1.weight"].flatten()
        )
    with pytest.raises(ValueError, match=r"another network: .*keys of another network: after_res3"):
        checkpoint.start_from(MODELS["resnet18"].build(classes=174), tmp_path / "ours.safetensors")
    assert load_file(tmp_path / "ours.safetensors").keys() == found.weights.keys()
