from __future__ import annotations

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
