import warnings

import pytest
import torch

from vidops_cli.functional import deformable, kernels, reference, window
from vidops_cli.functional.guard import guarded

KERNELS = {
    "correlate": (window._correlate._init_fn, kernels.correlate, kernels._probe_correlate),
    "aggregate": (window._aggregate._init_fn, kernels.aggregate, kernels._probe_aggregate),
    "sample": (deformable._sample._init_fn, kernels.sample, kernels._probe_sample),
}


@pytest.mark.parametrize("name", KERNELS)
def test_a_right_kernel_is_tested_once_and_used(name):
    fast, plain, probe = KERNELS[name]
    calls = []

    def counted(*args):
        calls.append(args)
        return fast(*args)

    call = guarded(name, counted, plain, probe)
    for _ in range(3):
        torch.testing.assert_close(call(*probe()), plain(*probe()))
    assert len(calls) == 4  # the test and three calls


@pytest.mark.parametrize("off", [1e-3, float("nan"), float("inf")])
@pytest.mark.parametrize("name", KERNELS)
def test_a_wrong_kernel_gives_way_with_one_warning(name, off):
    fast, plain, probe = KERNELS[name]

    def broken(*args):
        y = fast(*args).clone()
        y[-1, -1, -1, -1, -1] += off * y.abs().max()  # the last position alone
        return y

    call = guarded(f"vidops::{name}", broken, plain, probe)
    with pytest.warns(RuntimeWarning, match=f"vidops::{name} differs") as told:
        first = call(*probe())
    assert len(told) == 1
    assert torch.equal(first, plain(*probe()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(call(*probe()), plain(*probe()))


def test_a_kernel_that_cannot_run_gives_way():
    def unbuilt(*args):
        raise RuntimeError("no kernel image is available")

    _, plain, probe = KERNELS["correlate"]
    call = guarded("vidops::correlate", unbuilt, plain, probe)
    with pytest.warns(RuntimeWarning, match=r"vidops::correlate failed \(no kernel image"):
        assert torch.equal(call(*probe()), plain(*probe()))


def test_plain_forms_take_what_the_primitives_take():
    q, k, size, start, groups = kernels._probe_correlate()
    torch.testing.assert_close(
        kernels.correlate(q, k, size, start, groups), window.correlate(q, k, tuple(size), groups=groups, start=start)
    )
    w, v, size, start = kernels._probe_aggregate()
    torch.testing.assert_close(
        kernels.aggregate(w, v, size, start), reference.aggregate(w, v, tuple(size), start=start)
    )
    v, offset, kernel, dilation = kernels._probe_sample()
    torch.testing.assert_close(
        kernels.sample(v, offset, kernel, dilation), deformable.sample(v, offset, kernel, dilation)
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("name", KERNELS)
def test_on_a_gpu(name):
    _, plain, probe = KERNELS[name]
    args = [value.cuda() if torch.is_tensor(value) else value for value in probe()]
    torch.testing.assert_close(getattr(torch.ops.vidops, name)(*args), plain(*args))


def test_each_primitive_has_a_guarded_form_for_cuda():
    for op in (window._correlate, window._aggregate, deformable._sample):
        assert op._backend_fns["cuda"] is not op._init_fn
