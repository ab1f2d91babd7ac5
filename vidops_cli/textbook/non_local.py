"""The non-local block with its N x N map formed."""

import torch
import torch.nn.functional as F


def pooled(x):
    """2x2 maxima of (B, c, T, H, W); a row or column left over is dropped, a single one kept."""
    sides = [min(2, size) for size in x.shape[3:]]
    return x.unfold(3, sides[0], sides[0]).unfold(4, sides[1], sides[1]).amax((-2, -1))


def project(conv, x):
    return F.conv3d(x, conv.weight[:, :, None], conv.bias)


def keys_and_values(op, x):
    k, v = project(op.phi, x), project(op.g, x)
    return (pooled(k), pooled(v)) if op.subsample else (k, v)


def forward(op, x):
    B, C, T, H, W = x.shape
    q, (k, v) = project(op.theta, x), keys_and_values(op, x)
    if op.space_time:
        q, k, v = (part.flatten(2).transpose(1, 2) for part in (q, k, v))  # B, n, c
    else:
        q, k, v = (part.permute(0, 2, 3, 4, 1).flatten(2, 3) for part in (q, k, v))  # B, T, n, c
    y = torch.softmax(q @ k.transpose(-1, -2), dim=-1) @ v
    y = op.W(y.reshape(B * T, H, W, -1).permute(0, 3, 1, 2))
    return x + y.reshape(B, T, C, H, W).transpose(1, 2)


def at(op, x, positions):
    """(B, C, P): the output at flat positions (t H + h) W + w, one row of the map after another."""
    frame, (k, v) = x.shape[3] * x.shape[4], keys_and_values(op, x)
    at_positions = x.flatten(2)[:, :, positions]
    q = F.conv1d(at_positions, op.theta.weight[..., 0], op.theta.bias)
    rows = []
    for i, n in enumerate(positions.tolist()):
        keys, values = (part if op.space_time else part[:, :, [n // frame]] for part in (k, v))
        scores = torch.einsum("bc,bcthw->bthw", q[..., i], keys).flatten(1)
        rows.append(torch.einsum("bn,bcn->bc", torch.softmax(scores, dim=-1), values.flatten(2)))
    return at_positions + op.W(torch.stack(rows, dim=-1)[..., None])[..., 0]
