"""Self-attention with its N x N map formed."""

import torch


def forward(op, x):
    B, C, T, H, W = x.shape
    tokens = x.reshape(B, C, -1).transpose(1, 2)
    q, k, v = (part.reshape(B, -1, op.heads, C // op.heads).transpose(1, 2) for part in op.qkv(tokens).chunk(3, dim=-1))
    weights = torch.softmax(q @ k.transpose(-1, -2) / (C // op.heads) ** 0.5, dim=-1)
    y = (weights @ v).transpose(1, 2).reshape(B, -1, C)
    return op.proj(y).transpose(1, 2).reshape(B, C, T, H, W)
