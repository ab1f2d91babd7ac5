import itertools
import json

import pytest
import torch
from torch import nn

from vidops_cli.models import MODELS
from vidops_cli.profiling import tree as module
from vidops_cli.profiling.cost import count
from vidops_cli.profiling.memory import peak_bytes
from vidops_cli.profiling.tree import tree

CPU = torch.device("cpu")
KEYS = ["depth", "name", "kind", "calls", "params", "macs", "other_flops", "uncounted", "peak_bytes", "ms", "share"]
KEYS += ["plain_ms", "overhead"]


class Clock:
    """Time that passes only where a module waits."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def wait(self, milliseconds):
        """A module that takes so long."""
        return Net(lambda m, x: self.pass_by(milliseconds, x))

    def pass_by(self, milliseconds, x):
        self.now += milliseconds / 1e3
        return x


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


class Take(nn.Module):
    """Holds so many KiB while it works, gives back so many."""

    def __init__(self, works, gives):
        super().__init__()
        self.works, self.gives = works, gives

    def forward(self, x):
        y = torch.zeros(self.gives * 256)
        torch.zeros(self.works * 256)
        return y


class Net(nn.Module):
    """Its forward is a function of its modules and x."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, value in modules.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.function(self, x)


def rows_of(model, x=None, depth=2, budget=0.01):
    rows = tree(model, torch.randn(2, 8) if x is None else x, CPU, depth=depth, budget=budget)
    for row in rows:
        assert list(row) == KEYS
    assert json.loads(json.dumps(rows)) == rows
    return rows


def by_name(rows):
    assert len({row["name"] for row in rows}) == len(rows)
    return {row["name"]: row for row in rows}


def children(rows, i):
    found = []
    for row in rows[i + 1 :]:
        if row["depth"] <= rows[i]["depth"]:
            break
        if row["depth"] == rows[i]["depth"] + 1:
            found.append(row)
    return found


@pytest.mark.parametrize(
    ("name", "ops"),
    [
        ("resnet_tiny", [{"op": "tsm"}, {"op": "motion_squeeze", "at": "res2"}]),
        ("vit_mini", []),
        ("resnet12", [{"op": "scr", "at": "res5"}]),
    ],
)
@pytest.mark.parametrize("depth", [1, 3])
def test_children_add_up_to_their_parent(name, ops, depth):
    network = MODELS[name].build(classes=5, ops=ops)
    x = torch.randn(1, 3, 1 if name == "resnet12" else 4, 32, 32)
    rows = rows_of(network, x, depth)
    cost = count(network, x)
    assert rows[0]["name"] == "" and rows[0]["depth"] == 0
    assert [rows[0]["params"], rows[0]["macs"]] == [cost.params, cost.macs]
    assert rows[0]["other_flops"] == pytest.approx(cost.other_flops, rel=1e-6)
    assert rows[0]["share"] == 1
    seen = 0
    for i, row in enumerate(rows):
        below = children(rows, i)
        if below:
            assert sum(child["macs"] for child in below) == row["macs"]
            assert sum(child["other_flops"] for child in below) <= row["other_flops"]
            if row["calls"]:  # of a container that nobody calls no peak is known
                assert max(child["peak_bytes"] or 0 for child in below) <= row["peak_bytes"]
            seen += 1
    assert seen >= (1 if depth == 1 else 4)
    assert max(row["depth"] for row in rows) == depth


def test_empty_slots_are_left_out():
    names = by_name(rows_of(MODELS["resnet_tiny"].build(classes=5), torch.randn(1, 3, 2, 32, 32), 3))
    assert "layer1.0.conv1" in names
    assert not any("block_input" in name or "after_res" in name or "maxpool" in name for name in names)


def test_depth_0_is_the_root_alone():
    rows = rows_of(nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2)), depth=0)
    assert [row["name"] for row in rows] == [""]
    assert rows[0]["macs"] == 2 * (32 + 8)


def test_a_module_that_is_called_twice():
    net = Net(lambda m, x: m.a(m.a(x)) + m.b(x), a=nn.Linear(8, 8), b=nn.Linear(8, 8))
    rows = by_name(rows_of(net))
    assert [rows[name]["calls"] for name in ("", "a", "b")] == [1, 2, 1]
    assert [rows[name]["macs"] for name in ("", "a", "b")] == [384, 256, 128]
    assert rows[""]["params"] == rows["a"]["params"] + rows["b"]["params"]


def test_a_module_that_is_shared_stands_below_each_that_calls_it():
    shared = nn.Linear(8, 8)
    net = nn.Sequential(nn.Sequential(shared, nn.ReLU()), nn.Sequential(shared, nn.Linear(8, 4)))
    rows = by_name(rows_of(net))
    assert [rows[name]["calls"] for name in ("0.0", "1.0")] == [1, 1]
    assert [rows[name]["macs"] for name in ("", "0", "0.0", "1", "1.0", "1.1")] == [320, 128, 128, 192, 128, 64]
    assert rows[""]["params"] == 72 + 36


def test_a_module_that_another_calls_stands_below_the_caller():
    lent = nn.Linear(8, 8)
    net = Net(lambda m, x: m.b(m.a(x)), a=nn.Sequential(lent), b=Net(lambda m, x: lent(x)))
    rows = [row for row in rows_of(net) if "rest" not in row["name"]]
    assert [(row["name"], row["macs"]) for row in rows] == [
        *[("", 256), ("a", 128), ("a.0", 128)],
        *[("b", 128), ("a.0", 128)],
    ]


@pytest.mark.parametrize("depth", [1, 2])
def test_a_container_that_nobody_calls_is_the_sum_of_what_it_holds(clock, depth):
    net = Net(
        lambda m, x: m.head(m.blocks[1](m.blocks[0](x))),
        blocks=nn.ModuleList([clock.wait(4), nn.Linear(8, 8)]),
        head=nn.Linear(8, 2),
    )
    rows = by_name(rows_of(net, depth=depth))
    assert [rows["blocks"][key] for key in ("calls", "macs", "params", "peak_bytes")] == [0, 128, 72, None]
    assert rows["blocks"]["ms"] == pytest.approx(4) == rows[""]["ms"]
    assert ("blocks.1" in rows) == (depth == 2)
    assert rows["head"]["macs"] == 32


def test_what_a_module_does_itself_is_its_rest():
    weight = nn.Parameter(torch.randn(8, 8))
    net = Net(lambda m, x: m.a(x) @ m.w + m.b.forward(x), a=nn.Linear(8, 8), b=nn.Linear(8, 8), w=weight)
    rows = by_name(rows_of(net))
    assert rows["(rest)"]["macs"] == 2 * 128
    assert rows["(rest)"]["params"] == 64
    assert rows[""]["macs"] == 3 * 128
    assert [rows["b"][key] for key in ("calls", "params", "macs", "ms")] == [0, 72, None, None]  # hidden by .forward()


@pytest.mark.parametrize("milliseconds, shown", [(5, True), (0.06, True), (0.04, False), (0, False)])
def test_time_alone_makes_a_rest_from_a_hundredth_of_the_whole(clock, milliseconds, shown):
    rows = by_name(rows_of(Net(lambda m, x: m.a(clock.pass_by(milliseconds, x)), a=clock.wait(5))))
    assert ("(rest)" in rows) == shown
    if shown:
        assert [rows["(rest)"][key] for key in ("depth", "kind", "macs")] == [1, "", 0]
        assert rows["(rest)"]["share"] == pytest.approx(milliseconds / (5 + milliseconds))


def test_operations_that_no_handle_knows_are_named_where_they_are():
    odd = Net(lambda m, x: m.a(torch.erfinv(x.tanh())), a=nn.Linear(8, 8))
    rows = by_name(rows_of(nn.Sequential(nn.Linear(8, 8), odd)))
    assert [rows[name]["uncounted"] for name in ("", "0", "1", "1.a", "1.(rest)")] == [
        *[["aten::erfinv"], [], ["aten::erfinv"]],
        *[[], ["aten::erfinv"]],
    ]


def test_times_and_shares(clock):
    net = nn.Sequential(nn.Sequential(clock.wait(12), clock.wait(4)), clock.wait(4))
    rows = by_name(rows_of(net))
    assert len(rows) == 5
    for name, expected in (("", 20), ("0", 16), ("0.0", 12), ("0.1", 4), ("1", 4)):
        assert rows[name]["ms"] == pytest.approx(expected)
        assert rows[name]["share"] == pytest.approx(expected / 20)
    assert rows[""]["plain_ms"] == pytest.approx(20)
    assert rows[""]["overhead"] == pytest.approx(0)
    assert rows["0"]["plain_ms"] is None and rows["0"]["overhead"] is None


def test_the_cost_of_hooks_is_told(clock, monkeypatch):
    before = module._Calls.called

    def slow(self, caller, called):
        clock.pass_by(1, None)
        return before(self, caller, called)

    monkeypatch.setattr(module._Calls, "called", slow)
    rows = rows_of(nn.Sequential(clock.wait(4), clock.wait(4)))
    assert [rows[0]["plain_ms"], rows[0]["ms"]] == pytest.approx([8, 10])
    assert rows[0]["overhead"] == pytest.approx(0.25)
    assert [row["ms"] for row in rows[1:]] == pytest.approx([4, 4, 2])  # it falls to the caller


def test_ms_is_the_median_of_the_passes(clock):
    waits = itertools.cycle([1, 1, 1, 1, 50])
    rows = rows_of(nn.Sequential(Net(lambda m, x: clock.pass_by(next(waits), x))), budget=1)
    assert rows[1]["ms"] == pytest.approx(1)


def test_on_the_clock_of_the_machine():
    rows = rows_of(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), torch.randn(1, 3, 64, 64))
    assert 0 < sum(row["ms"] for row in rows[1:]) < 2 * rows[0]["ms"]
    assert rows[0]["plain_ms"] > 0


def test_time_belongs_to_the_innermost_module():
    root, a, b = (module._Node(name, nn.Identity()) for name in ("", "a", "a.b"))
    own = module._own([root, a, b, None, None, a, None, None], [0.0, 1.0, 3.0, 7.0, 8.0, 10.0, 15.0, 21.0])
    assert own == {root: 1 + 2 + 6, a: 2 + 1 + 5, b: 4}


@pytest.mark.parametrize(("budget", "passes"), [(0.001, 3), (0.1, 10), (1e9, 50)])
def test_passes_fill_the_budget(clock, budget, passes):
    calls = module._Calls(nn.Linear(8, 8))
    plain, spent = module._passes(calls, lambda: clock.pass_by(5, None), CPU, budget)
    assert len(plain) == len(spent) == passes


def test_peaks_are_above_what_was_live_at_the_start():
    net = nn.Sequential(nn.Sequential(Take(64, 16), Take(8, 128)), Take(32, 4))
    rows = by_name(rows_of(net, torch.zeros(1)))
    kib = {name: row["peak_bytes"] / 1024 for name, row in rows.items() if row["kind"]}
    assert kib == {"": 128 + 36, "0": 16 + 136, "0.0": 80, "0.1": 136, "1": 36}


def test_the_largest_peak_of_a_module_that_is_called_twice():
    sizes = itertools.cycle([2, 8])
    grows = Net(lambda m, x: torch.zeros(256 * next(sizes)))
    rows = by_name(rows_of(Net(lambda m, x: m.a(m.a(x)), a=grows), torch.zeros(1)))
    assert rows["a"]["peak_bytes"] == 8 * 1024


def test_the_peak_of_the_root_is_that_of_the_network():
    network = MODELS["resnet_tiny"].build(classes=5, ops=[{"op": "tsm"}]).eval()
    x = torch.randn(1, 3, 4, 32, 32)

    def call():
        with torch.no_grad():
            return network(x)

    found = {rows_of(network, x)[0]["peak_bytes"] for _ in range(2)}
    assert found == {peak_bytes(call, CPU)}


def test_nothing_is_left_behind():
    net = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8).eval(), nn.Dropout())
    rows_of(net)
    assert [part.training for part in net.modules()] == [True, True, False, True]
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())
    with pytest.raises(RuntimeError):
        tree(net, torch.randn(2, 9), CPU)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())
    assert [part.training for part in net.modules()] == [True, True, False, True]


def test_several_inputs():
    add = Net(lambda m, x: x)
    add.forward = lambda x, y: x + y
    assert rows_of(add, [torch.randn(2, 8), torch.randn(2, 8)])[0]["other_flops"] == 16


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    device = torch.device("cuda")
    network = MODELS["resnet18"].build(classes=5).to(device)
    rows = tree(network, torch.randn(1, 3, 8, 112, 112, device=device), device, depth=2, budget=0.5)
    assert 0 < sum(row["ms"] for row in rows if row["depth"] == 1) <= 1.1 * rows[0]["ms"]
    for i, row in enumerate(rows):
        for child in children(rows, i):
            assert (child["peak_bytes"] or 0) <= row["peak_bytes"]
    assert rows[0]["peak_bytes"] > 4 * 64 * 8 * 56 * 56
