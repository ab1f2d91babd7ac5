from __future__ import annotations

import functools
import math
import random
from statistics import NormalDist

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


def skewed(rng, size):
    """Times as they come: a floor, and now and then a long wait."""
    return 1 + rng.gamma(2, 0.02, size) + (rng.random(size) < 0.3) * rng.exponential(0.3, size)


SINGLE = {
    "lognormal": (lambda rng, n: rng.lognormal(0, 0.5, n), 1.0),
    "skewed": (lambda rng, n: rng.exponential(1, n), np.log(2)),
}


def pairs(kind, rng, n):
    """Times of two sides with the true ratio 1.1, in turns AB BA AB ..."""
    if kind == "drift":  # a random walk that goes on between the two sides of a pair as it does between pairs
        walk = np.exp(np.cumsum(rng.normal(0, 0.03, 2 * n))).reshape(n, 2)
        walk[1::2] = walk[1::2, ::-1].copy()
        a, b = walk.T * rng.lognormal(0, 0.02, (2, n))
    else:
        a, b = skewed(rng, (2, n)) if kind == "skewed" else rng.lognormal(0, 0.1, (2, n))
    return 1.1 * a, b


@pytest.mark.parametrize("n", [10, 20, 50])
@pytest.mark.parametrize("kind", SINGLE)
def test_bootstrap_covers_the_median(kind, n):
    draw, median = SINGLE[kind]
    rng = np.random.default_rng(n)
    found = [stats.bootstrap(draw(rng, n), resamples=500, seed=seed) for seed in range(500)]
    assert 0.925 <= np.mean([low <= median <= high for low, high in found]) <= 0.985


@pytest.mark.parametrize("n", [6, 10, 20, 50])
@pytest.mark.parametrize("kind", ["lognormal", "skewed", "drift"])
def test_paired_ratio_covers_the_truth(kind, n):
    rng = np.random.default_rng(n)
    found = [stats.paired_ratio(*pairs(kind, rng, n), resamples=500, seed=seed) for seed in range(500)]
    assert 0.925 <= np.mean([ratio.low <= 1.1 <= ratio.high for ratio in found]) <= 0.985
    assert np.median([ratio.value for ratio in found]) == pytest.approx(1.1, rel=0.02)
    assert all(ratio.low <= ratio.value <= ratio.high and ratio.n == n for ratio in found)


def test_bootstrap_of_a_function_is_the_classical_interval_of_a_mean():
    values = np.random.default_rng(0).normal(5, 2, 40)
    low, high = stats.bootstrap(values, np.mean, seed=1)
    margin = stats.t_quantile(0.975, 39) * values.std(ddof=1) / 40**0.5
    assert low == pytest.approx(values.mean() - margin, abs=0.1 * margin)
    assert high == pytest.approx(values.mean() + margin, abs=0.1 * margin)


def test_bootstrap_repeats_itself_and_narrows_with_a_lower_level():
    values = SAMPLES[-1]
    assert stats.bootstrap(values) == stats.bootstrap(values)
    (low, high), (inner_low, inner_high) = stats.bootstrap(values), stats.bootstrap(values, level=0.5)
    assert low < inner_low < stats.quantile(values, 0.5) < inner_high < high


def test_too_few_values_have_no_interval():
    assert stats.bootstrap([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    with pytest.raises(ValueError, match="5 values"):
        stats.bootstrap([1.0, 2.0, 3.0, 4.0, 5.0])
    few = stats.paired_ratio([2.0, 4.0, 6.0], [1.0, 1.0, 1.0])
    assert few == stats.Ratio(pytest.approx(4.0), None, None, 3)
    assert stats.paired_ratio([3.0], [2.0]) == stats.Ratio(pytest.approx(1.5), None, None, 1)


def test_the_inverse_of_a_ratio():
    a, b = pairs("skewed", np.random.default_rng(0), 20)
    ratio, inverse = stats.paired_ratio(a, b), stats.paired_ratio(b, a)
    assert inverse.value == pytest.approx(1 / ratio.value)
    assert [inverse.low, inverse.high] == pytest.approx([1 / ratio.high, 1 / ratio.low], rel=1e-3)


@pytest.mark.parametrize("values", [[1.0, 0.0], [-1.0, 1.0], [1.0, float("nan")], [float("inf"), 1.0]])
def test_ratios_and_exponents_refuse_what_has_no_logarithm(values):
    for call in (stats.paired_ratio, stats.fit_power):
        with pytest.raises(ValueError, match="positive"):
            call([1.0, 2.0], values)


@pytest.mark.parametrize(
    "p, df, t",
    [
        *((0.975, 1, 12.7062), (0.975, 2, 4.30265), (0.975, 3, 3.18245), (0.975, 9, 2.26216), (0.975, 100, 1.98397)),
        *((0.95, 4, 2.13185), (0.995, 5, 4.03214), (0.5, 7, 0.0)),
    ],
)
def test_t_quantile_equals_the_printed_tables(p, df, t):
    assert stats.t_quantile(p, df) == pytest.approx(t, rel=1e-5, abs=1e-12)


def test_fit_of_an_exact_power():
    x = [256, 1024, 4096, 65536]
    power = stats.fit_power(x, [3e-4 * n**1.5 for n in x])
    assert [power.exponent, power.low, power.high] == pytest.approx([1.5, 1.5, 1.5])
    assert power.constant == pytest.approx(3e-4)
    assert power.n == 4


def test_fit_of_two_points_has_no_interval():
    power = stats.fit_power([10, 1000], [5, 50000])
    assert (power.low, power.high) == (None, None)
    assert power.exponent == pytest.approx(2)


@pytest.mark.parametrize("x, y", [([7], [1.0]), ([7, 7, 7], [1.0, 2.0, 3.0])])
def test_fit_refuses_one_size(x, y):
    with pytest.raises(ValueError, match="two different sizes"):
        stats.fit_power(x, y)


@pytest.mark.parametrize("n", [3, 4, 8])
def test_fit_covers_the_exponent(n):
    rng, x = np.random.default_rng(n), 2.0 ** np.arange(n)
    found = [stats.fit_power(x, x**1.3 * rng.lognormal(0, 0.2, n)) for _ in range(1000)]
    assert 0.935 <= np.mean([power.low <= 1.3 <= power.high for power in found]) <= 0.965


def test_fit_equals_polyfit():
    x, y = [1.0, 2.0, 5.0, 9.0], [3.0, 3.5, 11.0, 12.0]
    (slope, _), covariance = np.polyfit(np.log(x), np.log(y), 1, cov=True)
    power = stats.fit_power(x, y)
    assert power.exponent == pytest.approx(slope)
    assert power.high - slope == pytest.approx(4.30265 * covariance[0, 0] ** 0.5, rel=1e-4)


def curve(*ratios, spread=None):
    """Points at 100, 200, 400 ... with an interval of a factor `spread` to both sides."""
    return [(100 * 2**i, ratio, spread and ratio / spread, spread and ratio * spread) for i, ratio in enumerate(ratios)]


def test_crossing_of_two_powers():
    points = [(x, 50 * x**-0.5, 45 * x**-0.5, 55 * x**-0.5) for x in (256, 1024, 4096, 16384)]
    found = stats.crossing(points[::-1])
    assert [found.value, found.low, found.high] == pytest.approx([2500, 2025, 3025])
    assert found.note == ""


@pytest.mark.parametrize(
    "ratios, value, note",
    [
        ((0.9, 0.5), None, "always ahead"),
        ((0.9,), None, "always ahead"),
        ((4, 2, 1), None, "never ahead up to 400"),
        ((0.5, 2), 100 * 2**0.5, "ahead below it"),
        ((2, 0.5, 2, 0.5), 400 * 2**0.5, "crosses more than once"),
        ((0.5, 2, 0.5), 200 * 2**0.5, "crosses more than once"),
        ((2, 0.5, 2), None, "crosses more than once"),
        ((2, 1, 0.5), 200, ""),
    ],
)
def test_notes_of_a_crossing(ratios, value, note):
    for spread in (None, 1.01):
        found = stats.crossing(curve(*ratios, spread=spread))
        assert found.note == note
        assert found.value == (value and pytest.approx(value))
        assert (found.low is None) == (spread is None or value is None)
        assert value is None or found.low is None or found.low < value


def test_a_crossing_from_ahead_has_the_bounds_of_its_inverse():
    points = curve(0.25, 0.5, 2, 4, spread=1.2)
    other = stats.crossing([(x, 1 / ratio, 1 / high, 1 / low) for x, ratio, low, high in points])
    found = stats.crossing(points)
    assert (
        (found.value, found.low, found.high)
        == (other.value, other.low, other.high)
        == pytest.approx((282.8, 258.2, 309.8), 0.001)
    )
    assert stats.crossing(curve(0.5, 1)) == stats.Crossover(200, None, None, "ahead below it")


def test_bounds_of_a_crossing_may_be_open():
    assert stats.crossing(curve(1.1, 0.9, spread=1.5)) == stats.Crossover(pytest.approx(139.0, rel=1e-3), None, None)
    to_the_left = stats.crossing(curve(1.1, 0.5, spread=1.5))
    assert to_the_left.low is None
    assert to_the_left.high > to_the_left.value
    known, once = curve(1.5, 1.2, spread=1.3), (400, 0.6, None, None)  # a slow point, timed once
    found = stats.crossing([*known, once])
    assert 200 < found.value < 400
    assert [found.low, found.high] == [pytest.approx(156.0, rel=1e-3), None]


@pytest.mark.parametrize("known", [5, 3])
def test_bounds_stand_around_the_crossing(known):
    rng, lows, highs = np.random.default_rng(0), 0, 0
    for _ in range(300):
        points = curve(*rng.lognormal(0, 1, 5), spread=1.2)
        for i in rng.permutation(5)[known:]:
            points[i] = (*points[i][:2], None, None)
        found = stats.crossing(points)
        if found.low is not None:
            assert found.low <= found.value
            lows += 1
        if found.high is not None:
            assert found.value <= found.high
            highs += 1
    assert min(lows, highs) >= 30


def test_crossing_refuses_no_points():
    with pytest.raises(ValueError, match="at least one size"):
        stats.crossing([])


# --- means of ratios --------------------------------------------------------------------------------------------------


def ratio(value, low=None, high=None):
    return stats.Ratio(value, low, high, 1)


def test_the_geometric_mean_of_ratios():
    assert stats.geometric_mean([ratio(2.0), ratio(8.0)]).value == pytest.approx(4.0)
    told = stats.geometric_mean([ratio(2.0, 1.5, 3.0)])
    assert (told.value, told.low, told.high, told.n) == (pytest.approx(2.0), pytest.approx(1.5), pytest.approx(3.0), 1)
    assert stats.geometric_mean([ratio(2.0, 1.5, 3.0), ratio(2.0)]).low is None
    with pytest.raises(ValueError, match="at least one"):
        stats.geometric_mean([])
    with pytest.raises(ValueError, match="positive"):
        stats.geometric_mean([ratio(0.0)])


def test_the_mean_of_ratios_is_known_better_than_each():
    four = stats.geometric_mean([ratio(2.0, 1.6, 2.5)] * 4)
    assert four.low == pytest.approx(2 * 0.8**0.5) and four.high == pytest.approx(2 * 1.25**0.5) and four.n == 4


def test_the_interval_of_a_mean_of_ratios_covers_it():
    draw = random.Random(0)
    widths, hits = [0.02, 0.1, 0.3], 0
    for _ in range(2000):
        seen = [math.exp(draw.gauss(math.log(true), w)) for true, w in zip([1.0, 3.0, 9.0], widths, strict=True)]
        told = stats.geometric_mean(
            [ratio(x, x * math.exp(-1.96 * w), x * math.exp(1.96 * w)) for x, w in zip(seen, widths, strict=True)]
        )
        hits += told.low <= 3.0 <= told.high
    assert 0.94 <= hits / 2000 <= 0.96


# --- paired effects ---------------------------------------------------------------------------------------------------


def scored(rng, runs: int, n: int, sd: float, own: float, gap: float = 0.0):
    """(runs, n) differences, in points, of two rows on the same clips: right is 1, wrong 0.

    Accuracies scatter by `sd` points over runs. A clip is hard for both rows alike, for one of them (`own`: the share
    of that), and in one run.
    """
    accuracy = 50 + rng.normal(0, sd, (runs, 2)) + [gap, 0]
    bar = np.array([[NormalDist().inv_cdf(share / 100) for share in pair] for pair in accuracy])
    shares = [(0.5, (1, 1, n)), (own, (1, 2, n)), (0.5 - own, (runs, 2, n))]
    right = sum(share**0.5 * rng.normal(size=size) for share, size in shares) < bar[..., None]
    return 100.0 * (right[:, 0].astype(int) - right[:, 1])


@pytest.mark.parametrize("own", [0.05, 0.3])
@pytest.mark.parametrize("runs, n", [(3, 300), (3, 2000), (5, 300), (5, 2000), (8, 300), (8, 2000)])
@pytest.mark.parametrize("sd", [0.0, 2.0])
def test_the_interval_of_a_paired_effect_covers_it(sd, runs, n, own):
    rng, draws, hits = np.random.default_rng(runs + n), 1000, 0
    student = functools.lru_cache(stats.t_quantile)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stats, "t_quantile", student)  # the same two numbers over and over
        for _ in range(draws):
            grid = scored(rng, runs, n, sd, own, gap=1.0)
            effect = stats.paired_effect(grid.mean(axis=1), grid)
            hits += abs(effect.value - 1.0) <= effect.margin()
    assert 0.93 <= hits / draws <= 0.985


@pytest.mark.parametrize("runs", [2, 3, 8])
def test_without_items_it_is_the_paired_t_test(runs):
    values = np.random.default_rng(runs).normal(1, 2, runs)
    effect = stats.paired_effect(values)
    error = values.std(ddof=1) / runs**0.5
    assert effect.value == pytest.approx(values.mean())
    for alpha in (0.05, 0.01):
        assert effect.margin(alpha) == pytest.approx(stats.t_quantile(1 - alpha / 2, runs - 1) * error)
        assert effect.p_value(effect.value - effect.margin(alpha)) == pytest.approx(alpha)
        assert effect.p_value(effect.value + effect.margin(alpha)) == pytest.approx(alpha)
    assert effect.p_value(effect.value) == 1.0
    assert effect.p_value(1e9) < 1e-7
    assert stats.Effect(0.0, 0.0, 0.0, runs).p_value() == 1.0  # rows that are the same on every item


def test_p_value_equals_printed_ones():
    """Of t = 2.92 at 2 degrees of freedom: 10 %; of 1.96 normal: 5 %."""
    assert stats.Effect(2.91999, 1.0, 0.0, 3).p_value() == pytest.approx(0.1, rel=1e-4)
    assert stats.Effect(1.95996, 0.0, 1.0, 3).p_value() == pytest.approx(0.05, rel=1e-4)


@pytest.mark.parametrize("own, sd", [(0.05, 2.0), (0.45, 0.5), (0.3, 0.0)])
def test_variances_are_those_of_a_bootstrap_over_runs_and_over_items(own, sd):
    """Less what both count: that of a bootstrap over what neither a run nor an item has all over."""
    rng, runs, n, times = np.random.default_rng(3), 6, 300, 4000
    grid = scored(rng, runs, n, sd, own)
    effect = stats.paired_effect(grid.mean(axis=1), grid)
    over_runs = np.var(grid.mean(axis=1)[rng.integers(0, runs, (times, runs))].mean(axis=1)) * runs / (runs - 1)
    over_items = np.var(grid.mean(axis=0)[rng.integers(0, n, (times, n))].mean(axis=1)) * n / (n - 1)
    rest = grid - grid.mean(axis=1, keepdims=True) - grid.mean(axis=0) + grid.mean()
    both = np.var(rest.ravel()[rng.integers(0, rest.size, (times, rest.size))].mean(axis=1)) * runs / (runs - 1)
    assert effect.by_runs == pytest.approx(over_runs, rel=0.1)
    assert effect.by_items == pytest.approx(max(0, over_items - both), rel=0.1, abs=0.05 * over_items)
    assert effect.by_items > 0.3 * over_items or own < 0.1


def test_runs_that_are_equal_leave_the_items():
    grid = np.zeros((3, 300))
    grid[0, 0] = grid[1, 1] = grid[2, 2] = 100.0  # one clip more, each time another: may well be chance
    effect = stats.paired_effect(grid.mean(axis=1), grid)
    assert effect.by_runs == 0 and effect.margin() > effect.value > 0
    assert stats.paired_effect([0.1 + 0.2, 0.3, 0.3]) is None
    assert stats.paired_effect([1.0]) is None
    assert stats.paired_effect([]) is None


def test_more_runs_narrow_the_interval():
    margins = [stats.paired_effect([0.0, 1.0, 2.0] * times).margin() for times in (1, 2, 4)]
    assert margins[0] > 2 * margins[1] > 2 * margins[2]


@pytest.mark.parametrize(
    "p_values, alphas",
    [
        ([0.2], [0.05]),
        ([0.01, 0.04, 0.03], [0.05 / 3, 0.025, 0.025]),  # 0.03 stands at 0.05 / 2, and 0.04 with it
        ([0.04, 0.01, 0.02], [0.05, 0.05 / 3, 0.025]),
        ([0.02, 0.02, 0.02], [0.05 / 3] * 3),
        ([1.0, 0.0], [0.05, 0.025]),
        ([], []),
    ],
)
def test_holm(p_values, alphas):
    assert stats.holm(p_values) == pytest.approx(alphas)


def test_holm_errs_once_in_a_family():
    rng = np.random.default_rng(0)
    seen = rng.random((4000, 6))
    wrong = sum(any(p <= a for p, a in zip(row, stats.holm(row), strict=True)) for row in seen.tolist())
    assert 0.04 <= wrong / len(seen) <= 0.06
    assert np.mean((seen < 0.05).any(axis=1)) > 0.2  # as it would be without
