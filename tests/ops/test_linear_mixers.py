"""Cross-covariance attention and linear attention: linear in the number of positions."""

import math

import pytest
import torch

from vidops_cli.ops.cross_covariance import CrossCovariance
from vidops_cli.ops.linear_attention import LinearAttention

GRID = (2, 3, 2)


def made(kind, channels=6, **options):
    torch.manual_seed(0)
    op = kind(channels, **{"heads": 2, **options}).double()
    x = torch.randn(1, channels, *GRID, dtype=torch.float64)
    parts = op.qkv(x.flatten(2).transpose(1, 2))[0].unflatten(-1, (3, 2, -1)).permute(1, 2, 0, 3)  # q k v, heads, N, c
    return op, x, parts.tolist()


def total(values):
    return math.fsum(values)


@torch.no_grad()
def test_cross_covariance_as_loops():
    op, x, parts = made(CrossCovariance)
    op.temperature.copy_(torch.tensor([0.5, 3.0]))
    N, c = math.prod(GRID), 3
    y = torch.zeros(N, 6, dtype=torch.float64)
    for head, (q, k, v) in enumerate(zip(*parts, strict=True)):
        length = [[math.sqrt(total(part[n][i] ** 2 for n in range(N)) + 1e-6) for i in range(c)] for part in (q, k)]
        for i in range(c):
            e = []
            for j in range(c):
                cosine = total(q[n][i] * k[n][j] for n in range(N)) / length[0][i] / length[1][j]
                e.append(math.exp(cosine * op.temperature[head].item()))
            for n in range(N):
                y[n, 3 * head + i] = total(e[j] / total(e) * v[n][j] for j in range(c))
    torch.testing.assert_close(op(x)[0].flatten(1).T, op.proj(y))


@torch.no_grad()
def test_linear_attention_as_loops():
    op, x, parts = made(LinearAttention)
    N, c = math.prod(GRID), 3
    y = torch.zeros(N, 6, dtype=torch.float64)

    def phi(value):
        return value + 1 if value > 0 else math.exp(value)

    for head, (q, k, v) in enumerate(zip(*parts, strict=True)):
        for n in range(N):
            alike = [total(phi(q[n][i]) * phi(k[m][i]) for i in range(c)) for m in range(N)]
            for i in range(c):
                y[n, 3 * head + i] = total(a * v[m][i] for m, a in enumerate(alike)) / (total(alike) + 1e-6)
    torch.testing.assert_close(op(x)[0].flatten(1).T, op.proj(y))


@pytest.mark.parametrize("kind", [CrossCovariance, LinearAttention])
@torch.no_grad()
def test_the_order_of_positions_is_not_seen(kind):
    op, x, _ = made(kind)
    order = torch.randperm(math.prod(GRID))
    shuffled = x.flatten(2)[..., order].view_as(x)
    torch.testing.assert_close(op(shuffled).flatten(2), op(x).flatten(2)[..., order])


@torch.no_grad()
def test_channels_are_mixed_alike_at_all_positions():
    """XCA is linear in the values once its c x c weights are known; they sum to 1, so that a constant value stays."""
    op, *_ = made(CrossCovariance)
    weights = op.attention(*torch.randn(2, 1, 2, 3, 12, dtype=torch.float64))
    assert weights.shape == (1, 2, 3, 3)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 2, 3, dtype=torch.float64))
    longer = op.attention(*(7 * torch.randn(2, 1, 2, 3, 12, dtype=torch.float64)))
    assert (op.temperature == 1).all() and longer.max() / longer.min() < math.e**2 + 1e-9  # cosines lie in -1 .. 1


@torch.no_grad()
def test_linear_attention_weighs_values_and_does_not_sharpen():
    op, x, _ = made(LinearAttention)
    op.qkv.weight[12:] = 0  # values are their bias at all positions
    torch.testing.assert_close(
        op(x), op.proj(op.qkv.bias[12:])[:, None, None, None].expand(1, -1, *GRID), rtol=1e-5, atol=1e-6
    )
    features = op.phi(torch.tensor([-50.0, -1.0, 0.0, 2.0]))
    assert features[-2:].tolist() == [1, 3] and (features >= 0).all()


@pytest.mark.parametrize("kind", [CrossCovariance, LinearAttention])
@pytest.mark.parametrize("heads", [0, 4])
def test_refuses(kind, heads):
    with pytest.raises(ValueError, match="heads do not divide 6 channels"):
        kind(6, heads=heads)
