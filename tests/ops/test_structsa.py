import itertools
import math

import pytest
import torch

from vidops_cli.ops.self_attention import SelfAttention
from vidops_cli.ops.structsa import StructSA


def make(channels=4, **options):
    torch.manual_seed(0)
    op = StructSA(channels, **{"heads": 2, "patterns": 3, **options}).double()
    torch.nn.init.normal_(op.U_K)  # not near a delta, so that every tap counts
    torch.nn.init.normal_(op.U_V)
    return op


@pytest.mark.parametrize(
    "grid, window",
    [((1, 3, 4), (1, 3, 3)), ((2, 2, 3), (3, 3, 3)), ((2, 1, 3), (1, 5, 7)), ((3, 2, 2), (3, 1, 1))],
)
@torch.no_grad()
def test_equation_as_loops(grid, window):
    """The zero-padded correlation map of each query, its D responses, and a window of values around each key."""
    op = make(window=window)
    positions = list(itertools.product(*map(range, grid)))
    taps = list(itertools.product(*map(range, window)))
    x = torch.randn(1, 4, *grid, dtype=torch.float64)
    y = torch.zeros(4, *grid, dtype=torch.float64)

    def around(j, tap):
        return tuple(a + d - size // 2 for a, d, size in zip(j, tap, window, strict=True))

    for h in range(2):
        width = slice(2 * h, 2 * h + 2)
        q, k, v = ({n: op.qkv(x[(0, slice(None), *n)])[4 * i : 4 * i + 4][width] for n in positions} for i in range(3))
        for i in positions:
            correlation = {j: (q[i] @ k[j]).item() / math.sqrt(2) for j in positions}
            e = {}
            for j, d in itertools.product(positions, range(3)):
                response = sum(op.U_K[(h, d, *tap)].item() * correlation.get(around(j, tap), 0.0) for tap in taps)
                e[j, d] = math.exp(response)
            for j, tap in itertools.product(positions, taps):
                m = around(j, tap)
                if m in v:
                    kernel = sum(e[j, d] * op.U_V[(h, d, *tap)].item() for d in range(3)) / sum(e.values())
                    y[(width, *i)] += kernel * v[m]
    torch.testing.assert_close(op(x)[0], op.proj(y.movedim(0, -1)).movedim(-1, 0))


@torch.no_grad()
def test_deltas_are_plain_attention_whatever_the_number_of_patterns():
    torch.manual_seed(0)
    op, plain = StructSA(16), SelfAttention(16)
    plain.load_state_dict({name: value for name, value in op.state_dict().items() if not name.startswith("U_")})
    x = torch.randn(2, 16, 2, 5, 6)
    for kernels in (op.U_K, op.U_V):
        kernels.zero_()
        kernels[:, :, 0, 1, 1] = 1
    torch.testing.assert_close(op(x), plain(x))
    op.U_K[:, 3] = 7.0  # this pattern now sees something else
    assert (op(x) - plain(x)).abs().max() > 1e-3


@torch.no_grad()
def test_starts_near_plain_attention_with_patterns_that_differ():
    torch.manual_seed(0)
    op = StructSA(16, window=(3, 3, 3))
    for kernels in (op.U_K, op.U_V):
        assert kernels.shape == (8, 8, 3, 3, 3)
        assert (kernels[:, :, 1, 1, 1] - 1).abs().max() < 0.1
        kernels = kernels.clone()
        kernels[:, :, 1, 1, 1] -= 1
        assert kernels.abs().max() < 0.1
        assert kernels.std(1).min() > 0


@torch.no_grad()
def test_structures_are_correlations_of_a_map_with_each_kernel():
    op = make()
    maps, U = torch.randn(1, 2, 3, 2, 3, 4, dtype=torch.float64), torch.zeros_like(op.U_K)
    U[1, 2, 0, 2, 1] = 1  # the lower neighbour
    found = op.structures(maps, U).unflatten(2, (3, 2, 3, 4))  # B h D T H W c
    true = torch.zeros_like(found)
    true[:, 1, 2, :, :-1] = maps[:, 1, :, :, 1:].movedim(1, -1)
    assert torch.equal(found, true)


def test_an_empty_batch():
    op, x = StructSA(16), torch.randn(0, 16, 2, 3, 3, requires_grad=True)
    y = op(x)
    assert y.shape == x.shape
    y.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in op.parameters())


@pytest.mark.parametrize(
    "options",
    [
        {"heads": 3},
        {"heads": 0},
        {"patterns": 0},
        {"window": (1, 2, 3)},
        {"window": (2, 3, 3)},
        {"window": (3, 3)},
        {"window": (1, -1, 3)},
    ],
)
def test_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        StructSA(4, **{"heads": 2, **options})


def test_refuses_other_channels():
    with pytest.raises(ValueError, match="16 channels, got 8"):
        StructSA(16)(torch.randn(1, 8, 1, 3, 3))
