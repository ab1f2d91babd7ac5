"""A network's operations as a paper would print them: three ways of counting that go by the name of FLOPs.

macs: multiply-adds of convolutions, linear layers and matrix products, called FLOPs (fvcore's way; RSA, SIFA).
flops: two operations for a multiply-add, and all else.
motionsqueeze: what the counter released with MotionSqueeze (a changed thop) adds up, its units mixed: convolutions as
multiply-adds and one for each bias, linear layers and correlations as 2 C - 1 operations for each output, batch norms
as 4 for each element, average pooling as its sums and a division; all else, ReLU and softmax too, as nothing. Its
notebook prints 14.5896 G for TSM-ResNet-18 at 8 frames, of which 14.5092 G are multiply-adds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from .cost import count
from .handles import HANDLES
from .traced import as_published, traced

CONVENTIONS = ("macs", "flops", "motionsqueeze")


def as_printed(model: nn.Module, *inputs: Tensor, convention: str) -> int:
    """Operations of `model(*inputs)`, counted by one of CONVENTIONS."""
    assert convention in CONVENTIONS, convention
    if convention == "motionsqueeze":
        with as_published(model):
            return round(sum(traced(model, inputs, _THOP).by_operator().values()))
    found = count(model, *inputs)
    return found.macs if convention == "macs" else found.flops


def _shape(value: Any) -> list[int]:
    return value.type().sizes() or []


def _convolution(inputs: list[Any], outputs: list[Any]) -> int:
    weight, bias = _shape(inputs[1]), not inputs[2].node().mustBeNone()
    transposed = inputs[6].toIValue() is True
    channels = weight[0] // inputs[8].toIValue() if transposed else weight[1]
    return math.prod(_shape(outputs[0])) * (channels * math.prod(weight[2:]) + bias)


def _same_convolution(inputs: list[Any], outputs: list[Any]) -> int:
    bias = not inputs[2].node().mustBeNone()
    return math.prod(_shape(outputs[0])) * (math.prod(_shape(inputs[1])[1:]) + bias)


def _linear(inputs: list[Any], outputs: list[Any]) -> int:
    return math.prod(_shape(outputs[0])) * (2 * _shape(inputs[0])[-1] - 1)


def _correlation(inputs: list[Any], outputs: list[Any]) -> int:
    queries, volume = _shape(inputs[0]), _shape(outputs[0])
    return math.prod(volume) * (2 * queries[1] // volume[1] - 1)


def _sum_of_products(inputs: list[Any], outputs: list[Any]) -> int:
    """An einsum: in the published forms, a correlation."""
    return 2 * HANDLES["aten::einsum"](inputs, outputs)["macs"] - math.prod(_shape(outputs[0]))


def _batch_norm(inputs: list[Any], outputs: list[Any]) -> int:
    return 4 * math.prod(_shape(outputs[0]))


def _average(inputs: list[Any], outputs: list[Any]) -> int:
    """Global average pooling is a mean in our networks."""
    return math.prod(_shape(inputs[0])) + math.prod(_shape(outputs[0]))


def _nothing(inputs: list[Any], outputs: list[Any]) -> Counter:
    return Counter()


_THOP: dict[str, Callable] = {
    **{f"aten::{name}": _nothing for name in ("addmm", "bmm", "matmul", "mm", "group_norm", "layer_norm")},
    **{f"aten::{name}": _nothing for name in ("instance_norm", "upsample_nearest2d", "upsample_bilinear2d")},
    "aten::grid_sampler": _nothing,
    "aten::_convolution": _convolution,
    "aten::_convolution_mode": _same_convolution,
    "aten::einsum": _sum_of_products,
    "aten::linear": _linear,
    "aten::batch_norm": _batch_norm,
    "aten::adaptive_avg_pool2d": _average,
    "aten::adaptive_avg_pool3d": _average,
    "aten::mean": _average,
    "vidops::correlate": _correlation,
}
