import itertools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from vidops_cli.functional import aggregate, correlate, l2norm
from vidops_cli.ops.rsa import RSA
from vidops_cli.profiling.cost import count
from vidops_cli.verify import Case
from vidops_cli.verify.rsa import layer

EVERY = list(itertools.product(("basic", "projected", "relational", "both"), ("basic", "relational", "both")))


def made(channels=6, **options):
    """In float64, with P1 and I that are no multiples of the identity."""
    torch.manual_seed(0)
    op = RSA(channels, **options).double()
    for parameter in op.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return op


def unit(vector):
    return vector / (vector @ vector + 1e-6).sqrt()


def as_loops(op, x, kernel, context):
    """The equation, position by position and offset by offset."""
    h, c, u, D = op.heads, op.key_channels, op.value_channels, op.latent
    T, H, W = x.shape[2:]
    reach = [size // 2 for size in op.window]
    offsets = list(itertools.product(*(range(-r, r + 1) for r in reach)))
    H2, weight = op.H2.weight.reshape(D, -1), op.projection.weight.flatten(1)
    y = torch.zeros(x.shape[0], u, h, T, H, W, dtype=x.dtype)
    for b, *n in itertools.product(range(x.shape[0]), range(T), range(H), range(W)):
        q = (weight[: h * c] @ x[(b, slice(None), *n)]).reshape(h, c)
        sums = {"Hk": torch.zeros(c, D), "V": torch.zeros(u, D), "Gv": torch.zeros(u, u)}
        sums = {name: value.to(x.dtype) for name, value in sums.items()}
        for m, offset in enumerate(offsets):
            at = [i + d for i, d in zip(n, offset, strict=True)]
            if any(i < 0 or i >= size for i, size in zip(at, (T, H, W), strict=True)):
                continue
            there = x[(b, slice(None), *at)]
            v = unit(weight[-u:] @ there)
            sums["V"] += v[:, None] * H2[:, m]
            if kernel in ("relational", "both"):
                k = unit(weight[h * c : h * c + c] @ there)
                sums["Hk"] += k[:, None] * op.H1.weight.reshape(c, D, -1)[:, :, m]
            if context != "basic":
                sums["Gv"] += v[:, None] * op.G.weight.reshape(u, -1)[:, m]
        P = sums["Hk"] + (op.P1 if kernel in ("projected", "both") else 0)
        R = sums["Gv"] + (op.I if context == "both" else 0)
        for head in range(h):
            kappa = unit(q[head]) if kernel == "basic" else unit(q[head]) @ P
            values = sums["V"] if context == "basic" else R.T @ sums["V"]
            y[(b, slice(None), head, *n)] = values @ kappa
    return y.flatten(1, 2)


@pytest.mark.parametrize("scale", [1, 1e-3])  # where inputs are small, the norm's epsilon decides
@pytest.mark.parametrize("kernel, context", EVERY)
def test_equation_as_loops(kernel, context, scale):
    latent = 3 if kernel == "basic" else 5
    sizes = {"heads": 2, "key_channels": 3, "value_channels": 4, "latent": latent, "window": (3, 1, 5)}
    op = made(**sizes, kernel=kernel, context=context)
    x = scale * torch.randn(2, 6, 2, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(op(x), as_loops(op, x, kernel, context))


def test_is_one_aggregation_and_one_correlation_with_the_full_kernel():
    """w = kappa . H2, a = aggregate(w, v), r = correlate(a, v), y = a . I + r . G^T, for each head."""
    window = (3, 5, 3)
    op = made(heads=3, key_channels=4, value_channels=2, latent=5, window=window)
    x = torch.randn(2, 6, 3, 6, 5, dtype=torch.float64)
    v = l2norm(F.conv3d(x, op.projection.weight[-2:]), dim=1)
    kappa = op.kernel(x)
    assert kappa.shape == (2, 3, 5, 3, 6, 5)
    w = torch.einsum("bhdxyz,dm->bhmxyz", kappa, op.H2.weight.flatten(1))
    heads = []
    for head in range(3):
        a = aggregate(w[:, head, None], v, window)
        r = correlate(a, v, window)[:, 0]
        basic = torch.einsum("bvxyz,vu->buxyz", a, op.I)
        heads.append(basic + torch.einsum("bmxyz,um->buxyz", r, op.G.weight.flatten(1)))
    torch.testing.assert_close(op(x), torch.stack(heads, dim=2).flatten(1, 2))


def test_kernel_and_context_make_the_output():
    op = made(12, heads=2, key_channels=4, latent=3, window=(1, 3, 3))
    x = torch.randn(2, 12, 2, 4, 5, dtype=torch.float64)
    kernel, context = op.kernel(x), op.context(x)
    assert kernel.shape == (2, 2, 3, 2, 4, 5)
    assert context.shape == (2, 6, 3, 2, 4, 5)
    y = op(x).unflatten(1, (6, 2))  # heads are the faster
    torch.testing.assert_close(y[:, :, 1], (kernel[:, None, 1] * context).sum(2))


def test_a_stride_averages_the_output_and_counts_the_padding():
    op = made(heads=2, window=(3, 3, 3))
    x = torch.randn(1, 6, 3, 4, 5, dtype=torch.float64)
    whole = F.pad(op(x), (1, 1, 1, 1))
    op.stride = 2
    y = op(x)
    assert y.shape == (1, 6, 3, 2, 3)
    for row, column in itertools.product(range(2), range(3)):
        patch = whole[..., 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        torch.testing.assert_close(y[..., row, column], patch.sum((-1, -2)) / 9)


@pytest.mark.parametrize("channels, params", [(64, 24_848), (128, 91_552), (256, 350_528), (512, 1_370_752)])
def test_size_and_cost_are_those_of_the_released_network(channels, params):
    op = RSA(channels)
    d, positions, M = channels // 8, 2 * 3 * 4, 245
    convolutions = 10 * channels * d + 3 * M * d * d
    products = 8 * d * d + d**3 + 8 * d * d
    cost = count(op, torch.randn(1, channels, 2, 3, 4))
    assert (cost.params, cost.macs, cost.uncounted) == (params, positions * (convolutions + products), ())


def test_what_the_released_class_starts_from():
    torch.manual_seed(0)
    op = RSA(512)
    assert torch.equal(op.I, torch.eye(64))
    assert op.P1.std().item() == pytest.approx((245 * 64) ** -0.5, rel=0.05)


def test_heads_have_queries_of_their_own_and_one_key_and_value():
    op = RSA(24, heads=4, key_channels=3, value_channels=5, latent=2, out_channels=20)
    assert op.projection.weight.shape == (4 * 3 + 3 + 5, 24, 1, 1, 1)
    assert RSA(24, heads=4, key_channels=3, kernel="basic").projection.weight.shape == (4 * 3 + 6, 24, 1, 1, 1)
    assert op(torch.randn(1, 24, 2, 3, 3)).shape == (1, 20, 2, 3, 3)
    assert RSA(24, heads=4, value_channels=5)(torch.randn(1, 24, 2, 3, 3)).shape == (1, 20, 2, 3, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (2, 5)])
def test_a_stride_on_maps_smaller_than_its_average(size):
    op, x = made(channels=4, heads=2, stride=2), torch.randn(1, 4, 2, *size, dtype=torch.float64)
    op.stride, strided = 1, op(x)
    whole = F.pad(op(x), (1, 1, 1, 1))
    expected = [
        [whole[..., i : i + 3, j : j + 3].sum((-1, -2)) / 9 for j in range(0, size[1], 2)] for i in range(0, size[0], 2)
    ]
    torch.testing.assert_close(strided, torch.stack([torch.stack(row, dim=-1) for row in expected], dim=-2))


@pytest.mark.parametrize("kernel, context", EVERY)
def test_bfloat16_is_near(kernel, context):
    torch.manual_seed(0)
    op, x = RSA(32, window=(3, 5, 5), kernel=kernel, context=context), torch.randn(1, 32, 3, 7, 7)
    true = op(x)
    with torch.autocast("cpu", torch.bfloat16):
        near = op(x)
    whole = op.bfloat16()(x.bfloat16())
    for y in (near, whole):
        assert y.dtype == torch.bfloat16
        assert (y - true).norm() < 0.02 * true.norm()


@pytest.mark.parametrize(
    "options, told",
    [
        ({"heads": 5}, "5 heads do not divide 16 channels"),
        ({"out_channels": 12}, "8 heads do not divide 12 channels"),
        ({"heads": 0}, "heads must be at least 1"),
        ({"stride": 0}, "stride must be at least 1"),
        ({"latent": 0}, "latent must be at least 1"),
        ({"key_channels": -1}, "key_channels must be at least 1"),
        ({"value_channels": 0}, "value_channels must be at least 1"),
        ({"out_channels": 16, "value_channels": 3}, "out_channels is heads x value_channels = 24, got 16"),
        ({"kernel": "basic", "latent": 3}, "latent must be key_channels = 2 with a basic kernel, got 3"),
        ({"kernel": "VplusR"}, "kernel is one of basic, projected, relational, both, got 'VplusR'"),
        ({"context": "V"}, "context is one of"),
        ({"window": (5, 7)}, "window must be three odd sizes"),
        ({"window": (5, 6, 7)}, "window must be three odd sizes"),
    ],
)
def test_refuses(options, told):
    with pytest.raises(ValueError, match=told):
        RSA(16, **options)


def adapted(weights=(), **ctor):
    case = Case(Path("rsa_op/any.safetensors"), {"ctor": {"d_in": 16, "d_out": 16, **ctor}})
    return layer(case, {}, dict.fromkeys(weights)).module


def test_arguments_of_the_released_class():
    op = adapted(nh=2, dk=0, dv=0, dd=0, kernel_size=[3, 5, 5], stride=[1, 2, 2], kernel_type="V", feat_type="R")
    assert (op.heads, op.key_channels, op.value_channels, op.latent) == (2, 8, 8, 8)
    assert (op.window, op.stride) == ((3, 5, 5), 2)
    assert {name for name, _ in op.named_parameters()} == {"projection.weight", "H2.weight", "G.weight"}
    op = adapted(nh=4, dv=3, kernel_type="VplusR", feat_type="VplusR")  # 12 channels come out, not d_out
    assert (op.key_channels, op.value_channels, op.latent, op.window, op.stride) == (16, 3, 16, (3, 7, 7), 1)
    op = adapted(nh=4, d_out=18, dd=5, stride=[1, 1, 1], kernel_type="R", feat_type="V")
    assert (op.key_channels, op.value_channels, op.latent, op.stride) == (16, 4, 5, 1)
    names = {name for name, _ in adapted(["H1.weight", "P1", "G.weight"], nh=2, dk=3).named_parameters()}
    assert names == {"projection.weight", "H1.weight", "P1", "H2.weight", "G.weight"}
    with pytest.raises(ValueError, match="stride"):
        adapted(stride=[2, 2, 2])
