import itertools
import math

import pytest
import torch

from vidops_cli.ops.motion_squeeze import MotionSqueeze

REACH = 4


def moved(shifts, channels=8, size=20):
    """A random texture that moves by (dx, dy) from each frame to the next, wrapping around."""
    frames = [torch.randn(1, channels, size, size)]
    for dx, dy in shifts:
        frames.append(torch.roll(frames[-1], (dy, dx), dims=(2, 3)))
    return torch.stack(frames, dim=2)


@pytest.mark.parametrize("mode", ["kernel_soft_argmax", "soft_argmax"])
@pytest.mark.parametrize("shift", [(0, 0), (2, -1), (-3, 0), (0, 3), (-1, -4), (4, 2)])
def test_displacement_is_the_motion(shift, mode):
    torch.manual_seed(0)
    op = MotionSqueeze(8, max_displacement=REACH, displacement=mode).eval()
    shifts = [shift, (1, 3), shift]
    with torch.no_grad():
        displacement, confidence = op.displacement(moved(shifts))
    assert displacement.shape == (1, 2, 3, 20, 20)
    for t, (dx, dy) in enumerate(shifts):
        inside = (0, slice(None), t, slice(REACH, -REACH), slice(REACH, -REACH))
        x, y = displacement[inside]
        assert (x - dx).abs().max() < 0.5
        assert (y - dy).abs().max() < 0.5
        assert confidence[inside].min() > 0.99
        assert confidence[inside].max() < 1.01


def test_motion_to_the_right_is_positive_x_and_down_is_positive_y():
    torch.manual_seed(0)
    op = MotionSqueeze(1, max_displacement=3).eval()
    x = torch.zeros(1, 1, 2, 9, 9)
    x[0, 0, 0, 4, 3] = x[0, 0, 1, 5, 5] = 1.0  # one bright point: from column 3, row 4 to column 5, row 5
    op.reduction[0].weight.data.fill_(1.0)
    displacement, confidence = op.displacement(x)
    assert displacement[0, :, 0, 4, 3].tolist() == pytest.approx([2, 1], abs=1e-3)
    assert confidence[0, 0, 0, 4, 3].item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("sigma, confidence", [(1.5, True), (None, False)])
def test_equation_as_loops(sigma, confidence):
    torch.manual_seed(0)
    H, W, T, P, tau = 3, 4, 3, 2, 0.1
    mode = "soft_argmax" if sigma is None else "kernel_soft_argmax"
    options = {"reduced": 5, "max_displacement": P, "temperature": tau, "confidence": confidence, "displacement": mode}
    op = MotionSqueeze(6, **options, sigma=sigma or 5.0).double().eval()
    for norm in (module for module in op.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.normal_(norm.running_mean, std=0.1)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2)
    x = torch.randn(1, 6, T, H, W, dtype=torch.float64)
    with torch.no_grad():
        f = torch.stack([op.reduction(x[:, :, t])[0] for t in range(T)])  # T c H W
        f = f / (f.square().sum(1, keepdim=True) + 1e-6).sqrt()
        motion = torch.zeros(1, 3, T, H, W, dtype=torch.float64)
        offsets = [(dx, dy) for dy in range(-P, P + 1) for dx in range(-P, P + 1)]
        for t, row, column in itertools.product(range(T - 1), range(H), range(W)):
            s = []
            for dx, dy in offsets:
                to = (row + dy, column + dx)
                inside = 0 <= to[0] < H and 0 <= to[1] < W
                s.append(max(0.0, (f[t, :, row, column] @ f[(t + 1, slice(None), *to)]).item()) if inside else 0.0)
            best = offsets[s.index(max(s))]
            g = [1.0 if sigma is None else math.exp(-(math.dist(d, best) ** 2) / (2 * sigma**2)) for d in offsets]
            w = [math.exp(g_d * s_d / tau) for g_d, s_d in zip(g, s, strict=True)]
            for axis in (0, 1):
                u = sum(w_d * d[axis] for w_d, d in zip(w, offsets, strict=True)) / sum(w)
                motion[0, axis, t, row, column] = u / P
            motion[0, 2, t, row, column] = max(s)
        displacement, best = op.displacement(x)
        torch.testing.assert_close(displacement / P, motion[:, :2, :-1])
        torch.testing.assert_close(best, motion[:, 2:, :-1])
        motion[:, :, -1] = motion[:, :, -2]
        fed = motion if confidence else motion[:, :2]
        y = torch.stack([x[:, :, t] + op.refine(fed[:, :, t]) for t in range(T)], dim=2)
        torch.testing.assert_close(op(x), y)


def test_batch_statistics_are_those_of_all_frames():
    """In training, frames of all clips form one batch of images."""
    torch.manual_seed(0)
    op = MotionSqueeze(6, max_displacement=1).train()
    x = torch.randn(2, 6, 3, 5, 5)
    op(x)
    conv, norm, _ = op.reduction
    images = conv(x.transpose(1, 2).flatten(0, 1))
    torch.testing.assert_close(norm.running_mean, 0.1 * images.mean((0, 2, 3)))


@pytest.mark.parametrize("options", [{"max_displacement": 0}, {"displacement": "hard_argmax"}])
def test_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        MotionSqueeze(8, **options)
