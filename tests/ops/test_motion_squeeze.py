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


def settle(op):
    """Statistics of batch norm that are not those of the start."""
    for norm in (module for module in op.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.normal_(norm.running_mean, std=0.1)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2)
    return op.double().eval()


def read_as_loops(now, then, P, mode, sigma, tau):
    """What is read of the matches of one frame's features (c H W) in another's: (2 or (2P + 1)^2, H, W), (1, H, W)."""
    H, W = now.shape[1:]
    offsets = [(dx, dy) for dy in range(-P, P + 1) for dx in range(-P, P + 1)]
    read = torch.zeros(len(offsets) if mode == "correlation" else 2, H, W, dtype=now.dtype)
    confidence = torch.zeros(1, H, W, dtype=now.dtype)
    for row, column in itertools.product(range(H), range(W)):
        s = []
        for dx, dy in offsets:
            to = (row + dy, column + dx)
            inside = 0 <= to[0] < H and 0 <= to[1] < W
            s.append(max(0.0, (now[:, row, column] @ then[(slice(None), *to)]).item()) if inside else 0.0)
        confidence[0, row, column] = max(s)
        if mode == "correlation":
            read[:, row, column] = torch.tensor(s, dtype=now.dtype)
            continue
        best = offsets[s.index(max(s))]
        near = mode == "kernel_soft_argmax"
        g = [math.exp(-(math.dist(d, best) ** 2) / (2 * sigma**2)) if near else 1.0 for d in offsets]
        w = [math.exp(g_d * s_d / tau) for g_d, s_d in zip(g, s, strict=True)]
        for axis in (0, 1):
            read[axis, row, column] = sum(w_d * d[axis] for w_d, d in zip(w, offsets, strict=True)) / sum(w)
    return read, confidence


@pytest.mark.parametrize("refinement", ["separable", "conv", "pointwise"])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("confidence", [True, False])
@pytest.mark.parametrize("mode", ["kernel_soft_argmax", "soft_argmax", "correlation"])
def test_equation_as_loops(mode, confidence, backward, refinement):
    torch.manual_seed(0)
    T, P, sigma, tau = 3, 2, 1.5, 0.1
    options = {"displacement": mode, "confidence": confidence, "backward": backward, "refinement": refinement}
    op = settle(MotionSqueeze(6, reduced=5, max_displacement=P, temperature=tau, sigma=sigma, **options))
    x = torch.randn(1, 6, T, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        f = torch.stack([op.reduction(x[:, :, t])[0] for t in range(T)])  # T c H W
        f = f / (f.square().sum(1, keepdim=True) + 1e-6).sqrt()
        ahead = [read_as_loops(f[t], f[t + 1], P, mode, sigma, tau) for t in range(T - 1)]
        behind = [read_as_loops(f[t + 1], f[t], P, mode, sigma, tau) for t in range(T - 1)]
        directions = [ahead, behind] if backward else [ahead]
        for ours, i in zip(op.displacement(x), (0, 1), strict=True):
            true = torch.cat([torch.stack([pair[i] for pair in pairs], dim=1) for pairs in directions])
            torch.testing.assert_close(ours[0], true)

        unit = 1 if mode == "correlation" else P
        y = []
        for t in range(T):
            fed = []
            for pairs, at in zip(directions, (min(t, T - 2), max(t - 1, 0)), strict=False):
                fed += [pairs[at][0] / unit] + ([pairs[at][1]] if confidence else [])
            y.append(x[:, :, t] + op.refine(torch.cat(fed)[None]))
        torch.testing.assert_close(op(x), torch.stack(y, dim=2))


def test_batch_statistics_are_those_of_all_frames():
    """In training, frames of all clips form one batch of images."""
    torch.manual_seed(0)
    op = MotionSqueeze(6, max_displacement=1).train()
    x = torch.randn(2, 6, 3, 5, 5)
    op(x)
    conv, norm, _ = op.reduction
    images = conv(x.transpose(1, 2).flatten(0, 1))
    torch.testing.assert_close(norm.running_mean, 0.1 * images.mean((0, 2, 3)))


def test_scores_below_zero_count_as_zero():
    """They do not occur after the ReLU of the reduction; any two maps can be matched."""
    torch.manual_seed(0)
    f1, f2 = torch.randn(2, 1, 4, 1, 5, 5)
    volume = MotionSqueeze(8, max_displacement=1).match(f1, f2)
    plain = (f1 * f2).sum(1)[0, 0]
    assert plain.min() < -1
    torch.testing.assert_close(volume[0, 4, 0], plain.clamp(min=0))


@pytest.mark.parametrize("backward", [False, True])
def test_features_are_made_once(backward):
    """In training, each pass updates the running statistics."""
    torch.manual_seed(0)
    op = MotionSqueeze(6, max_displacement=1, backward=backward).train()
    op(torch.randn(2, 6, 3, 5, 5))
    assert all(norm.num_batches_tracked == 1 for norm in op.modules() if isinstance(norm, torch.nn.BatchNorm2d))


def test_backward_is_the_motion_to_the_frame_before():
    torch.manual_seed(0)
    op = MotionSqueeze(8, max_displacement=REACH, backward=True).eval()
    with torch.no_grad():
        displacement, confidence = op.displacement(moved([(2, -1), (0, 3)]))
    assert displacement.shape == (1, 4, 2, 20, 20)
    assert confidence.shape == (1, 2, 2, 20, 20)
    for t, (dx, dy) in enumerate([(2, -1), (0, 3)]):
        inside = (0, slice(None), t, slice(REACH, -REACH), slice(REACH, -REACH))
        for maps, wanted in zip(displacement[inside], (dx, dy, -dx, -dy), strict=True):
            assert (maps - wanted).abs().max() < 0.5


CONVOLUTIONS = {  # kernel, groups, channels to channels
    "separable": [
        *[(7, 3, 3, 3), (1, 1, 3, 16), (3, 16, 16, 16), (1, 1, 16, 32)],
        *[(3, 32, 32, 32), (1, 1, 32, 64), (3, 64, 64, 64), (1, 1, 64, 8)],
    ],
    "conv": [(7, 1, 3, 16), (3, 1, 16, 32), (3, 1, 32, 64), (3, 1, 64, 8)],
    "pointwise": [(1, 1, 3, 16), (1, 1, 16, 32), (1, 1, 32, 64), (1, 1, 64, 8)],
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_refinement_is_four_stages(kind):
    op = MotionSqueeze(8, refinement=kind)
    found = [module for module in op.refine.modules() if isinstance(module, torch.nn.Conv2d)]
    told = [(conv.kernel_size[0], conv.groups, conv.in_channels, conv.out_channels) for conv in found]
    assert told == CONVOLUTIONS[kind]
    assert all(conv.bias is None for conv in found)
    kinds = [torch.nn.Conv2d, torch.nn.BatchNorm2d, torch.nn.ReLU] * len(found)
    modules = [module for stage in op.refine for module in stage]
    assert all(isinstance(*pair) for pair in zip(modules, kinds, strict=True))


def test_default_parameters_are_those_of_the_first_release():
    """Names, order and shapes, on which committed results and checkpoints stand."""
    torch.manual_seed(0)
    op = MotionSqueeze(16)
    names = [name for name, _ in op.named_parameters()]
    assert names == [
        f"{layer}.{name}"
        for layer in ("reduction", *(f"refine.{i}" for i in range(8)))
        for name in ("0.weight", "1.weight", "1.bias")
    ]
    torch.manual_seed(0)
    first = torch.nn.Conv2d(16, 64, 1, bias=False)
    second = torch.nn.Conv2d(3, 3, 7, groups=3, bias=False)
    assert torch.equal(op.reduction[0].weight, first.weight)
    assert torch.equal(op.refine[0][0].weight, second.weight)


@pytest.mark.parametrize(
    "options",
    [
        {"max_displacement": 0},
        {"reduced": 0},
        {"sigma": 0.0},
        {"temperature": 0.0},
        {"displacement": "hard_argmax"},
        {"refinement": "none"},
    ],
)
def test_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        MotionSqueeze(8, **options)


def test_refuses_one_frame():
    with pytest.raises(ValueError, match="got 1") as refused:
        MotionSqueeze(8)(torch.randn(1, 8, 1, 4, 4))
    assert "T" in refused.value.args[1]
