import subprocess
import sys

import pytest

from vidops_cli.profiling.scaling import crossovers, fits, largest, parse_sweep, summary


@pytest.mark.parametrize(
    "text, axis, values",
    [
        ("seq=256..65536", "seq", [2**n for n in range(8, 17)]),
        ("frames=8,16,32", "frames", [8, 16, 32]),
        ("size=7..56", "size", [7, 14, 28, 56]),
        ("channels=64", "channels", [64]),
        ("batch=1..4,6", "batch", [1, 2, 4, 6]),
        ("window=3,5,7", "window", [3, 5, 7]),
        ("first_offset=-2,0,2", "first_offset", [-2, 0, 2]),
        (" seq = 16 , 64 ", "seq", [16, 64]),
    ],
)
def test_what_a_sweep_says(text, axis, values):
    assert parse_sweep(text, ["window", "first_offset"]) == (axis, values)


@pytest.mark.parametrize(
    "text, message, hint",
    [
        ("seq=256..1000", "misses 1000", "256..512 and 256..1024"),
        ("seq=256..300", "misses 300", "not: 256..512; or list the values: 256,300"),
        ("seq=1024..256", "larger", "256..4096"),
        ("seq=256..256", "larger", "256..4096"),
        ("seq=0..4", "larger", "256..4096"),
        ("seq=1..2..4", "larger", "256..4096"),
        ("seq=256..", "integers, got ''", "window=3,5,7"),
        ("seq=", "integers, got ''", "window=3,5,7"),
        ("seq=8,x", "integers, got 'x'", "window=3,5,7"),
        ("seq=1.5", "integers, got '1.5'", "window=3,5,7"),
        ("seq=0,4", "1 or more, got 0", "seq=8,16,32"),
        ("channels=-4", "1 or more, got -4", "channels=8,16,32"),
        ("seq=1..8,4", "gives 4 twice", "once"),
        ("seq", "AXIS=VALUES", "seq=256..4096"),
        ("frame=8", "'frame'", "did you mean 'frames'?"),
        ("windw=3", "'windw'", "did you mean 'window'?"),
        ("xyz=3", "'xyz'", "axes: seq, frames, size, channels, batch, window"),
    ],
)
def test_what_a_sweep_cannot_say(text, message, hint):
    with pytest.raises(ValueError) as refused:
        parse_sweep(text, ["window"])
    assert message in refused.value.args[0]
    assert hint in refused.value.args[1]


def row(op, at, status="ok", axis="seq", **known):
    empty = dict.fromkeys(("fwd_ms", "fwdbwd_ms", "peak_fwd_bytes", "peak_fwdbwd_bytes", "baseline"))
    return {"op": op, "axis": axis, "at": at, "status": status, **empty, **known}


def sweep(op, exponent, sizes=(256, 512, 1024, 2048), factor=1.0, **known):
    return [row(op, n, fwd_ms=factor * n**exponent, peak_fwd_bytes=8 * n, **known) for n in sizes]


def test_exponents_of_each_operator_and_quantity():
    rows = [*sweep("self_attention", 2.0), *sweep("lisa", 1.1, factor=50)]
    found = {(entry["op"], entry["what"]): entry for entry in fits(rows, "seq")}
    assert list(found) == [(op, what) for op in ("self_attention", "lisa") for what in ("fwd_ms", "peak_fwd_bytes")]
    for op, exponent in (("self_attention", 2.0), ("lisa", 1.1)):
        entry = found[op, "fwd_ms"]
        assert set(entry) == {"op", "axis", "what", "exponent", "low", "high", "n"}
        assert entry["exponent"] == pytest.approx(exponent)
        assert entry["low"] <= entry["exponent"] <= entry["high"]
        assert entry["n"] == 4
        assert found[op, "peak_fwd_bytes"]["exponent"] == pytest.approx(1)


def test_exponents_take_only_rows_that_ran_and_quantities_above_zero():
    rows = sweep("rsa", 1.0, sizes=(8, 16, 32))
    rows[1]["fwd_ms"] *= 1.3
    expected = fits(rows, "seq")
    assert expected[0]["high"] - expected[0]["low"] > 0.1
    rows += [row("rsa", 64, "red", fwd_ms=1e9), row("rsa", 128, "oom"), row("rsa", 2, axis="frames", fwd_ms=1e9)]
    assert fits(rows, "seq") == expected
    in_place = [row("relu_", n, fwd_ms=float(n), peak_fwd_bytes=0) for n in (4, 8)]
    assert [entry["what"] for entry in fits(in_place, "seq")] == ["fwd_ms"]
    assert fits(in_place, "seq")[0]["low"] is None  # two sizes give a line, but no interval
    assert fits([*in_place[:1], row("relu_", 16, "oom")], "seq") == []
    assert fits([], "seq") == []


def test_crossover_from_medians_stands_where_the_curves_meet():
    """n ** 2 = 300 n at n = 300."""
    rows = [*sweep("self_attention", 2.0, sizes=(64, 256, 1024)), *sweep("lisa", 1.0, (64, 256, 1024), factor=300)]
    assert crossovers(rows, "seq") == [
        {
            "op": "lisa",
            "against": "self_attention",
            "axis": "seq",
            "what": "fwd_ms",
            "crossover": pytest.approx(300),
            "low": None,
            "high": None,
            "note": "",
        }
    ]


def test_crossover_prefers_the_interleaved_ratio_and_has_its_interval():
    known = [(100, 0.5), (400, 2.0)]
    rows = [row("base", n, fwd_ms=1.0) for n, _ in known]
    rows += [
        row(
            "ours",
            n,
            fwd_ms=1e3,  # the medians alone would tell another story
            baseline="base",
            fwd_speedup=speedup,
            fwd_speedup_low=speedup / 1.1,
            fwd_speedup_high=speedup * 1.1,
        )
        for n, speedup in known
    ]
    (found,) = crossovers(rows, "seq")
    assert found["crossover"] == pytest.approx(200)
    assert [found["low"], found["high"]] == [pytest.approx(200 / 1.1), pytest.approx(200 * 1.1)]  # the ratio is 200 / n
    for one in rows:
        one["baseline"] = one["baseline"] and "another"
    assert crossovers(rows, "seq")[0]["note"].startswith("never ahead")


def test_crossovers_take_only_sizes_where_both_ran():
    rows = [*sweep("base", 2.0, sizes=(64, 256)), row("base", 1024, "oom"), *sweep("ours", 1.0, (64, 256, 1024), 300.0)]
    (found,) = crossovers(rows, "seq")
    assert found["crossover"] is None
    assert found["note"] == "never ahead up to 256"
    assert crossovers(rows[:3], "seq") == []
    assert crossovers([*rows[:3], row("ours", 64, "oom")], "seq") == []
    assert crossovers([row("base", 64, "oom"), *rows[3:]], "seq") == []
    assert crossovers([], "seq") == []


def test_largest_size_that_fits():
    rows = [row("a", n, status) for n, status in ((8, "ok"), (64, "oom"), (16, "ok"), (32, "oom"), (128, "red"))]
    rows += [row("b", 8), row("c", 8, "oom"), row("d", 8, "error"), row("e", 3, "oom", axis="frames")]
    assert largest(rows, "seq") == [
        {"op": "a", "axis": "seq", "largest": 16, "refused": 32},
        {"op": "b", "axis": "seq", "largest": 8, "refused": None},
        {"op": "c", "axis": "seq", "largest": None, "refused": 8},
        {"op": "d", "axis": "seq", "largest": None, "refused": None},
    ]
    assert largest(rows, "frames") == [{"op": "e", "axis": "frames", "largest": None, "refused": 3}]


def test_options_are_no_sizes():
    rows = [row("rsa", n, axis="heads", fwd_ms=float(n)) for n in (2, 4, 8)]
    assert summary(rows) == []
    found = summary([*rows, *sweep("rsa", 1.0)])
    assert {entry["axis"] for entry in found} == {"seq"} and len(found) == 3


def test_needs_no_torch():
    source = "import sys, vidops_cli.profiling.scaling, vidops_cli.profiling.memory; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr
