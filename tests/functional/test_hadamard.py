import pytest
import torch

from vidops_cli.functional import mixed_correlation, reference


def formed(q, k, weight, window):
    """The correlation with all its channels, then the weights: B T H W N O."""
    volume = reference.correlate(q, k, window, groups=q.shape[1])
    return torch.einsum("bcnthw,oc->bthwno", volume, weight)


@pytest.mark.parametrize("window", [(1, 3, 5), (1, 1, 1), (1, 5, 3)])
@pytest.mark.parametrize("shape", [(2, 6, 3, 5, 4), (1, 3, 1, 2, 2), (0, 4, 1, 3, 3)])
def test_equals_the_correlation_formed_and_mixed(shape, window):
    torch.manual_seed(0)
    q, k = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(2))
    weight = torch.randn(7, shape[1], dtype=torch.float64, requires_grad=True)
    ours, true = (form(q, k, weight, window) for form in (mixed_correlation, formed))
    torch.testing.assert_close(ours, true)
    along = torch.randn_like(true)
    for a, b in zip(*(torch.autograd.grad(y, [q, k, weight], along) for y in (ours, true)), strict=True):
        torch.testing.assert_close(a, b)


def test_of_a_map_with_itself():
    z = torch.randn(1, 4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z, w: mixed_correlation(z, z, w, (1, 3, 3)), (z, weight))
    assert torch.autograd.gradgradcheck(lambda z, w: mixed_correlation(z, z, w, (1, 3, 3)), (z, weight))


def test_a_window_over_frames_is_refused():
    x = torch.randn(1, 2, 3, 4, 4)
    with pytest.raises(ValueError, match="within a frame"):
        mixed_correlation(x, x, torch.ones(3, 2), (3, 3, 3))
