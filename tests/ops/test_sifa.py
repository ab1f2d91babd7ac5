import itertools
import math

import pytest
import torch

from vidops_cli.ops import sifa
from vidops_cli.ops.sifa import OFFSETS, SIFA
from vidops_cli.profiling.cost import count


def read(frame, y, x):
    """Channels of a frame (C, H, W) at a point, by the four pixels around it."""
    _, H, W = frame.shape
    value = torch.zeros_like(frame[:, 0, 0])
    for row, column in itertools.product(*[(math.floor(a), math.floor(a) + 1) for a in (y, x)]):
        if 0 <= row < H and 0 <= column < W:
            value = value + (1 - abs(y - row)) * (1 - abs(x - column)) * frame[:, row, column]
    return value


def convolved(frames, weight, t, row, column):
    """One position of a zero-padded convolution of a list of frames (C, H, W); frame t is under the kernel's middle."""
    total = torch.zeros_like(weight[:, 0, 0, 0, 0])
    for i, j, k in itertools.product(*map(range, weight.shape[2:])):
        at = (t + i - weight.shape[2] // 2, row + j - 1, column + k - 1)
        if 0 <= at[0] < len(frames) and 0 <= at[1] < frames[0].shape[1] and 0 <= at[2] < frames[0].shape[2]:
            total = total + weight[:, :, i, j, k] @ frames[at[0]][:, at[1], at[2]]
    return total


def as_loops(op, x):
    """The equation, one position and tap at a time."""
    C, T, H, W = x.shape
    K, size = op.kernel, C // op.groups
    f = list(x.unbind(1))
    modulated = [f[0], *(g * ((op.modulation == "released") + torch.sigmoid(g - h)) for h, g in itertools.pairwise(f))]
    difference = [f[0], *(g - h for h, g in itertools.pairwise(f))]
    convolved_over = {"motion": modulated, "next": f, "conv3d": f, "difference": difference}
    y = torch.zeros_like(x)
    for t, row, column in itertools.product(range(T - 1), range(H), range(W)):
        D = torch.zeros(2 * K * K, dtype=x.dtype)
        if op.offsets in convolved_over:
            D = convolved(convolved_over[op.offsets], op.conv_offset.weight, t + 1, row, column)
        for k in range(K * K):
            dy, dx = (k // K - K // 2) * op.dilation + D[2 * k], (k % K - K // 2) * op.dilation + D[2 * k + 1]
            s = read(f[t + 1], row + dy.item(), column + dx.item())
            for group in range(op.groups):
                own = slice(group * size, (group + 1) * size)
                a = (f[t][own, row, column] @ s[own]) / C
                y[own, t, row, column] += a * s[own]
    if op.norm is not None:
        y = torch.nn.functional.layer_norm(y.movedim(0, -1), (C,), op.norm.weight, op.norm.bias).movedim(-1, 0)
    return x + y


@pytest.mark.parametrize(
    "options",
    [
        *({"offsets": offsets} for offsets in OFFSETS),
        {"modulation": "paper"},
        {"kernel": 1},
        {"kernel": 5, "dilation": 2, "groups": 2},
        {"groups": 4, "norm": True},
        {"offsets": "colocated", "groups": 2},
        {"offsets": "regular", "norm": True, "dilation": 2},
    ],
)
def test_equation_as_loops(options):
    torch.manual_seed(0)
    op = SIFA(4, **options).double()
    for parameter in op.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = torch.randn(1, 4, 3, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        y = op(x)
        torch.testing.assert_close(y[0], as_loops(op, x[0]))
        assert (y - x)[:, :, :-1].abs().max() > 0.1


def test_last_frame_has_no_next_one():
    x = torch.randn(2, 8, 3, 4, 5)
    assert torch.equal(SIFA(8)(x)[:, :, -1], x[:, :, -1])
    normed = SIFA(8, norm=True)
    assert torch.equal(normed(x), x)  # zero at the start
    torch.nn.init.normal_(normed.norm.bias)
    torch.testing.assert_close(normed(x)[:, :, -1], x[:, :, -1] + normed.norm.bias[:, None, None])


def test_only_the_frame_and_the_next_one_are_looked_at():
    op = SIFA(8)
    torch.nn.init.normal_(op.conv_offset.weight, std=0.1)
    x = torch.randn(1, 8, 5, 4, 5)
    other = x.clone()
    other[:, :, 3] += 1
    changed = (op(x) != op(other)).flatten(3).any(-1)[0].any(0)
    assert changed.tolist() == [False, False, True, True, False]


def test_offsets_start_at_zero_and_move_what_is_read():
    """A texture that moves: with the right offset the co-located tap reads what was there before."""
    torch.manual_seed(0)
    frame = torch.randn(1, 4, 8, 9)
    x = torch.stack([frame, frame.roll((1, 2), dims=(2, 3))], dim=2)  # down by 1, to the right by 2
    op = SIFA(4, kernel=1, offsets="next")
    assert not op.offset(x).any()

    def told(x):
        return torch.tensor([1.0, 2.0]).view(1, 2, 1, 1, 1).expand(1, 2, 1, 8, 9)

    op.offset = told
    torch.testing.assert_close(op.samples(x)[0, :, 0, 0, :-1, :-2], frame[0, :, :-1, :-2])


def test_groups_weigh_their_own_channels():
    op = SIFA(6, groups=2, offsets="regular")
    x = torch.randn(1, 6, 2, 4, 5)
    other = x.clone()
    other[:, 3:] += torch.randn(1, 3, 2, 4, 5)
    assert torch.equal(op(x)[:, :3], op(other)[:, :3])
    assert not torch.allclose(op(x)[:, 3:], op(other)[:, 3:])


def test_wide_maps_fit_into_float16():
    """Sums over the channels do not, before they are divided."""
    x = 10 * torch.randn(1, 512, 2, 5, 5, generator=torch.Generator().manual_seed(1))
    true = SIFA(512)(x)
    assert (SIFA(512).half()(x.half()) - true).norm() <= 1e-3 * true.norm()


def test_correlation_is_float32_under_autocast():
    op, x = SIFA(8, offsets="regular"), torch.randn(1, 8, 2, 4, 5)
    with torch.autocast("cpu", torch.bfloat16):
        y = op(x)
    torch.testing.assert_close(y, op(x))


@pytest.mark.parametrize("offsets", OFFSETS)
def test_cost_by_hand(offsets):
    B, C, T, H, W, K = 2, 8, 4, 5, 6, 3
    cost = count(SIFA(C, offsets=offsets), torch.randn(B, C, T, H, W))
    taps = 1 if offsets == "colocated" else K * K
    pairs = B * (T - 1) * H * W
    corners = 0 if offsets in ("regular", "colocated") else 4  # whole pixels are copied
    attention = pairs * taps * C * (corners + 1 + (taps > 1))  # correlation, aggregation: of one tap there is no sum
    conv = {"regular": 0, "colocated": 0, "conv3d": B * T * H * W * 2 * K * K * C * 27}
    assert cost.macs == attention + conv.get(offsets, pairs * 2 * K * K * C * 9)
    assert cost.uncounted == ()


@pytest.mark.parametrize(
    "options",
    [{"offsets": "none"}, {"modulation": "none"}, {"kernel": 2}, {"dilation": 0}, {"groups": 3}, {"groups": 0}],
)
def test_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SIFA(8, **options)


def test_refuses_other_channels():
    with pytest.raises(ValueError, match="8 channels, got 4"):
        SIFA(8, offsets="regular")(torch.randn(1, 4, 2, 3, 3))


@pytest.mark.parametrize("groups", [1, 2])
def test_a_large_map_takes_reads_in_place_of_all_pairs(monkeypatch, groups):
    op = SIFA(4, groups=groups).double()
    torch.nn.init.normal_(op.conv_offset.weight, std=0.3)
    x = torch.randn(2, 4, 3, 5, 6, dtype=torch.float64)
    by_pairs = op(x)
    monkeypatch.setattr(sifa, "PAIRS", 29)
    monkeypatch.setattr(sifa, "attend", None)
    torch.testing.assert_close(op(x), by_pairs)
