import json

import pytest
import torch
from torch import nn

from vidops_cli.functional import blocks, temporal_shift
from vidops_cli.ops import OPS
from vidops_cli.own.card import own_card
from vidops_cli.profiling import profile as module
from vidops_cli.profiling.cases import Case, Shape, find_option, grid_of, sweep
from vidops_cli.profiling.profile import BESIDE, BOUNDS, MEMORY, RATES, TIMES, Settings, build, profile
from vidops_cli.profiling.roofline import Ceilings
from vidops_cli.report.profile import means

CPU = torch.device("cpu")
QUICK = Settings(CPU, budget=0.01, ceilings=Ceilings(1e10, 1e9, "cpu", "float32", 1, "highest", "2", "today"))
TIMINGS = {f"{which}_{key}" for which in ("fwd", "fwdbwd") for key in TIMES} | {*MEMORY, *RATES, *BOUNDS}


def small(name="tsm", grid=(2, 6, 6), *, channels=16, batch=1, options=None, told=None, baseline=None, **settings):
    case = Case(OPS[name], Shape(batch, channels, grid), options or {}, baseline=baseline, **told or {})
    return profile(case, Settings(**{**vars(QUICK), **settings}))


# --- cases ------------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    "axis, shapes, options",
    [
        ("seq", ["1x8x1x2x2", "1x8x1x2x4"], [{}, {}]),
        ("frames", ["1x8x4x5x6", "1x8x8x5x6"], [{}, {}]),
        ("size", ["1x8x2x4x4", "1x8x2x8x8"], [{}, {}]),
        ("channels", ["1x4x2x5x6", "1x8x2x5x6"], [{}, {}]),
        ("batch", ["4x8x2x5x6", "8x8x2x5x6"], [{}, {}]),
    ],
)
def test_a_sweep_moves_one_thing(axis, shapes, options):
    cases = list(sweep([Case(OPS["tsm"], Shape(1, 8, (2, 5, 6)))], axis, [4, 8]))
    assert [str(case.shape) for case in cases] == shapes
    assert [case.options for case in cases] == options
    assert [(case.axis, case.at) for case in cases] == [(axis, 4), (axis, 8)]


def test_a_sweep_of_an_option():
    def options(name, axis, value):
        return [case.options for case in sweep([Case(OPS[name], Shape(1, 8, (2, 5, 6)))], axis, [value])]

    assert options("scr", "window", 3) == [{"window": 3}]
    assert options("rsa", "window", 3) == [{"window": (5, 3, 3)}]
    assert options("lisa", "window", 3) == [{"window": (1, 3, 3)}]
    for name, axis, value, told in (
        ("scr", "window", 4, "odd"),
        ("tsm", "window", 3, "no option"),
        ("selfy", "offsets", 3, "list"),
    ):
        with pytest.raises(ValueError, match=told):
            options(name, axis, value)
    with pytest.raises(ValueError, match="no option 'x'") as refused:
        find_option(OPS["tsm"], "x")
    assert "fold_div" in refused.value.args[1]


def test_nothing_of_an_operator_is_left_at_zero_or_one():
    op, _ = build(Case(OPS["sifa"], Shape(1, 8, (2, 5, 6)), {"norm": True}))
    seen = 0
    for name, parameter in op.named_parameters():
        assert len(parameter.unique()) > 1, name
        seen += 1
    assert seen >= 3


# --- rows -------------------------------------------------------------------------------------------------------------


def test_a_row_of_every_operator():
    seen = 0
    for card in OPS.values():
        maps = any("H" in told.shape for told in card.inputs)
        grid = (card.max_frames or 2, *((6, 6) if maps else card.layer[2:]))
        row = small(card.name, grid)
        assert row["status"] == "ok" and row["error"] is None
        assert row["op"] == card.name
        assert row["shape"] == str(Shape(1, 16, grid))
        assert row["positions"] == grid[0] * grid[1] * grid[2]
        assert [row["dtype"], row["device"], row["threads"]] == ["float32", "cpu", torch.get_num_threads()]
        assert row["flops"] == 2 * row["macs"] + row["other_flops"]
        assert row["cost_from"] == "formula" and row["cost_gap"] <= 0.01
        assert row["uncounted"] == []
        assert row["passed"] is True and row["checked_how"] == "all positions"
        assert 0 <= row["checked"] <= 1e-4
        for name in ("fwd", "fwdbwd"):
            assert 0 < row[f"{name}_p10"] <= row[f"{name}_ms"] <= row[f"{name}_p90"] <= row[f"{name}_p99"]
            assert row[f"{name}_n"] >= 5
        assert row["clips_per_s"] == pytest.approx(1e3 / row["fwd_ms"])
        assert row["train_clips_per_s"] == pytest.approx(1e3 / row["fwdbwd_ms"])
        inputs = 4 * sum(x.numel() for x in card.example(1, 16, grid))
        assert row["peak_fwdbwd_bytes"] >= max(row["peak_fwd_bytes"], inputs)
        assert row["saved_bytes"] >= 0
        assert row["bytes_min"] >= inputs + 4 * row["params"]
        least = max(row["flops_executed"] / 1e10, row["bytes_min"] / 1e9)
        assert row["bound_ms"] == pytest.approx(1e3 * least)
        assert row["bound_share"] == pytest.approx(row["bound_ms"] / row["fwd_ms"])
        assert json.loads(json.dumps(row, allow_nan=False)) == row
        seen += 1
    assert seen == len(OPS) >= 20


def test_frames_that_an_operator_cannot_take():
    for name, grid, told in (("sifa", (1, 6, 6), "at least 2 frames"), ("cca", (3, 6, 6), "at most 1 frames")):
        with pytest.raises(ValueError, match=told) as refused:
            small(name, grid)
        assert "--grid" in refused.value.args[1]


def test_refuses_channels_that_the_operator_refuses():
    with pytest.raises(ValueError, match="self_attention") as refused:
        small("self_attention", (1, 4, 4), channels=12)
    assert "--channels" in refused.value.args[1]


def test_options_reach_the_operator():
    row = small("conv2d", options={"kernel": 1})
    assert row["params"] == 16 * 16
    assert row["options"] == "kernel=1"


def test_a_batch_is_counted_and_timed_whole():
    one, four = small("conv2d"), small("conv2d", batch=4)
    assert four["macs"] == 4 * one["macs"]
    assert four["clips_per_s"] == pytest.approx(4e3 / four["fwd_ms"])


def test_without_backward():
    row = small(backward=False)
    missing = {key for key in TIMINGS if row[key] is None and "speedup" not in key and "verdict" not in key}
    wanted = {key for key in missing if "fwdbwd" in key} | {"train_clips_per_s", "saved_bytes"}
    assert missing == wanted | {"reserved_fwd_bytes", "fwd_pairs"}
    assert row["status"] == "ok"


@pytest.mark.parametrize("dtype, most", [("bfloat16", 5e-2), ("float16", 1e-2)])
@pytest.mark.parametrize("name", ["conv2d", "sce", "local_attention", "cca", "self_attention"])
def test_in_half_precision(name, dtype, most):
    grid = (1, 6, 6)
    row = small(name, grid, dtype=dtype, backward=False)
    assert row["dtype"] == dtype
    assert row["passed"] is True, row["checked"]
    assert 1e-5 < row["checked"] < 3 * most


def test_channels_last_is_given_and_right():
    given = []

    class Seen(nn.Module):
        def forward(self, x):
            given.append(x.is_contiguous(memory_format=torch.channels_last_3d))
            return x * 2

    row = own(Seen, channels_last=True)
    assert given[-1] is True
    assert row["channels_last"] is True
    assert small("conv3d", channels_last=True)["passed"] is True


# --- right before fast ------------------------------------------------------------------------------------------------


def no_timings(row):
    return row["status"] == "red" and all(row[key] is None for key in TIMINGS)


def test_an_operator_that_differs_from_its_textbook_form_gets_no_timing(monkeypatch):
    monkeypatch.setattr(OPS["tsm"].load(), "forward", lambda self, x: temporal_shift(x, self.fold) + 1e-3)
    row = small(baseline="conv2d")
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
    assert json.dumps(row, allow_nan=False)


# --- baselines --------------------------------------------------------------------------------------------------------


def _foreign_card(cls):
    globals()[f"made_{cls.__name__}"] = cls
    return own_card(f"{__name__}:made_{cls.__name__}")


def test_against_an_operator():
    row = small("tsm", (2, 16, 16), baseline="conv3d", channels=64, budget=0.2)
    for which in ("fwd", "fwdbwd"):
        assert row[f"{which}_speedup_low"] <= row[f"{which}_speedup"] <= row[f"{which}_speedup_high"]
        assert row[f"{which}_verdict"] == "faster" and row[f"{which}_speedup"] > 2
        assert row[f"{which}_pairs"] >= 10


def test_against_its_own_textbook_form_and_itself():
    row = small("conv2d", (4, 12, 12), baseline="textbook")
    assert row["baseline"] == "textbook" and row["fwd_speedup"] > 0 and row["fwd_pairs"] >= 10
    assert small("tsm", baseline="tsm")["fwd_speedup"] is None


def test_a_row_holds_the_numbers_of_its_baseline_too():
    row = small("conv3d", (4, 12, 12), baseline="textbook", told={"released": {"fwd_ms": 2.5}})
    for which in ("fwd", "fwdbwd"):
        assert row[f"baseline_{which}_ms"] / row[f"{which}_ms"] == pytest.approx(row[f"{which}_speedup"], rel=0.5)
        ratio = row[f"peak_{which}_bytes"] / row[f"baseline_peak_{which}_bytes"]
        assert row[f"{which}_memory"] == ratio > 0
    assert (row["released_fwd_ms"], row["released_fwdbwd_ms"]) == (2.5, None)
    alone = small("conv3d")
    assert alone["baseline"] is None and all(alone[key] is None for key in BESIDE)
    other = small("tsm", (4, 12, 12), baseline="conv3d", backward=False)
    assert other["baseline_fwd_ms"] > other["fwd_ms"] and other["baseline_peak_fwdbwd_bytes"] is None


SHOTS = {"inputs": {"support": "10 C T H W"}, "call": {"shots": 2}}


def test_keywords_of_forward_reach_check_cost_and_textbook():
    row = small("cca", (1, 3, 4), batch=3, baseline="textbook", told=SHOTS)
    assert (row["status"], row["passed"], row["error"]) == ("ok", True, None)
    assert row["options"] == "shots=2 support=10xCxTxHxW"
    op, inputs = build(Case(OPS["cca"], Shape(3, 16, (1, 3, 4)), **SHOTS))
    assert [tuple(x.shape) for x in inputs] == [(10, 16, 1, 3, 4), (3, 16, 1, 3, 4)]
    assert op(*inputs).shape == (3, 5)
    told = OPS["cca"].load()(16).cost((10, 16, 1, 3, 4), (3, 16, 1, 3, 4), shots=2)
    assert (row["macs"], row["flops"]) == (told.macs, told.flops)
    assert row["cost_gap"] == pytest.approx(0, abs=1e-6)  # formula, trace and textbook form counted the same call
    assert row["fwd_speedup"] > 0 and row["fwd_memory"] > 0


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"call": {"shot": 2}}, "its forward takes no 'shot'"),
        ({"call": {"shots": 3}}, "10 support images cannot be 3"),
        ({"inputs": {"support": "10 C 2 H W"}}, "takes 1 frame, got 2"),
    ],
)
def test_an_operator_refuses_what_it_cannot_be_called_with(changes, told):
    with pytest.raises(ValueError, match=told):
        small("cca", (1, 3, 4), told={**SHOTS, **changes})


@pytest.mark.parametrize("how", ["forward", "compiled"])
def test_a_form_that_is_off_by_a_thousandth_has_no_time_no_speed_up_and_no_part_in_a_mean(monkeypatch, how):
    plain = OPS["tsm"].load().forward
    good = [small("tsm", baseline="textbook", channels=channels) for channels in (8, 16)]
    if how == "forward":
        monkeypatch.setattr(OPS["tsm"].load(), "forward", lambda self, x: plain(self, x) + 1e-3)
        bad = small("tsm", baseline="textbook")
    else:  # the form that is timed, and not the operator
        monkeypatch.setattr(module, "_compiled", lambda op: lambda x: op(x) + 1e-3)
        bad = small("tsm", baseline="textbook", compiled=True)
    assert no_timings(bad) and all(bad[key] is None for key in BESIDE)
    alone, both = means(good), means([*good, bad])
    assert alone == both and [entry["rows"] for entry in both] == [2, 2]
    assert means([good[0], bad]) == []


def test_a_wrong_baseline_is_not_compared_with(monkeypatch):
    monkeypatch.setattr(OPS["tsm"].load(), "forward", lambda self, x: x)
    row = small("conv2d", baseline="tsm")
    assert row["status"] == "ok" and row["fwd_ms"] > 0
    assert "baseline tsm differs" in row["error"]
    assert row["fwd_speedup"] is row["fwd_verdict"] is None


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")]
)
def test_out_of_memory_is_a_row_that_keeps_the_counts(monkeypatch, error):
    def refuse(*args):
        raise error

    monkeypatch.setattr(module, "check", refuse)
    row = small("conv2d")
    assert row["status"] == "error" and "its float64 reference" in row["error"]  # the operator itself fits
    assert all(row[key] is None for key in TIMINGS)
    monkeypatch.setattr(module, "forward", lambda *args: refuse)
    row = small("conv2d")
    assert row["status"] == "oom" and row["error"]
    assert row["macs"] == 72 * 16 * 16 * 9
    assert all(row[key] is None for key in TIMINGS)


def test_a_real_allocation_that_does_not_fit():
    row = small("self_attention", (1, 4096, 4096), channels=4096, options={"heads": 1})
    assert row["status"] == "oom"
    assert "memory" in row["error"]


def test_other_errors_are_not_hidden(monkeypatch):
    def check(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr(module, "check", check)
    with pytest.raises(RuntimeError, match="a bug"):
        small()


def test_a_pass_over_the_limit_is_timed_once():
    row = small("conv2d", limit=0.0)
    assert row["fwd_n"] == row["fwdbwd_n"] == 1
    assert "once" in row["fwd_flags"] and "once" in row["fwdbwd_flags"]


# --- modules of one's own ---------------------------------------------------------------------------------------------


class Hidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.from_numpy(x.detach().numpy() * 2)

    @staticmethod
    def backward(ctx, g):
        return g * 2


class ThroughNumpy(nn.Module):
    def forward(self, x):
        return Hidden.apply(x) + 1


def own(cls, **settings):
    return profile(Case(_foreign_card(cls), Shape(1, 8, (2, 6, 6))), Settings(**{**vars(QUICK), **settings}))


def test_a_sum_of_products_and_a_transform_of_ones_own_are_counted():
    class Mine(nn.Module):
        def forward(self, x):
            a, b = x.chunk(2, dim=1)
            return (a * b).sum(1, keepdim=True) + torch.fft.rfft(x, dim=-1).real.sum()

    row = own(Mine)
    n = 8 * 2 * 6 * 6
    assert row["macs"] == n // 2
    transform = 2.5 * n * 2.584962500721156
    assert row["other_flops"] == pytest.approx(transform + n // 6 * 4 + n // 8, rel=1e-3)
    assert row["uncounted"] == []
    assert row["macs_fvcore"] == row["macs_aten"] == row["macs"] and row["cost_from"] == "aten"
    assert row["checked_how"] == "itself in float64" and row["passed"] is True and row["fwd_ms"] > 0


def test_what_leaves_torch_is_named():
    row = own(ThroughNumpy)
    assert any("Hidden" in name or "numpy" in name for name in row["uncounted"])
    assert row["other_flops"] == 8 * 2 * 6 * 6


def test_a_function_of_autograd_is_counted_inside():
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(w)
            return x @ w

        @staticmethod
        def backward(ctx, g):
            return g @ ctx.saved_tensors[0].T, None

    class Mine(nn.Module):
        def forward(self, x):
            return Double.apply(x, torch.ones(6, 5, device=x.device, dtype=x.dtype))

    row = own(Mine)
    assert row["macs"] == row["macs_fvcore"] == 8 * 2 * 6 * 6 * 5
    assert row["uncounted"] == []


def test_an_operation_without_a_price_is_named():
    class Mine(nn.Module):
        def forward(self, x):
            return torch.linalg.inv(x) + x.sort(dim=-1).values

    row = own(Mine, backward=False)
    assert "aten::sort" in row["uncounted"]
    assert any("linalg_inv" in name for name in row["uncounted"])


@pytest.mark.parametrize("name", ["cca", "lisa", "motion_squeeze", "rsa", "selfy", "sifa"])
def test_work_in_blocks_is_counted(monkeypatch, name):
    monkeypatch.setattr(blocks, "BYTES", 2**10)
    row = small(name, (1, 5, 5) if name == "cca" else (4, 6, 6), batch=2)
    assert row["passed"] and row["uncounted"] == []
