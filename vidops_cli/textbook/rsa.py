"""RSA as published: at each position products of small matrices, made by convolutions of keys and values."""

import torch
import torch.nn.functional as F


def normalized(x):
    return x / torch.sqrt((x * x).sum(-1, keepdim=True) + 1e-6)


def convolved(x, weight, groups):
    """(B, T, H, W, c) by (o, 1, L, U, V), the same for all c or (groups = c) o / c for each: B T H W c o."""
    B, T, H, W, c = x.shape
    padding = [size // 2 for size in weight.shape[2:]]
    maps = F.conv3d(x.movedim(-1, 1).reshape(-1, groups, T, H, W), weight, padding=padding, groups=groups)
    return maps.reshape(B, c, -1, T, H, W).movedim((1, 2), (-2, -1)).contiguous()


def forward(op, x):
    h, c, u = op.heads, op.key_channels, op.value_channels
    projected = F.conv3d(x, op.projection.weight).movedim(1, -1).contiguous()
    q, v = normalized(projected[..., : h * c].unflatten(-1, (h, c))), normalized(projected[..., -u:])

    kappa = q  # h x D
    if op.relational_kernel:
        K = convolved(normalized(projected[..., h * c : h * c + c]), op.H1.weight, c)
        kappa = q @ (K if op.P1 is None else op.P1 + K)
    elif op.P1 is not None:
        kappa = torch.einsum("bxyzhc,cd->bxyzhd", q, op.P1)

    context = convolved(v, op.H2.weight, 1)  # u x D
    if op.relational_context:
        V = convolved(v, op.G.weight, 1)
        context = (V if op.I is None else op.I + V).mT @ context

    y = (context @ kappa.mT).flatten(-2).movedim(-1, 1)
    if op.stride > 1:
        y = F.pad(y, (1, 1, 1, 1)).unfold(3, 3, op.stride).unfold(4, 3, op.stride).mean((-1, -2))
    return y


def reach(op, x):
    """Rows and columns around a position that its output depends on; a stride averages neighbours too."""
    return max(size // 2 for size in op.H2.weight.shape[3:]) + (op.stride > 1)
