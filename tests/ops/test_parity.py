"""Operators beside other implementations: torch's own, and timm's where it is installed (the extra `parity`)."""

import pytest
import torch
from torch import nn

from vidops_cli.ops.cross_covariance import CrossCovariance
from vidops_cli.ops.lambda_layer import LambdaLayer
from vidops_cli.ops.self_attention import SelfAttention
from vidops_cli.ops.window_attention import WindowAttention

IMAGE = (2, 16, 1, 6, 6)


def meet(ours, theirs, form):
    """Outputs and gradients of the input, in float64; `form`: what theirs gives of an image of ours."""
    ours, theirs, x = ours.double().eval(), theirs.double().eval(), torch.randn(IMAGE, dtype=torch.float64)
    found = []
    for run in (ours, lambda x: form(theirs, x)):
        x.grad = None
        y = run(x.requires_grad_(True))
        (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)).sum().backward()
        found.append((y, x.grad))
    torch.testing.assert_close(*found)


def of_tokens(layer, x):
    return layer(x.flatten(2).transpose(1, 2)).transpose(1, 2).view(x.shape)


def test_self_attention_is_torchs():
    ours, theirs = SelfAttention(16, heads=4), nn.MultiheadAttention(16, 4, batch_first=True)
    theirs.in_proj_weight, theirs.in_proj_bias = ours.qkv.weight, ours.qkv.bias
    theirs.out_proj.load_state_dict(ours.proj.state_dict())
    meet(ours, theirs, lambda layer, x: of_tokens(lambda z: layer(z, z, z, need_weights=False)[0], x))


def test_cross_covariance_is_timms():
    theirs = pytest.importorskip("timm.models.xcit").XCA(16, num_heads=4, qkv_bias=True)
    nn.init.uniform_(theirs.temperature, 0.5, 2)
    ours, state = CrossCovariance(16, heads=4), theirs.state_dict()
    ours.load_state_dict({**state, "temperature": state["temperature"].flatten()})
    meet(ours, theirs, of_tokens)


def test_window_attention_is_timms():
    theirs = pytest.importorskip("timm.models.swin_transformer").WindowAttention(16, num_heads=4, window_size=3)
    ours, names = WindowAttention(16, heads=4, window=(1, 3, 3)), {"relative_position_index"}
    ours.load_state_dict({key: value for key, value in theirs.state_dict().items() if key not in names})

    def form(layer, x):
        x = x.squeeze(2).unfold(2, 3, 3).unfold(3, 3, 3)  # B C 2 2 3 3
        y = layer(x.permute(0, 2, 3, 4, 5, 1).flatten(3, 4).flatten(0, 2)).view(2, 2, 2, 3, 3, 16)
        return y.permute(0, 5, 1, 3, 2, 4).reshape(IMAGE)

    meet(ours, theirs, form)


def test_lambda_layer_is_timms():
    theirs = pytest.importorskip("timm.layers.lambda_layer").LambdaLayer(16, num_heads=4, dim_head=8, r=5)
    nn.init.zeros_(theirs.conv_lambda.bias)
    ours = LambdaLayer(16, heads=4, key_channels=8, window=5)
    query, key, value = theirs.qkv.weight.split([32, 8, 4])
    state = {"query.0.weight": query, "key.weight": key, "value.0.weight": value}
    state["E"] = theirs.conv_lambda.weight[:, 0, :, :, 0].unsqueeze(1)
    for name, norm in (("query", theirs.norm_q), ("value", theirs.norm_v)):
        norm.running_mean.uniform_(-1, 1)
        state |= {f"{name}.1.{key}": told for key, told in norm.state_dict().items()}
    ours.load_state_dict(state)
    meet(ours, theirs, lambda layer, x: layer(x.squeeze(2)).unsqueeze(2))
