"""Structural self-attention on the N x N correlation map, with the windows of values formed, as its equation reads."""

import torch
import torch.nn.functional as F


def projected(op, x):
    """q, k, v: (B, heads, N, c) each."""
    B, C = x.shape[:2]
    tokens = x.flatten(2).transpose(1, 2).contiguous()
    return [part.reshape(B, -1, op.heads, C // op.heads).transpose(1, 2) for part in op.qkv(tokens).chunk(3, dim=-1)]


def windows(op, maps):
    """(..., T, H, W) -> (..., N, M): the M values in the window around each position, zero outside the map."""
    L, U, V = op.window
    padded = F.pad(maps, (V // 2, V // 2, U // 2, U // 2, L // 2, L // 2))
    return padded.unfold(-3, L, 1).unfold(-3, U, 1).unfold(-3, V, 1).flatten(-3).flatten(-4, -2)


def forward(op, x):
    (B, _, T, H, W), (q, k, v) = x.shape, projected(op, x)
    L, U, V = op.window
    around = (V // 2, V // 2, U // 2, U // 2, L // 2, L // 2)
    correlation = (q / q.shape[-1] ** 0.5 @ k.transpose(-1, -2)).transpose(1, 2).reshape(-1, op.heads, T, H, W)
    responses = F.conv3d(F.pad(correlation, around), op.U_K.reshape(-1, 1, L, U, V), groups=op.heads)
    A = torch.softmax(responses.reshape(B, T * H * W, op.heads, -1), dim=-1)
    A = A.reshape(*A.shape[:3], op.patterns, T * H * W)
    values = windows(op, v.transpose(2, 3).reshape(B, op.heads, -1, T, H, W))
    kernels = torch.einsum("bihdj,hdm->bihjm", A, op.U_V.flatten(2))
    y = torch.einsum("bihjm,bhcjm->bihc", kernels, values)
    return op.proj(y.flatten(2)).transpose(1, 2).reshape(x.shape)


def published(op, x):
    """The two sums over a window made once for all queries, on the keys and on the values."""
    q, k, v = projected(op, x)
    keys, values = (
        windows(op, part.transpose(2, 3).unflatten(3, x.shape[2:])) @ U.flatten(2).transpose(1, 2)[:, None]
        for part, U in ((k, op.U_K), (v, op.U_V))
    )  # B, heads, c, N, D
    scores = (q / q.shape[-1] ** 0.5) @ keys.flatten(3)
    y = torch.softmax(scores, dim=-1) @ values.flatten(3).transpose(2, 3)
    return op.proj(torch.cat(y.unbind(1), dim=-1)).transpose(1, 2).reshape(x.shape)


def at(op, x, positions):
    """(B, C, P): the output at flat positions (t H + h) W + w, one row of the map after another."""
    (B, _, T, H, W), (q, k, v) = x.shape, projected(op, x)
    L, U, V = op.window
    rows = []
    for n in positions.tolist():
        correlation = torch.einsum("bhc,bhnc->bhn", q[:, :, n] / q.shape[-1] ** 0.5, k).unflatten(2, (T, H, W))
        responses = torch.einsum("bhjm,hdm->bhdj", windows(op, correlation), op.U_K.flatten(2))
        A = torch.softmax(responses.flatten(2), dim=-1).reshape(B, -1, T, H, W)
        spread = F.conv_transpose3d(A, op.U_V.reshape(-1, 1, L, U, V), groups=op.heads)  # back over each window
        weights = spread[:, :, L // 2 :, U // 2 :, V // 2 :][:, :, :T, :H, :W].flatten(2)
        rows.append(torch.einsum("bhn,bhnc->bhc", weights, v).flatten(1))
    return op.proj(torch.stack(rows, dim=1)).transpose(1, 2)
