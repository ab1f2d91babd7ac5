"""The global filter as the convolution that it is: each position sees all, by their distance around the map.

`published` is the product of spectra.
"""

import torch
import torch.nn.functional as F


def fitted(op, grid):
    """K of another grid: whole, and then along each axis between the two nearest of its frequencies."""
    half = torch.complex(op.K[..., 0], op.K[..., 1])
    if tuple(grid) == tuple(op.grid):
        return half
    T, H, W = op.grid
    full = list(half.unbind(-1))
    for w in range(len(full), W):
        opposite = half[:, [-t % T for t in range(T)]][:, :, [-h % H for h in range(H)]]
        full.append(opposite[..., W - w].conj())
    full = torch.stack(full, dim=-1)
    for axis, (old, new) in enumerate(zip(op.grid, grid, strict=True), start=1):
        between = torch.zeros(new, old, dtype=op.K.dtype)
        for u in range(new):
            below, rest = divmod(u * old, new)
            between[u, below % old] += 1 - rest / new
            between[u, (below + 1) % old] += rest / new
        full = torch.tensordot(full, between.to(full), dims=([axis], [1])).movedim(-1, axis)
    return full[..., : grid[2] // 2 + 1]


def waves(size, like):
    """exp(2 pi i u n / size) for all u, n."""
    steps = torch.arange(size, device=like.device)
    turns = (steps[:, None] * steps % size).to(like.dtype) / size
    return torch.complex(torch.cos(2 * torch.pi * turns), torch.sin(2 * torch.pi * turns))


def kernel(op, grid):
    """(C, T, H, W): the sum of all waves; those of the half that is not kept are the conjugates of those that are."""
    K, (T, H, W) = fitted(op, grid), grid
    twice = [1 if w in (0, W - w) else 2 for w in range(W // 2 + 1)]
    K = K * torch.tensor(twice, device=K.device)
    t, h, w = (waves(size, op.K) for size in grid)
    K = torch.einsum("cuvw,ut->ctvw", K, t)
    K = torch.einsum("ctvw,vh->cthw", K, h)
    return torch.einsum("cthw,wx->cthx", K, w[: W // 2 + 1]).real / (T * H * W)


def at(op, x, positions):
    """(B, C, P): the output at flat positions (t H + h) W + w."""
    grid = tuple(int(size) for size in x.shape[2:])
    index = 0
    axes = [torch.arange(size, device=x.device) for size in grid]
    for places, size in zip(torch.meshgrid(*axes, indexing="ij"), grid, strict=True):
        places = places.reshape(-1)
        index = index * size + (places[positions, None] - places[None, :]) % size
    return torch.einsum("cpn,bcn->bcp", kernel(op, grid).flatten(1)[:, index], x.flatten(2))


def forward(op, x):
    return at(op, x, slice(None)).reshape(x.shape)


def published(op, x):
    grid = [int(size) for size in x.shape[2:]]
    K = torch.view_as_complex(op.K)
    if grid != list(op.grid):
        T, H, W = op.grid
        t, h = ([-i % size for i in range(size)] for size in (T, H))
        K = torch.cat([K, K[:, t][:, :, h][..., 1 : (W + 1) // 2].flip(-1).conj()], dim=-1)
        K = K[:, [*range(T), 0]][:, :, [*range(H), 0]][..., [*range(W), 0]]
        K = torch.view_as_real(K).permute(4, 0, 1, 2, 3)
        K = F.interpolate(K, [size + 1 for size in grid], mode="trilinear", align_corners=True)
        K = torch.view_as_complex(K.permute(1, 2, 3, 4, 0).contiguous())
        K = K[:, : grid[0], : grid[1], : grid[2] // 2 + 1]
    X = torch.fft.rfftn(x, dim=(2, 3, 4), norm="ortho")
    return torch.fft.irfftn(K * X, grid, dim=(2, 3, 4), norm="ortho")
