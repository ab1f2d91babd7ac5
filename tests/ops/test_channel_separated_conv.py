import itertools

import pytest
import torch

from vidops_cli.ops.channel_separated_conv import ChannelSeparatedConv


@pytest.mark.parametrize("interaction", ["preserved", "reduced"])
@pytest.mark.parametrize("kernel, stride", [((3, 3, 3), 1), ((1, 5, 3), 2)])
@torch.no_grad()
def test_equation_as_loops(interaction, kernel, stride):
    torch.manual_seed(0)
    op = ChannelSeparatedConv(3, interaction=interaction, kernel=kernel, stride=stride).double()
    x = torch.randn(2, 3, 3, 4, 5, dtype=torch.float64)
    T, H, W = x.shape[2:]
    y = torch.zeros(2, 3, T, -(-H // stride), -(-W // stride), dtype=torch.float64)
    for (t, i, j), d in itertools.product(
        itertools.product(*map(range, y.shape[2:])), itertools.product(*map(range, kernel))
    ):
        at = [
            place + step - size // 2 for place, step, size in zip((t, stride * i, stride * j), d, kernel, strict=True)
        ]
        if all(0 <= place < size for place, size in zip(at, (T, H, W), strict=True)):
            mixed = x[(..., *at)]
            if interaction == "preserved":
                mixed = mixed @ op.pointwise.weight[:, :, 0, 0].T
            y[:, :, t, i, j] += mixed * op.depthwise.weight[(slice(None), 0, *d)]
    torch.testing.assert_close(op(x), y)


@pytest.mark.parametrize("interaction, reached", [("preserved", 4), ("reduced", 1)])
@torch.no_grad()
def test_channels_that_a_channel_reaches(interaction, reached):
    torch.manual_seed(0)
    op, x = ChannelSeparatedConv(4, interaction=interaction), torch.randn(1, 4, 3, 5, 5)
    moved = x.clone()
    moved[:, 2] += 1
    changed = (op(moved) - op(x)).abs().amax((0, 2, 3, 4)) > 1e-4
    assert changed[2] and changed.sum() == reached


def test_weights_of_each_form():
    assert sum(p.numel() for p in ChannelSeparatedConv(16).parameters()) == 16 * 16 + 27 * 16
    assert sum(p.numel() for p in ChannelSeparatedConv(16, interaction="reduced").parameters()) == 27 * 16


@pytest.mark.parametrize(
    "options",
    [
        {"interaction": "none"},
        {"kernel": (3, 3)},
        {"kernel": (3, 4, 3)},
        {"stride": 0},
        {"out_channels": 8, "interaction": "reduced"},
    ],
)
def test_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        ChannelSeparatedConv(4, **options)
