import pytest
import torch

from vidops_cli.functional import mixed_self_correlation, reference


def formed(z, weight, window):
    """The correlation with all its channels, then the weights: B T H W N O."""
    volume = reference.correlate(z, z, window, groups=z.shape[1])
    return torch.einsum("bcnthw,oc->bthwno", volume, weight)


@pytest.mark.parametrize("window", [(1, 3, 5), (1, 1, 1), (1, 5, 3)])
@pytest.mark.parametrize("shape", [(2, 6, 3, 5, 4), (1, 3, 1, 2, 2), (1, 2, 2, 1, 6), (0, 4, 1, 3, 3)])
def test_equals_the_correlation_formed_and_mixed(shape, window):
    torch.manual_seed(0)
    z = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(7, shape[1], dtype=torch.float64, requires_grad=True)
    ours, true = (form(z, weight, window) for form in (mixed_self_correlation, formed))
    torch.testing.assert_close(ours, true)
    along = torch.randn_like(true)
    for a, b in zip(*(torch.autograd.grad(y, [z, weight], along) for y in (ours, true)), strict=True):
        torch.testing.assert_close(a, b)


def test_its_derivatives():
    z = torch.randn(1, 4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z, w: mixed_self_correlation(z, w, (1, 3, 3)), (z, weight))
    assert torch.autograd.gradgradcheck(lambda z, w: mixed_self_correlation(z, w, (1, 3, 3)), (z, weight))


def test_a_window_over_frames_is_refused():
    x = torch.randn(1, 2, 3, 4, 4)
    with pytest.raises(ValueError, match="within a frame"):
        mixed_self_correlation(x, torch.ones(3, 2), (3, 3, 3))
