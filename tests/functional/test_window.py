import inspect
import itertools

import pytest
import torch

from vidops_cli.functional import aggregate, correlate, mirror, reference, window

WINDOWS = [
    ((1, 1, 1), None),
    ((1, 3, 3), None),
    ((3, 1, 5), None),
    ((3, 3, 3), None),
    ((2, 3, 1), 0),
    ((2, 3, 3), -1),
    ((1, 3, 5), 1),
    ((2, 1, 3), -3),
]
MAPS = [(2, 4, 3, 5, 6), (1, 4, 2, 6, 3), (2, 4, 4, 1, 5)]
SMALL = [(1, 4, 1, 1, 1), (2, 4, 2, 2, 3), (1, 4, 1, 3, 2)]
WIDE = [((5, 5, 5), None), ((3, 7, 9), None), ((4, 5, 3), 2), ((2, 3, 7), -5)]

LAYOUTS = {
    "contiguous": lambda x: x,
    "channels_last_3d": lambda x: x.contiguous(memory_format=torch.channels_last_3d),
    "transposed": lambda x: x.transpose(1, 4).contiguous().transpose(1, 4),
    "strided": lambda x: x.repeat_interleave(2, dim=3)[:, :, :, ::2],
    "expanded": lambda x: x[:, :, :, :, :1].expand_as(x),
}


def volume_shape(shape, size, groups):
    L, U, V = size
    return (shape[0], groups, L * U * V, *shape[2:])


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def with_gradients(function, inputs, weigh):
    """The output, and the gradients of its weighted sum."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    y = function(*leaves)
    return [y.detach(), *torch.autograd.grad((y * weigh).sum(), leaves)]


def check_against_reference(shape, size, start, groups, change=lambda x: x):
    torch.manual_seed(0)
    q, k = change(randn(*shape)), change(randn(*shape))
    g = randn(*volume_shape(shape, size, groups))
    ours = with_gradients(lambda q, k: correlate(q, k, size, groups=groups, start=start), (q, k), g)
    true = with_gradients(lambda q, k: reference.correlate(q, k, size, groups=groups, start=start), (q, k), g)
    torch.testing.assert_close(ours, true)

    w, v, g = randn(*volume_shape(shape, size, groups)), change(randn(*shape)), randn(*shape)
    ours = with_gradients(lambda w, v: aggregate(w, v, size, start=start), (w, v), g)
    true = with_gradients(lambda w, v: reference.aggregate(w, v, size, start=start), (w, v), g)
    torch.testing.assert_close(ours, true)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("size, start", WINDOWS)
@pytest.mark.parametrize("shape", MAPS)
def test_equals_reference(shape, size, start, groups):
    check_against_reference(shape, size, start, groups)


@pytest.mark.parametrize("size, start", WIDE)
@pytest.mark.parametrize("shape", SMALL)
def test_equals_reference_on_maps_smaller_than_the_window(shape, size, start):
    check_against_reference(shape, size, start, groups=2)


@pytest.mark.parametrize("size, start", [((3, 3, 3), None), ((2, 1, 5), -1)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_equals_reference_in_any_memory_layout(layout, size, start):
    check_against_reference((2, 4, 3, 4, 5), size, start, groups=2, change=LAYOUTS[layout])


@pytest.mark.parametrize("layout", ["transposed", "strided"])
def test_weights_in_any_memory_layout(layout):
    w, v = randn(2, 2, 9, 2, 4 * 3).unflatten(-1, (4, 3)), randn(2, 4, 2, 4, 3)
    changed = w.transpose(2, 5).contiguous().transpose(2, 5) if layout == "transposed" else w.repeat(1, 1, 1, 1, 1, 2)
    changed = changed[..., :3]
    assert not changed.is_contiguous()
    torch.testing.assert_close(aggregate(changed, v, (1, 3, 3)), reference.aggregate(w, v, (1, 3, 3)))


# --- the reference itself, one position at a time -------------------------------------------------------------------


def pairs(shape, size, start):
    """(index of the offset, position, position + offset) for each pair inside the map; the last axis runs fastest."""
    L, U, V = size
    start = -(L // 2) if start is None else start
    steps = itertools.product(range(start, start + L), range(-(U // 2), U // 2 + 1), range(-(V // 2), V // 2 + 1))
    for n, step in enumerate(steps):
        for at in itertools.product(*map(range, shape[2:])):
            to = tuple(a + s for a, s in zip(at, step, strict=True))
            if all(0 <= a < length for a, length in zip(to, shape[2:], strict=True)):
                yield n, at, to


@pytest.mark.parametrize("forms", [(correlate, aggregate), (reference.correlate, reference.aggregate)])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("size, start", [((1, 3, 3), None), ((3, 1, 3), None), ((2, 3, 1), 0), ((2, 1, 3), -2)])
def test_equals_loops_over_single_positions(size, start, groups, forms):
    torch.manual_seed(0)
    shape = (2, 4, 3, 2, 3)
    width = 4 // groups
    q, k = randn(*shape), randn(*shape)
    w = randn(*volume_shape(shape, size, groups))
    volume, out = torch.zeros_like(w), torch.zeros_like(q)
    seen = 0
    for n, at, to in pairs(shape, size, start):
        for b, c in itertools.product(range(2), range(4)):
            group = c // width
            volume[b, group, n][at] += q[b, c][at] * k[b, c][to]
            out[b, c][at] += w[b, group, n][at] * k[b, c][to]
            seen += 1
    assert seen >= 8 * 18
    torch.testing.assert_close(forms[0](q, k, size, groups=groups, start=start), volume)
    torch.testing.assert_close(forms[1](w, k, size, start=start), out)


@pytest.mark.parametrize(
    "size, start", [((3, 3, 3), -1), ((1, 3, 5), 0), ((2, 3, 1), 0), ((2, 1, 3), -2), ((1, 1, 1), 1)]
)
def test_mirror_is_its_definition(size, start):
    """mirror(w)[x, d] = w[x + d, -d], whose offsets start at -(start + L - 1)."""
    torch.manual_seed(0)
    L, U, V = size
    shape = (2, 2, 3, 3, 2)
    w = randn(2, 2, L * U * V, *shape[2:])
    true = torch.zeros_like(w)
    seen = 0
    for n, at, to in pairs(shape, size, -(start + L - 1)):
        opposite = L * U * V - 1 - n  # of offset -d in w: each axis runs backwards
        true[(..., n, *at)] = w[(..., opposite, *to)]
        seen += 1
    assert seen >= 12
    torch.testing.assert_close(mirror(w, size, start), true)


# --- calculus and the dispatcher ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size, start", [((1, 3, 3), None), ((2, 3, 1), 0), ((3, 1, 3), None)])
def test_first_and_second_derivatives(size, start):
    torch.manual_seed(0)
    shape = (1, 2, 2, 2, 3)
    q, k = randn(*shape).requires_grad_(), randn(*shape).requires_grad_()
    w = randn(*volume_shape(shape, size, 2)).requires_grad_()
    for function, inputs in (
        (lambda q, k: correlate(q, k, size, groups=2, start=start), (q, k)),
        (lambda w, v: aggregate(w, v, size, start=start), (w, q)),
    ):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


def test_custom_ops_are_registered_well():
    q, k = torch.randn(2, 4, 3, 4, 5, requires_grad=True), torch.randn(2, 4, 3, 4, 5, requires_grad=True)
    w = torch.randn(2, 2, 18, 3, 4, 5, requires_grad=True)
    for op, inputs in (
        (window._correlate, (q, k, [2, 3, 3], -1, 2)),
        (window._aggregate, (w, k, [2, 3, 3], -1)),
    ):
        results = torch.library.opcheck(op, inputs)
        assert len(results) >= 4
        assert set(results.values()) == {"SUCCESS"}


def test_autocast_computes_in_float32():
    q, k, w = torch.randn(1, 4, 1, 4, 4), torch.randn(1, 4, 1, 4, 4), torch.randn(1, 1, 9, 1, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        volume, out = correlate(q.bfloat16(), k.bfloat16(), (1, 3, 3)), aggregate(w.bfloat16(), k.bfloat16(), (1, 3, 3))
    assert volume.dtype == out.dtype == torch.float32
    torch.testing.assert_close(volume, correlate(q.bfloat16().float(), k.bfloat16().float(), (1, 3, 3)))


def test_memory_left_uninitialised_would_show():
    """The poison of conftest.py acts on code of the package and on no other."""
    made = {}
    for where in (window.__file__, __file__):
        code = compile("a, b, c = torch.empty(5), torch.empty_like(x), x.new_empty(5)", where, "exec")
        exec(code, {"torch": torch, "x": torch.zeros(5)}, made)
        poisoned = [made[name].isnan().all().item() for name in "abc"]
        assert poisoned == [True] * 3 if where == window.__file__ else not all(poisoned)


def test_empty_batch():
    q = torch.randn(0, 4, 2, 3, 3, requires_grad=True)
    volume = correlate(q, q, (1, 3, 3), groups=2)
    assert volume.shape == (0, 2, 9, 2, 3, 3)
    out = aggregate(volume, q, (1, 3, 3))
    assert out.shape == q.shape
    (grad,) = torch.autograd.grad(out.sum(), q)
    assert grad.shape == q.shape


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size, start", [((1, 2, 3), None), ((1, 3, 4), None), ((2, 3, 3), None), ((0, 3, 3), 0)])
def test_refuses_a_window_that_is_none(size, start):
    x, w = torch.randn(1, 4, 2, 4, 4), torch.randn(1, 1, size[0] * size[1] * size[2], 2, 4, 4)
    with pytest.raises(ValueError, match="window"):
        correlate(x, x, size, start=start)
    with pytest.raises(ValueError, match="window"):
        aggregate(w, x, size, start=start)


@pytest.mark.parametrize("groups", [0, 3, 8])
def test_correlate_refuses_groups_that_do_not_divide(groups):
    x = torch.randn(1, 4, 2, 4, 4)
    with pytest.raises(ValueError, match="groups"):
        correlate(x, x, (1, 3, 3), groups=groups)


@pytest.mark.parametrize("dim", range(5))
def test_correlate_refuses_maps_of_unequal_shape(dim):
    q = torch.randn(2, 4, 2, 4, 4)
    k = q.narrow(dim, 0, 1)
    # the shape annotations are enforced in tests only: the check that users meet is the body's
    with pytest.raises(ValueError, match="one shape"):
        inspect.unwrap(correlate)(q, k, (1, 3, 3))


@pytest.mark.parametrize(
    "weights",
    [
        (2, 1, 8, 2, 4, 4),
        (1, 1, 9, 2, 4, 4),
        (2, 3, 9, 2, 4, 4),
        (2, 1, 9, 1, 4, 4),
        (2, 1, 9, 2, 5, 4),
        (2, 1, 9, 2, 4, 3),
    ],
)
def test_aggregate_refuses_weights_that_do_not_fit(weights):
    with pytest.raises(ValueError, match=r"weights"):
        inspect.unwrap(aggregate)(torch.randn(weights), torch.randn(2, 4, 2, 4, 4), (1, 3, 3))
