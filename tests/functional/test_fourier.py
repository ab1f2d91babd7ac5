import itertools

import pytest
import torch

from vidops_cli.functional import reference, relative_conv
from vidops_cli.functional.fourier import fast_length, fit_spectrum

GRIDS = [(1, 4, 5), (1, 7, 7), (1, 1, 1), (2, 5, 3), (3, 4, 4), (4, 2, 6), (5, 3, 1)]


def table_shape(*grid):
    return tuple(2 * size - 1 for size in grid)


def with_gradients(function, inputs, weigh):
    leaves = [x.detach().requires_grad_() for x in inputs]
    y = function(*leaves)
    return [y.detach(), *torch.autograd.grad((y * weigh).sum(), leaves)]


def relative_error(a, b):
    return ((a - b).abs().max() / b.abs().max().clamp(min=1)).item()


@pytest.mark.parametrize("padding", ["zero", "circular"])
@pytest.mark.parametrize("grid", GRIDS)
def test_equals_the_dense_product(grid, padding):
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, *grid), torch.randn(3, *table_shape(*grid))]
    weigh = torch.randn(2, 3, *grid, dtype=torch.float64)
    doubles = [x.double() for x in inputs]
    true = with_gradients(lambda x, table: reference.relative_conv(x, table, padding=padding), doubles, weigh)
    ours = with_gradients(lambda x, table: relative_conv(x, table, padding=padding), doubles, weigh)
    torch.testing.assert_close(ours, true, rtol=1e-10, atol=1e-10)
    ours = with_gradients(lambda x, table: relative_conv(x, table, padding=padding), inputs, weigh.float())
    assert len(ours) == len(true) == 3
    for a, b in zip(ours, true, strict=True):
        assert a.dtype == torch.float32
        assert relative_error(a.double(), b) < 1e-5


@pytest.mark.parametrize("padding", ["zero", "circular"])
@pytest.mark.parametrize("grid", [(1, 2, 3), (2, 3, 2), (3, 1, 4)])
@pytest.mark.parametrize("form", [relative_conv, reference.relative_conv])
def test_equals_loops_over_single_positions(form, grid, padding):
    """y[n] = sum over m of table[m - n] x[m]; on the torus m - n lies in -(size // 2) .. size - 1 - size // 2."""
    torch.manual_seed(0)
    x, table = torch.randn(*grid, dtype=torch.float64), torch.randn(*table_shape(*grid), dtype=torch.float64)
    true = torch.zeros_like(x)
    positions = list(itertools.product(*map(range, grid)))
    for n, m in itertools.product(positions, positions):
        offset = [b - a for a, b in zip(n, m, strict=True)]
        if padding == "circular":
            offset = [(d + size // 2) % size - size // 2 for d, size in zip(offset, grid, strict=True)]
        true[n] += table[tuple(d + size - 1 for d, size in zip(offset, grid, strict=True))] * x[m]
    torch.testing.assert_close(form(x, table, padding=padding), true)


@pytest.mark.parametrize("padding", ["zero", "circular"])
def test_leading_axes_broadcast(padding):
    x, table = torch.randn(2, 4, 3, 2, 3, 4).double(), torch.randn(4, 1, 3, 5, 7).double()
    y = relative_conv(x, table, padding=padding)
    assert y.shape == x.shape
    for b, h, c in itertools.product(range(2), range(4), range(3)):
        torch.testing.assert_close(y[b, h, c], relative_conv(x[b, h, c], table[h, 0], padding=padding))


def test_a_delta_moves_nothing_and_an_offset_reads_the_neighbour():
    x = torch.randn(1, 4, 5)
    table = torch.zeros(1, 7, 9)
    table[0, 3, 4] = 1
    torch.testing.assert_close(relative_conv(x, table), x)
    table = torch.roll(table, 1, dims=2)  # offset (0, 0, 1)
    y = relative_conv(x, table)
    torch.testing.assert_close(y[:, :, :-1], x[:, :, 1:])
    torch.testing.assert_close(y[:, :, -1], torch.zeros(1, 4))


def test_first_and_second_derivatives():
    x, table = torch.randn(2, 1, 2, 3).double().requires_grad_(), torch.randn(2, 1, 3, 5).double().requires_grad_()
    for padding in ("zero", "circular"):
        assert torch.autograd.gradcheck(lambda x, t, p=padding: relative_conv(x, t, padding=p), (x, table))
        assert torch.autograd.gradgradcheck(lambda x, t, p=padding: relative_conv(x, t, padding=p), (x, table))


@pytest.mark.parametrize("padding", ["zero", "circular"])
def test_autocast_computes_in_float32(padding):
    torch.manual_seed(0)
    x, table = torch.randn(2, 3, 1, 7, 6).bfloat16(), torch.randn(3, 1, 13, 11).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = relative_conv(x, table, padding=padding)
    assert y.dtype == torch.bfloat16
    true = reference.relative_conv(x.double(), table.detach().double(), padding=padding)
    assert relative_error(y.double(), true) < 2**-8  # the rounding of the output alone
    (grad,) = torch.autograd.grad(y.sum(), table)
    assert grad.isfinite().all()


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # sizes become constants, as they shall
@pytest.mark.parametrize("padding", ["zero", "circular"])
@pytest.mark.parametrize("grid", GRIDS)
def test_traced_gives_the_same_value(grid, padding):
    x, table = torch.randn(2, 3, *grid), torch.randn(3, *table_shape(*grid))
    traced = torch.jit.trace(lambda x, table: relative_conv(x, table, padding=padding), (x, table))
    x, table = torch.randn_like(x), torch.randn_like(table)
    torch.testing.assert_close(traced(x, table), relative_conv(x, table, padding=padding))


@pytest.mark.parametrize("padding", ["zero", "circular"])
def test_nothing_is_convolved_to_nothing(padding):
    x, table = torch.randn(0, 2, 3, 4, 5, requires_grad=True), torch.randn(2, 5, 7, 9, requires_grad=True)
    y = relative_conv(x, table, padding=padding)
    assert y.shape == x.shape
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert torch.equal(table.grad, torch.zeros_like(table))
    assert relative_conv(x.detach(), table.double(), padding=padding).dtype == x.dtype


def test_fast_length_is_the_next_product_of_two_three_and_five():
    smooth = sorted(2**a * 3**b * 5**c for a in range(9) for b in range(6) for c in range(5))
    for n in range(1, 200):
        assert fast_length(n) == next(s for s in smooth if s >= n)


@pytest.mark.parametrize("table", [(1, 6, 9), (1, 7, 8), (3, 7, 9), (1, 4, 5)])
def test_refuses_a_table_that_does_not_fit(table):
    with pytest.raises(ValueError, match="needs a table"):
        relative_conv(torch.randn(1, 4, 5), torch.randn(table))


def test_refuses_an_unknown_padding():
    with pytest.raises(ValueError, match="padding"):
        relative_conv(torch.randn(1, 4, 5), torch.randn(1, 7, 9), padding="reflect")


@pytest.mark.parametrize("learned, grid", [((1, 4, 5), (2, 8, 10)), ((3, 7, 7), (3, 14, 14)), ((2, 3, 2), (4, 6, 8))])
def test_frequencies_that_two_grids_share_are_the_same(learned, grid):
    """Twice as fine: every second one is that which was learned, and the others lie in the middle."""
    half = torch.fft.rfftn(torch.randn(2, *learned, dtype=torch.float64), dim=(1, 2, 3))
    found = fit_spectrum(half, learned, grid)
    assert found.shape == (2, *grid[:2], grid[2] // 2 + 1)
    steps = [new // old for old, new in zip(learned, grid, strict=True)]
    shared = found[:, :: steps[0], :: steps[1], :: steps[2]]
    torch.testing.assert_close(shared, half[..., : shared.shape[-1]])
    if grid[1:] == (14, 14):
        torch.testing.assert_close(found[:, :, ::2, 1], (half[..., 0] + half[..., 1]) / 2)
        torch.testing.assert_close(found[:, :, 13, 0], (half[:, :, 6, 0] + half[:, :, 0, 0]) / 2)  # around the period
    real = torch.fft.irfftn(found, grid, dim=(1, 2, 3))  # of a real map: the spectrum is its own conjugate mirrored
    torch.testing.assert_close(torch.fft.rfftn(real, dim=(1, 2, 3)), found)
    assert fit_spectrum(half, learned, learned) is half
