import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import vidops_cli
from vidops_cli.models import MODELS
from vidops_cli.models.resnet12 import Encoder
from vidops_cli.verify.fill import fill, normal

CASE = Path(vidops_cli.__file__).parent / "verify/fixtures/renet_net/resnet12_32.safetensors"


def images(name, count, size, cell=4):
    """The frozen case's input: a coarse texture, a colour, a little noise, each from its name."""
    found = []
    for i in range(count):
        texture = normal(f"{name}/{i}/texture", (3, size // cell, size // cell))
        texture = texture.repeat_interleave(cell, 1).repeat_interleave(cell, 2)
        noise = normal(f"{name}/{i}/noise", (1, 3, size, size))[0]
        found.append(texture + normal(f"{name}/{i}/colour", (3, 1, 1)) + 0.2 * noise)
    return torch.stack(found)


@torch.no_grad()
def test_the_encoder_is_that_of_the_released_code():
    with safe_open(CASE, "pt") as file:
        meta, told = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    encoder = Encoder().eval()
    assert sum(p.numel() for p in encoder.parameters()) == int(meta["n_params"]) == 12_424_320
    encoder.load_state_dict({key: fill(key, value.shape) for key, value in encoder.state_dict().items()})
    x = images(meta["input_name"], 2, json.loads(meta["input_shape"])[-1])[:, :, None]
    y = encoder(x)[:, :, 0]
    assert y.shape == told["output.features"].shape
    assert (y - told["output.features"]).abs().max() < 1e-5 * told["output.features"].abs().max()
    for i in range(1, 5):
        x = getattr(encoder, f"layer{i}")(x)
        torch.testing.assert_close(x[:1, :16, 0, :4, :4], told[f"feat.layer{i}"], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_sizes_of_the_map():
    encoder = Encoder().eval()
    for size, left in ((84, 5), (16, 1), (33, 2)):
        assert encoder(torch.zeros(1, 3, 2, size, size)).shape == (1, 640, 2, left, left)


@torch.no_grad()
def test_logits_of_a_clip_are_the_mean_over_its_frames():
    torch.manual_seed(0)
    network, x = MODELS["resnet12"].build(classes=5).eval(), torch.randn(2, 3, 3, 32, 32)
    frames = torch.stack([network(x[:, :, t : t + 1]) for t in range(3)])
    torch.testing.assert_close(network(x), frames.mean(0))


def test_weights_start_with_the_variance_of_a_leaky_relu():
    torch.manual_seed(0)
    weight = Encoder().layer3[0].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (1 + 0.1**2) / (320 * 9)) ** 0.5, rel=0.01)


@torch.no_grad()
def test_an_operator_after_the_last_stage_sees_the_last_map():
    torch.manual_seed(0)
    network = MODELS["resnet12"].build(classes=5, ops=[{"op": "tsm", "slot": "after_stage", "at": "res5"}]).eval()
    seen = []
    network.encoder.after_res5.register_forward_hook(lambda module, args, y: seen.append(y.shape))
    network(torch.zeros(1, 3, 2, 84, 84))
    assert seen == [(1, 640, 2, 5, 5)]
