"""CCA: 4-D convolutions as 3-D ones over either side, positions of the other image in one axis."""

import torch
import torch.nn.functional as F


def bn(norm, x):
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training)


def swapped(x):
    return x.permute(0, 1, 4, 5, 2, 3)


def convolved(layers, x):
    """(n, 1, U, V, H, W), by one layer after the other."""
    for i, layer in enumerate(layers):
        if i:
            x = torch.relu(x)
        n, C, U, V, H, W = x.shape
        first, second = layer.first[0].weight, layer.second[0].weight
        r = first.shape[2] // 2
        x = torch.relu(bn(layer.first[1], F.conv3d(x.reshape(n, C, U, V, H * W), first, padding=(r, r, 0))))
        x = bn(layer.second[1], F.conv3d(x.reshape(n, C, U * V, H, W), second, padding=(0, r, r)))
        if len(layer.project):
            x = bn(layer.project[1], F.conv2d(x.reshape(n, C, U * V, H * W), layer.project[0].weight))
        x = x.reshape(n, -1, U, V, H, W)
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
