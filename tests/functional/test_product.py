import pytest
import torch
import torch.nn.functional as F

from vidops_cli.functional import linear, product


@pytest.fixture(params=["product", "convolution"])
def form(request, monkeypatch):
    monkeypatch.setattr(product, "LARGE", 2**60 if request.param == "product" else 1)
    return request.param


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 5), (0, 5), (5,)])
def test_linear(form, shape, biased, relu):
    torch.manual_seed(0)
    x = torch.randn(shape, requires_grad=True)
    weight, bias = torch.randn(4, 5, requires_grad=True), torch.randn(4, requires_grad=True)
    given = [x, weight, bias][: 2 + biased]
    ours = linear(x, weight, bias if biased else None, relu=relu)
    true = F.linear(*given)
    true = true.relu() if relu else true
    torch.testing.assert_close(ours, true)
    along = torch.randn_like(true)
    for a, b in zip(*(torch.autograd.grad(y, given, along) for y in (ours, true)), strict=True):
        torch.testing.assert_close(a, b)


def test_rows_that_do_not_lie_one_after_the_other(form):
    maps, weight = torch.randn(1, 6, 3, 4), torch.randn(5, 6)
    y = linear(maps.movedim(1, -1), weight)
    torch.testing.assert_close(y, torch.einsum("bchw,oc->bhwo", maps, weight))
    assert y.is_contiguous()


def test_large_products_are_convolutions_of_single_precision_alone(monkeypatch):
    called = []
    monkeypatch.setattr(product, "LARGE", 1)
    monkeypatch.setattr(F, "conv2d", lambda x, *rest, conv2d=F.conv2d: called.append(x.dtype) or conv2d(x, *rest))
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        linear(torch.ones(3, 2, dtype=dtype), torch.ones(4, 2, dtype=dtype))
    assert called == [torch.float32]
