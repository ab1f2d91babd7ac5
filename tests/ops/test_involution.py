import itertools

import pytest
import torch

from vidops_cli.ops.involution import Involution


def make(channels=4, **options):
    torch.manual_seed(0)
    op = Involution(channels, **{"window": 3, "group_channels": 2, "reduction": 2, **options}).double().eval()
    for value in (op.reduce[1].running_mean, op.reduce[1].running_var):
        torch.nn.init.uniform_(value, 0.2, 0.9)
    return op


@pytest.mark.parametrize("options", [{}, {"frames": 3}, {"window": 5, "group_channels": 1}, {"group_channels": 4}])
@torch.no_grad()
def test_equation_as_loops(options):
    op, x = make(**options), torch.randn(1, 4, 3, 4, 5, dtype=torch.float64)
    conv, norm, _ = op.reduce
    y, width = torch.zeros_like(x), 4 // op.groups
    offsets = list(itertools.product(*(range(-(size // 2), size // 2 + 1) for size in op.window)))
    for n in itertools.product(*map(range, x.shape[2:])):
        reduced = conv.weight[:, :, 0, 0] @ x[(0, slice(None), *n)]
        reduced = norm.weight * (reduced - norm.running_mean) / (norm.running_var + norm.eps) ** 0.5 + norm.bias
        kernel = op.span.weight[:, :, 0, 0] @ reduced.clamp_min(0) + op.span.bias
        for c, (i, d) in itertools.product(range(4), enumerate(offsets)):
            m = tuple(place + step for place, step in zip(n, d, strict=True))
            if all(0 <= place < size for place, size in zip(m, x.shape[2:], strict=True)):
                y[(0, c, *n)] += kernel[c // width * len(offsets) + i] * x[(0, c, *m)]
    torch.testing.assert_close(op(x), y)


@torch.no_grad()
def test_the_kernel_is_of_the_position_alone():
    """Its neighbours are weighed by it, and do not change it: the output is linear in them."""
    op, x = make(), torch.randn(1, 4, 1, 5, 5, dtype=torch.float64)
    around = torch.randn_like(x)
    around[..., 2, 2] = 0
    torch.testing.assert_close(op.kernel(x + around)[..., 2, 2], op.kernel(x)[..., 2, 2])
    steps = [op(x + factor * around)[..., 2, 2] for factor in range(3)]
    torch.testing.assert_close(steps[2] - steps[1], steps[1] - steps[0])
    assert (op(x + around) - op(x))[..., 2, 2].abs().max() > 1e-3


@torch.no_grad()
def test_channels_of_a_group_share_a_kernel():
    op, x = make(), torch.randn(1, 4, 1, 5, 5, dtype=torch.float64)
    assert op.kernel(x).shape == (1, 2, 9, 1, 5, 5)
    assert (Involution(8).groups, Involution(24).groups) == (1, 3)  # of 8, which divides both
    assert Involution(128).span.out_channels == 8 * 49


@pytest.mark.parametrize("options", [{"window": 2}, {"frames": 2}, {"group_channels": 0}, {"reduction": 5}])
def test_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Involution(4, **options)
