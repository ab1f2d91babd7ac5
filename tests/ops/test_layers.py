import copy

import pytest
import torch
from torch import nn

from vidops_cli.ops import OPS
from vidops_cli.ops.layers import ConvNorm, conv_bn_relu, multiplied, relu_plus
from vidops_cli.profiling.cases import Shape
from vidops_cli.profiling.profile import Case, build
from vidops_cli.textbook import in_turn, textbook

NORMED = ["cca", "motion_squeeze", "sce", "scr", "se", "selfy"]


def norms(module):
    return [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]


def stirred(module):
    torch.manual_seed(0)
    for norm in norms(module):
        for tensor, low, high in ((norm.running_var, 0.5, 2), (norm.weight, -1, 1), (norm.bias, -1, 1)):
            nn.init.uniform_(tensor, low, high)
        nn.init.normal_(norm.running_mean)
    return module


def gradients(form, layer, x):
    x = x.clone().requires_grad_()
    y = form(x)
    return y, torch.autograd.grad(y, [x, *layer.parameters()], torch.ones_like(y).cumsum(0))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("form", [None, "channels_last"])
@pytest.mark.parametrize("layer", [conv_bn_relu(4, 6, 3), ConvNorm(nn.Conv3d(4, 6, 3, bias=False))])
def test_a_folded_norm_is_the_norm(layer, form, training):
    layer = stirred(copy.deepcopy(layer)).double().train(training)
    assert layer.folded is not training
    x = torch.randn(3, 4, *[5] * (layer[0].weight.dim() - 2), dtype=torch.float64)
    ours = gradients(getattr(layer, form or "forward"), layer, x)
    true = gradients(lambda x: in_turn(layer, x), layer, x)
    for a, b in zip((ours[0], *ours[1]), (true[0], *true[1]), strict=True):
        torch.testing.assert_close(a, b)


def test_nothing_is_folded_in_half_precision():
    layer, x = stirred(conv_bn_relu(4, 6)).eval(), torch.randn(2, 4, 3, 3)
    assert layer.folded
    with torch.autocast("cpu", torch.bfloat16):
        assert not layer.folded
        assert torch.equal(layer(x), in_turn(layer, x))
    assert not layer.bfloat16().folded


def test_a_slice_is_plain_layers():
    layer = conv_bn_relu(4, 6)
    assert [type(part) for part in layer[1:]] == [nn.BatchNorm2d, nn.ReLU]
    assert type(layer[:1]) is nn.Sequential and layer[0].in_channels == 4


@pytest.mark.parametrize("name", NORMED)
@pytest.mark.parametrize("at", range(3))
def test_norms_of_which_some_are_in_training(name, at):
    """As where a user freezes some of them: each is what its own mode says."""
    op, inputs = build(Case(OPS[name], Shape(3, 16, (1, 5, 5) if name == "cca" else (4, 6, 6)), {}))
    op = stirred(op).double()
    for norm in norms(op)[at::3]:
        norm.train()
    inputs = [x.double() for x in inputs]
    true, other = textbook(name)(copy.deepcopy(op), *inputs), copy.deepcopy(op)
    torch.testing.assert_close(other(*inputs), true)


@pytest.mark.parametrize("channels, outputs", [(1, 3), (3, 1), (2, 2)])
def test_a_convolution_as_a_product(channels, outputs):
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, outputs, 3, padding=1).double()
    x = torch.randn(4, channels, 2, 5, dtype=torch.float64)
    y = multiplied(x.movedim(1, -1).flatten(1), (2, 5), conv.weight, conv.bias, relu=True)
    torch.testing.assert_close(y, conv(x).relu().movedim(1, -1).flatten(1))


def test_relu_plus():
    x, y = torch.randn(2, 50, requires_grad=True).unbind()
    ours, true = relu_plus(y.clone(), x), y.relu() + x
    assert torch.equal(ours, true)
    for a, b in zip(*(torch.autograd.grad(form.square().sum(), [x, y]) for form in (ours, true)), strict=True):
        assert torch.equal(a, b)
    with torch.no_grad():
        assert torch.equal(relu_plus(y.clone(), x), true)
    assert relu_plus(y.bfloat16(), x).dtype == torch.float32


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["motion_squeeze", "selfy", "sifa"])
def test_a_clip_keeps_its_layout(name, training):
    """So that the network behind it goes on as it did before."""
    op, (x,) = build(Case(OPS[name], Shape(2, 16, (4, 6, 6)), {}))
    op = op.train(training)
    assert op(x).is_contiguous()
    y = op(x.contiguous(memory_format=torch.channels_last_3d))
    assert y.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(y, op(x))
