import itertools

import pytest
import torch

from vidops_cli.functional import reference
from vidops_cli.functional.relative import fit_table, pair_matrix, table_shape

GRIDS = [(1, 1, 1), (1, 4, 5), (3, 2, 4), (2, 3, 1)]


@pytest.mark.parametrize("grid", GRIDS)
def test_each_pair_reads_its_offset(grid):
    table = torch.randn(2, 3, *table_shape(grid))
    found = pair_matrix(table, grid)
    positions = list(itertools.product(*map(range, grid)))
    assert found.shape == (2, 3, len(positions), len(positions))
    for (i, n), (j, m) in itertools.product(enumerate(positions), enumerate(positions)):
        offset = [b - a + size - 1 for a, b, size in zip(n, m, grid, strict=True)]
        assert torch.equal(found[:, :, i, j], table[(..., *offset)])
    x = torch.randn(grid)
    torch.testing.assert_close((found @ x.flatten()).unflatten(-1, grid), reference.relative_conv(x, table))


def test_no_leading_axes_and_gradients():
    table = torch.randn(1, 3, 5, dtype=torch.float64, requires_grad=True)
    assert pair_matrix(table, (1, 2, 3)).shape == (6, 6)
    assert torch.autograd.gradcheck(lambda table: pair_matrix(table, (1, 2, 3)), table)


@pytest.mark.parametrize("made", [(2, 3, 3), (1, 5, 1), (4, 2, 7)])
@pytest.mark.parametrize("grid", GRIDS)
def test_a_table_is_fitted_about_its_centre(grid, made):
    """Offset d of an axis reads d (made - 1) / (size - 1), between its two neighbours; 0 always reads 0."""
    table = torch.randn(2, 3, *table_shape(made), dtype=torch.float64)
    found = fit_table(table, grid)
    assert found.shape == (2, 3, *table_shape(grid))
    for entry in itertools.product(*map(range, table_shape(grid))):
        true = 0
        places = [
            (d - size + 1) * (old - 1) / max(1, size - 1) + old - 1
            for d, size, old in zip(entry, grid, made, strict=True)
        ]
        for corner in itertools.product((0, 1), repeat=3):
            weight, at = 1.0, []
            for place, up in zip(places, corner, strict=True):
                low = int(place + 1e-9)
                weight *= place - low if up else 1 - (place - low)
                at.append(low + up)
            true = true + (weight * table[(..., *at)] if abs(weight) > 1e-6 else 0)
        torch.testing.assert_close(found[(..., *entry)], true)
    assert fit_table(table, made) is table


@pytest.mark.parametrize("grid", [(4, 4), (0, 4, 4), (1, -2, 3)])
def test_refuses_what_is_no_grid(grid):
    with pytest.raises(ValueError, match="grid"):
        table_shape(grid)
