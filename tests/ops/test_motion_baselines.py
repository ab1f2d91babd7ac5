"""Motion excitation, CorrNet's correlation, TDN's temporal difference and divided attention, by their equations."""

import itertools
import math

import pytest
import torch
from torch import nn

from vidops_cli.ops.correlation import Correlation
from vidops_cli.ops.divided_attention import DividedAttention
from vidops_cli.ops.motion_excitation import MotionExcitation
from vidops_cli.ops.self_attention import SelfAttention
from vidops_cli.ops.temporal_difference import TemporalDifference


def made(kind, channels, **options):
    """In evaluation mode and float64, norms with statistics and gains that are not the initial ones."""
    torch.manual_seed(0)
    op = kind(channels, **options).double().eval()
    for norm in (module for module in op.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean, std=0.1)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias, std=0.1)
    return op


def pointwise(layer, value):
    """A 1x1 convolution and its norm at one position."""
    conv, norm = layer[:2]
    y = conv.weight[:, :, 0, 0] @ value
    return (y - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias


def around(layer, values, i, j):
    """A 3x3 convolution at one position of {(i, j): vector}, and its norm where it has one; zero outside."""
    conv, norm = layer[:2] if isinstance(layer, nn.Sequential) else (layer, None)
    W = conv.weight if conv.groups == 1 else torch.diag_embed(conv.weight[:, 0].permute(1, 2, 0)).permute(2, 3, 0, 1)
    y = torch.zeros(len(W), dtype=torch.float64)
    for u, v in grid(3, 3):
        if (i + u - 1, j + v - 1) in values:
            y += W[:, :, u, v] @ values[i + u - 1, j + v - 1]
    if norm is None:
        return y
    return (y - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias


def grid(*sizes):
    return itertools.product(*map(range, sizes))


def clip(*shape):
    return torch.randn(1, *shape, dtype=torch.float64)


# --- TEA --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", ["paper", "released"])
@torch.no_grad()
def test_motion_excitation_as_loops(gate):
    C, T, H, W = 6, 3, 2, 3
    op, x = made(MotionExcitation, C, reduction=2, gate=gate), clip(C, T, H, W)
    X = [{(i, j): pointwise(op.conv_red, x[0, :, t, i, j]) for i, j in grid(H, W)} for t in range(T)]
    y = torch.zeros_like(x)
    for t in range(T):
        mean = torch.zeros(3, dtype=torch.float64)
        for place in grid(H, W) if t < T - 1 else ():
            mean += (around(op.conv_trans, X[t + 1], *place) - X[t][place]) / (H * W)
        sigmoid = 1 / (1 + (-pointwise(op.conv_exp, mean)).exp())
        A = 2 * sigmoid - 1 if gate == "paper" else sigmoid - 0.5
        for i, j in grid(H, W):
            y[0, :, t, i, j] = x[0, :, t, i, j] * (1 + A)
    torch.testing.assert_close(op(x), y)


@torch.no_grad()
def test_motion_excitation_is_one_factor_for_each_channel_of_a_frame():
    op, x = made(MotionExcitation, 8, reduction=2), clip(8, 3, 4, 5)
    A = op.excitation(x)
    assert A.shape == (1, 8, 3, 1, 1) and A.abs().max() < 1
    torch.testing.assert_close(op(x) / x, (1 + A).expand_as(x))


@torch.no_grad()
def test_what_stands_still_is_not_excited():
    """With conv_trans as the identity; the norm's bias would be a factor of its own."""
    op = made(MotionExcitation, 8, reduction=2)
    op.conv_trans.weight.zero_()[:, :, 1, 1] = 1
    for part in (op.conv_exp[1].running_mean, op.conv_exp[1].bias):
        part.zero_()
    still = clip(8, 1, 4, 5).expand(-1, -1, 3, -1, -1)
    torch.testing.assert_close(op(still), still)
    moving = torch.cat([still[:, :, :2], still[:, :, 2:] + 1], dim=2)  # the frame before the change is excited
    changed = (op(moving) - moving).abs().amax((0, 1, 3, 4))
    assert (changed > 1e-3).tolist() == [False, True, False]


# --- CorrNet ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "window, dilation, groups, filter",
    [(3, 1, 1, True), (3, 2, 2, True), (5, 3, 4, True), (3, 2, 2, False), (1, 2, 1, True)],
)
@torch.no_grad()
def test_correlation_as_loops(window, dilation, groups, filter):
    C, T, H, W, r, each = 8, 3, 3, 4, window // 2, 4 // groups
    op = made(Correlation, C, reduction=2, window=window, dilation=dilation, groups=groups, filter=filter)
    x = clip(C, T, H, W)
    if filter:
        nn.init.normal_(op.filter)
    f = {(t, i, j): pointwise(op.reduce, x[0, :, t, i, j]).clamp(min=0) for t, i, j in grid(T, H, W)}
    y = x.clone()
    for t, i, j in grid(T, H, W):
        s = torch.zeros(groups * window**2, dtype=torch.float64)
        for g, (n, (u, v)) in itertools.product(range(groups), enumerate(grid(window, window))):
            then = f.get((max(0, t - 1), i + dilation * (u - r), j + dilation * (v - r)))
            for c in range(g * each, (g + 1) * each) if then is not None else ():
                weight = op.filter[c, n] if filter else 1
                s[g * window**2 + n] += weight * f[t, i, j][c] * then[c] / each
        y[0, :, t, i, j] += pointwise(op.expand, s)
    torch.testing.assert_close(op(x), y)


@pytest.mark.parametrize("dilation", [1, 2, 3])
@torch.no_grad()
def test_a_filter_of_ones_is_none(dilation):
    learned, plain = (made(Correlation, 16, reduction=2, window=5, dilation=dilation, filter=f) for f in (True, False))
    plain.load_state_dict({name: value for name, value in learned.state_dict().items() if name != "filter"})
    x = clip(16, 3, 5, 6)
    torch.testing.assert_close(learned(x), plain(x))
    learned.filter[:, 12] = 2.0  # of the place itself
    assert (learned(x) - plain(x)).abs().max() > 1e-3


@torch.no_grad()
def test_a_pattern_that_moves_is_matched_at_its_displacement():
    op = made(Correlation, 16, reduction=1, window=5, dilation=2, groups=1, filter=False)
    op.reduce[0].weight.copy_(torch.eye(16)[:, :, None, None])
    x = torch.zeros(1, 16, 2, 11, 11, dtype=torch.float64)
    pattern = torch.randn(16, 7, 7, dtype=torch.float64).sign() + 3  # positive, so that the ReLU takes nothing of it
    x[0, :, 0, 2:9, :7] = pattern
    x[0, :, 1, :7, 4:] = pattern  # it was 2 rows lower and 4 columns to the left: 1 and -2 steps of the window
    matches = op.correlation(x)[0, :, 1, 2:5, 6:9].mean((1, 2))
    assert divmod(matches.argmax().item(), 5) == (2 + 1, 2 - 2)


@torch.no_grad()
def test_the_first_frame_is_matched_with_itself():
    op, x = made(Correlation, 16, window=3), clip(16, 4, 5, 6)
    torch.testing.assert_close(op(x)[:, :, :1], op(x[:, :, :1]))
    torch.testing.assert_close(op(x.flip(2))[:, :, :1], op(x[:, :, -1:]))


def test_groups_give_no_more_channels_than_there_are():
    for channels, groups in ((16, 1), (128, 2), (256, 4), (512, 8), (1024, 16)):
        assert Correlation(channels).groups == groups


# --- TDN --------------------------------------------------------------------------------------------------------------


def near_cells(n, cells):
    """Bilinear: the cells of half the size that a position reads, and how much of each."""
    own, next_one = n // 2, n // 2 + (1 if n % 2 else -1)
    return (own, 0.75), (min(max(next_one, 0), cells - 1), 0.25)


@pytest.mark.parametrize("bidirectional, gate", [(True, "paper"), (False, "paper"), (True, "released")])
@torch.no_grad()
def test_temporal_difference_as_loops(bidirectional, gate):
    C, T, H, W = 4, 3, 3, 4
    op = made(TemporalDifference, C, reduction=2, bidirectional=bidirectional, gate=gate)
    x = clip(C, T, H, W)
    F = [{(i, j): pointwise(op.squeeze, x[0, :, t, i, j]) for i, j in grid(H, W)} for t in range(T)]

    def M(now, other):
        values = {place: torch.zeros(2, dtype=torch.float64) for place in grid(H, W)}
        if 0 <= other < T:
            values = {place: around(op.smooth, F[other], *place) - F[now][place] for place in grid(H, W)}
        cells = {}
        for a, b in grid(2, 2):
            inside = [values[i, j] for i, j in grid(H, W) if (i // 2, j // 2) == (a, b)]
            cells[a, b] = sum(inside) / len(inside)
        far = {place: around(op.far, cells, *place) for place in cells}
        found = {}
        for i, j in grid(H, W):
            total = values[i, j] + around(op.near, values, i, j)
            for (a, p), (b, q) in itertools.product(near_cells(i, 2), near_cells(j, 2)):
                total = total + p * q * far[a, b]
            found[i, j] = 1 / (1 + (-pointwise(op.expand, total)).exp())
        return found

    y = torch.zeros_like(x)
    for t in range(T):
        ahead, behind = M(t, t + 1), M(t, t - 1)
        for i, j in grid(H, W):
            A = (ahead[i, j] + behind[i, j]) / 2 if bidirectional else ahead[i, j]
            y[0, :, t, i, j] = x[0, :, t, i, j] * (1 + A - (0 if gate == "paper" else 0.5))
    torch.testing.assert_close(op(x), y)


@torch.no_grad()
def test_both_directions_see_a_reversed_clip_reversed():
    x = clip(8, 4, 5, 6)
    both, ahead = (made(TemporalDifference, 8, reduction=2, bidirectional=way) for way in (True, False))
    torch.testing.assert_close(both(x.flip(2)), both(x).flip(2))
    assert (ahead(x.flip(2)) - ahead(x).flip(2)).abs().max() > 1e-3


# --- divided attention ------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_divided_attention_as_loops():
    C, T, H, W, heads = 4, 3, 2, 3, 2
    op, z = made(DividedAttention, C, heads=heads), clip(4, 3, 2, 3)
    nn.init.normal_(op.norm.weight)

    def attended(attention, tokens, query):
        """W MSA of one token over those told."""
        parts = {key: attention.qkv(value).chunk(3) for key, value in tokens.items()}
        found = []
        for h in range(heads):
            width = slice(h * C // heads, (h + 1) * C // heads)
            q = parts[query][0][width]
            e = {key: math.exp(q @ k[width] / math.sqrt(C / heads)) for key, (_, k, _) in parts.items()}
            found.append(sum(e[key] / sum(e.values()) * v[width] for key, (_, _, v) in parts.items()))
        return attention.proj(torch.cat(found))

    at = {(t, i, j): z[0, :, t, i, j] for t, i, j in grid(T, H, W)}
    time = {(t, i, j): attended(op.time, {s: at[s, i, j] for s in range(T)}, t) for t, i, j in at}
    y = torch.zeros_like(z)
    for t, i, j in at:
        frame = {place: op.norm(at[(t, *place)] + time[(t, *place)]) for place in grid(H, W)}
        y[0, :, t, i, j] = time[t, i, j] + attended(op.space, frame, (i, j))
    torch.testing.assert_close(op(z), y)


@torch.no_grad()
def test_a_place_of_another_frame_is_seen_through_its_own_frame_alone():
    """Time first, then space: what a position reads of other frames is at all places, but through two steps."""
    op, z = made(DividedAttention, 8, heads=2), clip(8, 3, 4, 5)
    moved = z.clone()
    moved[:, :, 2, 1, 1] += 1
    time = (op.temporal(moved) - op.temporal(z)).abs().amax((0, 1))
    assert (time > 0).nonzero().tolist() == [[0, 1, 1], [1, 1, 1], [2, 1, 1]]
    space = (op.spatial(moved) - op.spatial(z)).abs().amax((0, 1, 3, 4))
    assert (space > 0).tolist() == [False, False, True]
    assert ((op(moved) - op(z)).abs().amax((0, 1)) > 0).all()


@torch.no_grad()
def test_one_frame_without_its_temporal_half_is_attention():
    op, plain = made(DividedAttention, 8, heads=2), made(SelfAttention, 8, heads=2)
    plain.load_state_dict(op.space.state_dict())
    op.time.proj.weight.zero_()
    op.time.proj.bias.zero_()
    z = clip(8, 1, 4, 5)
    torch.testing.assert_close(op(z), plain(op.norm(z.movedim(1, -1)).movedim(-1, 1)))


# --- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, told",
    [
        (lambda: MotionExcitation(8, reduction=9), "reduction"),
        (lambda: MotionExcitation(8), "reduction"),
        (lambda: MotionExcitation(16, gate="tanh"), "gate"),
        (lambda: TemporalDifference(8, reduction=0), "reduction"),
        (lambda: Correlation(8, reduction=9), "reduction"),
        (lambda: Correlation(16, groups=3), "groups"),
        (lambda: Correlation(16, groups=0), "groups"),
        (lambda: Correlation(16, window=4), "window"),
        (lambda: Correlation(16, dilation=0), "dilation"),
        (lambda: DividedAttention(16, heads=3), "heads"),
        (lambda: MotionExcitation(16)(torch.randn(1, 16, 1, 3, 3)), "at least 2, got 1"),
        (lambda: TemporalDifference(16)(torch.randn(1, 16, 1, 3, 3)), "at least 2, got 1"),
    ],
)
def test_refuses(make, told):
    with pytest.raises(ValueError, match=told):
        make()
