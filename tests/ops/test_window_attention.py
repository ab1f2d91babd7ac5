import itertools
import math

import pytest
import torch

from vidops_cli.models.swin import WindowAttention as OfFrames
from vidops_cli.ops.self_attention import SelfAttention
from vidops_cli.ops.window_attention import WindowAttention


def make(channels=4, **options):
    torch.manual_seed(0)
    op = WindowAttention(channels, **{"heads": 2, "window": (2, 3, 2), **options}).double()
    torch.nn.init.normal_(op.relative_position_bias_table)  # larger than the initial noise, so that all of it counts
    return op


@pytest.mark.parametrize("grid", [(2, 6, 4), (3, 4, 5), (1, 7, 3), (5, 2, 1)])
@pytest.mark.parametrize("shift", [False, True])
@torch.no_grad()
def test_equation_as_loops(grid, shift):
    """Of a padded map nothing but the map is seen: each position attends to those between the same cuts."""
    op, sides = make(shift=shift), (2, 3, 2)
    x = torch.randn(1, 4, *grid, dtype=torch.float64)
    positions = list(itertools.product(*map(range, grid)))
    by = [side // 2 if shift and size > side else 0 for size, side in zip(grid, sides, strict=True)]
    box = {n: tuple((p - b) // side for p, b, side in zip(n, by, sides, strict=True)) for n in positions}
    table = op.relative_position_bias_table.view(3, 5, 3, 2)
    y = torch.zeros(4, *grid, dtype=torch.float64)
    for h in range(2):
        width = slice(2 * h, 2 * h + 2)
        q, k, v = ({n: op.qkv(x[(0, slice(None), *n)])[4 * i : 4 * i + 4][width] for n in positions} for i in range(3))
        for n in positions:
            e = {}
            for m in (m for m in positions if box[m] == box[n]):
                offset = [a - b + side - 1 for a, b, side in zip(n, m, sides, strict=True)]
                e[m] = math.exp((q[n] @ k[m]).item() / math.sqrt(2) + table[(*offset, h)].item())
            y[(width, *n)] = sum(weight / sum(e.values()) * v[m] for m, weight in e.items())
    torch.testing.assert_close(op(x)[0], op.proj(y.movedim(0, -1)).movedim(-1, 0))


@torch.no_grad()
def test_one_window_over_the_whole_map_is_attention_with_a_relative_bias():
    op, grid = make(window=(2, 3, 4)), (2, 3, 4)
    plain = SelfAttention(4, heads=2, rpe="bias", grid=grid).double()
    state = {name: value for name, value in op.state_dict().items() if not name.startswith("relative")}
    R = op.relative_position_bias_table.view(3, 5, 7, 2).permute(3, 0, 1, 2).flip(1, 2, 3)  # B^[n - m], R[m - n]
    plain.load_state_dict({**state, "R": R})
    x = torch.randn(2, 4, *grid, dtype=torch.float64)
    torch.testing.assert_close(op(x), plain(x))


@pytest.mark.parametrize("shift, seen", [(False, {2, 3}), (True, {1, 2})])
@torch.no_grad()
def test_what_a_position_sees(shift, seen):
    """Windows of two columns: the shifted ones reach over the border of the others, and not around the map."""
    op, x = make(window=(1, 1, 2), shift=shift), torch.randn(1, 4, 1, 1, 5, dtype=torch.float64)
    felt = set()
    for column in range(5):
        moved = x.clone()
        moved[..., column] += 1
        if (op(moved) - op(x))[..., 2].abs().max() > 1e-9:
            felt.add(column)
    assert felt == seen


@torch.no_grad()
def test_padded_zeros_take_part_only_if_told():
    x = torch.randn(1, 4, 1, 3, 5, dtype=torch.float64)
    masked, zero = make(window=(1, 3, 3)), make(window=(1, 3, 3), padding="zero")
    torch.testing.assert_close(masked(x)[..., 3:], masked(x[..., 3:]))
    assert (zero(x) - masked(x))[..., 3:].abs().max() > 1e-3
    torch.testing.assert_close(zero(x)[..., :3], masked(x)[..., :3])


@torch.no_grad()
def test_swins_attention_of_frames_is_this_one():
    torch.manual_seed(0)
    swin, op = OfFrames(8, heads=2, window=4, shift=2), WindowAttention(8, heads=2, window=(1, 4, 4), shift=True)
    op.load_state_dict(swin.state_dict())
    x = torch.randn(2, 8, 3, 8, 12)
    assert torch.equal(op(x), swin(x))
    assert list(swin.state_dict()) == [
        "relative_position_bias_table",
        *(f"{layer}.{part}" for layer in ("qkv", "proj") for part in ("weight", "bias")),
    ]


@pytest.mark.parametrize(
    "options",
    [{"heads": 3}, {"heads": 0}, {"window": (7, 7)}, {"window": (1, 0, 7)}, {"padding": "reflect"}],
)
def test_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        make(**options)
