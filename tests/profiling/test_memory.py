import pytest
import torch

from vidops_cli.profiling.memory import peak_bytes

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
