import gc
import io
import subprocess
import sys

import pytest
import torch

from vidops_cli.functional import aggregate, correlate, sample
from vidops_cli.ops import OPS
from vidops_cli.profiling import memory
from vidops_cli.profiling.memory import (
    UNCOUNTED,
    Peak,
    available_bytes,
    is_out_of_memory,
    limited,
    peak,
    peak_bytes,
    saved_bytes,
)

CPU = torch.device("cpu")


def kib(n):
    return torch.empty(n * 1024, dtype=torch.uint8)


def one():
    return kib(64)


def two_at_once():
    a, b = kib(64), kib(32)
    return a, b


def one_after_the_other():
    a = kib(64)
    del a
    return kib(96)


def a_peak_in_the_middle():
    a, b = kib(64), kib(128)
    del b
    return a, kib(16)


def views_only():
    return BEFORE.view(-1, 2).t()


def in_place():
    BEFORE.zero_()


def out_of_place():
    return BEFORE.clone()


BEFORE = torch.zeros(256 * 1024, dtype=torch.uint8)
KNOWN = [
    (one, 64),
    (two_at_once, 96),
    (one_after_the_other, 96),
    (a_peak_in_the_middle, 192),
    (views_only, 0),
    (in_place, 0),
    (out_of_place, 256),
]


@pytest.mark.parametrize("call, size", KNOWN)
def test_known_allocations_are_counted_exactly_each_time(call, size):
    assert [peak_bytes(call, CPU) for _ in range(3)] == [1024 * size] * 3


def test_a_matrix_product_takes_its_output():
    a, b = torch.randn(64, 32), torch.randn(32, 128)
    assert peak_bytes(lambda: a @ b, CPU) == 4 * 64 * 128


def test_gradients_count_when_they_are_made():
    x = torch.randn(1024, requires_grad=True)
    found = {peak_bytes(lambda: torch.autograd.grad((x * 2).sum(), x), CPU) for _ in range(3)}
    assert len(found) == 1
    assert found.pop() >= 4 * 1024


def test_what_was_there_before_does_not_count():
    held = [kib(64)]

    def replace():
        held.clear()  # frees what was not made in the call
        held.append(kib(48))

    assert peak_bytes(replace, CPU) <= 48 * 1024
    assert peak_bytes(lambda: None, CPU) == 0


def test_what_a_first_run_makes_once_does_not_count():
    made = []

    def call():
        if not made:
            made.append(kib(512))
        return kib(16)

    assert peak_bytes(call, CPU) == 16 * 1024
    made.clear()
    assert peak_bytes(call, CPU, warm=True) == 528 * 1024


def test_warm_says_how_often_the_call_runs():
    runs = []
    peak(lambda: runs.append(1), CPU)
    assert len(runs) == 2
    peak(lambda: runs.append(1), CPU, warm=True)
    assert len(runs) == 3


def test_garbage_in_cycles_is_freed_at_no_moment_of_the_call():
    """With Python's collector running, when a cycle dies depends on all that was made before."""

    class Ring:
        def __init__(self):
            self.tensor, self.own = kib(1), self

    assert peak_bytes(lambda: [Ring() for _ in range(2000)] and None, CPU) == 2000 * 1024
    assert gc.isenabled()


class Nested(torch.autograd.Function):
    """Its backward runs another backward, `depth` times: autograd goes on in a thread of its own after 60."""

    @staticmethod
    def forward(ctx, x, depth):
        ctx.depth = depth
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        if ctx.depth == 0:
            kib(1024)
            return gradient, None
        with torch.enable_grad():
            x = torch.ones(3, requires_grad=True)
            return torch.autograd.grad(Nested.apply(x, ctx.depth - 1).sum(), x)[0], None


@pytest.mark.parametrize("depth", [1, 80])
def test_threads_of_autograd_are_seen(depth):
    x = torch.ones(3, requires_grad=True)
    found = peak_bytes(lambda: torch.autograd.grad(Nested.apply(x, depth).sum(), x), CPU)
    assert 1024 * 1024 <= found < 1100 * 1024


class Allocator:
    """What torch.cuda tells of its caching allocator: `cached` bytes are reserved beyond the allocated ones."""

    def __init__(self, monkeypatch, allocated, cached):
        self.allocated = self.most_allocated = allocated
        self.reserved = self.most_reserved = allocated + cached
        for name in ("synchronize", "empty_cache", "reset_peak_memory_stats", "memory_allocated", "memory_reserved"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: self.most_allocated)
        monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: self.most_reserved)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5000, 9000))

    def synchronize(self, device):
        pass

    def empty_cache(self):
        self.reserved = self.allocated

    def reset_peak_memory_stats(self, device):
        self.most_allocated, self.most_reserved = self.allocated, self.reserved

    def memory_allocated(self, device):
        return self.allocated

    def memory_reserved(self, device):
        return self.reserved

    def call(self):
        self.most_allocated = max(self.most_allocated, self.allocated + 300)
        self.reserved = max(self.reserved, self.allocated + 512)
        self.most_reserved = max(self.most_reserved, self.reserved)


def test_on_cuda_the_allocator_tells_both(monkeypatch):
    allocator = Allocator(monkeypatch, allocated=1000, cached=4000)
    assert [peak(allocator.call, torch.device("cuda")) for _ in range(3)] == [Peak(300, 512)] * 3
    assert peak_bytes(allocator.call, torch.device("cuda")) == 300


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_real_gpu_tells_the_same_each_time():
    device = torch.device("cuda")
    x = torch.randn(512, 512, device=device)
    found = {peak(lambda: (x @ x).relu(), device) for _ in range(3)}
    assert len(found) == 1
    assert found.pop().allocated == 2 * x.nbytes


def test_on_a_cpu_nothing_is_reserved():
    assert peak(one, CPU) == Peak(64 * 1024, None)


def test_what_is_not_counted_is_told_in_a_line():
    assert set(UNCOUNTED) == {"cpu", "cuda"}
    assert all(told.startswith("not counted: ") and "\n" not in told for told in UNCOUNTED.values())


# --- saved for the backward pass --------------------------------------------------------------------------------------


def leaf(*shape):
    return torch.randn(shape, requires_grad=True)


def test_a_matrix_product_saves_its_operands():
    a, b = leaf(8, 16), leaf(16, 4)
    assert saved_bytes(lambda: a @ b, []) == a.nbytes + b.nbytes
    assert saved_bytes(lambda: a @ b, [a]) == b.nbytes
    assert saved_bytes(lambda: a @ b, [a, b]) == 0
    assert saved_bytes(lambda: a.detach() @ b, [b]) == a.nbytes
    assert saved_bytes(lambda: a.detach() @ b, [a, b]) == 0


def test_relu_saves_its_output_and_addition_nothing():
    a = leaf(8, 16)
    assert saved_bytes(lambda: a.relu(), [a]) == a.nbytes
    assert saved_bytes(lambda: a + a, [a]) == 0
    assert saved_bytes(lambda: (a.relu() + 1).exp(), [a]) == 2 * a.nbytes


def test_a_storage_counts_once_however_many_views_are_saved():
    a = leaf(6, 10)

    def views():
        y = a * 2
        return (y[:3] @ y.t()).sum() + (y.view(-1) * y.view(-1)).sum()

    assert saved_bytes(views, [a]) == a.nbytes
    part = torch.randn(100, 10)[:6]  # keeps all of its storage
    assert saved_bytes(lambda: a * part, [a]) == 4 * 100 * 10
    assert saved_bytes(lambda: a * part, [a, part[2]]) == 0


def test_what_leads_to_nothing_is_not_kept():
    a = leaf(8, 16)

    def call():
        (a * 3).exp()
        ring = [(a * 3).exp()]
        ring.append(ring)
        return a.exp()

    assert saved_bytes(call, [a]) == a.nbytes
    with torch.no_grad():
        assert saved_bytes(call, [a]) == 0


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x, torch.zeros(50))
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


def test_functions_of_python_and_our_own_operations_are_seen():
    a = leaf(8)
    assert saved_bytes(lambda: Scaled.apply(a), []) == a.nbytes + 200
    window = (3, 3, 3)
    q, k = leaf(1, 4, 3, 5, 6), leaf(1, 4, 3, 5, 6)
    w = leaf(1, 2, 27, 3, 5, 6)
    for call, given in (
        (lambda: correlate(2 * q, 2 * k, window), (q, k)),
        (lambda: aggregate(2 * w, 2 * k, window), (w, k)),
    ):
        assert saved_bytes(call, given) == sum(x.nbytes for x in given)
    assert saved_bytes(lambda: correlate(q, k, window), [q, k]) == 0
    v, offset = leaf(1, 4, 2, 5, 6), leaf(1, 18, 2, 5, 6)
    assert saved_bytes(lambda: sample(2 * v, 2 * offset, 3), [v, offset]) == v.nbytes + offset.nbytes


# --- operators --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["conv2d", "self_attention", "motion_squeeze", "rsa", "sifa", "lisa"])
def test_operators_take_the_same_on_every_run(name):
    card = OPS[name]
    op = card.load()(16).eval()
    inputs = card.example(1, 16, (card.max_frames or 2, 6, 7))
    leaves = [x.requires_grad_() for x in inputs]
    wanted = [*leaves, *op.parameters()]

    def forward():
        with torch.no_grad():
            return op(*inputs)

    def forward_backward():
        y = op(*leaves)
        return torch.autograd.grad(y, wanted, torch.ones_like(y), allow_unused=True)

    def found():
        saved = saved_bytes(lambda: op(*leaves), wanted)
        return peak_bytes(forward, CPU), peak_bytes(lambda: op(*leaves), CPU), peak_bytes(forward_backward, CPU), saved

    output = op(*inputs).nbytes
    (told,) = {found() for _ in range(3)}
    fwd, with_graph, fwdbwd, saved = told
    assert output <= fwd <= with_graph <= fwdbwd
    assert saved <= with_graph  # what is kept was made in the call
    assert fwdbwd >= sum(x.nbytes for x in leaves)  # their gradients


# --- how much there is ------------------------------------------------------------------------------------------------


@pytest.fixture
def system(tmp_path, monkeypatch):
    """An empty /proc and control groups; writes files there."""
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUP", tmp_path / "cgroup")

    def write(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")

    return write


def test_available_of_a_machine(system):
    assert available_bytes(CPU) is None
    system({"proc/meminfo": "MemTotal:  900 kB\nMemFree:  100 kB\nMemAvailable:  500 kB"})
    assert available_bytes(CPU) == 500 * 1024


@pytest.mark.parametrize(
    "line, root, most, used, cache",
    [
        ("0::/job/step", "cgroup", "memory.max", "memory.current", "inactive_file"),
        (
            "4:cpu,memory:/job/step",
            "cgroup/memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file",
        ),
    ],
    ids=["v2", "v1"],
)
def test_available_of_a_control_group(system, line, root, most, used, cache):
    system({"proc/meminfo": "MemAvailable:  500 kB", "proc/self/cgroup": f"9:pids:/x\n{line}"})
    inner, outer = f"{root}/job/step", f"{root}/job"
    system({f"{inner}/{most}": "max", f"{inner}/{used}": 100})
    assert available_bytes(CPU) == 500 * 1024
    system({f"{inner}/{most}": 4000, f"{inner}/{used}": 1000})
    assert available_bytes(CPU) == 3000
    system({f"{inner}/memory.stat": f"anon 1\n{cache} 300\nactive_file 100"})
    assert available_bytes(CPU) == 3300
    system({f"{outer}/{most}": 5000, f"{outer}/{used}": 4500})
    assert available_bytes(CPU) == 500
    system({f"{outer}/{used}": 6000})
    assert available_bytes(CPU) == 0


def test_available_inside_a_container(system):
    """The path of the group is the one outside; its files stand at the root."""
    system({"proc/self/cgroup": "0::/../docker/4f", "cgroup/memory.max": 700, "cgroup/memory.current": 100})
    assert available_bytes(CPU) == 600


def test_available_of_a_gpu_holds_what_torch_has_cached(monkeypatch):
    Allocator(monkeypatch, allocated=1000, cached=400)
    assert available_bytes(torch.device("cuda")) == 5400


def test_available_here():
    found = available_bytes(CPU)
    assert found is None or 2**20 < found < 2**50


TOO_MUCH = """
import resource, torch
from vidops_cli.profiling.memory import available_bytes, is_out_of_memory, limited
CPU = torch.device("cpu")
before = resource.getrlimit(resource.RLIMIT_DATA)
held = []
try:
    with limited(CPU):
        assert resource.getrlimit(resource.RLIMIT_DATA)[0] not in (before[0], resource.RLIM_INFINITY)
        torch.ones(2**20).mul(2)
        for _ in range(30):  # untouched pages: the system itself would not refuse them one by one
            held.append(torch.empty(available_bytes(CPU) // 10, dtype=torch.uint8))
except (RuntimeError, MemoryError) as error:
    assert is_out_of_memory(error), error
    print("refused", len(held))
assert resource.getrlimit(resource.RLIMIT_DATA) == before
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_too_much_is_an_error_and_the_limit_is_restored():
    done = subprocess.run([sys.executable, "-c", TOO_MUCH], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said, allocated = done.stdout.split()
    assert said == "refused"
    assert 7 <= int(allocated) <= 9  # tenths, of the share of what was available


def test_limits_are_only_lowered(monkeypatch, system):
    limits = {"now": (1000, 2000)}
    monkeypatch.setattr(memory.resource, "getrlimit", lambda which: limits["now"])
    monkeypatch.setattr(memory.resource, "setrlimit", lambda which, pair: limits.update(now=pair))

    def within(device=CPU):
        with limited(device):
            return limits["now"]

    assert within() == (1000, 2000)  # the system does not tell its memory
    system({"proc/meminfo": "MemAvailable:  1 kB", "proc/self/status": "VmPeak:  9 kB\nVmData:  0 kB"})
    assert within() == (int(0.9 * 1024), 2000)
    system({"proc/self/status": "VmData:  1 kB"})
    assert within() == (1000, 2000)
    limits["now"] = (memory.resource.RLIM_INFINITY, 2000)
    assert within() == (1024 + int(0.9 * 1024), 2000)
    assert within(torch.device("meta")) == limits["now"] == (memory.resource.RLIM_INFINITY, 2000)
    monkeypatch.setattr(memory, "resource", None)
    assert within() == limits["now"]


@pytest.mark.parametrize(
    "error, expected",
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("could not create a primitive"), True),
        (MemoryError(), True),
        (RuntimeError("shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_that_say_memory_was_too_little(error, expected):
    assert is_out_of_memory(error) is expected


def test_memory_that_is_too_short_for_a_checkpoint():
    class Full(io.BytesIO):
        def write(self, content):
            if self.tell() > 1000:
                raise MemoryError
            return super().write(content)

    with pytest.raises(RuntimeError) as refused:
        torch.save({"weight": torch.zeros(1000)}, Full())
    assert is_out_of_memory(refused.value)


def test_the_allocator_of_this_torch_is_understood():
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(refused.value)
