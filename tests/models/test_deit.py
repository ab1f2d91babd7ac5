"""DeiT: a class token that attends to patches, in plain steps; frames apart; other sizes."""

import torch

from vidops_cli.models import MODELS
from vidops_cli.models.deit import DeiT


def small():
    torch.manual_seed(0)
    network = DeiT(classes=3, channels=8, blocks=2, heads=2).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


def layer_norm(x, norm):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight + norm.bias


@torch.no_grad()
def test_plain_steps():
    network = small().double()
    x = torch.randn(1, 3, 1, 224, 224, dtype=torch.float64)
    patches = x[0, :, 0].unfold(1, 16, 16).unfold(2, 16, 16).permute(1, 2, 0, 3, 4).reshape(196, -1)
    tokens = patches @ network.patch_embed.weight.flatten(1).T + network.patch_embed.bias
    tokens = torch.cat([network.class_token[0], tokens]) + network.positions[0]
    for block in network.blocks:
        q, k, v = block.mixer.qkv(layer_norm(tokens, block.norm1)).split(8, dim=-1)
        heads = [(q[:, h] @ k[:, h].T / 2).softmax(-1) @ v[:, h] for h in (slice(0, 4), slice(4, 8))]
        tokens = tokens + block.mixer.proj(torch.cat(heads, dim=-1))
        hidden = block.mlp.fc1(layer_norm(tokens, block.norm2))
        tokens = tokens + block.mlp.fc2(hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5)))
    wanted = network.head(layer_norm(tokens[0], network.norm))
    torch.testing.assert_close(network(x)[0], wanted)


@torch.no_grad()
def test_frames_are_seen_apart_and_averaged():
    network, x = small(), torch.randn(2, 3, 3, 224, 224)
    frames = torch.stack([network(x[:, :, t : t + 1]) for t in range(3)]).mean(0)
    torch.testing.assert_close(network(x), frames)


@torch.no_grad()
def test_positions_on_another_grid():
    network = small()
    assert network.table(14, 14) is network.positions
    flat = network.positions[:, :1].expand(-1, 197, -1).contiguous()
    network.positions.copy_(flat)
    torch.testing.assert_close(network.table(6, 9), flat[:, :55])  # what is equal everywhere stays so
    assert network(torch.randn(1, 3, 2, 96, 144)).shape == (1, 3)


def test_there_is_no_hole_for_operators():
    assert MODELS["deit_ti"].slots == {}
