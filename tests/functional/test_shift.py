import pytest
import torch

from vidops_cli.functional import temporal_shift


@pytest.mark.parametrize("fold", [0, 1, 2, 3])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_equals_loops(frames, fold):
    torch.manual_seed(0)
    x = torch.randn(2, 7, frames, 3, 2)
    true = torch.zeros_like(x)
    for c in range(7):
        step = 1 if c < fold else -1 if c < 2 * fold else 0
        for t in range(frames):
            if 0 <= t + step < frames:
                true[:, c, t] = x[:, c, t + step]
    assert torch.equal(temporal_shift(x, fold), true)


def test_the_first_fold_looks_ahead_and_the_second_behind():
    x = torch.tensor([10.0, 20.0, 30.0]).view(1, 1, 3, 1, 1).expand(1, 3, 3, 1, 1)
    y = temporal_shift(x, 1)[0, :, :, 0, 0]
    assert y.tolist() == [[20, 30, 0], [0, 10, 20], [10, 20, 30]]


def test_derivatives():
    x = torch.randn(1, 5, 3, 1, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: temporal_shift(x, 2), (x,))
    assert torch.autograd.gradgradcheck(lambda x: temporal_shift(x, 2), (x,))


def test_any_memory_layout():
    x = torch.randn(2, 6, 3, 4, 5)
    assert torch.equal(temporal_shift(x.contiguous(memory_format=torch.channels_last_3d), 2), temporal_shift(x, 2))


@pytest.mark.parametrize("fold", [-1, 4, 7])
def test_refuses_more_channels_than_there_are(fold):
    with pytest.raises(ValueError, match="channels"):
        temporal_shift(torch.randn(1, 7, 2, 2, 2), fold)
