"""The non-local block with its N x N map formed."""

import torch


def pooled(x):
    """2x2 maxima of (B, c, T, H, W) by slices; a row or column left over is dropped, a single one kept."""
    for dim in (3, 4):
        size = x.shape[dim]
        if size > 1:
            even, odd = x.narrow(dim, 0, size // 2 * 2).unflatten(dim, (-1, 2)).unbind(dim + 1)
            x = torch.maximum(even, odd)
    return x


def forward(op, x):
    B, C, T, H, W = x.shape

    def project(conv):
        return torch.einsum("bcthw,dc->bdthw", x, conv.weight.flatten(1)) + conv.bias[:, None, None, None]

    q, k, v = project(op.theta), project(op.phi), project(op.g)
    if op.subsample:
        k, v = pooled(k), pooled(v)
    if op.space_time:
        q, k, v = (part.flatten(2).transpose(1, 2) for part in (q, k, v))  # B, n, c
    else:
        q, k, v = (part.permute(0, 2, 3, 4, 1).flatten(2, 3) for part in (q, k, v))  # B, T, n, c
    y = torch.softmax(q @ k.transpose(-1, -2), dim=-1) @ v
    y = op.W(y.reshape(B * T, H, W, -1).permute(0, 3, 1, 2))
    return x + y.reshape(B, T, C, H, W).transpose(1, 2)
