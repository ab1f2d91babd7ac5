"""CCA: 4-D convolutions as 2-D ones over either side, positions of an image in one axis."""

import torch
import torch.nn.functional as F


def bn(norm, x):
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training)


def over_last(layer, x):
    """(n, C, U, V, H, W), convolved over H, W."""
    n, C, U, V, H, W = x.shape
    k = layer[0].weight.shape[-1] if layer[0].weight.shape[-1] > 1 else layer[0].weight.shape[-2]
    weight = layer[0].weight.reshape(-1, C, k, k)
    y = F.conv2d(x.permute(0, 2, 3, 1, 4, 5).reshape(n * U * V, C, H, W), weight, padding=k // 2)
    return bn(layer[1], y).reshape(n, U, V, -1, H, W).permute(0, 3, 1, 2, 4, 5)


def swapped(x):
    return x.permute(0, 1, 4, 5, 2, 3)


def convolved(layers, x):
    for i, layer in enumerate(layers):
        if i:
            x = torch.relu(x)
        x = torch.relu(swapped(over_last(layer.first, swapped(x))))
        x = over_last(layer.second, x)
        if len(layer.project):
            y = F.conv2d(x.flatten(4).flatten(2, 3), layer.project[0].weight)
            x = bn(layer.project[1], y).reshape(len(x), -1, *x.shape[2:])
    return x


def unit(x, dim):
    return x / torch.sqrt((x * x).sum(dim, keepdim=True)).clamp(min=1e-8)


def attention(pairs, gamma):
    """(..., own positions, other positions) -> (..., own positions)"""
    centred = pairs - pairs.mean(-2, keepdim=True)
    variance = (centred**2).sum(-2, keepdim=True) / max(1, pairs.shape[-2] - 1)
    return torch.softmax(centred / torch.sqrt(variance + 1e-5) / gamma, dim=-2).sum(-1)


def forward(op, support, query, shots=1):
    maps, features = [], []
    for x in (support[:, :, 0], query[:, :, 0]):
        x = x - x.mean(1, keepdim=True)
        f = torch.relu(bn(op.reduction[1], F.conv2d(x, op.reduction[0].weight)))
        maps.append(x.flatten(2))
        features.append(unit(f, 1).flatten(2))
    (S, B), (size_s, size_q) = (len(support), len(query)), (support.shape[-2:], query.shape[-2:])
    pairs = torch.einsum("scx,bcy->bsxy", *features)
    x = pairs.reshape(B * S, 1, *size_s, *size_q)
    layers = op.matching.conv.values()
    x = convolved(layers, x) + swapped(convolved(layers, swapped(x)))
    x = x.reshape(pairs.shape)
    s = torch.einsum("bsx,scx->bsc", attention(x, op.attention_temperature), maps[0])
    q = torch.einsum("bsx,bcx->bsc", attention(x.transpose(2, 3), op.attention_temperature), maps[1])
    s, q = (
        (side / m.shape[-1]).reshape(B, shots, S // shots, -1).mean(1) for side, m in zip((s, q), maps, strict=True)
    )
    return (unit(s, -1) * unit(q, -1)).sum(-1) / op.temperature
