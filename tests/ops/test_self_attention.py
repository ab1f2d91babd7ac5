import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from vidops_cli.ops.self_attention import SelfAttention

GRID = (2, 2, 3)
POSITIONS = list(itertools.product(*map(range, GRID)))


def make(channels=4, **options):
    torch.manual_seed(0)
    op = SelfAttention(channels, **{"heads": 2, "grid": GRID, **options}).double()
    for table in op.parameters(recurse=False):  # larger than the initial noise, so that every offset counts
        torch.nn.init.normal_(table)
    return op


@pytest.mark.parametrize("rpe", ["none", "bias", "multiplicative"])
@torch.no_grad()
def test_equation_as_loops(rpe):
    op = make(rpe=rpe)
    x = torch.randn(1, 4, *GRID, dtype=torch.float64)
    y = torch.zeros(4, *GRID, dtype=torch.float64)
    for h in range(2):
        width = slice(2 * h, 2 * h + 2)
        q, k, v = ({n: op.qkv(x[(0, slice(None), *n)])[4 * i : 4 * i + 4][width] for n in POSITIONS} for i in range(3))
        for n in POSITIONS:
            R = {}
            for m in POSITIONS:
                offset = [b - a + size - 1 for a, b, size in zip(n, m, GRID, strict=True)]
                R[m] = 0 if rpe == "none" else op.R[(h, *offset)].item()
            added = {m: R[m] if rpe == "bias" else 0 for m in POSITIONS}
            e = {m: math.exp((q[n] @ k[m]).item() / math.sqrt(2) + added[m]) for m in POSITIONS}
            for m in POSITIONS:
                y[(width, *n)] += e[m] / sum(e.values()) * (R[m] if rpe == "multiplicative" else 1) * v[m]
    torch.testing.assert_close(op(x)[0], op.proj(y.movedim(0, -1)).movedim(-1, 0))


def test_by_default_it_is_plain_attention(monkeypatch):
    masks = []
    plain = F.scaled_dot_product_attention
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda q, k, v, attn_mask=None: masks.append(attn_mask) or plain(q, k, v)
    )
    torch.manual_seed(0)
    op = SelfAttention(16)
    assert [name for name, _ in op.named_parameters()] == ["qkv.weight", "qkv.bias", "proj.weight", "proj.bias"]
    torch.manual_seed(0)
    qkv, proj = torch.nn.Linear(16, 48), torch.nn.Linear(16, 16)
    assert torch.equal(op.qkv.weight, qkv.weight)  # drawn in this order, and nothing else before them
    assert torch.equal(op.proj.weight, proj.weight)
    op(torch.randn(1, 16, 1, 3, 3))
    assert masks == [None]


@pytest.mark.parametrize("rpe, neutral", [("bias", 0.0), ("multiplicative", 1.0)])
@torch.no_grad()
def test_neutral_tables_change_nothing_and_it_starts_near_them(rpe, neutral):
    torch.manual_seed(0)
    op, plain = SelfAttention(16, rpe=rpe), SelfAttention(16)
    assert op.R.shape == (8, 1, 27, 27)
    assert (op.R.mean() - neutral).abs() < 0.01
    assert 0.01 < op.R.std() < 0.03
    plain.load_state_dict({name: value for name, value in op.state_dict().items() if name != "R"})
    x = torch.randn(2, 16, 1, 5, 6)
    assert not torch.equal(op(x), plain(x))
    op.R.fill_(neutral)
    torch.testing.assert_close(op(x), plain(x))


@torch.no_grad()
def test_multiplied_weights_are_not_renormalised():
    op = make(rpe="multiplicative", bias=False)
    x = torch.randn(1, 4, *GRID, dtype=torch.float64)
    once = op(x)
    op.R *= 2
    torch.testing.assert_close(op(x), 2 * once)


@pytest.mark.parametrize("rpe", ["bias", "multiplicative"])
@torch.no_grad()
def test_other_grids_read_an_interpolated_table(rpe):
    op = make(rpe=rpe)
    for grid in [(3, 4, 5), (2, 2, 2), (4, 3, 2)]:
        other = make(rpe=rpe, grid=grid)
        other.load_state_dict({**op.state_dict(), "R": other.R})
        sizes = [2 * size - 1 for size in grid]
        other.R.copy_(F.interpolate(op.R[None], sizes, mode="trilinear", align_corners=True)[0])
        x = torch.randn(2, 4, *grid, dtype=torch.float64)
        torch.testing.assert_close(op(x), other(x))
    torch.testing.assert_close(op.relative((1, 1, 1)), op.R[:, 1, 1, 2, None, None])  # offset 0 is its centre


@pytest.mark.parametrize("rpe", ["none", "bias", "multiplicative"])
def test_an_empty_batch(rpe):
    op, x = SelfAttention(16, rpe=rpe), torch.randn(0, 16, 2, 3, 3, requires_grad=True)
    y = op(x)
    assert y.shape == x.shape
    y.sum().backward()
    assert all(not p.grad.any() for name, p in op.named_parameters() if name != "R" or p.grad is not None)


@pytest.mark.parametrize(
    "options", [{"heads": 3}, {"heads": 0}, {"rpe": "additive"}, {"grid": (0, 4, 4)}, {"grid": (4, 4)}]
)
def test_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SelfAttention(4, **{"heads": 2, "rpe": "bias", **options})


def test_refuses_other_channels():
    with pytest.raises(ValueError, match="16 channels, got 8"):
        SelfAttention(16)(torch.randn(1, 8, 1, 3, 3))
