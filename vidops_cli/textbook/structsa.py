"""Structural self-attention on the N x N correlation map, with the windows of values formed, as its equation reads."""

import torch
import torch.nn.functional as F


def forward(op, x):
    B, C, T, H, W = x.shape
    heads, c, N = op.heads, C // op.heads, T * H * W
    q, k, v = (
        part.reshape(B, N, heads, c).transpose(1, 2)
        for part in op.qkv(x.reshape(B, C, N).transpose(1, 2)).chunk(3, dim=-1)
    )  # B, heads, N, c
    L, U, V = op.window
    around = (V // 2, V // 2, U // 2, U // 2, L // 2, L // 2)
    correlation = (q @ k.transpose(-1, -2)).transpose(1, 2).reshape(B * N, heads, T, H, W) / c**0.5
    responses = F.conv3d(F.pad(correlation, around), op.U_K.reshape(-1, 1, L, U, V), groups=heads)
    A = torch.softmax(responses.reshape(B, N, heads, -1), dim=-1).reshape(B, N, heads, op.patterns, N)
    values = F.pad(v.transpose(2, 3).reshape(B, C, T, H, W), around)
    values = values.unfold(2, L, 1).unfold(3, U, 1).unfold(4, V, 1).reshape(B, heads, c, N, L * U * V)
    kernels = torch.einsum("bihdj,hdm->bihjm", A, op.U_V.flatten(2))
    y = torch.einsum("bihjm,bhcjm->bihc", kernels, values)
    return op.proj(y.reshape(B, N, C)).transpose(1, 2).reshape(B, C, T, H, W)
