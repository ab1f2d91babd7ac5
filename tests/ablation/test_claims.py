"""Claims of a table: what stored rows make of them."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest

from vidops_cli import stats
from vidops_cli.ablation.claims import failed, growth, judge


def claim(better: str = "full", worse: str = "plain", least: float = 0.0, metric: str = "top1") -> dict:
    told = f"{better} is ahead of {worse} by {least}"
    return {"claim": told, "metric": metric, "better": better, "worse": worse, "least": least}


def row(name: str, seed: int, value: float, metric: str = "top1", **told) -> dict:
    shared = {"cell": f"{name}{seed}", "n": 2000, "split": "test", "data": "abc", "scale": "full"}
    return {**shared, "row": name, "seed": seed, "metric": metric, "value": float(value), **told}


def rows(**values: list[float]) -> list[dict]:
    """Rows of seeds 0, 1, ... by name."""
    return [row(name, seed, value) for name, found in values.items() for seed, value in enumerate(found)]


def with_bits(name: str, seed: int, right: np.ndarray, **told) -> dict:
    bits = np.packbits(right).tobytes().hex()
    return row(name, seed, 100 * right.mean(), n=len(right), correct=bits, **told)


def noise(rng, names: list[str], seeds: int = 3, gap: float = 0.0, sd: float = 2.0) -> list[dict]:
    """Invented rows, the first of them `gap` points ahead."""
    return rows(**{name: 50 + gap * (i == 0) + rng.normal(0, sd, seeds) for i, name in enumerate(names)})


def verdict(found: list[dict], **told) -> str:
    return judge([claim(**told)], found, scale="full")[0]["verdict"]


# --- verdicts ---------------------------------------------------------------------------------------------------------

AHEAD = rows(full=[60.1, 59.7, 60.4, 60.0], plain=[50.2, 49.9, 50.1, 50.3])


@pytest.mark.parametrize("least, told", [(0, "held"), (9, "held"), (9.9, "undecided"), (11, "not held")])
def test_the_interval_is_held_against_the_least_effect(least, told):
    (entry,) = judge([claim(least=least)], AHEAD, scale="full")
    assert entry["verdict"] == told
    assert entry["effect"] == pytest.approx(9.925)
    # the paired t-test on 9.9, 9.8, 10.3, 9.7
    half = 3.18245 * np.std([9.9, 9.8, 10.3, 9.7], ddof=1) / 2
    assert [entry["low"], entry["high"]] == pytest.approx([9.925 - half, 9.925 + half], rel=1e-5)
    assert (entry["level"], entry["seeds"], entry["clips"]) == (pytest.approx(0.95), 4, 2000)
    assert entry["detectable"] == (pytest.approx(9.9 + half, rel=1e-5) if told == "undecided" else None)


def test_an_effect_of_what_is_detectable_is_held():
    (entry,) = judge([claim(least=9.9)], AHEAD, scale="full")
    moved = copy.deepcopy(AHEAD)
    for told in moved[:4]:
        told["value"] += entry["detectable"] - entry["effect"]
    for nudge, found in ((-1e-6, "undecided"), (2e-6, "held")):
        for told in moved[:4]:
            told["value"] += nudge
        assert verdict(moved, least=9.9) == found


def test_swapping_two_rows_turns_held_into_not_held():
    swapped = [{**told, "row": {"full": "plain", "plain": "full"}[told["row"]]} for told in AHEAD]
    assert (verdict(AHEAD), verdict(swapped)) == ("held", "not held")
    (entry,), (turned,) = (judge([claim()], found, scale="full") for found in (AHEAD, swapped))
    assert [turned["low"], turned["effect"], turned["high"]] == [-entry["high"], -entry["effect"], -entry["low"]]


def test_invented_noise_is_undecided():
    """3 seeds, sd 2, a true gap of 1: of 2,000 draws 6 % come out held, 1 % not held; of a gap of 0 5 % in all."""
    rng = np.random.default_rng(0)
    found = [verdict(noise(rng, ["full", "plain"], gap=1.0)) for _ in range(200)]
    assert found.count("undecided") >= 180
    assert found.count("not held") <= 5
    found = [verdict(noise(rng, ["full", "plain"])) for _ in range(200)]
    assert found.count("undecided") >= 185


def test_a_gap_that_is_there_is_found():
    rng = np.random.default_rng(0)
    assert [verdict(noise(rng, ["full", "plain"], gap=20.0)) for _ in range(50)].count("held") >= 47


def test_a_family_of_claims_errs_as_seldom_as_one():
    names = ["full", *"abcdef"]
    claims, rng = [claim(worse=name) for name in "abcdef"], np.random.default_rng(1)
    together = alone = 0
    for _ in range(200):
        found = noise(rng, names)
        together += any(entry["verdict"] != "undecided" for entry in judge(claims, found, scale="full"))
        alone += any(verdict(found, worse=name) != "undecided" for name in "abcdef")
    assert together <= 16 < alone  # 5 % are 10, with a standard deviation of 3


def test_interval_and_verdict_never_contradict_each_other():
    rng, seen = np.random.default_rng(2), []
    for _ in range(100):
        claims = [claim(worse=name, least=least) for name in "abc" for least in (0.0, 3.0)]
        for entry in judge(claims, noise(rng, ["full", *"abc"], gap=6.0, sd=1.0), scale="full"):
            seen.append(entry["verdict"])
            assert (entry["verdict"] == "held") == (entry["low"] > entry["least"])
            assert (entry["verdict"] == "not held") == (entry["high"] < entry["least"])
            assert (entry["verdict"] == "undecided") == (entry["detectable"] is not None)
            assert entry["low"] < entry["effect"] < entry["high"]
    assert min(seen.count("held"), seen.count("undecided")) > 20


def test_claims_of_a_table_are_tested_one_after_the_other():
    """Each at what Holm leaves it, those that are not run counted too: rows to come make no verdict harder."""
    found = AHEAD + rows(near=[51.3, 49.2, 50.8, 51.0])
    claims = [claim(worse="gone"), claim("near", "plain"), claim(), claim("near", "full")]
    entries = judge(claims, found, scale="full")
    assert [entry["verdict"] for entry in entries] == ["not run", "undecided", "held", "not held"]
    assert [entry["level"] for entry in entries] == [None, *map(pytest.approx, (0.975, 0.9875, 1 - 0.05 / 3))]


def test_what_is_tested_first_is_what_is_surest_above_its_least_effect():
    found = AHEAD + rows(near=[50.85, 50.55, 50.751, 50.949])  # surely above 0, not so 0.6495 points above
    for least, levels in ((0, [0.975, 0.95]), (0.6495, [0.95, 0.975])):
        entries = judge([claim("near", "plain", least=least), claim()], found, scale="full")
        assert [entry["level"] for entry in entries] == pytest.approx(levels)


# --- what changes nothing ---------------------------------------------------------------------------------------------


def test_order_of_rows_a_shift_of_both_and_a_second_time_change_nothing():
    rng = np.random.default_rng(4)
    found = [told for seed in (0, 8, 16, 24) for told in clips_of(rng, seed)]
    claims = [claim(least=1.0), claim("plain", "full")]
    entries = judge(claims, found, scale="full")
    before = copy.deepcopy((claims, found))
    assert judge(claims, found, scale="full") == entries
    assert (claims, found) == before
    for draw in range(5):
        assert judge(claims, random.Random(draw).sample(found, len(found)), scale="full") == entries
    shifted = [{**told, "value": told["value"] - 16} for told in found]
    for entry, other in zip(entries, judge(claims, shifted, scale="full"), strict=True):
        assert {**other, "effect": 0, "low": 0, "high": 0, "detectable": 0} == {
            **entry,
            **dict.fromkeys(("effect", "low", "high", "detectable"), 0),
        }
        assert [other["low"], other["high"]] == pytest.approx([entry["low"], entry["high"]])


# --- seeds and clips --------------------------------------------------------------------------------------------------


def clips_of(rng, seed: int, n: int = 501, gap: float = 0.03) -> list[dict]:
    """Rows of two runs on n clips, of which some are harder."""
    hard = np.random.default_rng(99).random(n)
    return [
        with_bits(name, seed, 0.6 * hard + 0.4 * rng.random(n) < 0.5 + ahead)
        for name, ahead in (("full", gap), ("plain", 0.0))
    ]


def bare(found: list[dict]) -> list[dict]:
    return [{key: value for key, value in told.items() if key != "correct"} for told in found]


def test_more_seeds_narrow_the_interval():
    rng = np.random.default_rng(0)
    found = [told for seed in range(12) for told in clips_of(rng, seed)]
    for rows_of in (list, bare):
        widths = []
        for seeds in (3, 6, 12):
            (entry,) = judge([claim()], rows_of(found[: 2 * seeds]), scale="full")
            widths.append(entry["high"] - entry["low"])
            assert entry["seeds"] == seeds
        assert widths == sorted(widths, reverse=True)


def test_clips_widen_the_interval_by_what_they_add():
    """Seeds that agree on which clips are right say little of other clips."""
    rng, n = np.random.default_rng(5), 400
    kept = {"full": rng.random(n) < 0.56, "plain": rng.random(n) < 0.5}
    found = [with_bits(name, seed, right ^ (rng.random(n) < 0.01)) for name, right in kept.items() for seed in range(3)]
    (entry,), (alone,) = (judge([claim()], told, scale="full") for told in (found, bare(found)))
    assert (entry["note"], alone["note"]) == ("", "over seeds alone")
    assert entry["effect"] == alone["effect"]
    assert (entry["verdict"], alone["verdict"]) == ("undecided", "held")
    apart = kept["full"].astype(float) - kept["plain"]
    by_clips = 1.96 * 100 * apart.std() / n**0.5
    assert entry["high"] - entry["effect"] == pytest.approx(by_clips, rel=0.15)


def test_the_same_clips_of_both_rows_are_paired():
    rng, n = np.random.default_rng(6), 1000
    hard = rng.random(n)
    runs = [(seed, [0.95 * hard + 0.05 * rng.random(n) < bar for bar in (0.53, 0.5)]) for seed in range(4)]
    paired = [with_bits(name, s, right) for s, two in runs for name, right in zip(("full", "plain"), two, strict=True)]
    mixed = [
        with_bits(told["row"], told["seed"], np.random.default_rng(len(told["row"])).permutation(bits_of(told)))
        for told in paired
    ]
    (entry,), (other,) = (judge([claim()], found, scale="full") for found in (paired, mixed))
    assert entry["effect"] == pytest.approx(other["effect"])
    assert other["high"] - other["low"] > 2 * (entry["high"] - entry["low"])


def bits_of(told: dict) -> np.ndarray:
    return np.unpackbits(np.frombuffer(bytes.fromhex(told["correct"]), np.uint8), count=told["n"]).astype(bool)


def test_clips_count_only_where_all_runs_tell_the_same_ones():
    rng = np.random.default_rng(7)
    found = [told for seed in range(3) for told in clips_of(rng, seed, n=20)]
    assert judge([claim()], found, scale="full")[0]["note"] == ""
    for change, note in (
        ({"correct": None}, "over seeds alone"),
        ({"correct": found[2]["correct"][:-2]}, "over seeds alone"),
        ({"data": "other"}, "not all scored on the same clips; over seeds alone"),
        ({"split": "val"}, "not all scored on the same clips; over seeds alone"),
        ({"n": 19}, "not all scored on the same clips; over seeds alone"),
    ):
        (entry,) = judge([claim()], [*found[:2], {**found[2], **change}, *found[3:]], scale="full")
        assert entry["note"] == note
        assert (entry["clips"] is None) == ("same" in note)


def test_bits_begin_with_the_highest():
    right = "0080"  # the last of 9 clips, then padding
    found = [row(name, seed, 0, n=9, correct="0000") for name in ("full", "plain") for seed in range(3)]
    found = [{**told, "correct": right, "value": 100 / 9} if told["row"] == "full" else told for told in found]
    (entry,) = judge([claim()], found, scale="full")
    assert entry["high"] - entry["effect"] == pytest.approx(1.959964 * 100 / 9, rel=1e-6)  # of one clip in 9: sd 1 / 3


def test_one_clip_tells_nothing_of_others():
    found = [{**told, "n": 1, "correct": "80"} for told in AHEAD]
    assert judge([claim()], found, scale="full")[0]["note"] == "over seeds alone"


def test_runs_of_one_seed_are_paired():
    together = rows(full=[52, 62, 72.5], plain=[50, 60, 70])
    apart = rows(full=[72.5, 52, 62], plain=[50, 60, 70])
    assert (verdict(together), verdict(apart)) == ("held", "undecided")
    (entry,) = judge([claim()], [*together, row("full", 9, 1.0)], scale="full")
    assert (entry["verdict"], entry["seeds"]) == ("held", 3)
    assert entry["note"] == "only one of the rows was run at seed 9; over seeds alone"


def episodes(rng, seeds: int, count: int, group: int, spread: float) -> list[dict]:
    """Rows of two runs on episodes of `group` queries; how far the first is ahead is of the episode."""
    ahead, hard = 0.1 + rng.normal(0, spread, count), rng.uniform(0.4, 0.6, count)
    return [
        {**with_bits(name, seed, (rng.random((count, group)) < bar[:, None]).ravel()), "group": group}
        for seed in range(seeds)
        for name, bar in (("full", hard + ahead), ("plain", hard))
    ]


def test_queries_of_an_episode_count_as_one():
    """The interval is that of `paired_effect` over episodes; what copies of a query add is nothing."""
    rng, (n, group) = np.random.default_rng(8), (60, 5)
    found = episodes(rng, 4, n, group, 0.2)
    (entry,) = judge([claim()], found, scale="full")
    right = np.array([bits_of(told) for told in found], float).reshape(4, 2, n, group).mean(-1)
    effect = stats.paired_effect([100 * (a - b).mean() for a, b in right], 100 * (right[:, 0] - right[:, 1]))
    assert (entry["clips"], entry["group"], entry["note"]) == (n * group, group, "")
    assert entry["high"] - entry["effect"] == pytest.approx(effect.margin(), rel=1e-6)
    single = [with_bits(told["row"], told["seed"], bits_of(told)[::group]) for told in found]
    copied = [
        {**with_bits(told["row"], told["seed"], np.repeat(bits_of(told)[::group], group)), "group": group}
        for told in found
    ]
    (one,), (many,) = (judge([claim()], rows, scale="full") for rows in (single, copied))
    assert [one["low"], one["high"]] == pytest.approx([many["low"], many["high"]])


def test_intervals_over_episodes_cover_the_truth():
    """An episode shifts all its queries: 95 % over episodes, far fewer where queries are taken for independent."""
    rng, covered, naive = np.random.default_rng(9), 0, 0
    for _ in range(150):
        found = episodes(rng, 3, 60, 15, 0.25)
        (entry,) = judge([claim()], found, scale="full")
        covered += entry["low"] <= 10 <= entry["high"]
        (entry,) = judge([claim()], [{**told, "group": 1} for told in found], scale="full")
        naive += entry["low"] <= 10 <= entry["high"]
    assert covered >= 133 > 128 > naive  # 142.5 are 95 %, with a deviation of 2.7


def test_runs_of_other_episodes_are_not_the_same_clips():
    found = episodes(np.random.default_rng(10), 3, 20, 4, 0.1)
    for change, note in (
        ({"group": 2}, "not all scored on the same clips; over seeds alone"),
        ({"group": None}, "not all scored on the same clips; over seeds alone"),
    ):
        (entry,) = judge([claim()], [{**found[0], **change}, *found[1:]], scale="full")
        assert (entry["note"], entry["clips"], entry["group"]) == (note, None, None)
    for group in (3, 80):  # no whole number of them; one alone
        (entry,) = judge([claim()], [{**told, "group": group} for told in found], scale="full")
        assert entry["note"] == "over seeds alone"


# --- without loss, costs, learning rates ------------------------------------------------------------------------------


@pytest.mark.parametrize("least, told", [(-11, "held"), (-9.9, "undecided"), (-9, "not held")])
def test_a_loss_may_be_allowed(least, told):
    (entry,) = judge([claim("plain", "full", least)], AHEAD, scale="full")
    assert (entry["verdict"], entry["effect"]) == (told, pytest.approx(-9.925))
    reach = least + entry["high"] - entry["effect"]
    assert entry["detectable"] == (pytest.approx(reach) if told == "undecided" else None)


def costs(**macs: float) -> list[dict]:
    return [row(name, 0, value, "macs", macs=value, params=2 * value) for name, value in macs.items()]


def of_cost(most: float, metric: str = "macs", **sides: str) -> dict:
    return {**claim(metric=metric, **sides), "most": most}


@pytest.mark.parametrize(
    "macs, most, effect, told",
    [(102, 2, 2, "held"), (103, 2, 3, "not held"), (80, -20, -20, "held"), (81, -20, -19, "not held")],
)
def test_a_claim_on_a_cost_is_exact(macs, most, effect, told):
    for metric in ("macs", "params"):
        (entry,) = judge([of_cost(most, metric)], costs(full=macs, plain=100), scale="full")
        assert (entry["verdict"], entry["effect"], entry["most"], entry["least"]) == (told, effect, most, None)
        assert [entry[key] for key in ("low", "high", "level", "seeds", "clips")] == [None] * 5
        assert (entry["note"], entry["rates"]) == ("", {})


def test_a_claim_on_a_cost_is_no_part_of_holm():
    both = judge([of_cost(2), claim(), of_cost(5)], AHEAD + costs(full=103, plain=100), scale="full", rates=[0.5])
    alone = judge([claim()], AHEAD, scale="full", rates=[0.5])
    assert both[1] == alone[0]
    assert [entry["verdict"] for entry in both] == ["not held", "held", "held"]


def test_costs_of_trained_rows_and_what_is_lacking():
    found = [{**told, "macs": 100 + 10 * (told["row"] == "full"), "dirty": told["seed"] == 0} for told in AHEAD]
    (entry,) = judge([of_cost(10)], found, scale="full")
    assert (entry["verdict"], entry["note"]) == ("held", "uncommitted changes in some rows")
    (entry,) = judge([of_cost(10)], [{**found[0], "macs": 120}, *found[1:]], scale="full")
    assert (entry["verdict"], entry["effect"]) == ("not held", 20)  # the dearest of them
    assert entry["note"].startswith("runs of a row differ in macs")
    for rows_of, told in ((found[:4], "plain"), ([], "full, plain"), (AHEAD, "full, plain")):
        (entry,) = judge([of_cost(10)], rows_of, scale="full")
        assert (entry["verdict"], entry["effect"], entry["note"]) == ("not run", None, f"not run: {told}")
    smoke = [{**told, "scale": "smoke"} for told in found]
    assert judge([of_cost(10)], smoke, scale="smoke")[0]["verdict"] == "smoke"


def test_claims_are_judged_again_at_each_learning_rate():
    swap = {"full": "plain", "plain": "full"}
    half = [{**told, "rate": 0.5} for told in AHEAD]
    double = [{**told, "rate": 2.0, "row": swap[told["row"]]} for told in AHEAD]
    claims = [claim(), claim("plain", "full", -5.0)]
    (entry, other), (alone, _) = (
        judge(claims, AHEAD + half + double, scale="full", rates=[0.5, 2.0, 4.0]),
        judge(claims, AHEAD, scale="full"),
    )
    assert entry["rates"] == {"0.5": "held", "2": "not held", "4": "not run"}
    assert other["rates"] == {"0.5": "not held", "2": "held", "4": "not run"}
    assert {**entry, "rates": {}} == alone
    assert judge(claims, half, scale="full")[0]["verdict"] == "not run"  # they stand for no other rate
    # at a rate, too, all claims of the table share their error: alone this one would be held
    near = [{**told, "rate": 0.5, "value": told["value"] - 9.25 * (told["row"] == "full")} for told in AHEAD]
    told = [judge(some, near, scale="full", rates=[0.5])[0]["rates"]["0.5"] for some in (claims[:1], claims[:1] * 9)]
    assert told == ["held", "undecided"]


def test_uncommitted_changes_are_told():
    (entry,) = judge([claim()], [{**AHEAD[0], "dirty": True, "older": True}, *AHEAD[1:]], scale="full")
    assert entry["note"] == "older code in some rows; uncommitted changes in some rows; over seeds alone"


# --- what cannot be judged --------------------------------------------------------------------------------------------


BOTH_APART = "no seed in common; only one of the rows was run at seed 0, 1"


@pytest.mark.parametrize(
    "found, told, seeds, note",
    [
        ([], "not run", 0, "not run: full, plain"),
        (rows(full=[1, 2, 3]), "not run", 0, "not run: plain"),
        ([row("full", 0, 60), row("plain", 1, 50)], "not run", 0, BOTH_APART),
        (rows(full=[60], plain=[50]), "undecided", 1, "one seed carries no interval"),
        (rows(full=[60, 61.3], plain=[50, 51.3]), "undecided", 2, "seeds do not differ: no spread"),
        ([row(name, 0, 50, metric="top5") for name in ("full", "plain")], "not run", 0, "not run: full, plain"),
        ([{**told, "scale": "smoke"} for told in AHEAD], "not run", 0, "not run: full, plain"),
    ],
)
def test_too_little_to_judge(found, told, seeds, note):
    (entry,) = judge([claim()], found, scale="full")
    assert (entry["verdict"], entry["seeds"]) == (told, seeds)
    assert entry["note"] == note
    assert [entry[key] for key in ("low", "high", "level", "detectable")] == [None] * 4
    assert (entry["effect"] is None) == (told == "not run")


def test_a_smoke_is_never_a_judgement_and_a_mini_says_so():
    smoke, mini = ([{**told, "scale": scale} for told in AHEAD] for scale in ("smoke", "mini"))
    (entry,) = judge([claim()], smoke, scale="smoke")
    assert (entry["verdict"], entry["low"], entry["scale"]) == ("smoke", None, "smoke")
    assert entry["effect"] == pytest.approx(9.925)
    (entry,) = judge([claim()], mini + smoke, scale="mini")
    assert (entry["verdict"], entry["scale"]) == ("held", "mini")


def test_rows_of_older_code_are_judged_and_told():
    (entry,) = judge([claim()], [{**AHEAD[0], "older": True}, *AHEAD[1:]], scale="full")
    assert entry["note"] == "older code in some rows; over seeds alone"
    assert entry["verdict"] == "held"


def test_two_values_of_one_run_are_refused():
    with pytest.raises(ValueError, match="two values of top1 for 'full', seed 0") as caught:
        judge([claim()], [*AHEAD, AHEAD[0]], scale="full")
    assert len(caught.value.args) == 2


def test_a_check_fails_unless_every_claim_is_held():
    held, undecided, refuted, missing = (
        judge([told], AHEAD, scale="full")
        for told in (claim(), claim(least=9.9), claim("plain", "full"), claim("full", "gone"))
    )
    smoke = judge([claim()], [{**told, "scale": "smoke"} for told in AHEAD], scale="smoke")
    assert not failed(held) and not failed([])
    assert all(failed(held + other) for other in (undecided, refuted, missing, smoke))


# --- growth -----------------------------------------------------------------------------------------------------------


def fit(op: str, exponent: float, low: float | None, high: float | None, what: str = "fwd_ms") -> dict:
    return {"op": op, "axis": "seq", "what": what, "exponent": exponent, "low": low, "high": high, "n": 5}


@pytest.mark.parametrize(
    "mine, against, told",
    [
        ((1.1, 1.0, 1.2), {"below": 1.5}, "held"),
        ((1.4, 1.3, 1.5), {"below": 1.5}, "undecided"),
        ((1.8, 1.6, 2.0), {"below": 1.5}, "not held"),
        ((1.1, None, None), {"below": 1.5}, "undecided"),
        ((1.1, 1.0, 1.2), {"than": "attention"}, "held"),
        ((1.7, 1.6, 1.95), {"than": "attention"}, "undecided"),
        ((2.3, 2.2, 2.4), {"than": "attention"}, "not held"),
        ((1.1, 1.0, 1.2), {"than": "gone"}, "not run"),
    ],
)
def test_growth_is_held_where_the_whole_interval_is_below(mine, against, told):
    claim = {"claim": "it grows slowly", "op": "lisa", "what": "fwd_ms", "below": None, "than": None, **against}
    largest = {"op": "lisa", "axis": "seq", "largest": 4096, "refused": None}
    scaling = [fit("lisa", *mine), fit("lisa", 9, 9, 9, "fwdbwd_ms"), fit("attention", 2.0, 1.9, 2.1), largest]
    (entry,) = growth([claim], scaling)
    assert entry["verdict"] == told
    assert entry["effect"] == (None if told == "not run" else mine[0])
    assert ("attention: 2.00 [1.90, 2.10]" in entry["note"]) == (against == {"than": "attention"})
    (entry,) = growth([claim], [])
    assert entry["verdict"] == "not run" and failed([entry])
