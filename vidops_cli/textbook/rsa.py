"""RSA as published: each of the equation's terms by itself, a depth-wise convolution of the key, values as a batch."""

import torch
import torch.nn.functional as F


def normalized(x, dim):
    return x / torch.sqrt((x * x).sum(dim, keepdim=True) + 1e-6)


def convolved(x, weight, padding):
    """(B, c, T, H, W), (o, 1, L, U, V) -> (B, c, o, T, H, W)"""
    B, c, T, H, W = x.shape
    return F.conv3d(x.reshape(B * c, 1, T, H, W), weight, padding=padding).reshape(B, c, -1, T, H, W)


def forward(op, x):
    h, c, u = op.heads, op.key_channels, op.value_channels
    padding = [size // 2 for size in op.H2.weight.shape[2:]]
    projected = F.conv3d(x, op.projection.weight)
    B, _, T, H, W = projected.shape
    q = normalized(projected[:, : h * c].reshape(B, h, c, T, H, W), 2)
    v = normalized(projected[:, -u:], 1)

    kappa = 0 if op.relational_kernel or op.P1 is not None else q
    if op.relational_kernel:
        k = normalized(projected[:, h * c : h * c + c], 1)
        K = F.conv3d(k, op.H1.weight, padding=padding, groups=c).reshape(B, c, -1, T, H, W)
        kappa = torch.einsum("bhcxyz,bcdxyz->bhdxyz", q, K)
    if op.P1 is not None:
        kappa = kappa + torch.einsum("bhcxyz,cd->bhdxyz", q, op.P1)

    V = convolved(v, op.H2.weight, padding)
    context = V if not op.relational_context else 0
    if op.relational_context:
        context = torch.einsum("bvuxyz,bvdxyz->budxyz", convolved(v, op.G.weight, padding), V)
    if op.I is not None:
        context = context + torch.einsum("vu,bvdxyz->budxyz", op.I, V)

    y = torch.einsum("bhdxyz,budxyz->buhxyz", kappa, context).reshape(B, u * h, T, H, W)
    if op.stride > 1:
        y = F.pad(y, (1, 1, 1, 1)).unfold(3, 3, op.stride).unfold(4, 3, op.stride).mean((-1, -2))
    return y
