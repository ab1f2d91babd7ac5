"""AFNO with transforms as sums of cosines and sines, and real and imaginary parts apart.

`published` is its form with fast transforms and complex products, whose operations count.
"""

import math

import torch


def waves(size, like):
    """Cosines and sines of 2 pi u n / size, for all u, n."""
    steps = torch.arange(size, device=like.device)
    phase = 2 * torch.pi * (steps[:, None] * steps % size).to(like.dtype) / size
    return torch.cos(phase), torch.sin(phase)


def turned(real, imaginary, axis, sign):
    """Every line along an axis of 2, 3, 4 multiplied by exp(sign 2 pi i u n / size) and summed over n."""
    cosine, sine = waves(real.shape[axis], real)
    real, imaginary = real.movedim(axis, -1), imaginary.movedim(axis, -1)
    found = real @ cosine - sign * imaginary @ sine, imaginary @ cosine + sign * real @ sine
    return [part.movedim(-1, axis) for part in found]


def affine(real, imaginary, W, b):
    """(B, T, H, F, k, c) by complex blocks."""
    rr, ri, ir, ii = (torch.einsum("bthwkc,kcd->bthwkd", part, W[..., i]) for part in (real, imaginary) for i in (0, 1))
    return rr - ii + b[:, 0, :, 0], ri + ir + b[:, 0, :, 1]


def shrunk(op, u):
    return torch.sign(u) * torch.relu(torch.abs(u) - op.threshold)


def forward(op, x):
    B, C, T, H, W = x.shape
    scale, kept = 1 / math.sqrt(T * H * W), W // 2 + 1
    z = [x, torch.zeros_like(x)]
    for axis in (2, 3, 4):
        z = turned(*z, axis, -1)
    z = [(scale * part[..., :kept]).movedim(1, -1).reshape(B, T, H, kept, op.blocks, C // op.blocks) for part in z]
    hidden = affine(*z, op.W1, op.b1)
    z = affine(*map(torch.relu, hidden), op.W2, op.b2)
    z = [shrunk(op, part).reshape(B, T, H, kept, C).movedim(-1, 1) for part in z]
    for axis in (2, 3):
        z = turned(*z, axis, 1)
    cosine, sine = (part[:kept] for part in waves(W, x))
    twice = torch.tensor([1 if w in (0, W - w) else 2 for w in range(kept)], device=x.device)  # and their conjugates
    return scale * (twice * z[0] @ cosine - twice * z[1] @ sine) + x


def published(op, x):
    B, C, T, H, W = x.shape
    W1, b1, W2, b2 = (torch.view_as_complex(part) for part in (op.W1, op.b1, op.W2, op.b2))
    z = torch.fft.rfftn(x, dim=(2, 3, 4), norm="ortho")
    z = z.permute(1, 0, 2, 3, 4).reshape(op.blocks, C // op.blocks, -1).transpose(1, 2)
    hidden = torch.view_as_complex(torch.relu(torch.view_as_real(torch.matmul(z, W1) + b1)))
    z = torch.matmul(hidden, W2) + b2
    z = torch.view_as_complex(shrunk(op, torch.view_as_real(z)))
    z = z.transpose(1, 2).reshape(C, B, T, H, W // 2 + 1).permute(1, 0, 2, 3, 4)
    return torch.fft.irfftn(z, [T, H, W], dim=(2, 3, 4), norm="ortho") + x
