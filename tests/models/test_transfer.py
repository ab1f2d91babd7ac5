"""Networks that start from the weights of others."""

import pytest
import torch

from vidops_cli.engine.checkpoint import load_part
from vidops_cli.models import MODELS
from vidops_cli.models.transfer import inflated, modules, start


def build(name, seed=0, classes=5, **options):
    torch.manual_seed(seed)
    return MODELS[name].build(classes=classes, **options)


def images(name="resnet18", **options):
    """An image network's weights, whose kernels have no time."""
    state = build(name, seed=1, **options).state_dict()
    return {key: value.squeeze(2) if value.ndim == 5 else value for key, value in state.items()}


def same(network, theirs):
    ours = network.state_dict()
    return {key for key in ours if key in theirs and torch.equal(ours[key].flatten(), theirs[key].flatten())}


def test_the_same_network_takes_all():
    network, theirs = build("resnet18"), images()
    found = start(network, theirs)
    assert set(found.taken) == set(theirs) == same(network, theirs)
    assert found.inflated == found.copied == found.fresh == found.left_out == ()
    assert found.told() == f"{len(theirs)} weights taken"


@pytest.mark.parametrize("rule, steps", [("mean", 3), ("mean", 5), ("middle", 4), ("middle", 3)])
def test_an_inflated_kernel(rule, steps):
    weight = torch.randn(2, 3, 5, 5)
    found = inflated(weight, steps, rule)
    assert found.shape == (2, 3, steps, 5, 5)
    torch.testing.assert_close(found.sum(2), weight)
    if rule == "middle":
        assert torch.equal(found[:, :, steps // 2], weight)
    else:
        assert all(torch.equal(found[:, :, d], weight / steps) for d in range(steps))


@torch.no_grad()
def test_i3d_scores_a_still_clip_as_the_image_network_does():
    network, image, theirs = build("resnet18", inflate=True).eval(), build("resnet18").eval(), images()
    found = start(network, theirs)
    assert len(found.inflated) == 17 and not found.fresh and not found.copied  # the stem and two of each block
    start(image, theirs)
    x = torch.randn(1, 3, 1, 32, 32)
    still = x.expand(-1, -1, 41, -1, -1)  # in the middle, beyond what zeros before and after can reach
    maps = [net.until(clip, 4) for net, clip in ((network, still), (image, x))]
    torch.testing.assert_close(maps[0][:, :, 20], maps[1][:, :, 0], atol=1e-4, rtol=1e-4)


def test_operators_start_anew_and_what_they_replace_is_left_out():
    ops = [{"op": "tsm"}, {"op": "rsa", "at": ["res3.1", "res5.1"]}, {"op": "motion_squeeze", "at": "res3"}]
    network, theirs = build("resnet50", ops=ops), images("resnet50", classes=1000)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = start(network, theirs)
    assert set(found.left_out) == {"layer2.1.conv2.weight", "layer4.1.conv2.weight"}
    places = ("layer2.1.conv2.", "layer4.1.conv2.", "after_res3.", "fc.")
    assert found.fresh and all(key.startswith(places) for key in found.fresh)
    assert all(torch.equal(network.state_dict()[key], before[key]) for key in found.fresh)
    assert set(found.taken) == set(theirs) - set(found.left_out) - {"fc.weight", "fc.bias"}
    assert set(found.taken) <= same(network, theirs)
    assert "fresh (layer2.*.conv2, after_res3, layer4.*.conv2, fc), 2 left out (layer2.*.conv2, " in found.told()


def test_blocks_with_operators_start_as_the_identity():
    """As whole bottlenecks with RSA do in its released code."""
    ops = [{"op": "tsm"}, {"op": "rsa", "at": ["res3.1", "res5.1"]}]
    network, theirs = build("resnet50", ops=ops, fresh_blocks=True), images("resnet50")
    found = start(network, theirs)
    blocks = ("layer2.1.", "layer4.1.")
    inside = {key for key in network.state_dict() if key.startswith(blocks)}
    assert inside <= set(found.fresh) and not inside & same(
        network, {key: theirs[key] for key in theirs if "conv" in key}
    )
    assert set(found.left_out) >= {key for key in theirs if key.startswith(blocks)}
    zeros = [name for name, module in network.named_modules() if "bn3" in name and not module.weight.any()]
    assert zeros == ["layer2.1.bn3", "layer4.1.bn3"]
    x = torch.randn(1, 512, 2, 4, 4).relu()
    torch.testing.assert_close(network.eval().layer2[1](x), x)
    with pytest.raises(ValueError, match="vit_mini has no slot 'conv2'"):
        build("vit_mini", fresh_blocks=True)


def test_sifa_net_from_an_image_network():
    ops = [{"op": "sifa", "at": ["res3.1"]}, {"op": "global_context", "at": ["res3.0"]}]
    network, theirs = build("sifa_net50", ops=ops), images("resnet50")
    found = start(network, theirs)
    assert found.inflated == ("conv1.weight",)
    assert torch.equal(network.conv1.weight[:, :, 2], theirs["conv1.weight"])
    assert network.conv1.weight[:, :, [0, 1, 3]].abs().max() == 0
    for key, value in network.layer4_dual.state_dict().items():
        assert torch.equal(value, network.layer4.state_dict()[key])
    assert torch.equal(network.fc_dual.weight, network.fc.weight)
    assert {key.split(".")[0] for key in found.copied} == {"layer4_dual", "fc_dual"}
    assert {key.split(".")[2] for key in found.fresh} == {"after_conv2", "block_output"}


def test_two_streams_from_one_image_network(tmp_path):
    torch.save(images("resnet18", classes=1000), tmp_path / "resnet18.pth")  # the released file as it is
    network = build("two_stream18", ops=[{"op": "tsm", "options": {"fold_div": 4}}])
    for part in ("rgb", "pose.resnet"):
        found = load_part(network, part, tmp_path / "resnet18.pth")
        assert not found.fresh and not found.left_out and not found.inflated
    theirs, ours = images("resnet18", classes=1000), network.state_dict()
    for prefix in ("rgb.", "pose.resnet."):
        key = "layer3.1.conv2.weight"
        assert torch.equal(ours[prefix + key].flatten(), theirs[key].flatten())
    assert torch.equal(network.rgb.conv1.weight.flatten(), theirs["conv1.weight"].flatten())


def test_a_swin_that_reads_four_frames():
    network, theirs = build("sifa_swin_mini"), images("swin_mini")
    found = start(network, theirs)
    assert found.inflated == ("patch_embed.weight",)
    assert set(found.left_out) == {"patch_norm.weight", "patch_norm.bias"}


def test_a_vit_from_deit():
    lisa = [{"op": "lisa", "at": ["block0", "block1"], "options": {"heads": 3}}]
    network, theirs = build("vit_tiny", ops=lisa), images("deit_ti")
    found = start(network, theirs)
    assert set(found.left_out) == {"class_token", "positions"}
    fresh = {".".join(key.split(".")[:3]) for key in found.fresh}
    assert fresh and fresh <= {"blocks.0.mixer", "blocks.1.mixer"}
    assert "blocks.0.mixer.qkv.weight" in found.taken  # LiSA's of the same name and size
    assert "blocks.2.mixer.qkv.weight" in found.taken


def test_another_network_is_refused():
    with pytest.raises(ValueError, match=r"198 keys of another network: .*shapes differ: "):
        start(build("resnet18"), images("resnet50"))
    with pytest.raises(ValueError, match="keys of another network: after_res3"):
        start(build("resnet18"), images(ops=[{"op": "motion_squeeze", "at": "res3"}]))
    with pytest.raises(ValueError, match=r"1 keys missing: layer1\.0\.conv1\.weight"):
        start(build("resnet18"), {key: v for key, v in images().items() if key != "layer1.0.conv1.weight"})


def test_old_files_lack_counters():
    theirs = {key: value for key, value in images().items() if not key.endswith("num_batches_tracked")}
    found = start(build("resnet18"), theirs)
    assert set(found.taken) == set(theirs) and {key.split(".")[-1] for key in found.fresh} == {"num_batches_tracked"}


def test_modules_are_told_without_numbers():
    keys = ("layer1.0.conv2.weight", "layer1.1.conv2.weight", "a.w", "b.w", "c.w", "class_token")
    assert modules(keys) == "layer1.*.conv2, a, b, c, ..." and modules(("class_token",)) == "class_token"
    blocks = tuple(f"layer3.{i}" for i in range(5))
    keys = (*(f"{block}.conv{i}.weight" for block in blocks for i in (1, 2)), "fc.weight", "layer3.5.conv1.w", "x.w")
    assert modules(keys, (), blocks) == "layer3.0, layer3.1, layer3.2, layer3.3, layer3.4, fc, ..."
    assert modules(("after_res3.fuse.0.weight", "after_res3.norm.bias"), ("after_res3",)) == "after_res3"
