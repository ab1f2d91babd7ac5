import itertools
import math

import pytest
import torch

from vidops_cli.ops.cca import CCA, Matching4d, SeparableConv4d
from vidops_cli.textbook import textbook


def stirred(op):
    """Norms whose statistics are not the initial ones."""
    for norm in (module for module in op.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)):
        torch.nn.init.normal_(norm.running_mean, std=0.1)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2)
    return op.double().eval()


def normed(norm, value):
    return (value - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias


def grid(*sizes):
    return itertools.product(*map(range, sizes))


def separable(conv, maps, sizes):
    """A dictionary (u, v, h, w) -> channels, through a separable 4-D convolution with one loop for each sum."""

    def one_side(layer, maps, weight_at, axis):
        k = max(layer[0].kernel_size)
        out = {}
        for place in grid(*sizes):
            total = torch.zeros(layer[0].out_channels, dtype=torch.float64)
            for i, j in grid(k, k):
                near = list(place)
                near[axis] += i - k // 2
                near[axis + 1] += j - k // 2
                if tuple(near) in maps:
                    total = total + weight_at(layer[0].weight, i, j) @ maps[tuple(near)]
            out[place] = normed(layer[1], total)
        return out

    maps = one_side(conv.first, maps, lambda weight, i, j: weight[:, :, i, j, 0], 0)
    maps = {place: value.clamp(min=0) for place, value in maps.items()}
    maps = one_side(conv.second, maps, lambda weight, i, j: weight[:, :, 0, i, j], 2)
    if len(conv.project):
        maps = {p: normed(conv.project[1], conv.project[0].weight[:, :, 0, 0] @ value) for p, value in maps.items()}
    return maps


def matched(op, maps, sizes):
    for i, layer in enumerate(op.matching.conv.values()):
        maps = {place: value.clamp(min=0) for place, value in maps.items()} if i else maps
        maps = separable(layer, maps, sizes)
    return {place: value.item() for place, value in maps.items()}


@pytest.mark.parametrize("channels, out, kernel", [(2, 3, 3), (2, 2, 3), (1, 2, 5), (3, 1, 1)])
def test_separable_convolution_as_loops(channels, out, kernel):
    torch.manual_seed(0)
    sizes = (2, 3, 4, 2)
    conv = stirred(SeparableConv4d(channels, out, kernel=kernel))
    x = torch.randn(1, channels, *sizes, dtype=torch.float64)
    with torch.no_grad():
        y = conv(x)
        assert y.shape == (1, out, *sizes)
        for place, value in separable(
            conv, {place: x[(0, slice(None), *place)] for place in grid(*sizes)}, sizes
        ).items():
            torch.testing.assert_close(y[(0, slice(None), *place)], value)


@pytest.mark.parametrize("shots, planes, kernels", [(1, (2, 1), (3, 3)), (2, (1,), (3,))])
def test_equation_as_loops(shots, planes, kernels):
    """Support and query maps of different sizes, with the released order of shots."""
    torch.manual_seed(0)
    C, ways, B, gamma, tau = 5, 2, 2, 0.7, 0.3
    (hs, ws), (hq, wq) = (2, 2), (2, 3)
    options = {"reduced": 4, "planes": planes, "kernels": kernels, "attention_temperature": gamma, "temperature": tau}
    op = stirred(CCA(C, **options))
    support = torch.randn(shots * ways, C, 1, hs, ws, dtype=torch.float64)
    query = torch.randn(B, C, 1, hq, wq, dtype=torch.float64)

    def feature(image, place):
        value = image[(slice(None), 0, *place)]
        return value - value.mean()

    def reduced(image, place):
        conv, norm, _ = op.reduction
        f = normed(norm, conv.weight[:, :, 0, 0] @ feature(image, place)).clamp(min=0)
        return f / f.norm().clamp(min=1e-8)

    def weights(h, own, other):
        """own position -> attention, where h[own, other] are scores."""
        total = dict.fromkeys(own, 0.0)
        for b in other:
            mean = sum(h[a, b] for a in own) / len(own)
            std = (sum((h[a, b] - mean) ** 2 for a in own) / (len(own) - 1) + 1e-5) ** 0.5
            e = {a: math.exp((h[a, b] - mean) / std / gamma) for a in own}
            for a in own:
                total[a] += e[a] / sum(e.values())
        return total

    on_s, on_q = list(grid(hs, ws)), list(grid(hq, wq))
    wanted = torch.zeros(B, ways, dtype=torch.float64)
    with torch.no_grad():
        for b, way in grid(B, ways):
            s = q = 0
            for shot in range(shots):
                image = support[shot * ways + way]
                c = {(*i, *j): (reduced(image, i) @ reduced(query[b], j))[None] for i in on_s for j in on_q}
                there = matched(op, c, (hs, ws, hq, wq))
                turned = {place[2:] + place[:2]: value for place, value in c.items()}
                back = matched(op, turned, (hq, wq, hs, ws))
                h = {(i, j): there[(*i, *j)] + back[(*j, *i)] for i in on_s for j in on_q}
                a_s = weights(h, on_s, on_q)
                a_q = weights({(j, i): value for (i, j), value in h.items()}, on_q, on_s)
                s = s + sum(a_s[i] * feature(image, i) for i in on_s) / len(on_s) / shots
                q = q + sum(a_q[j] * feature(query[b], j) for j in on_q) / len(on_q) / shots
            wanted[b, way] = (s @ q) / s.norm() / q.norm() / tau
        torch.testing.assert_close(op(support, query, shots=shots), wanted)


def test_both_sides_are_treated_alike():
    torch.manual_seed(0)
    h = stirred(Matching4d((4, 2), (3, 3)))
    x = torch.randn(2, 1, 3, 4, 5, 2, dtype=torch.float64)
    torch.testing.assert_close(h(x.permute(0, 1, 4, 5, 2, 3)), h(x).permute(0, 1, 4, 5, 2, 3))


def test_attention_shares_out_the_other_side():
    torch.manual_seed(0)
    op = CCA(8).eval()
    on_support, on_query = op.attention(torch.randn(3, 5, 2, 3, 4, 5))
    torch.testing.assert_close(on_support.sum((2, 3)), torch.full((3, 5), 20.0))
    torch.testing.assert_close(on_query.sum((2, 3)), torch.full((3, 5), 6.0))
    assert on_support.std() > 0.1


def test_an_image_is_most_like_itself():
    torch.manual_seed(0)
    op, support = CCA(32).eval(), torch.randn(5, 32, 1, 5, 5)
    scores = op(support, support)
    assert scores.argmax(1).tolist() == list(range(5))
    torch.testing.assert_close(scores.diag(), torch.full((5,), 5.0), rtol=0, atol=0.1)


def test_maps_of_one_position_are_compared_as_vectors():
    torch.manual_seed(0)
    op = CCA(16).eval()
    support, query = torch.randn(4, 16, 1, 1, 1), torch.randn(3, 16, 1, 1, 1)
    s, q = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (support, query))
    torch.testing.assert_close(op(support, query), torch.cosine_similarity(q[:, None], s[None], dim=-1) / 0.2)


def test_norms_see_support_then_query_and_pairs_both_ways():
    torch.manual_seed(0)
    op = CCA(8).train()
    support, query = torch.randn(5, 8, 1, 3, 3), 3 * torch.randn(2, 8, 1, 3, 3)
    op(support, query)
    counts = {int(value) for name, value in op.state_dict().items() if name.endswith("num_batches_tracked")}
    assert counts == {2}
    mean = torch.zeros(64)
    for x in (support, query):
        x = x[:, :, 0] - x[:, :, 0].mean(1, keepdim=True)
        mean = 0.9 * mean + 0.1 * op.reduction[0](x).mean((0, 2, 3))
    torch.testing.assert_close(op.reduction[1].running_mean, mean)


@pytest.mark.parametrize(
    "options, told",
    [
        ({"kernels": (3, 4)}, "kernels"),
        ({"kernels": (3,)}, "planes and kernels"),
        ({"planes": (16, 2)}, "planes"),
        ({"planes": (), "kernels": ()}, "planes"),
    ],
)
def test_refuses(options, told):
    with pytest.raises(ValueError, match=told):
        CCA(8, **options)


def test_refuses_clips_and_odd_numbers_of_shots():
    op, image, clip = CCA(8), torch.randn(5, 8, 1, 3, 3), torch.randn(2, 8, 4, 3, 3)
    for inputs in ((image, clip), (clip, image)):
        with pytest.raises(ValueError, match="4") as refused:
            op(*inputs)
        assert "T = 1" in refused.value.args[1]
    for shots in (0, 2):
        with pytest.raises(ValueError, match="shots"):
            op(image, image, shots=shots)


@pytest.mark.parametrize("size_s, size_q", [((9, 8), (3, 4)), ((3, 4), (9, 8)), ((9, 8), (8, 9))])
def test_maps_too_large_for_products(size_s, size_q):
    torch.manual_seed(0)
    op = stirred(CCA(6, reduced=4, planes=(3, 1)))
    support, query = (torch.randn(2, 6, 1, *size, dtype=torch.float64) for size in (size_s, size_q))
    torch.testing.assert_close(op(support, query), textbook("cca")(op, support, query))
