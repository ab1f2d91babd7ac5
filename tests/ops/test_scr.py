import itertools

import pytest
import torch

from vidops_cli.ops.scr import SCR


def stirred(op):
    """Norms whose statistics are not the initial ones."""
    for norm in (module for module in op.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)):
        torch.nn.init.normal_(norm.running_mean, std=0.1)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2)
    return op.double().eval()


def normed(norm, value):
    """A vector of channels, as a norm in evaluation sees it."""
    return (value - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias


@pytest.mark.parametrize("skip", ["relu", "identity", "none"])
@pytest.mark.parametrize("planes, window", [((3,), 1), ((3, 4), 3), ((3, 4, 5), 5)])
def test_equation_as_loops(planes, window, skip):
    torch.manual_seed(0)
    C, T, H, W, r = 4, 2, 2, 3, window // 2
    op = stirred(SCR(C, planes=planes, window=window, skip=skip))
    x = torch.randn(1, C, T, H, W, dtype=torch.float64)
    y = torch.zeros_like(x)
    with torch.no_grad():
        for t, row, column in itertools.product(range(T), range(H), range(W)):

            def z(i, j, t=t):
                if not (0 <= i < H and 0 <= j < W):
                    return torch.zeros(C, dtype=torch.float64)
                value = x[0, :, t, i, j].clamp(min=0)
                return value / value.norm().clamp(min=1e-12)

            maps = {}
            for n, (u, v) in enumerate(itertools.product(range(window), range(window))):
                product = z(row, column) * z(row + u - r, column + v - r)
                torch.testing.assert_close(op.self_correlation(x)[0, :, n, t, row, column], product)
                conv, norm, _ = op.g.reduce
                maps[u, v] = normed(norm, conv.weight[:, :, 0, 0] @ product).clamp(min=0)
            for conv, norm, _ in op.g.shrink:
                size = max(maps)[0] - 1
                shrunk = {}
                for u, v in itertools.product(range(size), range(size)):
                    parts = (conv.weight[:, :, 0, i, j] @ maps[u + i, v + j] for i in range(3) for j in range(3))
                    shrunk[u, v] = normed(norm, sum(parts)).clamp(min=0)
                maps = shrunk
            assert list(maps) == [(0, 0)]
            conv, norm = op.g.expand
            here = x[0, :, t, row, column]
            added = {"relu": here.clamp(min=0), "identity": here, "none": torch.zeros_like(here)}[skip]
            y[0, :, t, row, column] = normed(norm, conv.weight[:, :, 0, 0] @ maps[0, 0]) + added
        torch.testing.assert_close(op(x), y)


def test_a_position_without_positive_features_resembles_nothing():
    op = SCR(4, planes=(3, 3), window=3)
    x = torch.randn(1, 4, 1, 3, 3).abs()
    x[..., 1, 1] = -1
    x.requires_grad_()
    volume = op.self_correlation(x)
    assert volume[..., 1, 1].count_nonzero() == 0
    assert volume[0, :, 4, 0, 0, 0].count_nonzero() == 4
    (gradient,) = torch.autograd.grad(volume.sum(), x)
    assert gradient.isfinite().all()


def test_a_position_agrees_with_itself():
    x = torch.randn(2, 16, 1, 4, 5)
    op = SCR(16)
    torch.testing.assert_close(op.self_correlation(x)[:, :, 12].sum(1), torch.ones(2, 1, 4, 5))


def test_frames_are_images():
    torch.manual_seed(0)
    op, x = SCR(8).eval(), torch.randn(2, 8, 3, 4, 5)
    torch.testing.assert_close(op(x)[:, :, 1:2], op(x[:, :, 1:2]))
    op.train()(x)
    clips = op.g.reduce[1].running_mean.clone()
    op.g.reduce[1].reset_running_stats()
    op(x.transpose(1, 2).reshape(6, 8, 1, 4, 5))
    torch.testing.assert_close(op.g.reduce[1].running_mean, clips)


@pytest.mark.parametrize(
    "options, told",
    [
        ({"window": 4}, "window"),
        ({"window": 7}, "planes"),
        ({"planes": (8, 8)}, "planes"),
        ({"planes": ()}, "planes"),
        ({"planes": (8, 0, 8)}, "planes"),
        ({"skip": "leaky"}, "skip"),
    ],
)
def test_refuses(options, told):
    with pytest.raises(ValueError, match=told):
        SCR(8, **options)
