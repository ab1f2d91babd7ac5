import pytest
import torch
import torch.nn.functional as F

from vidops_cli.models import MODELS
from vidops_cli.models.resnet import Bottleneck
from vidops_cli.profiling.cost import count

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
PARAMETERS = {"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032, "resnet101": 44_549_160}


def clip(frames=4, size=32, batch=2):
    return torch.randn(batch, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


def build(name, **options):
    torch.manual_seed(0)
    return MODELS[name].build(**{"classes": 5, **options})


def blocks_of(network):
    return [block for i in range(1, network.stages + 1) for block in getattr(network, f"layer{i}")]


def norm(name):
    return [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]


# --- as published ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BLOCKS)
def test_keys_and_shapes_of_image_checkpoints(name):
    deep = name in ("resnet50", "resnet101")
    convolutions = (1, 2, 3) if deep else (1, 2)
    keys = ["conv1.weight", *norm("bn1")]
    for stage, depth in enumerate(BLOCKS[name], start=1):
        for block in range(depth):
            at = f"layer{stage}.{block}"
            for i in convolutions:
                keys += [f"{at}.conv{i}.weight", *norm(f"{at}.bn{i}")]
            if block == 0 and (stage > 1 or deep):
                keys += [f"{at}.downsample.0.weight", *norm(f"{at}.downsample.1")]
    keys += ["fc.weight", "fc.bias"]
    network = build(name, classes=1000)
    state = network.state_dict()
    assert list(state) == keys
    assert len(keys) == {"resnet18": 122, "resnet34": 218, "resnet50": 320, "resnet101": 626}[name]
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]
    shapes = {
        "conv1.weight": (64, 3, 7, 7),
        "layer2.0.conv1.weight": (128, 256, 1, 1) if deep else (128, 64, 3, 3),
        "layer4.1.conv2.weight": (512, 512, 3, 3),
        "layer4.0.downsample.0.weight": (2048, 1024, 1, 1) if deep else (512, 256, 1, 1),
        "fc.weight": (1000, 2048 if deep else 512),
    }
    assert {key: tuple(state[key].shape) for key in shapes} == shapes


@pytest.mark.parametrize(("name", "macs"), [("resnet34", 29.31e9), ("resnet50", 32.70e9)])
def test_cost_of_eight_frames_as_the_released_code_counts_it(name, macs):
    assert 8 * count(build(name), torch.zeros(1, 3, 1, 224, 224)).macs == pytest.approx(macs, rel=1e-3)


@torch.no_grad()
def test_a_bottleneck_strides_in_its_second_convolution():
    torch.manual_seed(0)
    block, x = Bottleneck(24, 8, 2).double().eval(), torch.randn(2, 24, 3, 7, 7).double()
    y = torch.zeros(2, 32, 3, 4, 4).double()
    for t in range(3):
        z = block.bn1(F.conv2d(x[:, :, t], block.conv1.weight)[:, :, None])[:, :, 0].relu()
        z = block.bn2(F.conv2d(z, block.conv2.weight, stride=2, padding=1)[:, :, None])[:, :, 0].relu()
        z = block.bn3(F.conv2d(z, block.conv3.weight)[:, :, None])[:, :, 0]
        past = F.conv2d(x[:, :, t, ::2, ::2], block.downsample[0].weight)[:, :, None]
        y[:, :, t] = (z + block.downsample[1](past)[:, :, 0]).relu()
    torch.testing.assert_close(block(x), y)


# --- slots ----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_what_stands_where_in_a_bottleneck():
    """Slots doubled one by one, against the block's sum written out."""

    class Double(torch.nn.Module):
        def forward(self, x):
            return 2 * x

    torch.manual_seed(0)
    x = torch.randn(1, 32, 2, 5, 5)
    for slot in ("block_input", "after_conv2", "block_output"):
        block = Bottleneck(32, 8, 1).eval()
        setattr(block, slot, Double())
        factor = {name: 2 if name == slot else 1 for name in ("block_input", "after_conv2", "block_output")}
        y = block.bn1(block.conv1(factor["block_input"] * x)).relu()
        y = factor["after_conv2"] * block.bn2(block.conv2(y)).relu()
        y = factor["block_output"] * block.bn3(block.conv3(y))
        torch.testing.assert_close(block(x), (x + y).relu())


@pytest.mark.parametrize("name", ["resnet_tiny", "resnet18", "resnet50"])
@torch.no_grad()
def test_tsm_is_a_shift_by_hand_at_every_residual_branch(name):
    x = clip(frames=5)
    plain, shifted = build(name).eval(), build(name, ops=[{"op": "tsm", "options": {"fold_div": 4}}]).eval()
    assert list(plain.state_dict()) == list(shifted.state_dict())
    shifted.load_state_dict(plain.state_dict())

    def by_hand(module, args):
        (y,) = args
        fold, moved = y.shape[1] // 4, y.clone()
        for t in range(y.shape[2]):
            moved[:, :fold, t] = y[:, :fold, t + 1] if t + 1 < y.shape[2] else 0
            moved[:, fold : 2 * fold, t] = y[:, fold : 2 * fold, t - 1] if t else 0
        return moved

    for block in blocks_of(plain):
        block.conv1.register_forward_pre_hook(by_hand)
    torch.testing.assert_close(shifted(x), plain(x), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_logits_of_a_clip_are_the_mean_over_its_frames():
    network, x = build("resnet_tiny").eval(), clip(frames=5)
    frames = torch.stack([network(x[:, :, t : t + 1]) for t in range(5)])
    torch.testing.assert_close(network(x), frames.mean(0))


@pytest.mark.parametrize("name", ["resnet_tiny", "resnet50"])
@pytest.mark.parametrize("options", [{"ops": [{"op": "tsm"}]}, {"inflate": True}], ids=["tsm", "inflated"])
@torch.no_grad()
def test_only_operators_in_time_see_the_order_of_frames(name, options):
    x = clip(frames=6)
    order = torch.tensor([3, 0, 5, 2, 4, 1])
    plain, timed = build(name).eval(), build(name, **options).eval()
    torch.testing.assert_close(plain(x[:, :, order]), plain(x), rtol=1e-4, atol=1e-5)
    difference = (timed(x[:, :, order]) - timed(x)).abs().max()
    assert difference > 1e-2 * timed(x).abs().max()


# --- inflated in time -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet_tiny", "resnet18", "resnet50"])
def test_kernels_of_an_inflated_network(name):
    plain, inflated = build(name).state_dict(), build(name, inflate=True).state_dict()
    assert list(plain) == list(inflated)
    widths = []
    for key, weight in plain.items():
        if weight.dim() != 4 or weight.shape[-1] == 1:
            assert inflated[key].shape == weight.shape, key
        else:
            frames = 5 if key == "conv1.weight" else 3
            assert inflated[key].shape == (*weight.shape[:2], frames, *weight.shape[2:]), key
            widths.append(frames)
    assert widths == [5] + [3] * {"resnet_tiny": 6, "resnet18": 16, "resnet50": 16}[name]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["resnet_tiny", "resnet50"])
@torch.no_grad()
def test_inflated_with_its_centre_taps_alone_is_the_plain_network(name, training):
    plain, inflated = build(name), build(name, inflate=True)
    state = {}
    for key, weight in inflated.state_dict().items():
        told = plain.state_dict()[key]
        if weight.dim() == 5:
            state[key] = torch.zeros_like(weight)
            state[key][:, :, weight.shape[2] // 2] = told
        else:
            state[key] = told
    inflated.load_state_dict(state)
    x = clip(frames=3, size=48)
    torch.testing.assert_close(inflated.train(training)(x), plain.train(training)(x), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_an_inflated_network_never_strides_in_time():
    seen = []
    network = build("resnet50", inflate=True).eval()
    for block in blocks_of(network):
        block.register_forward_hook(lambda module, args, y: seen.append(y.shape[2]))
    network(clip(frames=3))
    assert seen == [3] * 16


def test_what_replaces_a_convolution_of_an_inflated_network_is_as_ever():
    network = build("resnet50", inflate=True, ops=[{"op": "conv2d", "at": "res3"}])
    assert [block.conv2.weight.dim() for block in network.layer2] == [4] * 4
    assert network.layer2[0].conv2.stride == (2, 2)
