"""What an operator's formula is written in: multiply-adds, other operations, and what common layers take of each.

`macs` are multiply-adds of convolution, linear, matmul, correlation, aggregation and sampling; a product without a sum
is none. `other_flops` is all else at the prices below. Views, copies, masks and comparisons are free. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

SOFTMAX = 5  # for each element: maximum, difference, exponential, sum, division
BATCH_NORM = 2  # in evaluation: a scale and a shift
LAYER_NORM = 5
ACTIVATION = 4  # of the smooth ones: gelu, silu, softplus
BILINEAR = 4  # multiply-adds of a value read between four pixels
TRILINEAR = 15  # of a value interpolated between eight
PLACE = 14  # of a place to read at: on each axis a shift, floor, fraction, its rest and the next pixel; four weights


@dataclass(frozen=True)
class Cost:
    """Operations of one forward pass. Counts, not thousands or millions."""

    macs: int | float = 0
    other_flops: int | float = 0

    @property
    def flops(self) -> int | float:
        return 2 * self.macs + self.other_flops

    def __add__(self, more: Cost) -> Cost:
        return Cost(self.macs + more.macs, self.other_flops + more.other_flops)

    def __mul__(self, times: int | float) -> Cost:
        return Cost(times * self.macs, times * self.other_flops)

    __rmul__ = __mul__


def products(outputs: int | float, terms: int | float = 1) -> Cost:
    """A matrix product, convolution or correlation: `outputs` numbers, each a sum of `terms` products."""
    return Cost(macs=outputs * terms)


def each(elements: int | float, price: int | float = 1) -> Cost:
    """An elementwise operation, or a sum, over so many elements."""
    return Cost(other_flops=elements * price)


def real_fft(shape: tuple[int, ...], transforms: int | float) -> Cost:
    """Real Fourier transforms over grids of `shape`, padding included: 2.5 N log2 N each."""
    n = math.prod(shape)
    return Cost(other_flops=2.5 * n * math.log2(max(n, 2)) * transforms)


def l2norm(elements: int | float, vectors: int | float) -> Cost:
    """x / sqrt(sum x^2 + eps): a square, a sum and a division for each element, two operations for each vector."""
    return each(elements, 3) + each(vectors, 2)


def correlation(outputs: int | float, terms: int) -> Cost:
    """`outputs` sums of `terms` products of two maps; of a single product there is no sum."""
    return products(outputs, terms) if terms > 1 else each(outputs)


def conv_bn(weight: tuple[int, ...], positions: int | float) -> Cost:
    """A convolution of this weight (out, in / groups, ...) that makes so many positions, and batch norm."""
    return products(positions * weight[0], math.prod(weight[1:])) + each(positions * weight[0], BATCH_NORM)


def conv_bn_relu(weight: tuple[int, ...], positions: int | float) -> Cost:
    return conv_bn(weight, positions) + each(positions * weight[0])


def soft_argmax(positions: int | float, offsets: int, *, gaussian: bool) -> Cost:
    """Softmax of a window's scores with a temperature, expected (x, y).

    The Gaussian around the best offset takes, for each score, two differences, their squares and sum, sign, division,
    exponential and product.
    """
    return each(positions * offsets, 1 + SOFTMAX + 9 * gaussian) + products(2 * positions, offsets)


def bilinear(values: int | float, places: int | float) -> Cost:
    """Values read between four pixels, at places that are moved off a grid and shared by all channels.

    A place costs the same however many channels are read there. Whole pixels are read by copies, at no cost.
    """
    return products(values, BILINEAR) + each(places, PLACE)


def fitting(table: Sequence[int], grid: Sequence[int]) -> Cost:
    """A table of relative positions, of this shape, brought to a grid: free on its own, else interpolated."""
    sizes = [2 * size - 1 for size in grid]
    return Cost() if list(table[-3:]) == sizes else each(math.prod(table[:-3]) * math.prod(sizes), TRILINEAR)
