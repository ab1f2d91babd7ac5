from __future__ import annotations

import math

import numpy as np
import pytest

from vidops_cli import stats

SAMPLES = [np.random.default_rng(seed).normal(3, 10, size).tolist() for seed, size in enumerate((2, 3, 7, 50))]


@pytest.mark.parametrize("values", SAMPLES, ids=len)
def test_mean_and_std_equal_numpy(values):
    assert stats.mean(values) == pytest.approx(np.mean(values), rel=1e-12)
    assert stats.std(values) == pytest.approx(np.std(values, ddof=1), rel=1e-12)


@pytest.mark.parametrize("values", SAMPLES, ids=len)
@pytest.mark.parametrize("q", [0.0, 0.1, 0.25, 0.5, 0.9, 1.0])
def test_quantile_equals_numpy(values, q):
    assert stats.quantile(values, q) == pytest.approx(np.quantile(values, q), rel=1e-12)


def test_one_value():
    assert stats.mean([4.0]) == 4.0
    assert stats.std([4.0]) is None
    assert stats.quantile([4.0], 0.3) == 4.0


def test_values_are_left_in_their_order():
    values = [3.0, 1.0, 2.0]
    assert stats.quantile(values, 0.5) == 2.0
    assert values == [3.0, 1.0, 2.0]


@pytest.mark.parametrize(("successes", "n"), [(1, 4), (50, 100), (1990, 2000), (3.5, 7)])
def test_wilson_bounds_solve_their_equation(successes, n):
    """The bounds are the shares c at which |p - c| = z sqrt(c (1 - c) / n)."""
    low, high = stats.wilson(successes, n)
    assert 0 < low < successes / n < high < 1
    for bound in (low, high):
        assert abs(successes / n - bound) == pytest.approx(1.96 * math.sqrt(bound * (1 - bound) / n), rel=1e-9)


def test_wilson_stays_in_the_unit_interval():
    low, high = stats.wilson(0, 10)
    assert low == 0.0 and 0.2 < high < 0.4
    low, high = stats.wilson(10, 10)
    assert 0.6 < low < 0.8 and high == pytest.approx(1.0)
