"""Global filter layer. Rao et al., Global Filter Networks for Image Classification, NeurIPS 2021, arXiv 2107.00645.

Every channel is filtered by a kernel as large as the map: its spectrum is learned, so that mixing all positions is a
Fourier transform, an elementwise product and the inverse transform. The kernel does not depend on the input.

    y = F^-1[ K . F[x] ]        per channel; F over (T, H, W), of which half is kept, as x is real; K complex, learned

This is a depthwise convolution that wraps around the map, with F^-1[K] as its kernel.

Deviations: of images in the paper; a transform over time too is the evident form for clips. On other grids than `grid`
K is read between its frequencies, linearly and with their period; the released code interpolates it too, without the
period. It starts as noise of 0.02, as there. The layers around it in the paper's block are no part of it. Float32 or
better, whatever autocast says. No numbers of released code hold it.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional.fourier import filtered, fit_spectrum, spectrum
from vidops_cli.functional.precision import full_precision
from vidops_cli.functional.relative import table_shape

from .checks import made_for
from .cost import TRILINEAR, Cost, each, real_fft


class GlobalFilter(nn.Module):
    """(B, C, T, H, W) -> the same shape; a token mixer."""

    def __init__(self, channels: int, *, grid: Sequence[int] = (1, 14, 14)):
        super().__init__()
        table_shape(grid)  # three sizes from 1
        T, H, W = self.grid = tuple(int(size) for size in grid)
        self.K = nn.Parameter(0.02 * torch.randn(channels, T, H, W // 2 + 1, 2))  # real and imaginary parts

    def filter(self, grid: Sequence[int]) -> Tensor:
        """K of a grid, complex: (C, T, H, W // 2 + 1)."""
        exact = self.K.to(torch.promote_types(self.K.dtype, torch.float32))
        return fit_spectrum(torch.view_as_complex(exact), self.grid, grid)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("GlobalFilter", self.K.shape[0], x)
        grid = tuple(int(size) for size in x.shape[2:])  # plain numbers, under torch.jit.trace too
        if not x.numel():  # FFT libraries refuse an empty batch
            return x * self.K.sum().to(x.dtype)
        with full_precision(x):
            return filtered(spectrum(x, "circular"), self.filter(grid), grid, "circular").to(x.dtype)

    def cost(self, x: tuple[int, ...]) -> Cost:
        B, C, *grid = x
        T, H, W = grid
        fitted = Cost() if tuple(grid) == self.grid else each(2 * C * math.prod(size + 1 for size in grid), TRILINEAR)
        return real_fft(tuple(grid), 2 * B * C) + each(B * C * T * H * (W // 2 + 1), 6) + fitted

    def extra_repr(self) -> str:
        return f"grid={self.grid}"
