import itertools

import pytest
import torch
from torch import nn

from vidops_cli.models.swin import SwinBlock, WindowAttention, joined, relative_index, shift_mask, windows
from vidops_cli.ops.sifa import SIFA
from vidops_cli.ops.temporal_conv import TemporalConv


def by_loops(op, x):
    """Attention of each position of one frame (C, H, W) over those of its shifted window, padding included."""
    C, H, W = x.shape
    size = (min(op.window, H), min(op.window, W))
    shift = op.shift if min(H, W) > op.window else 0
    grid = (H + -H % size[0], W + -W % size[1])
    padded = torch.zeros(C, *grid, dtype=x.dtype)
    padded[:, :H, :W] = x
    q, k, v = op.qkv(padded.movedim(0, -1)).unflatten(-1, (3, op.heads, -1)).unbind(2)  # H W heads c

    def window_of(at, side):
        """Which window, counting the part that the shift wraps around as a window of its own."""
        return -1 if at < shift else (at - shift) // side

    table = op.relative_position_bias_table.view(2 * op.window - 1, 2 * op.window - 1, op.heads)
    out = torch.zeros(*grid, C, dtype=x.dtype)
    places = list(itertools.product(range(grid[0]), range(grid[1])))
    for at in places:
        seen = [to for to in places if all(window_of(at[i], size[i]) == window_of(to[i], size[i]) for i in (0, 1))]
        heads = []
        for head in range(op.heads):
            logits = torch.stack(
                [
                    q[at][head] @ k[to][head] * q.shape[-1] ** -0.5
                    + table[at[0] - to[0] + op.window - 1, at[1] - to[1] + op.window - 1, head]
                    for to in seen
                ]
            )
            heads.append(sum(a * v[to][head] for a, to in zip(logits.softmax(0), seen, strict=True)))
        out[at] = torch.cat(heads)
    return op.proj(out).movedim(-1, 0)[:, :H, :W]


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("size", [(6, 6), (3, 6), (5, 7), (2, 4), (1, 1)])
def test_attention_as_loops(size, shift):
    torch.manual_seed(0)
    op = WindowAttention(4, heads=2, window=3, shift=shift).double()
    nn.init.normal_(op.relative_position_bias_table)
    x = torch.randn(1, 4, 2, *size, dtype=torch.float64)
    with torch.no_grad():
        y = op(x)
        for t in range(2):
            torch.testing.assert_close(y[0, :, t], by_loops(op, x[0, :, t]))


def test_windows_and_back():
    x = torch.randn(2, 6, 4, 3)
    cut = windows(x, (3, 2))
    assert cut.shape == (2, 4, 6, 3)
    assert torch.equal(cut[:, 1].flatten(), x[:, :3, 2:].flatten())  # the second window is to the right of the first
    assert torch.equal(joined(cut, (6, 4), (3, 2)), x)


def test_index_and_mask():
    index = relative_index(2, 2, 2)
    assert index.tolist() == [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]
    mask = shift_mask((4, 4), (2, 2), 1)
    assert mask.shape == (4, 4, 4)
    assert not mask[0].any()
    assert mask[3].tolist() == [[0 if i == j else -100 for j in range(4)] for i in range(4)]


@pytest.mark.parametrize("inside", [False, True])
def test_block_is_its_equation(inside):
    torch.manual_seed(0)
    block = SwinBlock(8, heads=2, window=3, shift=1, inside_branch=inside)
    assert not any(name.startswith("after_mixer") for name in block.state_dict())
    block.after_mixer = TemporalConv(8)
    nn.init.normal_(block.after_mixer.conv.weight)
    x = torch.randn(2, 8, 3, 6, 7)
    y = block.attn(block.norm1(x))
    z = x + block.after_mixer(y) if inside else block.after_mixer(x + y)
    torch.testing.assert_close(block(x), z + block.mlp(block.norm2(z)))


def test_frames_are_independent_until_an_operator_joins_them():
    block = SwinBlock(8, heads=2, window=3)
    x = torch.randn(1, 8, 3, 6, 6)
    other = x.clone()
    other[:, :, 1] += 1

    def changed():
        return (block(x) - block(other)).abs().amax(dim=(0, 1, 3, 4)).gt(1e-5).tolist()

    assert changed() == [False, True, False]
    block.after_mixer = SIFA(8, offsets="regular", norm=True)
    assert changed() == [False, True, False]  # it starts at zero
    nn.init.ones_(block.after_mixer.norm.weight)
    assert changed() == [True, True, False]


@pytest.mark.parametrize("size", [(6, 6), (5, 8), (2, 9)])
def test_gradients_reach_every_parameter(size):
    block = SwinBlock(8, heads=2, window=3, shift=1)
    x = torch.randn(2, 8, 2, *size, requires_grad=True)
    block(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in [x, *block.parameters()])


def test_empty_batch_and_autocast():
    block = SwinBlock(8, heads=2, window=4, shift=2)
    assert block(torch.randn(0, 8, 3, 8, 8)).shape == (0, 8, 3, 8, 8)
    x = torch.randn(1, 8, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        y = block(x)
    torch.testing.assert_close(y.float(), block(x), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("options", [{"heads": 3}, {"heads": 0}, {"window": 0}, {"shift": 4}, {"shift": -1}])
def test_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SwinBlock(8, **{"heads": 2, "window": 4, **options})
