"""Divided attention with the maps of its weights formed: T x T at each place, H W x H W in each frame."""

import torch
import torch.nn.functional as F


def projected(attention, tokens):
    """(..., n, C) -> q, k, v (..., heads, n, c)"""
    parts = attention.qkv(tokens.contiguous()).chunk(3, dim=-1)
    return [part.unflatten(-1, (attention.heads, -1)).transpose(-2, -3) for part in parts]


def rows(attention, q, k, v):
    """Some queries against all keys: (..., n, C)"""
    weights = torch.softmax(q / q.shape[-1] ** 0.5 @ k.transpose(-1, -2), dim=-1)
    return attention.proj((weights @ v).transpose(-2, -3).flatten(-2).contiguous())


def over_time(op, x):
    """What the temporal half adds, and what the spatial half attends to: (B, T, H W, C) each."""
    z = x.flatten(3).permute(0, 2, 3, 1)
    time = rows(op.time, *projected(op.time, z.transpose(1, 2))).transpose(1, 2)
    return time, F.layer_norm(z + time, op.norm.normalized_shape, op.norm.weight, op.norm.bias, op.norm.eps)


def forward(op, x):
    time, normed = over_time(op, x)
    y = time + rows(op.space, *projected(op.space, normed))
    return y.permute(0, 3, 1, 2).reshape(x.shape)


def at(op, x, positions):
    """(B, C, P): the output at flat positions (t H + h) W + w, one row of a frame's map after another."""
    time, normed = over_time(op, x)
    places, found = x.shape[3] * x.shape[4], []
    for n in positions.tolist():
        t, place = divmod(n, places)
        q, k, v = projected(op.space, normed[:, t])
        found.append(time[:, t, place] + rows(op.space, q[:, :, place : place + 1], k, v)[:, 0])
    return torch.stack(found, dim=-1)
