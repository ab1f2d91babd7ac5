"""CCA: 4-D convolutions as 2-D ones over either side, one pair of images after the other for the attention."""

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
    for layer in layers:
        if isinstance(layer, torch.nn.ReLU):
            x = torch.relu(x)
            continue
        x = torch.relu(swapped(over_last(layer.first, swapped(x))))
        x = over_last(layer.second, x)
        if len(layer.project):
            x = torch.einsum("ncuvhw,dc->nduvhw", x, layer.project[0].weight.flatten(1))
            x = bn(layer.project[1], x.reshape(*x.shape[:2], -1)).reshape(x.shape)
    return x


def attention(pairs, gamma):
    """(own positions, other positions) -> own positions"""
    n = len(pairs)
    mean = pairs.sum(0) / n
    variance = ((pairs - mean) ** 2).sum(0) / max(1, n - 1)
    return torch.softmax((pairs - mean) / torch.sqrt(variance + 1e-5) / gamma, dim=0).sum(1)


def forward(op, support, query, shots=1):
    maps, features = [], []
    for x in (support[:, :, 0], query[:, :, 0]):
        x = x - x.mean(1, keepdim=True)
        f = torch.relu(bn(op.reduction[1], F.conv2d(x, op.reduction[0].weight)))
        maps.append(x.flatten(2))
        features.append((f / torch.sqrt((f * f).sum(1, keepdim=True)).clamp(min=1e-8)).flatten(2))
    (S, B), (size_s, size_q) = (len(support), len(query)), (support.shape[-2:], query.shape[-2:])
    pairs = features[0].transpose(1, 2).unsqueeze(0) @ features[1].unsqueeze(1)  # B, S, xs, xq
    x = pairs.reshape(B * S, 1, *size_s, *size_q)
    x = convolved(op.matching.conv, x) + swapped(convolved(op.matching.conv, swapped(x)))
    x = x.reshape(B, S, *pairs.shape[2:])
    scores = torch.zeros(B, S // shots, dtype=support.dtype, device=support.device)
    for b in range(B):
        for label in range(S // shots):
            same = range(label, S, S // shots)
            s = sum(maps[0][i] @ attention(x[b, i], op.attention_temperature) for i in same)
            q = sum(maps[1][b] @ attention(x[b, i].T, op.attention_temperature) for i in same)
            s, q = s / maps[0].shape[-1] / shots, q / maps[1].shape[-1] / shots
            lengths = torch.sqrt((s * s).sum()).clamp(min=1e-8) * torch.sqrt((q * q).sum()).clamp(min=1e-8)
            scores[b, label] = (s * q).sum() / lengths / op.temperature
    return scores
