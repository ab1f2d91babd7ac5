"""AFNO. Guibas et al., Adaptive Fourier Neural Operators: Efficient Token Mixers for Transformers, ICLR 2022,
arXiv 2111.13587.

A global filter that depends on the input: at each frequency the channels go through one small complex network, the same
for all frequencies, whose weights are block-diagonal; what it gives is shrunk towards zero, so that few frequencies
stay.

    z = F[x];   z~ = S( W2 relu( W1 z + b1 ) + b2 );   y = F^-1[z~] + x        S(u) = sign(u) max(|u| - lambda, 0)

F is the real transform over (T, H, W), scaled by 1 / sqrt(N); relu and S act on real and imaginary parts apart.

Deviations: of images in the paper; a transform over time too is the evident form for clips. `blocks` is the paper's k,
`threshold` its lambda, `expansion` how much wider the hidden layer is. Defaults and the start, noise of 0.02, are the
released code's; its hard threshold, which drops high frequencies and is off by default, is left out. Float32 or better,
whatever autocast says. No numbers of released code hold it.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional.fourier import AXES
from vidops_cli.functional.precision import full_precision

from .checks import at_least, made_for
from .cost import Cost, each, products, real_fft

SHRINK = 5  # of S: sign, absolute value, difference, maximum, product


class AFNO(nn.Module):
    """(B, C, T, H, W) -> the same shape, x included; a token mixer."""

    def __init__(self, channels: int, *, blocks: int = 8, threshold: float = 0.01, expansion: int = 1):
        super().__init__()
        at_least(1, blocks=blocks, expansion=expansion)
        if threshold < 0:
            raise ValueError(f"threshold must be at least 0, got {threshold}")
        if channels % blocks:
            raise ValueError(f"{blocks} blocks do not divide {channels} channels")
        self.channels, self.blocks, self.threshold = channels, blocks, threshold
        width, hidden = channels // blocks, channels // blocks * expansion
        for name, shape in (("W1", (width, hidden)), ("b1", (1, hidden)), ("W2", (hidden, width)), ("b2", (1, width))):
            setattr(self, name, nn.Parameter(0.02 * torch.randn(blocks, *shape, 2)))  # real and imaginary parts

    def network(self, z: Tensor) -> Tensor:
        """W2 relu(W1 z + b1) + b2 of complex (k, positions, C / k)."""
        exact = torch.promote_types(self.W1.dtype, torch.float32)
        W1, b1, W2, b2 = (torch.view_as_complex(part.to(exact)) for part in (self.W1, self.b1, self.W2, self.b2))
        hidden = torch.view_as_real(z @ W1 + b1).relu()
        return torch.view_as_complex(hidden) @ W2 + b2

    def shrink(self, z: Tensor) -> Tensor:
        """S, of complex numbers."""
        return torch.view_as_complex(F.softshrink(torch.view_as_real(z), self.threshold))

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("AFNO", self.channels, x)
        if not x.numel():  # FFT libraries refuse an empty batch
            return x * sum(part.sum() for part in self.parameters()).to(x.dtype)
        with full_precision(x):
            exact = x.to(torch.promote_types(x.dtype, torch.float32))
            z = torch.fft.rfftn(exact, dim=AXES, norm="ortho")
            tokens = z.movedim(1, -1).unflatten(-1, (self.blocks, -1)).flatten(0, 3).transpose(0, 1)
            tokens = self.shrink(self.network(tokens))
            z = tokens.transpose(0, 1).flatten(1).unflatten(0, (z.shape[0], *z.shape[2:])).movedim(-1, 1)
            y = torch.fft.irfftn(z, [int(size) for size in x.shape[2:]], dim=AXES, norm="ortho")
        return y.to(x.dtype) + x

    def cost(self, x: tuple[int, ...]) -> Cost:
        B, C, T, H, W = x
        frequencies, hidden = B * T * H * (W // 2 + 1), self.W1.shape[2]
        network = products(8 * frequencies * C, hidden)  # a complex product is four
        network += each(frequencies * self.blocks * hidden, 2 + 2) + each(frequencies * C, 2)  # b1 and relu, b2
        return real_fft((T, H, W), 2 * B * C) + network + each(2 * frequencies * C, SHRINK) + each(math.prod(x))

    def extra_repr(self) -> str:
        expansion = self.W1.shape[2] // self.W1.shape[1]
        return f"blocks={self.blocks}, threshold={self.threshold}, expansion={expansion}"
