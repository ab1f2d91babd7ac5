import pytest
import torch
from torch import nn

from vidops_cli.models import MODELS, SLOTS
from vidops_cli.ops import OPS

PLACES = {
    "resnet_tiny": {
        "block_input": ["res2.0", "res3.0", "res4.0"],
        "conv2": ["res2.0", "res3.0", "res4.0"],
        "after_stage": ["res2", "res3", "res4"],
    },
    "resnet18": {
        "block_input": [f"res{i}.{j}" for i in (2, 3, 4, 5) for j in (0, 1)],
        "conv2": [f"res{i}.{j}" for i in (2, 3, 4, 5) for j in (0, 1)],
        "after_stage": ["res2", "res3", "res4", "res5"],
    },
}


def clip(frames=4, size=32, batch=2):
    return torch.randn(batch, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


def build(name, **options):
    torch.manual_seed(0)
    return MODELS[name].build(**{"classes": 5, **options})


# --- where operators can be put -------------------------------------------------------------------------------------


def test_every_network_is_seen():
    assert set(MODELS) == set(PLACES)
    assert all(name == network.name for name, network in MODELS.items())


@pytest.mark.parametrize("name", PLACES)
def test_places_are_those_of_the_built_network(name):
    found = build(name).places()
    assert set(found) == set(SLOTS) == set(PLACES[name])
    for slot, places in PLACES[name].items():
        assert MODELS[name].places(slot) == list(found[slot]) == places
        for parent, attribute, channels in found[slot].values():
            hole = getattr(parent, attribute)
            assert isinstance(hole, nn.Conv2d if slot == "conv2" else nn.Identity)
            assert channels in MODELS[name].widths


@pytest.mark.parametrize(
    "at, chosen",
    [
        ("all", PLACES["resnet18"]["conv2"]),
        ("res3", ["res3.0", "res3.1"]),
        ("res4.1", ["res4.1"]),
        (["res5.0", "res2"], ["res5.0", "res2.0", "res2.1"]),
        (["res3.1", "res3", "res3.1"], ["res3.1", "res3.0"]),
        ([], []),
    ],
)
def test_select(at, chosen):
    assert MODELS["resnet18"].select("conv2", at) == chosen


@pytest.mark.parametrize("at", ["res6", "res2.2", "res", "2", ["res2", "layer1"]])
def test_select_refuses_an_unknown_place(at):
    with pytest.raises(ValueError, match="no place") as refused:
        MODELS["resnet18"].select("conv2", at)
    _, hint = refused.value.args
    assert "res2.0, res2.1" in hint


def test_blocks_are_no_places_after_a_stage():
    with pytest.raises(ValueError, match=r"no place 'res2\.0'"):
        MODELS["resnet18"].select("after_stage", "res2.0")


@pytest.mark.parametrize("slot", ["mixer", "conv1", ""])
def test_an_unknown_slot_is_refused(slot):
    for call in (MODELS["resnet18"].places, lambda slot: MODELS["resnet18"].select(slot, "all")):
        with pytest.raises(ValueError, match="no slot") as refused:
            call(slot)
        assert all(known in refused.value.args[1] for known in SLOTS)


# --- networks with operators ----------------------------------------------------------------------------------------


def test_every_operator_in_every_slot():
    seen = 0
    for name in PLACES:
        for slot in SLOTS:
            at = "all" if name == "resnet_tiny" else [PLACES[name][slot][0], PLACES[name][slot][-1]]
            for op in OPS.values():
                network = build(name, ops=[{"op": op.name, "slot": slot, "at": at}]).eval()
                holes = network.places()[slot]
                placed = [
                    place for place, (parent, attr, _) in holes.items() if type(getattr(parent, attr)) is op.load()
                ]
                assert set(MODELS[name].select(slot, at)) <= set(placed)
                with torch.no_grad():
                    y = network(clip(frames=2))
                assert y.shape == (2, 5)
                assert y.isfinite().all(), (name, slot, op.name)
                seen += 1
    assert seen == len(PLACES) * len(SLOTS) * len(OPS) >= 36


def test_an_operator_stands_in_its_own_slot_unless_told():
    network = build(
        "resnet_tiny", ops=[{"op": "tsm", "options": {"fold_div": 4}}, {"op": "motion_squeeze", "at": "res3"}]
    )
    assert [network.layer1[0].block_input.fold, network.layer2[0].block_input.fold] == [4, 4]
    assert type(network.after_res3) is OPS["motion_squeeze"].load()
    assert isinstance(network.after_res2, nn.Identity)
    assert isinstance(network.after_res4, nn.Identity)


def test_an_operator_whose_slot_the_network_lacks_needs_one():
    with pytest.raises(ValueError, match="no slot 'mixer'"):
        build("resnet_tiny", ops=[{"op": "lisa"}])


def test_an_operator_that_refuses_its_options_is_named():
    with pytest.raises(ValueError, match="heads"):
        build("resnet_tiny", ops=[{"op": "lisa", "slot": "conv2", "options": {"heads": 7}}])


def test_gradients_reach_every_parameter():
    network = build("resnet_tiny", ops=[{"op": "tsm"}, {"op": "motion_squeeze", "at": "res3"}])
    network(clip()).square().sum().backward()
    parameters = dict(network.named_parameters())
    assert len(parameters) > 40
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def norm(name):
    return [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]


def test_resnet18_has_the_keys_and_shapes_of_image_checkpoints():
    keys = ["conv1.weight", *norm("bn1")]
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            at = f"layer{stage}.{block}"
            keys += [f"{at}.conv1.weight", *norm(f"{at}.bn1"), f"{at}.conv2.weight", *norm(f"{at}.bn2")]
            if stage > 1 and block == 0:
                keys += [f"{at}.downsample.0.weight", *norm(f"{at}.downsample.1")]
    keys += ["fc.weight", "fc.bias"]
    assert len(keys) == 122
    state = build("resnet18", classes=1000).state_dict()
    assert list(state) == keys
    assert state["conv1.weight"].shape == (64, 3, 7, 7)
    assert state["layer2.0.conv1.weight"].shape == (128, 64, 3, 3)
    assert state["layer4.0.downsample.0.weight"].shape == (512, 256, 1, 1)
    assert state["layer4.1.conv2.weight"].shape == (512, 512, 3, 3)
    assert state["fc.weight"].shape == (1000, 512)


def test_resnet18_has_the_published_number_of_parameters():
    assert sum(p.numel() for p in build("resnet18", classes=1000).parameters()) == 11_689_512


def test_a_shift_adds_no_key():
    plain, shifted = build("resnet_tiny").state_dict(), build("resnet_tiny", ops=[{"op": "tsm"}]).state_dict()
    assert list(plain) == list(shifted)


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("classes", [1, 7])
def test_output_shape(name, classes):
    network = build(name, classes=classes).eval()
    with torch.no_grad():
        for frames, size in [(1, 32), (3, 40)]:
            assert network(clip(frames, size)).shape == (2, classes)


@torch.no_grad()
def test_logits_of_a_clip_are_the_mean_over_its_frames():
    network, x = build("resnet_tiny").eval(), clip(frames=5)
    frames = torch.stack([network(x[:, :, t : t + 1]) for t in range(5)])
    torch.testing.assert_close(network(x), frames.mean(0))


@pytest.mark.parametrize("name", PLACES)
@torch.no_grad()
def test_only_operators_in_time_see_the_order_of_frames(name):
    x = clip(frames=6)
    order = torch.tensor([3, 0, 5, 2, 4, 1])
    plain, shifted = build(name).eval(), build(name, ops=[{"op": "tsm"}]).eval()
    shifted.load_state_dict(plain.state_dict())
    torch.testing.assert_close(plain(x[:, :, order]), plain(x), rtol=1e-4, atol=1e-5)
    difference = (shifted(x[:, :, order]) - shifted(x)).abs().max()
    assert difference > 1e-2 * shifted(x).abs().max()


@torch.no_grad()
def test_dropout_acts_in_training_only():
    network, x = build("resnet_tiny", dropout=0.5), clip()
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))
