"""What holds for every network: its index card, its holes, what stands in them, and what clips it takes."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from vidops_cli.models import MODELS, SLOTS, Network
from vidops_cli.ops import OPS, Input

RESNET18 = [f"res{i}.{j}" for i in (2, 3, 4, 5) for j in (0, 1)]
WALKED = ["resnet_tiny", "resnet50", "resnet12", "vit_mini", "swin_mini"]  # one of each kind; more would only be slower
LEAST = {
    "resnet12": 16,
    "renet": 16,
    "renet_tiny": 8,
    "vit_micro": 4,
    "vit_mini": 4,
    **dict.fromkeys(("vit_tiny", "vit_small", "vit_base", "deit_ti", "deit_s", "deit_b"), 16),
    "pose_tiny": 2,
    "two_stream_tiny": 2,
    **{name: 4 for name, network in MODELS.items() if network.builder == "swin:Swin"},
    **dict.fromkeys(("pose18", "pose50", "two_stream18", "two_stream50", "two_stream50_18"), 4),
}  # pixels each way
FRAMES = {"sifa_net50": 8, "sifa_net101": 8, "sifa_swin_mini": 4, "sifa_swin_s": 4, "sifa_swin_b": 4}  # at least
LARGER = {  # of the same code as a smaller one: only their places are looked at
    *("resnet101", "sifa_net101", "pose50", "two_stream50", "two_stream50_18"),
    *("swin_t", "swin_s", "swin_b", "sifa_swin_s", "sifa_swin_b"),
    *("vit_small", "vit_base", "deit_s", "deit_b", "r2plus1d_34"),
}
RUN = [name for name in MODELS if name not in LARGER]
BASELINES = ("conv2", "mixer", "two_stream", "pose_input")  # slots that are not empty unless told


def clip(frames=4, size=32, batch=2):
    return torch.randn(batch, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


def inputs(name, x):
    """What a network takes beside the clip x: a person that stands anywhere."""
    person = (len(x), x.shape[2], 1, MODELS[name].joints)
    joints = {"clip": x, "coords": torch.rand(*person, 2) * x.shape[-1], "scores": torch.ones(person)}
    return [joints[key] for key in MODELS[name].inputs]


def build(name, **options):
    torch.manual_seed(0)
    return MODELS[name].build(**{"classes": 5, **options})


def one_map(card):
    return [told.shape for told in card.inputs] == ["B C T H W"]


# --- where operators can be put -------------------------------------------------------------------------------------


def test_every_network_is_seen():
    assert len(MODELS) >= 8
    assert all(name == network.name for name, network in MODELS.items())
    assert set(WALKED) <= set(RUN) and len(RUN) >= 18 and set(MODELS) >= LARGER
    built = {network.builder for name, network in MODELS.items() if name in LARGER}
    assert built <= {MODELS[name].builder for name in RUN}


@pytest.mark.parametrize("name", MODELS)
def test_places_are_those_of_the_built_network(name):
    network, found = MODELS[name], build(name).places()
    assert set(found) == set(network.slots) <= set(SLOTS)
    for slot, holes in found.items():
        assert network.places(slot) == list(holes)
        assert len({(id(parent), attribute) for parent, attribute, _ in holes.values()}) == len(holes)


@pytest.mark.parametrize("name", WALKED)
@torch.no_grad()
def test_channels_are_those_of_the_map_that_comes(name):
    network, seen = build(name).eval(), []
    holes = [hole for found in network.places().values() for hole in found.values()]
    for parent, attribute, channels in holes:

        def look(module, args, wanted=channels):
            assert args[0].shape[1] == wanted
            seen.append(wanted)

        getattr(parent, attribute).register_forward_pre_hook(look)
    network(clip(frames=2))
    assert len(seen) == len(holes) >= 4


@pytest.mark.parametrize("name", RUN)
def test_empty_slots_add_no_key_and_change_nothing(name):
    network = build(name)
    state, empty = network.state_dict(), 0
    for slot, holes in network.places().items():
        for parent, attribute, _ in holes.values():
            hole = getattr(parent, attribute)
            if slot not in BASELINES:
                assert type(hole) is nn.Identity
                assert f"{attribute}." not in "".join(state)
                empty += 1
    assert empty or set(network.places()) <= {"mixer"}


@pytest.mark.parametrize(
    "at, chosen",
    [
        ("all", RESNET18),
        ("res3", ["res3.0", "res3.1"]),
        ("res4.1", ["res4.1"]),
        (["res5.0", "res2"], ["res5.0", "res2.0", "res2.1"]),
        (["res3.1", "res3", "res3.1"], ["res3.1", "res3.0"]),
        ([], []),
    ],
)
def test_select(at, chosen):
    assert MODELS["resnet18"].select("conv2", at) == chosen


def test_the_seven_places_of_rsanet_can_be_named():
    at = ["res2.2", "res3.1", "res3.3", "res4.1", "res4.3", "res4.5", "res5.1"]
    assert MODELS["resnet50"].select_for(OPS["rsa"], None, at) == at
    strideless = replace(OPS["self_attention"], slot="conv2")  # none of these places strides
    assert MODELS["resnet50"].select_for(strideless, None, at) == at


def test_two_operators_in_one_place_are_refused():
    with pytest.raises(ValueError, match=r"tsm and tsm both stand at res2\.0"):
        MODELS["resnet_tiny"].build(classes=2, ops=[{"op": "tsm"}, {"op": "tsm", "at": "res2"}])


def test_a_slot_keeps_its_channels():
    with pytest.raises(ValueError, match=r"rsa at res2\.0: out_channels is heads x value_channels = 6, got 16"):
        MODELS["resnet_tiny"].build(classes=2, ops=[{"op": "rsa", "options": {"heads": 2, "value_channels": 3}}])


@pytest.mark.parametrize(
    "spec, told", [({"op": "rsaa"}, "unknown operator"), ({"op": "tsm", "options": {"f": 1}}, "'f'")]
)
def test_names_that_are_not_known(spec, told):
    with pytest.raises(ValueError, match=told) as refused:
        MODELS["resnet_tiny"].build(classes=2, ops=[spec])
    assert len(refused.value.args) == 2


@pytest.mark.parametrize("at", ["res6", "res2.2", "res", "2", ["res2", "layer1"]])
def test_select_refuses_an_unknown_place(at):
    with pytest.raises(ValueError, match="no place") as refused:
        MODELS["resnet18"].select("conv2", at)
    _, hint = refused.value.args
    assert "res2.0, res2.1" in hint


def test_blocks_are_no_places_after_a_stage():
    with pytest.raises(ValueError, match=r"no place 'res2\.0'"):
        MODELS["resnet18"].select("after_stage", "res2.0")


@pytest.mark.parametrize(
    ("name", "slot"),
    [("resnet18", "mixer"), ("resnet18", "after_conv2"), ("resnet12", "conv2"), ("vit_mini", "after_stage")],
)
def test_a_slot_that_the_network_lacks_is_refused(name, slot):
    network = MODELS[name]
    for call in (network.places, lambda slot: network.select(slot, "all")):
        with pytest.raises(ValueError, match="no slot") as refused:
            call(slot)
        assert refused.value.args[1] == f"its slots: {', '.join(network.slots)}"


@pytest.mark.parametrize("slot", ["conv1", ""])
def test_an_unknown_slot_is_refused(slot):
    with pytest.raises(ValueError, match="no slot"):
        MODELS["resnet18"].places(slot)


# --- operators in place ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WALKED)
@pytest.mark.parametrize("op", OPS)
def test_every_operator_of_one_map_in_every_slot(name, op):
    """All of them in one network, at the first and the last place that they can take in each slot."""
    card, network, specs = OPS[op], MODELS[name], []
    for slot, places in network.slots.items():
        free = [
            place for place in places if slot != "conv2" or "stride" in card.options or place not in network.strided
        ]
        if one_map(card):
            specs.append({"op": op, "slot": slot, "at": [free[0], free[-1]]})
            assert network.select_for(card, slot, free) == free
        elif slot != card.slot:
            with pytest.raises(ValueError, match="other inputs"):
                network.select_for(card, slot, "all")
    if not specs:
        return
    narrow = {"width": 0.25} if name == "resnet50" else {}  # whole, a 3-D convolution's weights alone take seconds
    built = build(name, ops=specs, **narrow)  # in training: norms tame what cubic operators make of maps
    for spec in specs:
        for place in spec["at"]:
            parent, attribute, _ = built.places()[spec["slot"]][place]
            assert type(getattr(parent, attribute)) is card.load()
    with torch.no_grad():
        y = built(clip(frames=min(3, card.max_frames or 3)))
    assert y.shape == (2, 5)
    assert y.isfinite().all()


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
    with pytest.raises(ValueError, match=r"lisa at res2\.0: 7 heads"):
        build("resnet_tiny", ops=[{"op": "lisa", "slot": "conv2", "options": {"heads": 7}}])


def test_an_operator_with_other_inputs_stands_only_in_its_own_slot():
    gate = replace(OPS["tsm"], slot="two_stream", inputs=(Input("rgb", "B C T H W"), Input("pose", "B C T H W")))
    network = Network("both", "", "", "", {}, {"two_stream": ("end",), "after_stage": ("res2",)})
    assert network.select_for(gate, None, "all") == ["end"]
    for card, slot in ((gate, "after_stage"), (OPS["tsm"], "two_stream")):
        with pytest.raises(ValueError, match="other inputs") as refused:
            network.select_for(card, slot, "all")
        assert card.slot in refused.value.args[1]


@pytest.mark.parametrize("at", ["all", "res3", "res3.0", ["res2", "res4.0"]])
def test_without_a_stride_no_operator_replaces_a_strided_convolution(at):
    with pytest.raises(ValueError, match="tsm has no stride") as refused:
        build("resnet50", ops=[{"op": "tsm", "slot": "conv2", "at": at}])
    _, hint = refused.value.args
    places = hint.removeprefix("at: [").removesuffix("]").split(", ")
    assert MODELS["resnet50"].select_for(OPS["tsm"], "conv2", places) == places


@torch.no_grad()
def test_an_operator_with_a_stride_is_given_it():
    network = build("resnet50", ops=[{"op": "conv3d", "at": "all", "options": {"kernel": [3, 1, 1], "stride": 1}}])
    strides = [block.conv2.stride for i in range(1, 5) for block in getattr(network, f"layer{i}")]
    assert strides == [(1, 2, 2) if i in (3, 7, 13) else (1, 1, 1) for i in range(16)]
    assert network.eval()(clip(frames=2)).shape == (2, 5)


@pytest.mark.parametrize("name", ["resnet12", "vit_mini"])
def test_a_network_without_an_inflated_form_says_so(name):
    with pytest.raises(ValueError, match="no inflated form") as refused:
        build(name, inflate=True)
    assert "resnet50" in refused.value.args[1]


# --- clips ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUN)
@torch.no_grad()
def test_output_shape(name):
    for classes in (1, 7):
        network = build(name, classes=classes).eval()
        for batch, frames, size in [(2, 1, 32), (1, 3, 48), (0, 2, 32)]:
            y = network(*inputs(name, clip(frames * FRAMES.get(name, 1), size, batch)))
            assert y.shape == (batch, classes)
            assert y.isfinite().all()


@pytest.mark.parametrize("inflate", [False, True])
@pytest.mark.parametrize("name", RUN)
@torch.no_grad()
def test_the_smallest_clip(name, inflate):
    if inflate and not MODELS[name].inflates:
        return
    network, least = build(name, inflate=inflate).eval(), LEAST.get(name, 1)
    frames = FRAMES.get(name, 1)
    assert network(*inputs(name, clip(frames=frames, size=least))).isfinite().all()
    if least > 1:
        with pytest.raises(ValueError, match=f"{least}x{least} pixels"):
            network(*inputs(name, clip(frames=frames, size=least - 1)))
    for fewer in range(1, frames):
        with pytest.raises(ValueError, match="a multiple of 4"):
            network(*inputs(name, clip(frames=fewer, size=32)))


@pytest.mark.parametrize("name", WALKED)
@pytest.mark.parametrize("shape", [(2, 1, 4, 32, 32), (3, 4, 32, 32), (2, 3, 0, 32, 32), (2, 3, 4, 0, 32)])
def test_what_is_no_clip_of_three_colours_is_refused(name, shape):
    with pytest.raises(ValueError, match=r"a clip is \(B, 3, T, H, W\)|pixels"):
        build(name)(torch.zeros(shape))


def test_too_few_frames_for_an_operator():
    network = build("resnet_tiny", ops=[{"op": "motion_squeeze", "at": "res2"}])
    with pytest.raises(ValueError, match="at least 2"):
        network(clip(frames=1))


@pytest.mark.parametrize("name", WALKED)
def test_memory_format_and_autocast_change_little(name):
    network, x = build(name).eval(), clip(size=32)
    with torch.no_grad():
        y = network(x)
        scattered = x.transpose(3, 4).contiguous().transpose(3, 4)
        torch.testing.assert_close(network(scattered), y, rtol=1e-4, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            assert (network(x).float() - y).abs().max() < 0.1 * y.abs().max() + 0.02


@pytest.mark.parametrize("name", WALKED)
def test_gradients_reach_every_parameter(name):
    network = build(name)
    network(clip()).square().sum().backward()
    parameters = dict(network.named_parameters())
    assert len(parameters) > 20
    for key, parameter in parameters.items():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", WALKED)
@torch.no_grad()
def test_dropout_acts_in_training_only(name):
    network, x = build(name, dropout=0.5), clip()
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))
