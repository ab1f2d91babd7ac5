"""An operator's formula, fvcore on the operator and a dispatch counter on its textbook form agree within 1 %."""

import math
from functools import partial

import pytest
import torch
from formulas import CASES, OPTIONS, agree, counts, made

from vidops_cli.ops import OPS
from vidops_cli.ops.cost import Cost
from vidops_cli.profiling.cost import count
from vidops_cli.profiling.counter import count_backward, count_forward, on_meta
from vidops_cli.textbook import published


@pytest.mark.parametrize("case", CASES, ids=str)
def test_three_counts_agree(case):
    formula, traced, ran = counts(*case)
    assert agree(formula, traced, ran)
    assert formula == pytest.approx(ran, rel=1e-9)
    assert formula != (0, 0) or case[0] == "tsm"


def test_every_choice_of_every_operator_is_a_case():
    assert list(OPTIONS) and set(OPTIONS) == set(OPS)
    assert len(CASES) >= 350
    for name, tried in OPTIONS.items():
        for key, option in OPS[name].options.items():
            values = {str(options.get(key, option.default)) for options in tried}
            assert values >= set(map(str, option.choices))
            assert len(values) >= 2 or option.type == "str", (name, key)


@pytest.mark.parametrize("name", [name for name in OPS if name != "tsm"])
@pytest.mark.parametrize("more", [Cost(1.05, 1), Cost(1, 1.05)], ids=["macs", "other"])
def test_five_percent_more_in_a_formula_is_seen(monkeypatch, name, more):
    kind, case = OPS[name].load(), next(case for case in CASES if case[0] == name)
    true, (formula, traced, ran) = kind.cost, counts(*case)
    assert agree(formula, traced, ran)
    part = 0 if more.macs > 1 else 1
    if not formula[part]:  # no operation of that kind: nothing could be 5 % more
        assert traced[part] == ran[part] == 0
        return

    def cost(self, *shapes):
        found = true(self, *shapes)
        return Cost(found.macs * more.macs, found.other_flops * more.other_flops)

    monkeypatch.setattr(kind, "cost", cost)
    formula, traced, ran = counts(*case)
    assert not agree(formula, traced) and not agree(formula, ran)
    assert agree(traced, ran)


# --- backward ---------------------------------------------------------------------------------------------------------

TWICE = (
    *("conv2d", "conv3d", "conv2plus1d", "channel_separated_conv", "tsm", "temporal_conv", "global_context"),
    *("self_attention", "structsa", "non_local"),
)


@pytest.mark.parametrize("case", [case for case in CASES if case[0] in TWICE], ids=str)
def test_backward_multiplies_twice_as_much(case):
    op, inputs = on_meta(*made(*case))
    form = partial(published(case[0]), op)
    forward, backward = count_forward(form, *inputs), count_backward(form, list(op.parameters()), *inputs)
    assert backward.uncounted == ()
    multiplied = case[2].get("rpe") == "multiplicative"  # the gradient of R is a sum of products over the batch
    table = 2 * op.heads * math.prod(case[1]) ** 2 if multiplied else 0
    assert backward.cost.macs == 2 * forward.cost.macs + table


@pytest.mark.parametrize("name", [name for name in OPS if name not in (*TWICE, "lisa", "global_filter")])
def test_backward_multiplies_about_twice_as_much(name):
    """Not exactly: a product without a sum has sums of products as gradients, and constants have none."""
    op, inputs = on_meta(*made(name, *next(case[1:] for case in CASES if case[0] == name)))
    form = partial(published(name), op)
    forward, backward = count_forward(form, *inputs), count_backward(form, list(op.parameters()), *inputs)
    assert backward.uncounted == ()
    assert 1.8 <= backward.cost.macs / forward.cost.macs <= 3


@pytest.mark.parametrize("grid", ((3, 5, 6), (1, 7, 4)))
@pytest.mark.parametrize("options", [{}, {"phi": "gelu", "patterns": 3}, {"padding": "circular", "heads": 2}], ids=str)
def test_backward_of_lisa(options, grid):
    """Its products with the query are summed forward only, those with the code backward only."""
    op, (x,) = on_meta(*made("lisa", grid, options))
    backward = count_backward(partial(published("lisa"), op), list(op.parameters()), x)
    assert backward.uncounted == ()
    assert backward.cost.macs == (2 * 4 * 16 + op.patterns) * x.numel()


def test_backward_of_a_global_filter():
    """Products of spectra, which are sums over nothing but a batch: no multiply-adds either way."""
    op, (x,) = on_meta(*made("global_filter", (3, 5, 6), {"grid": (3, 5, 6)}))
    backward = count_backward(partial(published("global_filter"), op), list(op.parameters()), x)
    assert backward.uncounted == () and backward.cost.macs == 0 < backward.cost.other_flops


# --- inputs that vary -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shots", [1, 2])
def test_shots_of_cross_correlational_attention(shots):
    class Shots(torch.nn.Module):
        def __init__(self, op):
            super().__init__()
            self.op = op

        def forward(self, support, query):
            return self.op(support, query, shots=shots)

    op = OPS["cca"].load()(16, reduced=8).eval()
    support, query = torch.randn(4, 16, 1, 3, 5), torch.randn(3, 16, 1, 6, 4)
    formula, traced = op.cost(support.shape, query.shape, shots=shots), count(Shots(op), support, query)
    meta, shapes = on_meta(op, [support, query])
    told = count_forward(partial(published("cca"), meta, shots=shots), *shapes).cost
    assert formula == Cost(traced.macs, traced.other_flops) == told


@pytest.mark.parametrize("persons", [1, 3])
def test_persons_of_pose_to_feature(persons):
    op = OPS["pose_to_feature"].load()(6).eval()
    op.size = (9, 7)
    inputs = [torch.rand(2, 3, persons, 18, 2), torch.rand(2, 3, persons, 18)]
    formula, traced = op.cost(*(x.shape for x in inputs)), count(op, *inputs)
    meta, shapes = on_meta(op, inputs)
    assert (
        formula
        == Cost(traced.macs, traced.other_flops)
        == count_forward(partial(published("pose_to_feature"), meta), *shapes).cost
    )
