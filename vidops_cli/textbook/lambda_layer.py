"""Lambda layer with the lambda of each position formed, its position part by a 2-D convolution of each plane."""

import torch
import torch.nn.functional as F

from . import in_turn


def parts(op, x):
    """Queries (B, heads, k, T, H, W), values (B, v, T, H, W), the content lambda (B, k, v)."""
    B, C, T, H, W = x.shape
    images = x.transpose(1, 2).reshape(B * T, C, H, W)
    q, K, v = (
        layer(images).reshape(B, T, -1, H, W).transpose(1, 2)
        for layer in (lambda y: in_turn(op.query, y), op.key, lambda y: in_turn(op.value, y))
    )
    content = torch.einsum("bkm,bvm->bkv", torch.softmax(K.flatten(2), dim=2), v.flatten(2))
    return q.unflatten(1, (op.heads, -1)), v, content


def forward(op, x):
    q, v, content = parts(op, x)
    B, C, T, H, W = v.shape
    L, U, V = op.window
    padded = F.pad(v, (0, 0, 0, 0, L // 2, L // 2))
    planes = torch.stack([padded[:, :, i : i + T] for i in range(L)], dim=3).reshape(-1, L, H, W)
    position = F.conv2d(planes, op.E, padding=(U // 2, V // 2)).reshape(B, C, T, -1, H, W)
    lambdas = position.permute(0, 3, 1, 2, 4, 5) + content[..., None, None, None]
    # head by head: of one frame, torch 2.13's batch norm on a CPU misreads the gradient that a product of all gives it
    return torch.cat([torch.einsum("bkxyz,bkvxyz->bvxyz", each, lambdas) for each in q.unbind(1)], dim=1)


def at(op, x, positions):
    """(B, C, P): the output at flat positions (t H + h) W + w."""
    (_, H, W), (q, v, content), (L, U, V) = x.shape[2:], parts(op, x), op.window
    padded = F.pad(v, (V // 2, V // 2, U // 2, U // 2, L // 2, L // 2))
    found = []
    for n in positions.tolist():
        t, h, w = n // (H * W), n // W % H, n % W
        window = padded[:, :, t : t + L, h : h + U, w : w + V]
        lambdas = content + torch.einsum("klij,bvlij->bkv", op.E, window)
        found.append(torch.einsum("bhk,bkv->bhv", q[..., t, h, w], lambdas).flatten(1))
    return torch.stack(found, dim=2)
