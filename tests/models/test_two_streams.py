"""Networks that see poses: the pose stream alone, and two streams with what stands between them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vidops_cli.models import MODELS
from vidops_cli.models.listening import listening
from vidops_cli.ops.pose_maps import SKELETONS
from vidops_cli.profiling.cost import count

TSM = {"op": "tsm", "options": {"fold_div": 4, "first": "previous"}}
TWO = "two_stream_tiny"


def build(name=TWO, *ops, **options):
    torch.manual_seed(0)
    return MODELS[name].build(**{"classes": 5, "ops": list(ops), **options})


def gate(kind="pose", **options):
    return {"op": "integral_action", "options": {"gate": kind, **options}}


def batch(size=24, frames=4, clips=3):
    person = (clips, frames, 1, 9)
    draw = torch.Generator().manual_seed(1)
    coords = torch.rand(*person, 2, generator=draw) * (size - 1)
    return torch.randn(clips, 3, frames, size, size, generator=draw), coords, torch.ones(person)


def test_the_card_tells_what_the_network_takes():
    for name in ("pose_tiny", TWO):
        card, network = MODELS[name], build(name)
        assert card.inputs == ("clip", "coords", "scores")
        assert SKELETONS["stick9"].joints == card.joints
        given = card.example((3, 4, 24, 32))
        assert [tuple(x.shape) for x in given] == [(1, 3, 4, 24, 32), (1, 4, 1, 9, 2), (1, 4, 1, 9)]
        assert network(*given).shape == (1, 5)
    assert [tuple(x.shape) for x in MODELS["resnet_tiny"].example((3, 4, 24, 32))] == [(1, 3, 4, 24, 32)]


@torch.no_grad()
def test_the_pose_stream_sees_no_pixel():
    network, (clip, coords, scores) = build("pose_tiny", TSM).eval(), batch()
    y = network(clip, coords, scores)
    assert torch.equal(network(clip.flip(2).exp(), coords, scores), y)
    assert not torch.allclose(network(clip, coords.flip(1), scores), y)
    assert torch.allclose(network(clip, coords, 0 * scores), network(clip, coords.flip(1), 0 * scores))  # nobody there


@torch.no_grad()
def test_joints_are_in_pixels_of_the_clip():
    """The map that the pose stream draws has a joint at half its place in the clip."""
    stream = build("pose_tiny").pose
    seen = []
    stream.pose_input.conv.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    clip, coords, scores = torch.zeros(1, 3, 1, 24, 32), torch.zeros(1, 1, 1, 9, 2), torch.zeros(1, 1, 1, 9)
    coords[..., 4, :], scores[..., 4] = torch.tensor([20.0, 6.0]), 1.0
    stream(clip, coords, scores)
    (maps,) = seen
    assert maps.shape == (1, 9 + 2 * 8, 12, 16)
    assert maps[0, 4].argmax() == 3 * 16 + 10 and maps[0, 4, 3, 10] == 1


@pytest.mark.parametrize("kind", ["pose", "appearance", "both", "none"])
def test_gradients_reach_every_parameter(kind):
    network = build(TWO, TSM, gate(kind))
    network(*batch()).square().sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, key


def test_scores_that_are_averaged_need_no_classifier():
    network = build(TWO, {"op": "score_average"})
    y = network(*batch())
    assert network.fc is None and y.shape == (3, 5)
    assert torch.allclose(y.exp().sum(1), torch.ones(3), atol=1e-5)
    y.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_network_decides_sizes():
    network = build(TWO, gate(features=3, pose_channels=7), {"op": "pose_to_feature", "options": {"skeleton": "ntu25"}})
    assert network.two_stream.rgb_norm.normalized_shape == (64,) and network.two_stream.pose_channels == 64
    assert network.pose.pose_input.joints == 9
    assert network(*batch()).shape == (3, 5)


def test_unless_told_the_streams_are_summed():
    torch.manual_seed(0)
    assert build().two_stream.source == "none"
    networks = build(TWO).eval(), build(TWO, gate("none")).eval()
    networks[1].load_state_dict(networks[0].state_dict())
    with torch.no_grad():
        assert torch.equal(*(network(*batch()) for network in networks))


@torch.no_grad()
def test_an_open_gate_reads_one_stream():
    network, (clip, coords, scores) = build(TWO, gate("pose")), batch()  # in training: norms lift a young pose stream
    nn.init.zeros_(network.two_stream.gate_conv.weight)
    for bias, appearance, pose in ((30.0, False, True), (-30.0, True, False)):
        nn.init.constant_(network.two_stream.gate_conv.bias, bias)
        y = network(clip, coords, scores)
        assert torch.allclose(network(clip.exp(), coords, scores), y, atol=1e-5) != appearance
        assert torch.allclose(network(clip, 23 - coords, scores), y, atol=1e-5) != pose


def test_gates_are_heard_while_the_network_runs():
    network, given = build(TWO, gate("pose")).eval(), batch()
    with listening(network) as said:
        network(*given)
    (seen,) = said.gates
    vectors = network.two_stream.vectors(network.rgb(given[0]), network.pose(*given))
    assert seen.shape == (3, 64, 4)
    assert torch.allclose(seen.sigmoid().transpose(1, 2), network.two_stream.gate(*vectors), atol=1e-6)
    network(*given)
    assert len(said.gates) == 1 and not said.streams
    ungated = build(TWO)
    with listening(ungated) as said:
        ungated(*given)
    assert not said.gates and not said.streams


def test_streams_are_heard_where_scores_are_averaged():
    network, given = build(TWO, {"op": "score_average"}).eval(), batch()
    with listening(network) as said:
        y = network(*given)
    assert torch.allclose(torch.stack(said.streams).softmax(-1).mean(0).log(), y, atol=1e-5)


@pytest.mark.parametrize(
    ("at", "shifted"),
    [("all", (3, 3)), ("rgb", (3, 0)), ("pose", (0, 3)), (["rgb.res2", "pose.res4.0"], (1, 1))],
)
def test_places_of_one_stream_or_both(at, shifted):
    network = build(TWO, {**TSM, "at": at})
    found = [
        sum(type(part).__name__ == "TemporalShift" or type(part).__name__ == "TSM" for part in stream.modules())
        for stream in (network.rgb, network.pose)
    ]
    assert tuple(found) == shifted


def test_a_stream_that_is_not_there():
    with pytest.raises(ValueError, match=r"no place 'rgb\.res9'"):
        MODELS[TWO].select("block_input", "rgb.res9")
    with pytest.raises(ValueError, match="no place 'rg'"):
        MODELS[TWO].select("block_input", "rg")


def test_two_streams_cost_what_each_costs():
    frames, pose, both = (
        count(build(name, TSM), *MODELS[name].example((3, 8, 24, 24))) for name in ("resnet_tiny", "pose_tiny", TWO)
    )
    classifiers = 2 * 8 * 64 * 5 - 8 * 64 * 5
    assert both.uncounted == ()
    assert both.macs == frames.macs + pose.macs - classifiers + 2 * 8 * 64 * 64  # the blocks of the sum
    gated = count(build(TWO, TSM, gate()), *MODELS[TWO].example((3, 8, 24, 24)))
    assert 1 < gated.macs / both.macs < 1.01


def test_width():
    narrow, wide = build(TWO), build(TWO, width=1.5)
    assert wide.fc.in_features == 96 and wide.pose.pose_input.conv[0].out_channels == 24
    assert wide(*batch()).shape == narrow(*batch()).shape


@pytest.mark.parametrize("wrong", ["frames", "clips", "joints", "scores"])
def test_joints_that_are_not_of_the_clip(wrong):
    clip, coords, scores = batch()
    coords = {"frames": coords[:, :2], "clips": coords[:2], "joints": coords[..., :5, :]}.get(wrong, coords)
    scores = {"frames": scores[:, :2], "clips": scores[:2], "joints": scores[..., :5]}.get(wrong, scores[:, :1])
    with pytest.raises(ValueError):
        build("pose_tiny")(clip, coords, scores)
