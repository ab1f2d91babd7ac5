"""Activation checkpointing: the same numbers, fewer bytes."""

import pytest
import torch

from vidops_cli.models import MODELS
from vidops_cli.models.blocks import recompute
from vidops_cli.models.listening import listening
from vidops_cli.profiling.memory import peak_bytes, saved_bytes


def build(name, again, **given):
    torch.manual_seed(0)
    network = MODELS[name].build(classes=3, **given)
    if again:
        recompute(network)
    return network


def trained(network, inputs, precision=torch.float32):
    """Losses, gradients and state of three steps, as one list of tensors."""
    torch.manual_seed(1)
    optimizer, found = torch.optim.SGD(network.parameters(), lr=0.01), []
    for _ in range(3):
        optimizer.zero_grad()
        with torch.autocast("cpu", precision, precision != torch.float32):
            loss = network(*inputs).float().logsumexp(1).sum()
        loss.backward()
        found += [loss.detach(), *(weight.grad.clone() for weight in network.parameters() if weight.grad is not None)]
        optimizer.step()
    assert torch.stack(found[:: len(found) // 3]).unique().numel() == 3
    return [*found, *network.state_dict().values(), torch.get_rng_state()]


@pytest.mark.parametrize(
    ("name", "given", "precision"),
    [
        ("resnet_tiny", {"ops": [{"op": "tsm"}], "dropout": 0.3}, torch.float32),
        ("bottleneck_mini", {"ops": [{"op": "sifa"}]}, torch.bfloat16),
        ("vit_micro", {"ops": [{"op": "lisa"}]}, torch.float32),
        ("renet_tiny", {}, torch.float32),
    ],
)
def test_the_same_bits(name, given, precision):
    """Losses, gradients, weights, running statistics and their counts, and what is drawn afterwards."""
    x = torch.randn(4, 3, 1 if name == "renet_tiny" else 3, 16, 16)
    plain, again = (trained(build(name, told, drop_path=0.5, **given), [x], precision) for told in (False, True))
    assert len(plain) == len(again) > 50
    assert all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))


def test_norms_have_their_momentum_back():
    network = build("resnet_tiny", True)
    network(torch.randn(2, 3, 2, 16, 16)).sum().backward()
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm3d)]
    assert len(norms) > 5
    assert all((norm.momentum, norm.num_batches_tracked.item()) == (0.1, 1) for norm in norms)


def test_fewer_bytes_are_kept(monkeypatch):
    monkeypatch.setenv("KINETO_LOG_LEVEL", "99")
    x, found = torch.randn(4, 3, 4, 32, 32), {}
    for again in (False, True):
        network = build("vit_mini", again)

        def step(network=network):
            network.zero_grad()
            network(x).sum().backward()

        kept = saved_bytes(lambda network=network: network(x), [x, *network.parameters()])
        step()
        found[again] = kept, peak_bytes(step, torch.device("cpu"), warm=True)
    assert found[True][0] < 0.2 * found[False][0]  # inputs of blocks, which its nodes hold beside, not counted
    assert found[True][1] < 0.5 * found[False][1]


def test_nothing_is_said_twice():
    """What losses listen to stands outside of blocks."""
    network = build("two_stream_tiny", True)
    clip, person = torch.randn(2, 3, 2, 16, 16), (2, 2, 1, 9)
    with listening(network) as said:
        network(clip, 16 * torch.rand(*person, 2), torch.ones(person)).sum().backward()
    plain = len(said.gates)
    network = build("two_stream_tiny", True, ops=[{"op": "integral_action"}])
    with listening(network) as said:
        network(clip, 16 * torch.rand(*person, 2), torch.ones(person)).sum().backward()
    assert (plain, len(said.gates)) == (0, 1)
