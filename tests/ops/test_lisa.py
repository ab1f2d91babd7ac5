import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from vidops_cli.functional import relative_conv
from vidops_cli.ops.lisa import MODES, LiSA
from vidops_cli.textbook.lisa import forward as dense

GRID = (2, 2, 3)
POSITIONS = list(itertools.product(*map(range, GRID)))


def make(channels=4, **options):
    torch.manual_seed(0)
    op = LiSA(channels, **{"heads": 2, "patterns": 3, "grid": GRID, **options}).double()
    for table in op.parameters(recurse=False):  # larger than the initial noise, so that every offset counts
        torch.nn.init.normal_(table)
    return op


def phi(s, name):
    """The code of one position from its list of patterns."""
    if name == "softmax":
        return [math.exp(a) / sum(map(math.exp, s)) for a in s]
    if name == "l2":
        return [a / math.sqrt(sum(b * b for b in s) + 1e-6) for a in s]
    if name == "gelu":
        return [a * (1 + math.erf(a / math.sqrt(2))) / 2 for a in s]
    return s


def entry(table, n, m, padding):
    """table[m - n], or that of the nearest copy of m on the torus."""
    offset = [b - a for a, b in zip(n, m, strict=True)]
    if padding == "circular":
        offset = [(d + size // 2) % size - size // 2 for d, size in zip(offset, GRID, strict=True)]
    return table[tuple(d + size - 1 for d, size in zip(offset, GRID, strict=True))]


@pytest.mark.parametrize("padding", ["zero", "circular"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["identity", "softmax", "l2", "gelu"])
@torch.no_grad()
def test_equation_as_loops(name, shared, padding):
    op = make(phi=name, shared=shared, padding=padding)
    x = torch.randn(1, 4, *GRID, dtype=torch.float64)
    y = torch.zeros(4, *GRID, dtype=torch.float64)
    for h in range(2):
        P, R = (table[0 if shared else h] for table in (op.P, op.R))  # D, offsets
        width = slice(2 * h, 2 * h + 2)
        q, k, v = ({n: op.qkv(x[(0, slice(None), *n)])[4 * i : 4 * i + 4][width] for n in POSITIONS} for i in range(3))
        for n in POSITIONS:
            s = [
                sum((entry(P[d], n, m, padding) * (q[n] @ k[m])).item() for m in POSITIONS) / math.sqrt(2)
                for d in range(3)
            ]
            code = phi(s, name)
            for d, m in itertools.product(range(3), POSITIONS):
                y[(width, *n)] += code[d] * entry(R[d], n, m, padding) * v[m]
    true = op.proj(y.movedim(0, -1)).movedim(-1, 0)
    torch.testing.assert_close(op(x)[0], true)


def with_gradients(function, op, x):
    """The output, and the gradients of its weighted sum to x and to each parameter."""
    x = x.clone().requires_grad_()
    y = function(x)
    weigh = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).to(y.dtype)
    return [y.detach(), *torch.autograd.grad((y * weigh).sum(), [x, *op.parameters()])]


@pytest.mark.parametrize("grid", [(1, 7, 7), (1, 8, 8), (1, 14, 13), (2, 5, 6), (3, 5, 7), (4, 4, 6)])
@pytest.mark.parametrize("rpe", ["dense", "fourier", "separable"])
@pytest.mark.parametrize("padding", ["zero", "circular"])
def test_the_fft_path_is_the_dense_path_in_float32(padding, rpe, grid):
    """Forward and each gradient within 1e-5 of its largest entry; the N x N matrices are formed in float64."""
    torch.manual_seed(0)
    op, x = LiSA(16, heads=2, patterns=3, rpe=rpe, padding=padding, grid=grid), torch.randn(2, 16, *grid)
    ours = with_gradients(op, op, x)
    op = op.double()
    true = with_gradients(lambda x: dense(op, x), op, x.double())
    assert len(ours) == len(true) == (12 if rpe == "separable" else 8)
    for a, b in zip(ours, true, strict=True):
        assert a.dtype == torch.float32
        assert ((a - b).abs().max() / b.abs().max()).item() < 1e-5


@pytest.mark.parametrize("rpe", ["dense", "fourier", "separable"])
@pytest.mark.parametrize("name", ["identity", "softmax", "l2", "gelu"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_no_nan(dtype, name, rpe):
    """Nor at inputs of zero, whose code has no direction, in the output or in a gradient."""
    torch.manual_seed(0)
    op = LiSA(16, heads=2, phi=name, rpe=rpe, grid=(1, 14, 14))
    with torch.no_grad():
        op.qkv.bias.zero_()
    seen = 0
    for scale in (0, 1e-3, 1, 8):
        with torch.autocast("cpu", dtype):
            found = with_gradients(op, op, scale * torch.randn(2, 16, 1, 14, 14))
        assert found[0].dtype == dtype
        assert all(value.isfinite().all() for value in found)
        seen += len(found)
    assert seen == 4 * (12 if rpe == "separable" else 8)


@pytest.mark.parametrize("rpe", ["dense", "fourier", "separable"])
@torch.no_grad()
def test_autocast_rounds_projections_alone(rpe):
    """Tables, convolutions and codes are computed in float32; what the last projection takes is rounded once."""
    torch.manual_seed(0)
    op, x = LiSA(16, heads=2, rpe=rpe, grid=(1, 14, 14)), torch.randn(2, 16, 1, 14, 14)
    seen = []
    op.proj.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.autocast("cpu", torch.bfloat16):
        qkv = op.qkv(x.movedim(1, -1))
        op(x)
    op.qkv.register_forward_hook(lambda module, inputs, output: qkv.float())
    op(x)
    half, true = seen
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), true, rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize("rpe", ["dense", "fourier", "separable"])
@pytest.mark.parametrize("padding", ["zero", "circular"])
def test_an_empty_batch(padding, rpe):
    op, x = LiSA(16, rpe=rpe, padding=padding), torch.randn(0, 16, 2, 3, 3, requires_grad=True)
    y = op(x)
    assert y.shape == x.shape
    y.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in op.parameters())


@pytest.mark.parametrize("rpe", ["dense", "fourier", "separable"])
def test_other_grids_than_the_one_it_was_made_for(rpe):
    op = make(rpe=rpe)
    for grid in [(1, 4, 6), (2, 2, 3), (3, 5, 5), (1, 1, 1)]:
        sizes = tuple(2 * size - 1 for size in grid)
        assert all(table.shape == (2, 3, *sizes) for table in op.tables(grid))
        x = torch.randn(2, 4, *grid, dtype=torch.float64)
        assert op(x).shape == x.shape
        assert op(x).isfinite().all()


def test_dense_tables_are_interpolated_about_their_centre():
    op = make()
    P, R = op.tables(GRID)
    assert P is op.P
    assert R is op.R
    grown, _ = op.tables((3, 4, 6))
    torch.testing.assert_close(grown, F.interpolate(op.P, (5, 7, 11), mode="trilinear", align_corners=True))
    torch.testing.assert_close(grown[:, :, 2, 3, 5], op.P[:, :, 1, 1, 2])  # offset 0 stays offset 0
    torch.testing.assert_close(grown[:, :, 0, 6, 10], op.P[:, :, 0, 2, 4])  # the farthest stays the farthest
    shrunk, _ = op.tables((1, 2, 3))
    torch.testing.assert_close(shrunk[:, :, 0], op.P[:, :, 1])  # one frame has offset 0 alone


def test_separable_tables_are_products_of_their_axes():
    op = make(rpe="separable")
    P, _ = op.tables(GRID)
    for h, d, t, y, x in itertools.product(range(2), range(3), range(3), range(3), range(5)):
        torch.testing.assert_close(P[h, d, t, y, x], op.P_t[h, d, t] * op.P_h[h, d, y] * op.P_w[h, d, x])
    _, R = op.tables((3, 2, 1))
    long = F.interpolate(op.R_t, 5, mode="linear", align_corners=True)
    for h, d, t, y in itertools.product(range(2), range(3), range(5), range(3)):
        torch.testing.assert_close(R[h, d, t, y, 0], long[h, d, t] * op.R_h[h, d, y] * op.R_w[h, d, 2])


def test_fourier_tables_are_means_of_waves():
    op = make(rpe="fourier")
    _, R = op.tables((1, 3, 4))
    assert op.R.shape == (2, 3, MODES, MODES, MODES, 8)
    for y, x in itertools.product(range(5), range(7)):
        u, v = y / 2 - 1, x / 3 - 1  # -1 .. 1 over the offsets
        true = 0
        for a, b, c, kind in itertools.product(range(MODES), range(MODES), range(MODES), range(8)):
            waves = [(math.cos, math.sin)[kind >> bit & 1] for bit in (2, 1, 0)]
            true = true + op.R[:, :, a, b, c, kind] * waves[0](0) * waves[1](math.pi * b * u) * waves[2](
                math.pi * c * v
            )
        torch.testing.assert_close(R[:, :, 0, y, x], true / 12)  # a mean over the 3 x 4 positions


@pytest.mark.parametrize("rpe", ["dense", "fourier", "separable"])
@pytest.mark.parametrize("padding", ["zero", "circular"])
@torch.no_grad()
def test_window_restricts_the_influence(rpe, padding):
    """y[n] depends on x[m] exactly where m lies in the window around n."""
    window, grid, source = (1, 3, 5), (3, 6, 7), (1, 2, 1)
    op = make(rpe=rpe, window=window, padding=padding)
    x = torch.randn(1, 4, *grid, dtype=torch.float64)
    other = x.clone()
    other[(0, slice(None), *source)] += 1
    change = (op(x) - op(other)).abs().amax((0, 1))
    seen = 0
    for n in itertools.product(*map(range, grid)):
        distance = [abs(a - b) for a, b in zip(n, source, strict=True)]
        if padding == "circular":
            distance = [min(d, size - d) for d, size in zip(distance, grid, strict=True)]
        inside = all(d <= width // 2 for d, width in zip(distance, window, strict=True))
        seen += inside
        assert (change[n] > 1e-6) if inside else (change[n] < 1e-12), n
    assert seen == {"zero": 3 * 4, "circular": 3 * 5}[padding]


@torch.no_grad()
def test_without_a_window_all_positions_see_all():
    op = make()
    x = torch.randn(1, 4, *GRID, dtype=torch.float64)
    other = x.clone()
    other[0, :, 0, 0, 0] += 1
    assert (op(x) - op(other)).abs().amax((0, 1)).min() > 1e-6


@torch.no_grad()
def test_starts_near_a_delta_and_a_local_average():
    op = LiSA(16, heads=2, grid=(1, 5, 5))
    P, R = (table.mean((0, 1))[0] for table in (op.P, op.R))
    assert P[4, 4] > 0.9
    assert P.flatten().topk(2).values[1] < 0.1
    torch.testing.assert_close(R[4, 3] / R[4, 4], torch.tensor(0.5).exp().reciprocal(), atol=0.2, rtol=0)
    assert op.P.std(1).min() > 0  # the patterns differ


@pytest.mark.parametrize("grid", [(1, 14, 14), (4, 7, 8), (2, 3, 4)])
@torch.no_grad()
def test_fourier_starts_with_what_its_frequencies_hold(grid):
    """P is a blurred delta, and a sharp one where the grid has no other frequencies; R is wider, and one bump too."""
    torch.manual_seed(0)
    op = LiSA(16, heads=2, rpe="fourier", grid=grid)
    centre = tuple(size - 1 for size in grid)
    P, R = (table.mean((0, 1)) for table in op.tables(grid))
    for table in (P, R):
        assert table.argmax() == table.numel() // 2
        assert table[centre] > 1.5 / math.prod(grid)
        torch.testing.assert_close(table, table.flip(0, 1, 2), rtol=0, atol=0.01)
    assert P[centre] > R[centre]
    if max(grid) <= MODES:
        P[centre] -= 1
        assert P.abs().max() < 0.02
    assert op.P.std(1).min() > 0


@pytest.mark.parametrize(
    "options",
    [
        {"heads": 3},
        {"heads": 0},
        {"patterns": 0},
        {"phi": "relu"},
        {"rpe": "sparse"},
        {"padding": "reflect"},
        {"window": (1, 2, 3)},
        {"window": (3, 3)},
        {"grid": (0, 4, 4)},
        {"grid": (4, 4)},
    ],
)
def test_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        LiSA(4, **{"heads": 2, **options})


def test_refuses_other_channels():
    with pytest.raises(ValueError, match="16 channels, got 8"):
        LiSA(16)(torch.randn(1, 8, 1, 3, 3))


@pytest.mark.parametrize("rpe", ["dense", "fourier", "separable"])
@torch.no_grad()
def test_at_the_start_a_map_of_ones_stays_about_one(rpe):
    """R is near an average, P near a delta: both sum to about 1 over the positions, whatever the form."""
    torch.manual_seed(0)
    op = LiSA(16, heads=2, patterns=4, rpe=rpe)
    for table in op.tables((1, 14, 14)):
        found = relative_conv(torch.ones(1, 14, 14), table)[..., 0, 7, 7]
        assert found.shape == (2, 4)
        assert (found - 1).abs().max() < 0.3
