"""Stochastic depth, and the paths along which blocks lie."""

import pytest
import torch
from torch import nn

from vidops_cli.models import MODELS
from vidops_cli.models.blocks import Blocks, depths
from vidops_cli.models.stochastic_depth import StochasticDepth

OF_EACH = {network.builder: name for name, network in reversed(MODELS.items())}  # the first of each builder
HEADS = ("fc", "fc_dual", "head", "norm", "two_stream")


def build(name, **given):
    torch.manual_seed(0)
    return MODELS[name].build(classes=3, **given)


def survival(network, path=0):
    found = []
    for name, *_ in network.paths()[path][1:]:
        drop = network.get_submodule(name).stochastic_depth
        found.append(1 - drop.p if isinstance(drop, StochasticDepth) else 1.0)
    return found


def test_every_kind_of_network_is_seen():
    assert len(OF_EACH) >= 10


@pytest.mark.parametrize("name", OF_EACH.values())
def test_paths_name_every_block_in_order(name):
    with torch.device("meta"):
        network = MODELS[name].build(classes=3)
    seen = {}
    for stem, *blocks in network.paths():
        assert len(blocks) >= 2
        assert all(hasattr(network.get_submodule(part.rpartition(".")[0]), part.rpartition(".")[2]) for part in stem)
        for first, *behind in blocks:
            assert hasattr(network.get_submodule(first), "stochastic_depth")
            assert all(isinstance(network.get_submodule(part), nn.Module) for part in behind)
            seen[first] = network.get_submodule(first)
    inside = {id(block) for part in network.modules() if isinstance(part, Blocks) for block in part}
    assert {id(block) for block in seen.values()} == inside
    found, steps = depths(network), len(network.paths()[0])
    assert found.keys() == dict(network.named_parameters()).keys()
    assert {weight.split(".")[0] for weight, depth in found.items() if depth == 0} <= {*HEADS}
    assert {*found.values()} - {steps} == {*range(steps)}


def test_survival_falls_from_1_to_that_of_the_last_block():
    """RSA's released numbers: from 1 to 0.8 over the 16 blocks of a ResNet-50."""
    with torch.device("meta"):
        told = [survival(MODELS["resnet50"].build(classes=3, drop_path=0.2))]
        dual = MODELS["sifa_net50"].build(classes=3, drop_path=0.2)
    told += [survival(dual, path) for path in (0, 1)]
    for one in told:
        assert one == pytest.approx([1 - 0.2 * i / 15 for i in range(16)])
    streams = build("two_stream_tiny", drop_path=0.5)
    assert survival(streams, 0) == survival(streams, 1) == [1.0, 0.75, 0.5]


def test_samples_are_left_out_whole_and_the_others_scaled():
    torch.manual_seed(0)
    drop, x = StochasticDepth(0.75), torch.randn(4000, 2, 1, 1, 3)
    share = drop(x) / x
    assert ((share == 0) | (share == 4)).all()
    assert (share.flatten(1) == share[:, 0, 0, 0, :1]).all()
    assert share.mean().item() == pytest.approx(1, abs=0.15)
    assert torch.equal(drop.eval()(x), x)
    with torch.autocast("cpu", torch.bfloat16):
        assert drop.train()(x.bfloat16()).dtype == torch.bfloat16


class Nothing(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return torch.zeros_like(x)


@pytest.mark.parametrize(
    ("name", "branches"),
    [
        *(("resnet_tiny", 1), ("bottleneck_tiny", 1), ("r2plus1d_18", 1), ("renet_tiny", 1)),
        *(("vit_micro", 2), ("swin_mini", 2)),
    ],
)
def test_without_its_branches_a_block_is_its_shortcut(name, branches):
    network = build(name)
    block = network.get_submodule(network.paths()[0][2][0])
    block.stochastic_depth = drop = Nothing()
    inner = getattr(block, "conv1", None)
    channels = inner.in_channels if inner is not None else block.norm1.normalized_shape[0]
    x = torch.randn(2, channels, 2, 8, 8)
    wanted = {1: lambda: torch.relu(block.downsample(x)), 2: lambda: x}[branches]()
    if name == "renet_tiny":
        wanted = nn.functional.max_pool3d(nn.functional.leaky_relu(block.downsample(x), 0.1), (1, 2, 2))
    torch.testing.assert_close(block(x), wanted)
    assert drop.calls == branches


@pytest.mark.parametrize("name", ["resnet_tiny", "vit_micro", "sifa_swin_mini"])
@torch.no_grad()
def test_it_acts_in_training_only_and_changes_no_weight(name):
    plain, deep, x = build(name), build(name, drop_path=0.9), torch.randn(8, 3, 4, 32, 32)
    state = plain.state_dict()
    assert state.keys() == deep.state_dict().keys()
    assert all(torch.equal(value, state[key]) for key, value in deep.state_dict().items())
    assert not any(isinstance(module, StochasticDepth) for module in plain.modules())
    assert not torch.equal(plain(x), deep(x))
    plain.load_state_dict(state), deep.load_state_dict(state)
    assert torch.equal(plain.eval()(x), deep.eval()(x))
