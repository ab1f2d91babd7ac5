"""The global filter and AFNO: mixers by Fourier transforms."""

import cmath
import itertools
import math

import pytest
import torch

from vidops_cli.ops.afno import AFNO
from vidops_cli.ops.global_filter import GlobalFilter


def positions(grid):
    return list(itertools.product(*map(range, grid)))


def transform(values, grid, sign):
    """Sums over all positions of a map with exp(sign 2 pi i k n / size), scaled by 1 / sqrt(N)."""
    scale = 1 / math.sqrt(math.prod(grid))
    turns = {(k, n): sum(a * b / size for a, b, size in zip(k, n, grid, strict=True)) for k in values for n in values}
    return {k: scale * sum(values[n] * cmath.exp(sign * 2j * cmath.pi * turns[k, n]) for n in values) for k in values}


def as_map(x):
    return {n: x[n].item() for n in positions(x.shape)}


def kept(n, grid):
    """Where the half of the spectrum that is kept holds a frequency or its conjugate, and whether it is that one."""
    if n[2] <= grid[2] // 2:
        return n, False
    return tuple(-a % size for a, size in zip(n, grid, strict=True)), True


def real_inverse(half, grid):
    """The real map of half a spectrum."""
    whole = {}
    for n in positions(grid):
        place, mirrored = kept(n, grid)
        whole[n] = half[place].conjugate() if mirrored else half[place]
    return {n: value.real for n, value in transform(whole, grid, 1).items()}


@pytest.mark.parametrize("grid", [(2, 3, 4), (1, 2, 5)])
@torch.no_grad()
def test_global_filter_as_loops(grid):
    torch.manual_seed(0)
    op, x = GlobalFilter(2, grid=grid).double(), torch.randn(1, 2, *grid, dtype=torch.float64)
    assert op.K.shape == (2, *grid[:2], grid[2] // 2 + 1, 2)
    y = op(x)
    for c in range(2):
        spectrum = transform(as_map(x[0, c]), grid, -1)
        half = {n: spectrum[n] * complex(*op.K[(c, *n)].tolist()) for n in spectrum if n[2] <= grid[2] // 2}
        for n, value in real_inverse(half, grid).items():
            assert y[(0, c, *n)].item() == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("expansion", [1, 2])
@pytest.mark.parametrize("grid", [(2, 2, 4), (1, 3, 5)])
@torch.no_grad()
def test_afno_as_loops(grid, expansion):
    torch.manual_seed(0)
    op, x = AFNO(4, blocks=2, expansion=expansion).double(), torch.randn(1, 4, *grid, dtype=torch.float64)
    for part in op.parameters():
        part.mul_(20)  # so that the threshold leaves some and takes others
    spectra, halves = [transform(as_map(x[0, c]), grid, -1) for c in range(4)], [{} for _ in range(4)]
    W1, b1, W2, b2 = (torch.view_as_complex(part).tolist() for part in (op.W1, op.b1, op.W2, op.b2))

    def each(u, function):
        return complex(function(u.real), function(u.imag))

    for n in positions(grid):
        for block in range(2):
            z = [spectra[2 * block + i][n] for i in range(2)]
            hidden = [
                each(sum(z[i] * W1[block][i][j] for i in range(2)) + b1[block][0][j], lambda u: max(u, 0.0))
                for j in range(2 * expansion)
            ]
            for i in range(2):
                u = sum(value * W2[block][j][i] for j, value in enumerate(hidden)) + b2[block][0][i]
                halves[2 * block + i][n] = each(u, lambda u: math.copysign(max(abs(u) - 0.01, 0), u))
    y = op(x)
    for c in range(4):
        for n, value in real_inverse(halves[c], grid).items():
            assert y[(0, c, *n)].item() == pytest.approx(value + x[(0, c, *n)].item(), abs=1e-11)


@torch.no_grad()
def test_the_filter_follows_a_map_that_is_rolled_around():
    """AFNO does not: its relu acts on real and imaginary parts, which turn into each other."""
    torch.manual_seed(0)
    x = torch.randn(2, 8, 3, 5, 6)
    op, other = GlobalFilter(8, grid=(3, 5, 6)), AFNO(8, threshold=0.0)
    rolled, rolled_back = x.roll((1, 2, 3), (2, 3, 4)), [(-1, -2, -3), (2, 3, 4)]
    torch.testing.assert_close(op(rolled).roll(*rolled_back), op(x))
    assert (other(rolled).roll(*rolled_back) - other(x)).abs().max() > 1e-2


@pytest.mark.parametrize("kind", [GlobalFilter, AFNO])
@torch.no_grad()
def test_frequencies_are_apart_and_channels_of_a_block_together(kind):
    torch.manual_seed(0)
    op, x, wave = kind(16), torch.randn(1, 16, 3, 5, 6), torch.zeros(3, 5, 4, dtype=torch.complex64)
    wave[1, 2, 2] = 9 + 5j
    for part in op.parameters():
        part.mul_(30)  # far from the threshold
    moved = x.clone()
    moved[:, 4] += torch.fft.irfftn(wave, (3, 5, 6), norm="ortho")
    change = torch.fft.rfftn(op(moved) - op(x), dim=(2, 3, 4)).abs() > 1e-3
    assert change[0, 4, 1, 2, 2] and not change[..., 0].any()
    assert change.sum((2, 3, 4)).tolist() == [[c in ((4, 5) if kind is AFNO else (4,)) for c in range(16)]]


@torch.no_grad()
def test_the_filter_is_linear_and_afno_is_not():
    torch.manual_seed(0)
    x = torch.randn(1, 8, 2, 4, 6)
    linear, adaptive = GlobalFilter(8), AFNO(8)
    torch.testing.assert_close(linear(3 * x), 3 * linear(x))
    change, more = adaptive(x) - x, adaptive(30 * x) - 30 * x
    assert (more - 30 * change).norm() > 0.1 * more.norm()


@torch.no_grad()
def test_ones_are_the_identity_on_any_grid():
    op, x = GlobalFilter(3, grid=(2, 5, 4)), torch.randn(1, 3, 4, 7, 6)
    op.K.copy_(torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(op(x), x)
    torch.testing.assert_close(op(x[:, :, :1]), x[:, :, :1])


@torch.no_grad()
def test_a_threshold_above_all_leaves_x():
    x = torch.randn(1, 8, 2, 4, 6)
    torch.testing.assert_close(AFNO(8, threshold=1e3)(x), x)
    assert (AFNO(8)(x) - x).abs().max() > 1e-3


@pytest.mark.parametrize(
    "kind, options",
    [
        (GlobalFilter, {"grid": (14, 14)}),
        (GlobalFilter, {"grid": (0, 3, 3)}),
        (AFNO, {"blocks": 3}),
        (AFNO, {"blocks": 0}),
        (AFNO, {"threshold": -0.1}),
        (AFNO, {"expansion": 0}),
    ],
)
def test_refuses(kind, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        kind(16, **options)
