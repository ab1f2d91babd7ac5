import json
from dataclasses import asdict, replace

import pytest
import torch

from vidops_cli.profiling import roofline
from vidops_cli.profiling.roofline import Bound, Ceilings, beaten, bound, cache_path, ceilings

CPU = torch.device("cpu")
FOUND = Ceilings(2e9, 1e9, "a device", "float32", 1, "highest", "2.13.0", "2026-01-01T00:00:00Z")


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """Matrices and copies of no size; an empty cache folder."""
    monkeypatch.setattr(roofline, "MATRIX_SIZES", (16, 32))
    monkeypatch.setattr(roofline, "COPIED", {"cpu": 2**16})
    monkeypatch.setattr(roofline, "RUN", 1e-4)
    monkeypatch.setattr(roofline, "ROUNDS", 1)
    monkeypatch.setattr(roofline, "load", lambda: None)
    monkeypatch.setattr(roofline.Switches, "often", lambda self: False)
    monkeypatch.setattr(roofline, "_disturbed", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.parametrize(
    "flops, size, expected",
    [
        (4e6, 1e6, Bound(4.0, 2.0, "compute")),
        (1e6, 4e6, Bound(0.25, 4.0, "memory")),
        (2e6, 1e6, Bound(2.0, 1.0, "memory")),  # at the ridge
        (0, 3e6, Bound(0.0, 3.0, "memory")),  # TSM computes nothing
    ],
)
def test_bound_by_hand(flops, size, expected):
    assert bound(flops, size, FOUND) == expected


def test_measured_once_and_read_after(monkeypatch):
    measured = []
    real = roofline._matrix_product
    monkeypatch.setattr(roofline, "_matrix_product", lambda *told: measured.append(told) or real(*told))
    first = ceilings(CPU, torch.float32, 1)
    assert first.flops_per_s > 0 and first.bytes_per_s > 0
    assert (first.dtype, first.threads, first.torch) == ("float32", 1, torch.__version__)
    assert ceilings(CPU, torch.float32, 1) == first
    assert len(measured) == 1
    ceilings(CPU, torch.float32, 2)
    ceilings(CPU, torch.bfloat16, 1)
    monkeypatch.setattr(torch, "__version__", "0.0")
    assert ceilings(CPU, torch.float32, 1).torch == "0.0"
    assert len(measured) == 4


def disturbances():
    return {
        "load": lambda patch: patch.setattr(roofline, "load", lambda: (9.0, 2)),
        "loaded": lambda patch: patch.setattr(roofline.Switches, "often", lambda self: True),
        "noisy": lambda patch: patch.setattr(roofline, "ROUNDS", 2),
    }


@pytest.mark.parametrize("kind", disturbances())
def test_what_was_disturbed_serves_this_process_alone(monkeypatch, kind):
    speeds = iter([(2e9, 1e9), (1e9, 1e9), (3e9, 2e9), (3e9, 2e9)])
    monkeypatch.setattr(roofline, "_measured", lambda *_: next(speeds))
    with monkeypatch.context() as patch:
        disturbances()[kind](patch)
        first = ceilings(CPU, torch.float32, 1)
        assert first.disturbed and first.flops_per_s == 2e9 and not cache_path().exists()
        assert ceilings(CPU, torch.float32, 1) == first
    roofline._disturbed.clear()  # another process
    assert not ceilings(CPU, torch.float32, 1).disturbed and cache_path().exists()


def test_a_ceiling_that_was_beaten_is_raised_and_kept(monkeypatch):
    speeds = iter([(1e9, 4e9), (2e9, 3e9)])
    monkeypatch.setattr(roofline, "_measured", lambda *_: next(speeds))
    ceilings(CPU, torch.float32, 1)
    monkeypatch.setattr(roofline, "load", lambda: (9.0, 2))
    raised = ceilings(CPU, torch.float32, 1, again=True)
    assert (raised.flops_per_s, raised.bytes_per_s) == (2e9, 4e9)
    assert ceilings(CPU, torch.float32, 1) == raised
    assert [beaten(*told) for told in (("compute", 1.2), ("compute", 1.05), ("memory", 3.0), (None, None))] == [
        True,
        False,
        False,
        False,
    ]


def test_another_machine_or_precision_is_measured_again(monkeypatch):
    first = ceilings(CPU, torch.float32, 1)
    monkeypatch.setattr(roofline.platform, "node", lambda: "another")
    ceilings(CPU, torch.float32, 1)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    assert ceilings(CPU, torch.float32, 1).precision == "medium"
    written = json.loads(cache_path().read_text())
    assert len(written) == 3
    assert asdict(first) in written.values()


def test_threads_are_those_asked_for_and_as_before_after(monkeypatch):
    seen = []

    def matrix_product(device, dtype):
        seen.append(torch.get_num_threads())
        return 1e9

    monkeypatch.setattr(roofline, "_matrix_product", matrix_product)
    before = torch.get_num_threads()
    assert ceilings(CPU, torch.float32, before + 1).threads == before + 1
    assert ceilings(CPU, torch.float32).threads == before
    assert seen == [before + 1, before]
    assert torch.get_num_threads() == before


def spoiled(content):
    """The cache file after a first measurement, with its one entry or itself replaced."""
    ceilings(CPU, torch.float32, 1)
    (key,) = json.loads(cache_path().read_text())
    cache_path().write_text(content(key) if callable(content) else content)


WHOLE = asdict(FOUND)
DAMAGED = [
    "",
    "{",
    "[1, 2]",
    "\x00\x01",
    lambda key: json.dumps({key: None}),
    lambda key: json.dumps({key: {"flops_per_s": 1e9}}),
    lambda key: json.dumps({key: {**WHOLE, "more": 1}}),
    lambda key: json.dumps({key: {**WHOLE, "flops_per_s": 0.0}}),
    lambda key: json.dumps({key: {**WHOLE, "bytes_per_s": float("nan")}}),
    lambda key: json.dumps({key: {**WHOLE, "bytes_per_s": float("inf")}}),
    lambda key: json.dumps({key: {**WHOLE, "bytes_per_s": "1e9"}}),
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_measured_again_and_mended(content):
    spoiled(content)
    found = ceilings(CPU, torch.float32, 1)
    assert found.flops_per_s != FOUND.flops_per_s
    assert list(json.loads(cache_path().read_text()).values()) == [asdict(found)]


def test_an_undamaged_entry_is_believed():
    spoiled(lambda key: json.dumps({key: WHOLE, "another": WHOLE, "broken": 3}))
    assert ceilings(CPU, torch.float32, 1) == FOUND
    ceilings(CPU, torch.float64, 1)
    written = json.loads(cache_path().read_text())
    assert len(written) == 3
    assert written["another"] == WHOLE
    assert "broken" not in written


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert ceilings(CPU, torch.float32, 1).flops_per_s > 0
    assert (tmp_path / "file").read_text() == ""


def test_cache_folder(tmp_path, monkeypatch):
    assert cache_path() == tmp_path / "vidops" / "ceilings.json"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    default = tmp_path / "home" / ".cache" / "vidops" / "ceilings.json"
    for unfit in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unfit)
        assert cache_path() == default
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_path() == default


class Clock:
    """Time that passes only in products and copies, at a known speed; each of `slower` is one call's factor."""

    def __init__(self, monkeypatch, flops_per_s, bytes_per_s, slower=()):
        self.now, self.sizes, self.slower = 0.0, [], list(slower)
        self.flops_per_s, self.bytes_per_s = flops_per_s, bytes_per_s
        monkeypatch.setattr(roofline, "time", self)
        monkeypatch.setattr(torch, "mm", self.mm)

    def perf_counter(self):
        return self.now

    def pass_by(self, seconds):
        self.now += seconds * (self.slower.pop(0) if self.slower else 1)

    def mm(self, a, b, out):
        self.sizes.append(len(a))
        self.pass_by(2 * len(a) ** 3 / self.flops_per_s)

    def copy_(self, target, source):
        self.pass_by(2 * source.nbytes / self.bytes_per_s)


@pytest.mark.parametrize(
    "flops_per_s, largest",
    [(1e12, 64), (1e5, 16)],  # a product of 16 x 16 matrices takes 8 ns, or 82 ms, after which no larger one is tried
)
def test_the_fastest_product_counts(monkeypatch, flops_per_s, largest):
    monkeypatch.setattr(roofline, "MATRIX_SIZES", (16, 64))
    clock = Clock(monkeypatch, flops_per_s, 1, slower=[9, 2, 1, 4])
    assert roofline._matrix_product(CPU, torch.float32) == pytest.approx(flops_per_s, rel=1e-2)
    assert max(clock.sizes) == largest


def test_the_fastest_copy_counts_what_is_read_and_written(monkeypatch):
    clock = Clock(monkeypatch, 1, 1e9, slower=[9, 3, 2, 1, 4])
    monkeypatch.setattr(torch.Tensor, "copy_", lambda target, source: clock.copy_(target, source))
    monkeypatch.setattr(roofline, "RUN", 1e-12)
    assert roofline._copy(CPU, torch.float32) == pytest.approx(1e9)


def test_measuring_ends_after_its_budget(monkeypatch):
    clock = Clock(monkeypatch, 1e4, 1)
    roofline._matrix_product(CPU, torch.float32)
    assert clock.sizes == [16, 16]  # warm up, and once: 0.8 s each


@pytest.mark.parametrize("available, copied", [(2**14, 2**11), (None, 2**16)])
def test_a_copy_takes_a_share_of_short_memory(monkeypatch, available, copied):
    seen = []
    monkeypatch.setattr(roofline, "available_bytes", lambda device: available)
    monkeypatch.setattr(torch.Tensor, "copy_", lambda target, source: seen.append(source.nbytes))
    roofline._copy(CPU, torch.float16)
    assert set(seen) == {copied}


def test_what_is_measured_here_is_of_a_computer():
    found = ceilings(CPU, torch.float32, 1)
    assert 1e6 < found.flops_per_s < 1e14
    assert 1e6 < found.bytes_per_s < 1e14
    assert bound(1e9, 1e6, replace(found, bytes_per_s=1e30)).by == "compute"
