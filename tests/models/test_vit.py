import math

import pytest
import torch

from vidops_cli.models import MODELS
from vidops_cli.models.vit import ViT, positions
from vidops_cli.ops.self_attention import SelfAttention


def clip(frames=2, size=16, batch=2):
    return torch.randn(batch, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


def build(name, **options):
    torch.manual_seed(0)
    return MODELS[name].build(**{"classes": 5, **options})


def layer_norm(v, norm):
    return (v - v.mean()) / (v.var(unbiased=False) + norm.eps).sqrt() * norm.weight + norm.bias


def linear(v, layer):
    return layer.weight @ v + layer.bias


def wave(place, i, half):
    """Entry i of the sines, then the cosines, of one axis."""
    phase = place / 10_000 ** ((i % half) / half)
    return math.sin(phase) if i < half else math.cos(phase)


def position(t, y, x, channels):
    time, space = channels // 8, 3 * channels // 16
    return torch.tensor(
        [wave(t, i, time) for i in range(2 * time)]
        + [wave(y, i, space) for i in range(2 * space)]
        + [wave(x, i, space) for i in range(2 * space)],
        dtype=torch.float64,
    )


@torch.no_grad()
def test_plain_loops():
    torch.manual_seed(0)
    P, C, heads = 3, 16, 2
    network = ViT(classes=4, patch=P, channels=C, blocks=2, heads=heads).double().eval()
    for parameter in network.parameters():  # norms and biases too
        parameter.add_(0.1 * torch.randn_like(parameter))
    video = torch.randn(3, 2, 6, 9).double()
    tokens = []
    for t in range(2):
        for y in range(2):
            for x in range(3):
                patch = video[:, t, P * y : P * y + P, P * x : P * x + P].reshape(-1)
                embedded = network.patch_embed.weight.reshape(C, -1) @ patch + network.patch_embed.bias
                tokens.append(embedded + position(t, y, x, C))
    for block in network.blocks:
        normed = [layer_norm(v, block.norm1) for v in tokens]
        qkv = [linear(v, block.mixer.qkv).reshape(3, heads, C // heads) for v in normed]
        mixed = []
        for told in qkv:
            parts = []
            for h in range(heads):
                scores = torch.stack([told[0, h] @ other[1, h] for other in qkv]) / (C // heads) ** 0.5
                weights = scores.exp() / scores.exp().sum()
                parts.append(sum(w * other[2, h] for w, other in zip(weights, qkv, strict=True)))
            mixed.append(linear(torch.cat(parts), block.mixer.proj))
        tokens = [v + m for v, m in zip(tokens, mixed, strict=True)]
        for i, v in enumerate(tokens):
            hidden = linear(layer_norm(v, block.norm2), block.mlp.fc1)
            hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
            tokens[i] = v + linear(hidden, block.mlp.fc2)
    mean = sum(layer_norm(v, network.norm) for v in tokens) / len(tokens)
    torch.testing.assert_close(network(video[None]), linear(mean, network.head)[None])


@pytest.mark.parametrize("channels", [16, 64, 192])
def test_every_position_of_a_grid_differs(channels):
    table = positions(channels, (8, 6, 6), dtype=torch.float64)
    assert table.shape == (channels, 8, 6, 6)
    flat = table.flatten(1).T
    apart = torch.cdist(flat, flat) + 9 * torch.eye(len(flat))
    assert apart.min() > 0.1
    torch.testing.assert_close(table[:, 5, 2, 4], position(5, 2, 4, channels))


@torch.no_grad()
def test_the_order_of_frames_is_seen():
    network, x = build("vit_mini").eval(), clip(frames=4, size=24)
    assert (network(x.flip(2)) - network(x)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("name", "parameters"), [("vit_mini", 3_136 + 4 * 49_984), ("vit_tiny", 147_648 + 12 * 444_864)]
)
def test_number_of_parameters(name, parameters):
    """Patches and blocks; vit_tiny's are those of DeiT-Ti."""
    network = build(name, classes=1000)
    C = network.channels
    assert sum(p.numel() for p in network.parameters()) == parameters + 2 * C + 1000 * (C + 1)


def test_mixers_are_replaced_all_or_some():
    def kinds(network):
        return [type(block.mixer).__name__ for block in network.blocks]

    assert kinds(build("vit_mini")) == ["SelfAttention"] * 4
    assert kinds(build("vit_mini", ops=[{"op": "lisa"}])) == ["LiSA"] * 4
    hybrid = build("vit_mini", ops=[{"op": "lisa", "at": ["block0", "block2"], "options": {"heads": 4}}])
    assert kinds(hybrid) == ["LiSA", "SelfAttention"] * 2
    assert hybrid(clip()).shape == (2, 5)


def test_attention_put_in_place_of_attention_is_as_it_was():
    network = build("vit_mini", ops=[{"op": "self_attention", "options": {"heads": 4}}])
    plain = build("vit_mini")
    assert type(plain.blocks[0].mixer) is type(network.blocks[0].mixer) is SelfAttention
    network.load_state_dict(plain.state_dict())
    assert torch.equal(network.eval()(clip()), plain.eval()(clip()))


@pytest.mark.parametrize(("height", "width"), [(18, 16), (16, 17), (5, 4)])
def test_frames_that_patches_do_not_tile_are_refused(height, width):
    with pytest.raises(ValueError, match="4x4 pixels") as refused:
        build("vit_mini")(torch.zeros(1, 3, 2, height, width))
    assert "multiple of 4" in refused.value.args[1]


@torch.no_grad()
def test_any_grid_without_being_built_for_it():
    network = build("vit_mini").eval()
    for frames, height, width in ((1, 4, 4), (3, 24, 64), (8, 32, 32)):
        assert network(torch.zeros(1, 3, frames, height, width)).isfinite().all()
