import pytest
import torch

from vidops_cli.ops.temporal_conv import TemporalConv


@pytest.mark.parametrize("kernel, residual, bias", [(3, True, False), (1, True, True), (5, False, True)])
def test_equation_as_loops(kernel, residual, bias):
    torch.manual_seed(0)
    op = TemporalConv(4, kernel=kernel, residual=residual, bias=bias).double()
    for parameter in op.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(1, 4, 4, 2, 3, dtype=torch.float64)
    weight = op.conv.weight.detach().squeeze(-1)
    y = x.clone() if residual else torch.zeros_like(x)
    for t in range(4):
        for i in range(kernel):
            if 0 <= t + i - kernel // 2 < 4:
                y[:, :, t] += torch.einsum("oc,bchw->bohw", weight[:, :, i], x[:, :, t + i - kernel // 2])
        if bias:
            y[:, :, t] += op.conv.bias.detach()[:, None, None]
    torch.testing.assert_close(op(x).detach(), y)


def test_starts_as_the_identity_if_residual():
    x = torch.randn(2, 8, 3, 4, 5)
    assert torch.equal(TemporalConv(8, bias=True)(x), x)
    assert TemporalConv(8, residual=False)(x).abs().max() > 0.1


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_gradients_on_short_clips_in_bfloat16(frames):
    """Where those of a 3-D convolution are wrong on a CPU."""
    torch.manual_seed(0)
    op, x = TemporalConv(16, kernel=5, residual=False), torch.randn(2, 16, frames, 4, 5)

    def gradient():
        return torch.autograd.grad(op(x).square().sum(), op.conv.weight)[0]

    true = gradient()
    with torch.autocast("cpu", torch.bfloat16):
        assert (gradient() - true).abs().max() < 0.05 * true.abs().max()


def test_refuses():
    for kernel in (0, 2):
        with pytest.raises(ValueError, match="kernel"):
            TemporalConv(8, kernel=kernel)
    with pytest.raises(ValueError, match="8 channels, got 4"):
        TemporalConv(8)(torch.randn(1, 4, 2, 3, 3))
