"""Every operator on numbers at their edges. All options in all precisions: `make faults`, tests/faults/numerics.py."""

import sys
from pathlib import Path

import pytest
import torch

from vidops_cli.ops import OPS

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from numerics import PRECISIONS, at_once, built, changed, hands_on_nan, network_inputs, not_finite, same_bits, some
from test_contract import EVERY, awaken, example, make

SMALL = ["resnet_tiny", "two_stream_tiny", "renet_tiny", "vit_micro", "swin_mini"]


@pytest.mark.parametrize("card", EVERY)
def test_no_nan_comes_of_zeros_constants_huge_and_vanishing_numbers(card):
    for options in some(card, 3):
        op = make(card, **options).eval()
        awaken(op)
        assert not_finite(op, at_once(card, PRECISIONS["float32"])) == [], options


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("card", EVERY)
def test_nor_in_half_precision(card, precision):
    op = make(card).eval()
    awaken(op)
    assert not_finite(op, at_once(card, PRECISIONS[precision]), PRECISIONS[precision]) == []


@pytest.mark.parametrize("kind", ["zeros", "ones", "large"])
@pytest.mark.parametrize("card", EVERY)
def test_nor_in_training(card, kind):
    op = make(card)
    awaken(op)
    assert not_finite(op, changed(card, example(card), PRECISIONS["float32"].kinds()[kind])) == []


def test_what_is_not_finite_is_named():
    """Of a root: fine above zero, a gradient without end at zero, NaN below it."""

    class Root(torch.nn.Module):
        def forward(self, x):
            return x.sqrt()

    assert not_finite(Root(), [torch.ones(2)]) == []
    assert not_finite(Root(), [torch.zeros(2)]) == ["input 0"]
    with pytest.warns(UserWarning, match="Error detected in SqrtBackward0"):
        assert "SqrtBackward0" in not_finite(Root(), [-torch.ones(2)])[0]


@pytest.mark.parametrize("card", EVERY)
def test_nan_is_not_hidden(card):
    assert hands_on_nan(card, {})


@pytest.mark.parametrize("card", EVERY)
def test_one_seed_gives_the_same_bits(card):
    assert same_bits(card, {})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("card", EVERY)
def test_one_seed_gives_the_same_bits_on_cuda(card, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    assert same_bits(card, {}, "cuda")


@pytest.mark.parametrize("kind", ["zeros", "ones"])
@pytest.mark.parametrize("name", SMALL)
def test_networks_train_on_one_constant_clip(name, kind):
    inputs = network_inputs(name, PRECISIONS["float32"].kinds()[kind], 1, 16)
    assert not_finite(built(name), inputs) == []


def test_every_operator_is_walked():
    assert len(EVERY) == len(OPS) >= 36
