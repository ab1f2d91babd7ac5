"""LiSA. Kwon et al., Lightweight Structure-Aware Attention for Visual Understanding, IJCV 2025, arXiv 2211.16289.

Attention whose kernels are learned patterns: relative position weights P_d read the structure of the query-key
correlation around a position; the code that comes out weighs relative position kernels R_d of the values. As P and R
depend on the offset alone, the N x N map is never formed: both sums are convolutions over the grid, made by FFT.

    s[n, d] = 1/sqrt(c) <q_n, (P_d * K)_n>              (P * K)_n = sum_m P(m - n) k_m, per head of width c
    y[n]    = sum_d phi(s[n, :])_d (R_d * V)_n          O(D c N log N) time, O(c N) scratch for each pattern

The forms that it is ablated against: self_attention with rpe="none", "bias" and "multiplicative", and structsa.

Deviations: a reconstruction from the abstract and from RSA, its first author's previous operator; no code was released,
and the paper's equations were not at hand.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import l2norm
from vidops_cli.functional.blocks import blockwise
from vidops_cli.functional.fourier import filtered, fourier_lengths, spectrum, table_spectrum
from vidops_cli.functional.precision import full_precision
from vidops_cli.functional.relative import fit_table, table_shape

from .checks import at_least, heads_divide, made_for
from .cost import ACTIVATION, SOFTMAX, Cost, each, fitting, products, real_fft
from .cost import l2norm as l2norm_cost

MODES = 4  # frequencies kept on each axis by rpe="fourier"


def waves(size: int, like: Tensor) -> Tensor:
    """Cosines, then sines, of 0 to 3 half turns over the relative offsets -1 .. 1 of an axis: (2, MODES, size)."""
    offset = torch.linspace(-1, 1, size, device=like.device, dtype=like.dtype) if size > 1 else like.new_zeros(1)
    phase = torch.pi * torch.arange(MODES, device=like.device, dtype=like.dtype)[:, None] * offset
    return torch.stack([phase.cos(), phase.sin()])


class LiSA(nn.Module):
    """(B, C, T, H, W) -> the same shape; a token mixer."""

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 8,
        patterns: int = 8,
        phi: str = "identity",
        rpe: str = "dense",
        padding: str = "zero",
        window: Sequence[int] | None = None,
        shared: bool = False,
        grid: Sequence[int] = (1, 14, 14),
    ):
        super().__init__()
        heads_divide(heads, channels)
        at_least(1, patterns=patterns)
        for name, value, known in (
            ("phi", phi, ("identity", "softmax", "l2", "gelu")),
            ("rpe", rpe, ("dense", "fourier", "separable")),
            ("padding", padding, ("zero", "circular")),
        ):
            if value not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, got {value!r}")
        if window is not None and (len(window) != 3 or any(size < 1 or size % 2 == 0 for size in window)):
            raise ValueError(f"window must be three odd sizes, got {tuple(window)}")
        sizes = table_shape(grid)
        self.heads, self.patterns, self.phi, self.rpe, self.padding = heads, patterns, phi, rpe, padding
        self.window = None if window is None else tuple(window)
        self.grid = tuple(grid)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        maps = (1 if shared else heads, patterns)
        if rpe == "dense":
            shapes = {"": sizes}
        elif rpe == "separable":
            shapes = {f"_{axis}": (size,) for axis, size in zip("thw", sizes, strict=True)}
        else:
            shapes = {"": (MODES, MODES, MODES, 8)}
        for which in ("P", "R"):
            for suffix, shape in shapes.items():
                self.register_parameter(which + suffix, nn.Parameter(torch.empty(*maps, *shape)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """P near a delta at offset 0, R near a local average, with a little noise that tells the patterns apart.

        `fourier` starts with what its few frequencies hold of both on `grid`.
        """
        with torch.no_grad():
            for name, table in self.named_parameters(recurse=False):
                nn.init.normal_(table, std=0.02 / table[0, 0].numel() ** 0.5)
                axes = [self._start(name[0], size) for size in self.grid]
                if self.rpe == "separable":
                    table += axes["thw".index(name[-1])]
                elif self.rpe == "dense":
                    table += torch.einsum("t,y,x->tyx", *axes)
                else:
                    table[..., 0] += torch.einsum("a,b,c->abc", *axes)

    def _start(self, which: str, size: int) -> Tensor:
        """One axis of the initial P or R: its values at the offsets, or for `fourier` its cosines."""
        offset = torch.arange(1.0 - size, size)
        bump = (offset == 0).float() if which == "P" else torch.exp(-offset.square() / 2)
        bump = bump / bump.sum()
        return size * bump @ torch.linalg.pinv(waves(len(bump), bump)[0]) if self.rpe == "fourier" else bump

    def tables(self, grid: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        """P and R on the offsets of a grid: (heads or 1, D, 2T-1, 2H-1, 2W-1) each, zero outside the window."""
        return self._table("P", grid), self._table("R", grid)

    def _table(self, which: str, grid: tuple[int, int, int]) -> Tensor:
        if self.rpe == "dense":
            table = fit_table(getattr(self, which), grid)
        elif self.rpe == "separable":
            t, h, w = (getattr(self, f"{which}_{axis}") for axis in "thw")
            table = fit_table(t[..., :, None, None], (grid[0], 1, 1)) * fit_table(
                h[..., None, :, None], (1, grid[1], 1)
            )
            table = table * fit_table(w[..., None, None, :], (1, 1, grid[2]))
        else:
            table = self._from_modes(getattr(self, which), grid)
        return table if self.window is None else table * self._inside(table)

    def _from_modes(self, modes: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """Mean over the grid of products of cosines and sines of the relative offset, resolution-free."""
        axes = [waves(size, modes) for size in table_shape(grid)]
        modes = modes.unflatten(-1, (2, 2, 2))
        with full_precision(modes):
            return torch.einsum("hdabcijk,iat,jby,kcx->hdtyx", modes, *axes) / math.prod(grid)

    def _inside(self, table: Tensor) -> Tensor:
        mask = table.new_ones(())
        for size, width in zip(table.shape[-3:], self.window, strict=True):
            near = (torch.arange(size, device=table.device) - size // 2).abs() <= width // 2
            mask = mask[..., None] * near.to(table.dtype)
        return mask

    def code(self, s: Float[Tensor, "B h D T H W"]) -> Float[Tensor, "B h D T H W"]:
        """phi: the pattern code from the structural patterns."""
        if self.phi == "softmax":
            return s.softmax(2)
        if self.phi == "l2":
            return l2norm(s, dim=2)
        return F.gelu(s) if self.phi == "gelu" else s

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("LiSA", self.qkv.in_features, x)
        grid = tuple(int(size) for size in x.shape[2:])  # plain numbers, under torch.jit.trace too
        qkv = self.qkv(x.movedim(1, -1)).movedim(-1, 1)
        P, R = (table.expand(self.heads, *table.shape[1:]) for table in self.tables(grid))
        q, k, v = self.split(qkv)
        if q.numel():
            lengths = fourier_lengths(grid, self.padding)
            spectra = 8 * q.element_size() * q.shape[1] * q.shape[2] * math.prod(lengths)  # of a head, about
            y = blockwise(self.mixed, q, k, v, P, R, bytes_each=spectra, again=True)
        else:  # FFT libraries refuse an empty batch
            y = q * (P * R).sum()
        return self.proj(y.transpose(0, 1).flatten(1, 2).movedim(1, -1).to(qkv.dtype)).movedim(-1, 1)

    def mixed(self, q: Tensor, k: Tensor, v: Tensor, P: Tensor, R: Tensor) -> Float[Tensor, "h B c T H W"]:
        """y of some heads, (h, B, c, T, H, W) each; their tables (h, D, 2T-1, 2H-1, 2W-1)."""
        grid, padding = tuple(int(size) for size in q.shape[-3:]), self.padding
        with full_precision(q):
            g = self.code(self.structure(q, k, P))
            R = table_spectrum(R, grid, padding).unbind(1)
            values = spectrum(v, padding)
            return sum(g[:, :, d, None] * filtered(values, r[:, None, None], grid, padding) for d, r in enumerate(R))

    def split(self, qkv: Float[Tensor, "B M T H W"]) -> tuple[Tensor, Tensor, Tensor]:
        """q, k and v, (h, B, c, T, H, W) each: heads apart, as what one makes then stays in the caches."""
        full = qkv.to(torch.promote_types(qkv.dtype, torch.float32))  # FFTs need it, and y is cubic in x
        return full.unflatten(1, (3, self.heads, -1)).permute(1, 2, 0, *range(3, 7)).unbind()

    def structure(self, q: Tensor, k: Tensor, P: Tensor) -> Float[Tensor, "h B D T H W"]:
        """s, the structural patterns of some heads: how far the keys around each query look like each P."""
        grid = tuple(int(size) for size in q.shape[-3:])
        P, keys = table_spectrum(P, grid, self.padding).unbind(1), spectrum(k, self.padding)
        s = [(q * filtered(keys, p[:, None, None], grid, self.padding)).sum(2) for p in P]
        return torch.stack(s, dim=2) / q.shape[2] ** 0.5

    def cost(self, x: tuple[int, ...]) -> Cost:
        B, C, *grid = x
        D, values = self.patterns, math.prod(x)
        codes = B * self.heads * D * math.prod(grid)
        lengths = fourier_lengths(grid, self.padding)
        spectra = B * C * math.prod(lengths[:2]) * (lengths[2] // 2 + 1)
        tables = next(self.parameters(recurse=False)).shape[0]
        convolution = real_fft(lengths, B * C + tables) + each(spectra, 6)  # back, and the table's
        phi = {"identity": Cost(), "softmax": each(codes, SOFTMAX), "gelu": each(codes, ACTIVATION)}
        code = each(codes) + (l2norm_cost(codes, codes / D) if self.phi == "l2" else phi[self.phi])
        return (
            products(values, 4 * C)
            + 2 * (D * convolution + real_fft(lengths, B * C) + self._table_cost(grid))
            + products(D * values)  # with the query
            + code
            + each(D * values, 2)  # weighed, and added to y
        )

    def _table_cost(self, grid: Sequence[int]) -> Cost:
        """Of making P, or R, for a grid."""
        sizes = table_shape(grid)
        maps = math.prod(next(self.parameters(recurse=False)).shape[:2])
        t, th, thw = (math.prod(sizes[:axes]) for axes in (1, 2, 3))  # entries over one axis, two, all
        if self.rpe == "dense":
            found = fitting(self.P.shape, grid)
        elif self.rpe == "separable":
            axes = zip((self.P_t, self.P_h, self.P_w), grid, strict=True)
            fitted = [fitting((*table.shape[:2], 1, 1, table.shape[2]), (1, 1, size)) for table, size in axes]
            found = sum(fitted, each(maps * (th + thw)))
        else:
            phases = each(MODES * sum(3 * size + 1 for size in sizes))
            sums = [(t, 8 * MODES**3), (th, 4 * MODES**2), (thw, 2 * MODES)]  # one axis after the other
            found = sum((products(maps * n, terms) for n, terms in sums), phases + each(maps * thw))
        return found if self.window is None else found + each(t + th + thw + maps * thw)

    def extra_repr(self) -> str:
        options = f"heads={self.heads}, patterns={self.patterns}, phi={self.phi}, rpe={self.rpe}"
        return f"{options}, padding={self.padding}, window={self.window}, grid={self.grid}"
