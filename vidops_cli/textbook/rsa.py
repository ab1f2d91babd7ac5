"""RSA as published: a convolution of the keys and two of the values, then sums over channels at each position."""

import torch
import torch.nn.functional as F


def normalized(x, dim):
    return x / torch.sqrt((x * x).sum(dim, keepdim=True) + 1e-6)


def convolved(x, conv, groups):
    """(B, c, T, H, W) by (o, 1, L, U, V), the same for all c or (groups = c) o / c for each: B c o T H W."""
    padding = [size // 2 for size in conv.weight.shape[2:]]
    maps = F.conv3d(x.reshape(-1, groups, *x.shape[2:]), conv.weight, padding=padding, groups=groups)
    return maps.reshape(*x.shape[:2], -1, *x.shape[2:])


def everywhere(matrix):
    return matrix[:, :, None, None, None]


def forward(op, x):
    h, c, u = op.heads, op.key_channels, op.value_channels
    projected = F.conv3d(x, op.projection.weight)
    q, v = normalized(projected[:, : h * c].unflatten(1, (h, c)), 2), normalized(projected[:, -u:], 1)

    kappa = q
    if op.relational_kernel:
        K = convolved(normalized(projected[:, h * c : h * c + c], 1), op.H1, c)
        kappa = torch.einsum("bhctyx,bcdtyx->bhdtyx", q, K if op.P1 is None else everywhere(op.P1) + K)
    elif op.P1 is not None:
        kappa = torch.einsum("bhctyx,cd->bhdtyx", q, op.P1)

    context = convolved(v, op.H2, 1)  # u x D
    if op.relational_context:
        V = convolved(v, op.G, 1)
        context = torch.einsum("bvutyx,bvdtyx->budtyx", V if op.I is None else everywhere(op.I) + V, context)

    y = torch.einsum("bhdtyx,budtyx->buhtyx", kappa, context).flatten(1, 2)
    if op.stride > 1:
        y = F.pad(y, (1, 1, 1, 1)).unfold(3, 3, op.stride).unfold(4, 3, op.stride).mean((-1, -2))
    return y


def reach(op, x):
    """Rows and columns around a position that its output depends on; a stride averages neighbours too."""
    return max(size // 2 for size in op.H2.weight.shape[3:]) + (op.stride > 1)
