import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vidops_cli.functional import aggregate, correlate, relative_conv
from vidops_cli.models import MODELS
from vidops_cli.ops import OPS
from vidops_cli.ops.cost import SOFTMAX
from vidops_cli.profiling.cost import Count, costs, count
from vidops_cli.profiling.counter import count_backward, count_forward, on_meta


def executed(function, *inputs):
    return round(count_forward(function, *inputs, opened=True).cost.flops)


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def test_convolutions():
    x = torch.randn(2, 6, 9, 10)
    cost = count(nn.Conv2d(6, 8, (3, 5), stride=2, padding=(1, 2), groups=2), x)
    assert cost == Count(8 * 3 * 15 + 8, 2 * 8 * 5 * 5 * 3 * 15, 0, ())
    assert cost.flops == 2 * cost.macs
    assert count(nn.Conv3d(4, 5, 3, padding=1), torch.randn(1, 4, 3, 6, 7)).macs == 5 * 3 * 6 * 7 * 4 * 27
    assert count(nn.Conv2d(6, 4, (3, 5), padding="same"), x) == Count(364, 2 * 4 * 90 * 6 * 15, 0, ())
    assert count(nn.Conv2d(6, 6, 3, padding="same", groups=6), x).macs == 2 * 6 * 90 * 9


def test_matrix_products():
    x = torch.randn(2, 7, 12)
    assert count(nn.Linear(12, 5), x) == Count(65, 2 * 7 * 12 * 5, 0, ())
    a, b, c = torch.randn(3, 4, 6), torch.randn(3, 6, 5), torch.randn(3, 4, 5)
    for function in (torch.bmm, torch.matmul, lambda a, b: torch.einsum("bik,bkj->bij", a, b)):
        assert count(Call(function), a, b).macs == 3 * 4 * 5 * 6
    assert count(Call(torch.baddbmm), c, a, b) == Count(0, 3 * 4 * 5 * 6, 0, ())
    assert count(Call(torch.mm), a[0], b[0]).macs == 4 * 5 * 6


def test_attention():
    q, k, v = torch.randn(2, 3, 10, 8), torch.randn(2, 3, 12, 8), torch.randn(2, 3, 12, 6)
    cost = count(Call(F.scaled_dot_product_attention), q, k, v)
    assert cost == Count(0, 6 * 10 * 12 * (8 + 6), SOFTMAX * 6 * 10 * 12 + 6 * 10 * 8, ())  # and the scale of q


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_correlation_and_aggregation(groups):
    q, v = torch.randn(2, 8, 3, 5, 6), torch.randn(2, 8, 3, 5, 6)
    w = torch.randn(2, groups, 27, 3, 5, 6)
    one = 2 * 8 * 90 * 27
    ours = Call(lambda q, k: correlate(q, k, (3, 3, 3), groups=groups))
    assert count(ours, q, v) == (Count(0, 0, one, ()) if groups == 8 else Count(0, one, 0, ()))  # Hadamard: no sum
    assert count(Call(lambda w, v: aggregate(w, v, (3, 3, 3))), w, v) == Count(0, one, 0, ())


def test_the_counter_of_torch_knows_our_primitives():
    q, v, w = torch.randn(2, 8, 3, 5, 6), torch.randn(2, 8, 3, 5, 6), torch.randn(2, 2, 9, 3, 5, 6)
    with FlopCounterMode(display=False) as told:
        correlate(q, v, (1, 3, 3), groups=2)
        aggregate(w, v, (1, 3, 3))
    assert told.get_total_flops() == 2 * 2 * (2 * 8 * 90 * 9)


def fft(n):
    return 2.5 * n * math.log2(n)


@pytest.mark.parametrize(
    "function, shape, price",
    [
        (torch.fft.rfft, (3, 16), 3 * fft(16)),
        (torch.fft.rfft, (3, 15), 3 * fft(15)),
        (lambda x: torch.fft.rfft(x, 32), (3, 20), 3 * fft(32)),
        (lambda x: torch.fft.rfft(x, 27), (3, 20), 3 * fft(27)),
        (lambda x: torch.fft.rfft(x, dim=0), (16, 3), 3 * fft(16)),
        (torch.fft.rfft2, (3, 8, 12), 3 * fft(96)),
        (lambda x: torch.fft.rfftn(x, dim=(-3, -2, -1)), (2, 3, 4, 6), 2 * fft(72)),
        (lambda x: torch.fft.rfftn(x, (5, 8, 9), dim=(-3, -2, -1)), (2, 3, 4, 6), 2 * fft(360)),
    ],
)
def test_real_transforms(function, shape, price):
    x = torch.randn(shape)
    cost = count(Call(function), x)
    assert cost == Count(0, 0, round(price), ())
    assert executed(function, x) == pytest.approx(price, abs=1)


@pytest.mark.parametrize(
    "function, shape, price",
    [
        (torch.fft.irfft, (3, 9), 3 * fft(16)),
        (lambda x: torch.fft.irfft(x, 15), (3, 8), 3 * fft(15)),
        (torch.fft.irfft2, (3, 8, 7), 3 * fft(96)),
        (lambda x: torch.fft.irfftn(x, (5, 8, 9), dim=(-3, -2, -1)), (2, 5, 8, 5), 2 * fft(360)),
    ],
)
def test_inverse_real_transforms(function, shape, price):
    x = torch.randn(shape, dtype=torch.complex64)
    assert count(Call(function), x) == Count(0, 0, round(price), ())


def test_complex_transforms_cost_twice_as_much():
    x = torch.randn(3, 16, dtype=torch.complex64)
    assert count(Call(torch.fft.fft), x).other_flops == 2 * 3 * fft(16)
    assert count(Call(torch.fft.ifft), x).other_flops == 2 * 3 * fft(16)


def test_relative_convolution_is_two_real_transforms_a_product_and_lines_of_the_way_back():
    x, table = torch.randn(2, 3, 1, 6, 8), torch.randn(3, 1, 11, 15)
    maps, half = 2 * 3, 15 // 2 + 1
    there = (maps + 3) * fft(12 * 15) + 6 * maps * 12 * half
    back = maps * (half * 2 * fft(12) + 6 * fft(15))  # all columns, then the 6 lines that are kept
    cost = count(Call(relative_conv), x, table)
    assert cost.macs == 0
    assert cost.other_flops == pytest.approx(there + back, rel=0.01)


def test_elementwise_operations_are_other():
    x = torch.randn(4, 10)
    assert count(Call(lambda x: (x * 2 + 1).relu()), x) == Count(0, 0, 120, ())
    assert count(Call(lambda x: x.softmax(1)), x) == Count(0, 0, SOFTMAX * 40, ())
    assert count(Call(lambda x: x.t().reshape(-1)), x) == Count(0, 0, 0, ())
    assert count(nn.BatchNorm1d(10), x) == Count(20, 0, 80, ())


@pytest.mark.parametrize("function, name", [(torch.erfinv, "aten::erfinv"), (torch.logdet, "aten::logdet")])
def test_an_operation_that_no_handle_knows_is_named(function, name):
    assert count(Call(lambda x: function(x) + 1), torch.eye(3)).uncounted == (name,)


def test_all_of_our_operators_are_counted():
    seen = 0
    for card in OPS.values():
        choices = [{name: choice} for name, option in card.options.items() for choice in option.choices]
        flags = [{name: not option.default} for name, option in card.options.items() if option.type == "bool"]
        windows = (
            [{"window": (1, 3, 3)}] if "window" in card.options and card.options["window"].type[:4] == "ints" else []
        )
        for options in [{}, *choices, *flags, *windows]:
            torch.manual_seed(0)
            op = card.load()(16, **options)
            cost = count(op, *card.example(1, 16, (card.max_frames or 3, 6, 5)))
            assert cost.uncounted == (), card.name
            assert cost.params == sum(p.numel() for p in op.parameters())
            assert op.training
            seen += 1
    assert seen >= 60


def test_operators_by_hand():
    def cost(name, channels=16, grid=(3, 6, 5), **options):
        return count(OPS[name].load()(channels, **options), torch.randn(2, channels, *grid))

    n = 3 * 6 * 5
    assert cost("conv2d").macs == 2 * n * 16 * 16 * 9
    assert cost("conv3d").macs == 2 * n * 16 * 16 * 27
    assert cost("tsm") == Count(0, 0, 0, ())
    assert cost("self_attention").macs == 2 * (n * 4 * 16 * 16 + 2 * n * n * 16)
    assert cost("lisa").macs == 2 * n * (4 * 16 * 16 + 8 * 16)  # projections; sums with q for 8 patterns
    pairs = 2 * 2 * 30  # of frames, on the map
    matching = 2 * n * 16 * 64 + pairs * 64 * 15 * 15
    refining = 3 * 49 + 3 * 16 + 16 * 9 + 16 * 32 + 32 * 9 + 32 * 64 + 64 * 9 + 64 * 16
    read = cost("motion_squeeze").macs - matching - 2 * n * refining
    assert read == pairs * 225 * 2  # the expected displacement, a matrix product


def test_a_network_as_published():
    """ResNet-18 with TSM: 14.636 G, MotionSqueeze after res3: 0.079 G, as the released code counts at 174 classes."""
    network = MODELS["resnet18"].build(classes=174, ops=[{"op": "tsm"}, {"op": "motion_squeeze", "at": "res3"}])
    cost = count(network, torch.randn(1, 3, 8, 224, 224))
    assert cost.macs == pytest.approx(14.636e9 + 0.079e9, rel=1e-3)
    assert cost.uncounted == ()


# --- what really runs -----------------------------------------------------------------------------------------------


def test_executed_counts_matrix_products_and_what_stands_beside_them():
    a, b = torch.randn(3, 4, 6), torch.randn(3, 6, 5)
    assert executed(torch.bmm, a, b) == 2 * 3 * 4 * 5 * 6
    assert executed(lambda a, b: (a @ b).relu(), a, b) == 2 * 3 * 4 * 5 * 6 + 60
    assert executed(lambda a: a.t(), a[0]) == 0


def test_executed_sees_inside_our_primitives():
    """A row of queries against the padded rows of keys around it, of which the window keeps a band."""
    B, C, T, H, W = 2, 8, 3, 5, 6
    L, U, V = 1, 3, 3
    q, k, w = torch.randn(B, C, T, H, W), torch.randn(B, C, T, H, W), torch.randn(B, 2, L * U * V, T, H, W)
    products = 2 * B * T * H * L * W * U * (W + V - 1) * C
    for found in (
        executed(lambda q, k: correlate(q, k, (L, U, V), groups=2), q, k),
        executed(lambda w, v: aggregate(w, v, (L, U, V)), w, k),
    ):
        assert products <= found < 1.5 * products


def test_executed_of_the_fourier_form_grows_more_slowly_than_attention():
    def ratio(name):
        op = OPS[name].load()(16)
        small, large = (executed(op, torch.randn(1, 16, 1, size, size)) for size in (8, 32))
        return large / small

    assert ratio("self_attention") > 60  # 16 times the positions
    assert 16 < ratio("lisa") < 40


# --- the dispatch counter ---------------------------------------------------------------------------------------------


def dispatched(function, *inputs):
    return count_forward(function, *inputs)


def test_a_sum_of_products_is_found_by_both_counters():
    a, b = torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    for function, macs, other in (
        (lambda a, b: (a * b).sum(1), 60, 0),
        (lambda a, b: (a * b).mean(1), 60, 15),
        (lambda a, b: (a[:, :, None] * b[:, None]).sum(-1), 240, 0),
        (lambda a, b: (a * a).sum(1), 0, 120),  # a norm
        (lambda a, b: (a * 2).sum(1), 0, 120),  # a scale
        (lambda a, b: (a * b).relu().sum(1), 0, 180),
        (lambda a, b: a * b, 0, 60),  # Hadamard
    ):
        counted = dispatched(function, a, b)
        assert (counted.cost.macs, counted.cost.other_flops) == (macs, other)
        assert count(Call(function), a, b) == Count(0, macs, other, ())


def test_a_product_that_is_gone_is_not_taken_for_another_tensor():
    """Storages are given back and their addresses taken again."""
    a, b, c = (torch.randn(2, 100, device="meta") for _ in range(3))

    def function(a, b, c):
        for _ in range(50):
            p = a * b
            del p
            q = c.clone()
            q.sum(1)
        return q

    cost = dispatched(function, a, b, c).cost
    assert (cost.macs, cost.other_flops) == (0, 50 * 2 * 200)


class ToItself(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, bias=False, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


@pytest.mark.parametrize(
    "module, shapes",
    [
        (ToItself(), [(2, 5, 8)]),
        (nn.TransformerEncoderLayer(8, 2, 16, bias=False, batch_first=True), [(2, 5, 8)]),
        (nn.Bilinear(3, 4, 5, bias=False), [(2, 3), (2, 4)]),
        (nn.Upsample(scale_factor=2, mode="trilinear"), [(1, 2, 3, 4, 5)]),
        (nn.Upsample(scale_factor=2, mode="bilinear"), [(1, 2, 3, 4)]),
        (nn.ConvTranspose2d(4, 6, 2, stride=2), [(1, 4, 5, 5)]),
        (nn.Conv2d(4, 6, 3, padding="same"), [(1, 4, 5, 5)]),
        (nn.Conv2d(4, 4, 3, groups=4), [(1, 4, 5, 5)]),
        (nn.GELU(), [(3, 4)]),
        (nn.LayerNorm(4), [(3, 4)]),
        (nn.GroupNorm(2, 4), [(3, 4, 5)]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_layers_of_torch_are_counted_alike(module, shapes):
    """By fvcore with our handles and by the dispatch counter, nothing left out."""
    module.eval()
    inputs = [torch.randn(shape) for shape in shapes]
    ours, theirs = count(module, *inputs), dispatched(module, *inputs)
    assert ours.uncounted == theirs.uncounted == ()
    assert ours.flops > 0
    assert ours.macs == theirs.cost.macs
    assert ours.other_flops == pytest.approx(theirs.cost.other_flops, rel=0.01)


def test_attention_is_whole():
    """Projections, both products, and the output's projection: none of the counters of torch sees all of them."""
    macs = 2 * 5 * 8 * 8 * 4 + 2 * 2 * 5 * 5 * 4 * 2
    assert dispatched(ToItself().eval(), torch.randn(2, 5, 8)).cost.macs == macs


@pytest.mark.parametrize("mode, macs", [("bilinear", 4), ("nearest", 0)])
def test_grid_sample(mode, macs):
    x, grid = torch.randn(2, 3, 5, 6), torch.rand(2, 7, 4, 2) * 2 - 1
    sample = Call(lambda x, grid: F.grid_sample(x, grid, mode=mode, align_corners=False))
    found = count(sample, x, grid)
    assert found.macs == dispatched(sample, x, grid).cost.macs == macs * 2 * 3 * 28
    assert found.uncounted == ()
    volume, places = torch.randn(1, 3, 4, 5, 6), torch.rand(1, 2, 3, 4, 3)
    assert dispatched(lambda x, g: F.grid_sample(x, g, align_corners=False), volume, places).cost.macs == 8 * 3 * 24


def test_backward_costs_twice_its_products():
    layer, x = nn.Conv2d(8, 8, 3, padding=1, groups=4), torch.randn(2, 8, 5, 5)
    forward = dispatched(layer, x).cost
    assert count_backward(layer, list(layer.parameters()), x).cost.macs == 2 * forward.macs


def test_ways_out_of_torch_are_named():
    def through_numpy(x):
        return torch.from_numpy(x.numpy() + 1)

    def by_address(x):
        assert x.data_ptr()
        return x

    x = torch.randn(3)
    assert dispatched(through_numpy, x).uncounted == ("Tensor.numpy",)
    assert dispatched(by_address, x).uncounted == ("Tensor.data_ptr",)
    assert dispatched(lambda x: x + 1, x).uncounted == ()


def test_shapes_alone_cost_what_tensors_do():
    op, inputs = OPS["rsa"].load()(16).eval(), OPS["rsa"].example(1, 16, (3, 6, 5))
    meta, shapes = on_meta(op, inputs)
    assert count_forward(op, *inputs, opened=True) == count_forward(meta, *shapes, opened=True)


# --- what a user may bring --------------------------------------------------------------------------------------------


def test_prices_are_what_they_are_said_to_be():
    """In numbers, since formulas and counters share the list of prices."""
    x = torch.randn(2, 6, 10)
    for function, price in (
        (lambda x: x.softmax(-1), 5 * 120),
        (nn.LayerNorm(10), 5 * 120),
        (nn.BatchNorm1d(6).eval(), 2 * 120),
        (F.gelu, 4 * 120),
        (F.silu, 4 * 120),
        (F.relu, 120),
        (lambda x: x.sum(-1), 120),
        (lambda x: x.norm(dim=-1), 2 * 120 + 12),
        (lambda x: torch.fft.rfft(torch.cat([x, x[..., :6]], -1)), 12 * 2.5 * 16 * 4),
    ):
        assert dispatched(function, x).cost.other_flops == price
        assert count(function if isinstance(function, nn.Module) else Call(function), x).other_flops == price


@pytest.mark.parametrize(
    "function", [F.elu, F.selu, F.softplus, F.hardswish, F.leaky_relu, F.relu6, F.silu, torch.sigmoid]
)
def test_the_backward_pass_of_an_activation_is_counted(function):
    found = count_backward(function, [], torch.randn(3, 4))
    assert found.uncounted == () and found.cost.other_flops > 0


def test_the_backward_pass_of_sampling_is_counted():
    x, grid = torch.randn(2, 3, 5, 6), torch.rand(2, 7, 4, 2) * 2 - 1
    found = count_backward(lambda x, g: F.grid_sample(x, g, align_corners=False), [], x, grid)
    assert found.uncounted == () and found.cost.macs == 2 * 4 * 2 * 3 * 28


def test_complex_products_are_four_real_ones():
    a = torch.randn(4, 4, dtype=torch.complex64)
    assert dispatched(torch.mm, a, a).cost.macs == 4 * 64
    assert count(Call(torch.mm), a, a).macs == 4 * 64


def test_resizing_by_the_nearest_is_free_and_named_nowhere():
    x = torch.randn(1, 2, 4, 5)
    assert dispatched(nn.Upsample(scale_factor=2), x) == dispatched(lambda x: x.repeat(1, 1, 2, 2), x)


def test_products_that_are_moved_before_they_are_summed_are_macs():
    a, b = torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    assert dispatched(lambda a, b: (a * b).permute(0, 2, 1).contiguous().sum(2), a, b).cost.macs == 60
    assert dispatched(lambda a, b: a.clone().mul_(b).sum(1), a, b).cost.macs == 60


def test_a_module_without_a_backward_pass_is_counted_and_told():
    class Plain(nn.Module):
        @torch.no_grad()
        def forward(self, x):
            return x * 2

    found = costs(Plain(), [torch.randn(3, 4)], None, 4)
    assert found["other_flops"] == 12 and found["macs_bwd"] == 0
    assert any("backward" in name for name in found["uncounted"])
    assert costs(Plain(), [torch.randn(3, 4)], None, 4, backward=False)["uncounted"] == []


def test_a_mask_made_inside_is_no_obstacle():
    class Masked(ToItself):
        def forward(self, x):
            mask = torch.ones(x.shape[1], x.shape[1]).triu(1).bool()  # on the CPU, wherever x is
            return self.attention(x, x, x, attn_mask=mask, need_weights=False)[0]

    assert costs(Masked(), [torch.randn(2, 5, 8)], None, 4)["macs"] == 2 * 5 * 8 * 8 * 4 + 2 * 2 * 5 * 5 * 4 * 2


def test_whole_numbers_are_moved_in_their_own_size():
    found = costs(Call(lambda i: F.one_hot(i, 4).float() * 1.0), [torch.tensor([1, 2, 3])], None, 2, backward=False)
    assert found["bytes_min"] == 3 * 8 + 12 * 2
