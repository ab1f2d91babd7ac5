import math

import pytest
import torch
from torch import nn

from vidops_cli.engine.tasks import Classification
from vidops_cli.models import MODELS


@pytest.fixture
def network():
    torch.manual_seed(0)
    return MODELS["sifa_net50"].build(classes=5).eval()


@torch.no_grad()
def test_scores_are_the_mean_of_both_branches(network):
    x = torch.randn(2, 3, 8, 32, 32)
    one, other = network.streams(x)
    assert not torch.allclose(one, other)
    torch.testing.assert_close(network(x).exp(), (one.softmax(-1) + other.softmax(-1)) / 2)


@torch.no_grad()
def test_the_second_branch_sees_the_larger_of_two_steps_at_the_size_of_the_third_stage(network):
    seen = {}
    for name in ("layer3", "layer4", "layer4_dual"):
        part = network.get_submodule(name)
        part.register_forward_hook(lambda _, x, y, name=name: seen.update({name: (x[0], y)}))
    network(torch.randn(1, 3, 16, 64, 64))
    assert [tuple(y.shape[2:]) for _, y in seen.values()] == [(4, 4, 4), (4, 2, 2), (2, 4, 4)]
    x = seen["layer3"][1]
    assert torch.equal(seen["layer4_dual"][0], torch.maximum(x[:, :, ::2], x[:, :, 1::2]))


def test_each_branch_learns_from_its_own_loss(network):
    batch = {"clip": torch.randn(2, 3, 8, 32, 32), "label": torch.tensor([1, 3])}
    loss, _ = Classification(5).loss(network, batch)
    own = [nn.functional.cross_entropy(logits, batch["label"]) for logits in network.streams(batch["clip"])]
    assert loss.item() == pytest.approx(sum(own).item(), rel=1e-5)
    assert loss.item() != pytest.approx(2 * math.log(5), rel=1e-3)


def test_blocks_start_as_their_shortcuts(network):
    block, x = network.layer4_dual[1], torch.rand(1, 2048, 2, 3, 3)
    torch.testing.assert_close(block(x), x)


def test_operators_of_the_released_network_find_their_places():
    odd = ["res3.1", "res3.3", "res4.1", "res4.3", "res4.5", "res5.1", "res5_dual.1"]
    network = MODELS["sifa_net50"]
    assert [place for place in network.places("after_conv2") if place in odd] == odd
    assert network.select("conv2", "res5_dual") == [f"res5_dual.{j}" for j in range(3)]
    assert network.select("conv2", "res5") == [f"res5.{j}" for j in range(3)]
