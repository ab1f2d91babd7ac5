import pytest
import torch

from vidops_cli.functional import l2norm


def test_the_epsilon_is_inside_the_root():
    x = torch.tensor([[3.0, 0.0], [4.0, 0.0]], dtype=torch.float64)  # channels run down
    expected = torch.tensor([[3.0, 0.0], [4.0, 0.0]], dtype=torch.float64) / (25 + 1e-6) ** 0.5
    torch.testing.assert_close(l2norm(x, dim=0), expected, rtol=1e-12, atol=0)
    tiny = torch.full((1, 1), 1e-3, dtype=torch.float64)
    assert l2norm(tiny).item() == pytest.approx(0.5**0.5, rel=1e-9)


def test_the_axis_is_that_of_channels_unless_told():
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(l2norm(x).square().sum(1), torch.ones(2, 4), rtol=1e-4, atol=0)
    torch.testing.assert_close(l2norm(x, dim=2).square().sum(2), torch.ones(2, 3), rtol=1e-4, atol=0)


@pytest.mark.parametrize("size", [300.0, 1e-3])  # in float16 their squares overflow and vanish
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype, size):
    x = torch.full((1, 8), size, dtype=dtype)
    assert l2norm(x).dtype == torch.float32
    torch.testing.assert_close(l2norm(x), l2norm(x.double()).float())


def test_zero_has_a_gradient():
    x = torch.zeros(1, 3, requires_grad=True)
    l2norm(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.full((1, 3), 1e3))
