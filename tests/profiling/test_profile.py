import json

import pytest
import torch

from vidops_cli.functional import temporal_shift
from vidops_cli.ops import OPS
from vidops_cli.profiling import latency
from vidops_cli.profiling import profile as module
from vidops_cli.profiling.latency import Latency, measure
from vidops_cli.profiling.profile import Shape, grid_of, profile

CPU = torch.device("cpu")
KEYS = {
    *("op", "shape", "dtype", "device", "threads", "params", "macs", "other_flops", "flops", "flops_executed"),
    *("uncounted", "checked", "checked_on", "passed", "peak_fwd_bytes", "peak_fwdbwd_bytes"),
    *(f"{name}_{key}" for name in ("fwd", "fwdbwd") for key in ("ms", "p10", "p90", "n")),
}
TIMINGS = {key for key in KEYS if key.startswith(("fwd", "peak"))}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(module, "measure", lambda call, device: measure(call, device, budget=0.01))


def small(name="tsm", grid=(2, 6, 6), **options):
    return profile(OPS[name], Shape(1, 16, grid), device=CPU, **options)


@pytest.mark.parametrize(
    "sequence, grid",
    [(4096, (64, 64)), (2048, (32, 64)), (1, (1, 1)), (2, (1, 2)), (12, (3, 4)), (18, (3, 6)), (196, (14, 14))],
)
def test_grid_of(sequence, grid):
    assert grid_of(sequence) == (1, *grid)


@pytest.mark.parametrize(
    "sequence, near", [(10, "9 and 12"), (3, "2 and 4"), (13, "12 and 15"), (4097, "4096 and 4100")]
)
def test_grid_of_refuses_with_the_nearest_two(sequence, near):
    with pytest.raises(ValueError, match=str(sequence)) as refused:
        grid_of(sequence)
    _, hint = refused.value.args
    assert f"{near};" in hint
    for n in map(int, near.split(" and ")):
        assert grid_of(n)[0] == 1


@pytest.mark.parametrize("sequence", [0, -4])
def test_grid_of_refuses_what_is_no_length(sequence):
    with pytest.raises(ValueError, match="at least 1"):
        grid_of(sequence)


def test_a_row_of_every_operator():
    seen = 0
    for card in OPS.values():
        maps = any("H" in told.shape for told in card.inputs)
        grid = (card.max_frames or 2, *((6, 6) if maps else card.layer[2:]))
        row = small(card.name, grid)
        assert set(row) == KEYS
        assert row["op"] == card.name
        assert row["shape"] == row["checked_on"] == str(Shape(1, 16, grid))
        assert [row["dtype"], row["device"], row["threads"]] == ["float32", "cpu", torch.get_num_threads()]
        assert row["flops"] == 2 * row["macs"] + row["other_flops"]
        assert row["uncounted"] == []
        assert row["passed"] is True
        assert 0 <= row["checked"] <= 1e-4
        for name in ("fwd", "fwdbwd"):
            assert 0 < row[f"{name}_p10"] <= row[f"{name}_ms"] <= row[f"{name}_p90"]
            assert row[f"{name}_n"] >= 5
        inputs = 4 * sum(x.numel() for x in card.example(1, 16, grid))
        assert row["peak_fwdbwd_bytes"] >= max(row["peak_fwd_bytes"], inputs)
        assert json.loads(json.dumps(row)) == row
        seen += 1
    assert seen == len(OPS) >= 20


def test_frames_that_an_operator_cannot_take():
    for name, grid, told in (("sifa", (1, 6, 6), "at least 2 frames"), ("cca", (3, 6, 6), "at most 1 frames")):
        with pytest.raises(ValueError, match=told):
            small(name, grid)
    with pytest.raises(ValueError, match="takes no map"):
        small("pose_to_feature", (2, 6, 6))


def test_options_reach_the_operator():
    assert small("conv2d", options={"kernel": 1})["params"] == 16 * 16


def test_without_backward():
    row = small(backward=False)
    assert set(row) == KEYS
    assert {key for key in TIMINGS if row[key] is None} == {key for key in TIMINGS if "fwdbwd" in key}


def test_in_bfloat16():
    row = small("conv2d", dtype="bfloat16")
    assert row["dtype"] == "bfloat16"
    assert row["passed"] is True
    assert 1e-5 < row["checked"] < 5e-2


def no_timings(row):
    return set(row) == KEYS and all(row[key] is None for key in TIMINGS)


def test_an_operator_that_differs_from_its_textbook_form_gets_no_timing(monkeypatch):
    monkeypatch.setattr(OPS["tsm"].load(), "forward", lambda self, x: temporal_shift(x, self.fold) + 1e-3)
    row = small()
    assert row["passed"] is False
    assert row["checked"] == pytest.approx(1e-3, rel=1)
    assert no_timings(row)


def test_neither_does_one_whose_gradient_differs(monkeypatch):
    def forward(self, x):
        y = temporal_shift(x, self.fold)
        return y + 0.01 * (y - y.detach())

    monkeypatch.setattr(OPS["tsm"].load(), "forward", forward)
    row = small()
    assert row["passed"] is False
    assert no_timings(row)


@pytest.mark.parametrize("where", ["output", "gradient"])
def test_neither_does_one_that_gives_nan(monkeypatch, where):
    def forward(self, x):
        zero = x - x
        return temporal_shift(x, self.fold) + (zero / zero if where == "output" else zero.sqrt())

    monkeypatch.setattr(OPS["tsm"].load(), "forward", forward)
    row = small()
    assert row["passed"] is False
    assert no_timings(row)


def test_a_map_too_large_for_the_textbook_form_is_checked_on_a_corner(monkeypatch):
    monkeypatch.setattr(module, "REFERENCE_POSITIONS", {"mixer": 40})
    row = small("self_attention", grid=(2, 7, 6))
    assert row["shape"] == "1x16x2x7x6"
    assert row["checked_on"] == "1x16x2x4x3"
    assert row["passed"] is True


def test_refuses_too_few_frames():
    with pytest.raises(ValueError, match="at least 2 frames") as refused:
        small("motion_squeeze", grid=(1, 6, 6))
    assert "--grid" in refused.value.args[1]


def test_refuses_channels_that_the_operator_refuses():
    with pytest.raises(ValueError, match="self_attention") as refused:
        profile(OPS["self_attention"], Shape(1, 12, (1, 4, 4)), device=CPU)
    assert "--channels" in refused.value.args[1]


def test_latency_leaves_no_run_out():
    times = [4.0, 1.0, 3.0, 2.0, 100.0]
    told = Latency.of(times)
    assert [told.median, told.n] == [3.0, 5]
    assert told.p10 == pytest.approx(1.4)
    assert told.p90 == pytest.approx(61.6)


class Clock:
    """Time that passes only in calls: a number of milliseconds each, the last one for ever."""

    def __init__(self, *milliseconds):
        self.now, self.calls, self.milliseconds = 0.0, 0, milliseconds

    def perf_counter(self):
        return self.now

    def call(self):
        self.now += self.milliseconds[min(self.calls, len(self.milliseconds) - 1)] / 1e3
        self.calls += 1


@pytest.mark.parametrize(
    "milliseconds, warm, runs",
    [
        ((9.0, 5.0, 2.0, 2.1, 2.0), 4, 50),  # warm when two runs are within a tenth; then 100 ms of them
        ((0.1,), 2, 60),  # no more than `most`
        ((40.0,), 2, 7),  # no fewer than `fewest`
        ((300.0,), 1, 7),  # a slow call is not warmed for longer than the budget
    ],
)
def test_measure_runs_for_its_budget(monkeypatch, milliseconds, warm, runs):
    clock = Clock(*milliseconds)
    monkeypatch.setattr(latency, "time", clock)
    told = measure(clock.call, CPU, budget=0.1, fewest=7, most=60)
    assert clock.calls == warm + told.n
    assert told.n == pytest.approx(runs, abs=3)
    assert told.median == pytest.approx(milliseconds[-1])
