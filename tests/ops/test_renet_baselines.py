"""SE, SCE, local self-attention and the non-local block: what RENet compares SCR with."""

import itertools
import math

import pytest
import torch

from vidops_cli.ops.local_attention import LocalSelfAttention
from vidops_cli.ops.non_local import NonLocal
from vidops_cli.ops.sce import SCE
from vidops_cli.ops.se import SE


def stirred(op):
    """Norms whose statistics and gains are not the initial ones."""
    for norm in (module for module in op.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.normal_(norm.running_mean, std=0.1)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2)
        torch.nn.init.uniform_(norm.weight, 0.5, 2)
        torch.nn.init.normal_(norm.bias, std=0.1)
    return op.double().eval()


def normed(norm, value):
    return (value - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias


def linear(conv, value):
    y = conv.weight[:, :, 0, 0] @ value
    return y if conv.bias is None else y + conv.bias


def grid(*sizes):
    return itertools.product(*map(range, sizes))


def clip(*shape):
    return torch.randn(1, *shape, dtype=torch.float64)


@pytest.mark.parametrize("planes, reduction", [(6, 3), (None, 2), (5, 1)])
def test_se_as_loops(planes, reduction):
    torch.manual_seed(0)
    C, T, H, W = 4, 2, 2, 3
    op, x = stirred(SE(C, planes=planes, reduction=reduction)), clip(C, T, H, W)

    def through(layers, value):
        return normed(layers[1], linear(layers[0], value)).clamp(min=0) if len(layers) else value

    with torch.no_grad():
        y = torch.zeros_like(x)
        for t in range(T):
            z = {place: through(op.conv_in, x[(0, slice(None), t, *place)]) for place in grid(H, W)}
            mean = sum(z.values()) / (H * W)
            hidden = (op.excitation[0].weight @ mean).clamp(min=0)
            assert len(hidden) == (planes or C) // reduction
            s = 1 / (1 + (-(op.excitation[2].weight @ hidden)).exp())
            for place, value in z.items():
                y[(0, slice(None), t, *place)] = through(op.conv_out, s * value)
        torch.testing.assert_close(op(x), y)


@pytest.mark.parametrize("window", [1, 3, 5])
def test_sce_as_loops(window):
    torch.manual_seed(0)
    C, T, H, W, r = 4, 2, 2, 3, window // 2
    op, x = stirred(SCE(C, planes=(3, 5), window=window)), 0.01 * clip(C, T, H, W)  # so small that the epsilon counts
    torch.nn.init.zeros_(op.conv_in[1].running_mean)
    torch.nn.init.zeros_(op.conv_in[1].bias)
    with torch.no_grad():
        y = torch.zeros_like(x)
        for t in range(T):
            z = {}
            for place in grid(H, W):
                z[place] = normed(op.conv_in[1], linear(op.conv_in[0], x[(0, slice(None), t, *place)])).clamp(min=0)
            for i, j in grid(H, W):
                near = [(i + u - r, j + v - r) for u, v in grid(window, window)]
                s = torch.stack([z[i, j] @ z.get(place, torch.zeros_like(z[i, j])) for place in near])
                s = s / ((s * s).sum() + 1e-6).sqrt()
                hidden = normed(op.embed[1], linear(op.embed[0], torch.cat([z[i, j], s]))).clamp(min=0)
                y[0, :, t, i, j] = normed(op.conv_out[1], linear(op.conv_out[0], hidden))
        torch.testing.assert_close(op(x), y)


@pytest.mark.parametrize(("heads", "alone"), [(None, False), (1, False), (2, True)])
@pytest.mark.parametrize(("frames", "window"), [(1, 1), (1, 3), (1, 5), (3, 1), (3, 3)])
def test_local_attention_as_loops(frames, window, heads, alone):
    torch.manual_seed(0)
    C, T, H, W, r = 4, 2, 2, 3, window // 2
    given = {"window": window, "frames": frames, "heads": heads, "pointwise": not alone}
    op, x = stirred(LocalSelfAttention(C, **given)), clip(C, T, H, W)
    M, late = heads or C, range(-(frames // 2), frames // 2 + 1)
    with torch.no_grad():
        y = torch.zeros_like(x)
        for t, i, j in grid(T, H, W):
            q = linear(op.query, x[0, :, t, i, j])
            logits, values = [], []
            for s, (u, v) in itertools.product(late, grid(window, window)):
                inside = 0 <= t + s < T and 0 <= i + u - r < H and 0 <= j + v - r < W
                at = x[0, :, t + s, i + u - r, j + v - r] if inside else torch.zeros(C, dtype=torch.float64)
                k = linear(op.key, at) + torch.cat([op.rel_h[:, u], op.rel_w[:, v]])
                k = k if frames == 1 else k + op.rel_t[:, s - late[0]]
                logits.append([sum(q[c] * k[c] for c in range(m * C // M, (m + 1) * C // M)) for m in range(M)])
                values.append(linear(op.value, at))
            total = torch.zeros(C, dtype=torch.float64)
            for c in range(C):
                e = [math.exp(logit[c * M // C]) for logit in logits]
                total[c] = sum(e_d / sum(e) * value[c] for e_d, value in zip(e, values, strict=True))
            if not alone:
                total = linear(op.output[2], normed(op.output[0], total).clamp(min=0))
                total = normed(op.output[3], total)
            y[0, :, t, i, j] = total
        torch.testing.assert_close(op(x), y)


def test_without_padding_renet_has_no_attention():
    """Unfolded without padding, a 5x5 map is one window; read as 25 maps of one offset, its softmax is 1."""
    torch.manual_seed(0)
    full, bare = LocalSelfAttention(8).eval(), LocalSelfAttention(8, attention=False).eval()
    bare.load_state_dict(full.state_dict(), strict=False)
    image = torch.randn(2, 8, 5, 5)
    q, k, v = (conv(image) for conv in (full.query, full.key, full.value))
    k, v = (x.unfold(2, 5, 1).unfold(3, 5, 1) for x in (k, v))
    k = k + full.relative().reshape(8, 1, 1, 5, 5)
    k, v = (x.reshape(2, 8, 5, 5, -1) for x in (k, v))
    released = full.output((torch.softmax(q[..., None] * k, dim=-1) * v).sum(-1))
    torch.testing.assert_close(bare(image.unsqueeze(2)).squeeze(2), released)
    assert (full(image.unsqueeze(2)).squeeze(2) - released).abs().max() > 0.1
    assert bare(torch.randn(2, 8, 3, 4, 6)).shape == (2, 8, 3, 4, 6)


@pytest.mark.parametrize("space_time", [True, False])
@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("norm, reduced", [(True, None), (False, 3)])
def test_non_local_as_loops(space_time, subsample, norm, reduced):
    torch.manual_seed(0)
    C, T, H, W = 4, 2, 3, 4
    op = stirred(NonLocal(C, reduced=reduced, subsample=subsample, norm=norm, space_time=space_time))
    torch.nn.init.normal_(op.W[0].weight)
    x = clip(C, T, H, W)
    with torch.no_grad():
        theta, phi, g = (
            {(t, i, j): linear(conv, x[0, :, t, i, j]) for t, i, j in grid(T, H, W)}
            for conv in (op.theta, op.phi, op.g)
        )
        assert len(g[0, 0, 0]) == (reduced or 2)
        if subsample:
            phi, g = (
                {
                    (t, i, j): torch.stack([old[t, 2 * i + a, 2 * j + b] for a, b in grid(2, 2)]).amax(0)
                    for t, i, j in grid(T, H // 2, W // 2)
                }
                for old in (phi, g)
            )
        z = torch.zeros_like(x)
        for place in grid(T, H, W):
            seen = [other for other in phi if space_time or other[0] == place[0]]
            e = {other: math.exp(theta[place] @ phi[other]) for other in seen}
            y = sum(e[other] / sum(e.values()) * g[other] for other in seen)
            y = linear(op.W[0], y)
            at = (0, slice(None), *place)
            z[at] = x[at] + (normed(op.W[1], y) if norm else y)
        torch.testing.assert_close(op(x), z)


@pytest.mark.parametrize("norm", [True, False])
def test_non_local_starts_as_the_identity(norm):
    x = torch.randn(2, 8, 3, 4, 5)
    assert torch.equal(NonLocal(8, norm=norm).train()(x), x)


def test_frames_of_a_clip_are_one_batch_to_the_norms():
    torch.manual_seed(0)
    x = torch.randn(2, 8, 3, 4, 5)
    for op in (SE(8), SCE(8), LocalSelfAttention(8), NonLocal(8, space_time=False)):
        clips = op.train()(x)
        images = op(x.transpose(1, 2).reshape(6, 8, 1, 4, 5)).reshape(2, 3, 8, 4, 5).transpose(1, 2)
        torch.testing.assert_close(clips, images)


@pytest.mark.parametrize(
    "make, told",
    [
        (lambda: SE(8, reduction=65), "reduction"),
        (lambda: SE(8, planes=None), "reduction"),
        (lambda: SE(8, reduction=0), "reduction"),
        (lambda: SCE(8, window=2), "window"),
        (lambda: SCE(8, planes=(4, 4, 4)), "planes"),
        (lambda: LocalSelfAttention(8, window=4), "window"),
        (lambda: LocalSelfAttention(7), "channels"),
        (lambda: LocalSelfAttention(8, heads=3), "heads"),
        (lambda: LocalSelfAttention(8, heads=0), "heads"),
    ],
)
def test_refuses(make, told):
    with pytest.raises(ValueError, match=told):
        make()
