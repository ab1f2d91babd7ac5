import pytest
import torch

from vidops_cli.ops.global_context import GlobalContext


def test_equation_as_loops():
    torch.manual_seed(0)
    op = GlobalContext(6, ratio=2).double()
    x = torch.randn(2, 6, 3, 2, 4, dtype=torch.float64)
    y = torch.zeros_like(x)
    with torch.no_grad():
        for b in range(2):
            mean = [sum(x[b, c].flatten().tolist()) / 24 for c in range(6)]
            hidden = [
                sum(op.fc1.weight[h, c].item() * mean[c] for c in range(6)) + op.fc1.bias[h].item() for h in range(3)
            ]
            for c in range(6):
                added = sum(op.fc2.weight[c, h].item() * max(0.0, hidden[h]) for h in range(3)) + op.fc2.bias[c].item()
                y[b, c] = x[b, c] + added
        torch.testing.assert_close(op(x), y)
    assert any(value < 0 for value in hidden)


def test_the_same_for_each_position_and_frame():
    x = torch.randn(2, 16, 3, 4, 5)
    added = GlobalContext(16)(x) - x
    torch.testing.assert_close(added, added[:, :, :1, :1, :1].expand_as(x))


@pytest.mark.parametrize("channels, ratio, hidden", [(512, 16, 32), (40, 16, 2), (8, 16, 1)])
def test_hidden_channels(channels, ratio, hidden):
    assert GlobalContext(channels, ratio=ratio).fc1.out_features == hidden


def test_refuses():
    with pytest.raises(ValueError, match="ratio"):
        GlobalContext(8, ratio=0)
    with pytest.raises(ValueError, match="8 channels, got 4"):
        GlobalContext(8)(torch.randn(1, 4, 2, 3, 3))
