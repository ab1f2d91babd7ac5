import itertools
import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from vidops_cli.ops.selfy import SELFY

SMALL = {"hidden": 5, "ext_channels": (2, 3, 4, 5), "int_channels": (3, 4, 5, 6)}
HARD = {"extraction": "mlp", "window": 3}  # takes any window


def settled(**options):
    """In evaluation, with weights and statistics that let every layer be seen in the output."""
    torch.manual_seed(0)
    op = SELFY(6, **{**SMALL, **options})
    for module in op.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.1, 0.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, mean=0.2, std=0.1)
    return op.double().eval()


def clip(frames=3, height=6, width=8, batch=2):
    x = torch.randn(batch, 6, frames, height, width, generator=torch.Generator().manual_seed(1))
    return x.double()


def similarity_as_loops(op, x):
    """B L U V T h w"""
    f = torch.stack([op.downsample(x[:, :, t]) for t in range(x.shape[2])], dim=1)  # B T c h w
    f = f / (f.square().sum(2, keepdim=True) + 1e-6).sqrt()
    B, T, _, h, w = f.shape
    U, V = op.window
    stss = torch.zeros(B, len(op.offsets), U, V, T, h, w, dtype=f.dtype)
    for t, (i, offset), row, column in itertools.product(range(T), enumerate(op.offsets), range(h), range(w)):
        for u, v in itertools.product(range(U), range(V)):
            to = t + offset, row + u - U // 2, column + v - V // 2
            if all(0 <= at < size for at, size in zip(to, (T, h, w), strict=True)):
                here, there = f[:, t, :, row, column], f[:, to[0], :, to[1], to[2]]
                stss[:, i, u, v, t, row, column] = (here * there).sum(1)
    return stss


@pytest.mark.parametrize("window", [(3, 3), (3, 5), (9, 9)])
@pytest.mark.parametrize(
    "offsets", [(-2, -1, 0, 1, 2), (0,), (1,), (-1, 0, 1), (-2, 0, 2), (3, -3), (1, 0), (-1, 1, 2), (5,)]
)
def test_similarity_as_loops(offsets, window):
    op = settled(**HARD, offsets=offsets)
    op.window = window
    x = clip()
    with torch.no_grad():
        stss = op.similarity(x)
        assert stss.shape == (2, len(offsets), *window, 3, 3, 4)
        torch.testing.assert_close(stss, similarity_as_loops(op, x))


def test_similarities_are_not_clamped():
    op = settled(**HARD)
    op.downsample[2] = nn.Identity()
    with torch.no_grad():
        assert op.similarity(clip()).min() < -0.5


def normed(norm, y):
    """Batch norm in evaluation, of (n, c, ...)."""
    shape = (1, -1) + (1,) * (y.ndim - 2)
    y = (y - norm.running_mean.view(shape)) / (norm.running_var.view(shape) + norm.eps).sqrt()
    return y * norm.weight.view(shape) + norm.bias.view(shape)


def convolved(block, x, stride, padding):
    """One image (c, h, w) through convolution, batch norm and ReLU, as loops."""
    conv, norm, _ = block
    size = conv.kernel_size[0]
    h, w = ((n + 2 * padding - size) // stride + 1 for n in x.shape[1:])
    y = torch.zeros(conv.out_channels, h, w, dtype=x.dtype)
    for row, column, i, j in itertools.product(range(h), range(w), range(size), range(size)):
        at = row * stride + i - padding, column * stride + j - padding
        if 0 <= at[0] < x.shape[1] and 0 <= at[1] < x.shape[2]:
            y[:, row, column] += conv.weight[:, :, i, j] @ x[:, at[0], at[1]]
    return normed(norm, y[None])[0].clamp(min=0)


@pytest.mark.parametrize("window", [9, 11])
def test_extraction_by_convolution(window):
    """Each map of similarities alone: strides 1, 2, 2, 1, the last without padding."""
    op = settled(window=window, offsets=(0, 1))
    stss = torch.randn(1, 2, window, window, 2, 1, 2).double()
    with torch.no_grad():
        features = op.extract(stss)
        assert features.shape == (1, 2, 5, 2, 1, 2)
        for i, t, column in itertools.product(range(2), range(2), range(2)):
            y = stss[0, i, :, :, t, 0, column][None]
            for block, stride, padding in zip(op.extraction, (1, 2, 2, 1), (1, 1, 1, 0), strict=True):
                y = convolved(block, y, stride, padding)
            assert y.shape == (5, 1, 1)
            torch.testing.assert_close(features[0, i, :, t, 0, column], y[:, 0, 0])


def test_extraction_by_mlp():
    """Four layers as wide as the last of ext_channels, over the similarities of each offset alone."""
    op = settled(extraction="mlp", window=3, offsets=(0, 2))
    stss = torch.randn(2, 2, 3, 3, 2, 1, 2).double()
    with torch.no_grad():
        features = op.extract(stss)
        assert features.shape == (2, 2, 5, 2, 1, 2)
        assert len(op.extraction) == 4
        for b, i, t, column in itertools.product(range(2), range(2), range(2), range(2)):
            y = stss[b, i, :, :, t, 0, column].flatten()
            for conv, norm, _ in op.extraction:
                y = normed(norm, (conv.weight[:, :, 0, 0] @ y)[None])[0].clamp(min=0)
            torch.testing.assert_close(features[b, i, :, t, 0, column], y)


@pytest.mark.parametrize("window", [1, 3, 5])
def test_extraction_by_soft_argmax(window):
    op = settled(extraction="soft_argmax", window=window, offsets=(0, 1))
    stss = torch.randn(1, 2, window, window, 2, 2, 1).double() / 20
    features = op.extract(stss)
    assert features.shape == (1, 2, 3, 2, 2, 1)
    r = window // 2
    for i, t, row in itertools.product(range(2), range(2), range(2)):
        s = stss[0, i, :, :, t, row, 0].tolist()
        total = sum(math.exp(value / 0.01) for line in s for value in line)
        found = [0.0, 0.0, max(max(line) for line in s)]
        for dy, dx in itertools.product(range(-r, r + 1), range(-r, r + 1)):
            weight = math.exp(s[dy + r][dx + r] / 0.01) / total
            found[0] += weight * dx / max(r, 1)
            found[1] += weight * dy / max(r, 1)
        assert features[0, i, :, t, row, 0].tolist() == pytest.approx(found, abs=1e-9)


def test_soft_argmax_tells_where_the_frame_moved():
    """Two positions right and one up from each frame to the next, at half the size: x is first, y second."""
    op = settled(extraction="soft_argmax", window=9, offsets=(-1, 0, 1), hidden=24)
    first = torch.randn(1, 6, 24, 28).double()
    x = torch.stack([torch.roll(first, (-2 * t, 4 * t), dims=(2, 3)) for t in range(3)], dim=2)
    with torch.no_grad():
        features = op.extract(op.similarity(x))[0, :, :, 1, 5:-5, 5:-5]  # of the middle frame: L 3 h w
    for i, (dx, dy) in enumerate([(-2, 1), (0, 0), (2, -1)]):
        assert (features[i, 0] * 4 - dx).abs().max() < 0.5
        assert (features[i, 1] * 4 - dy).abs().max() < 0.5
        assert (features[i, 2] - 1).abs().max() < 1e-4


@pytest.mark.parametrize("integration", ["conv", "mlp"])
def test_integration(integration):
    """conv: three convolutions of each offset, one of all; mlp: four pointwise layers of all. Offsets are the slow axis
    of the joined channels, and only even rows and columns are filled."""
    op = settled(extraction="soft_argmax", window=3, offsets=(0, 1), integration=integration)
    features = torch.randn(1, 2, 3, 2, 2, 3).double()
    with torch.no_grad():
        y = op.integrate(features, (4, 6))
        assert y.shape == (1, 6, 2, 4, 6)
        empty = normed(op.norm, torch.zeros(1, 6).double())[0]
        for t in range(2):
            maps = [features[0, i, :, t] for i in range(2)]
            if integration == "conv":
                assert len(op.integration) == 3
                for block in op.integration:
                    maps = [convolved(block, one, 1, 1) for one in maps]
                fused = convolved(op.fuse, torch.cat(maps), 1, 1)
            else:
                assert len(op.integration) == 0
                assert len(op.fuse) == 4
                fused = torch.cat(maps)
                for block in op.fuse:
                    fused = convolved(block, fused, 1, 0)
            assert fused.shape == (6, 2, 3)
            for row, column in itertools.product(range(4), range(6)):
                true = empty
                if row % 2 == column % 2 == 0:
                    true = op.upsample.weight[:, :, 0, 0].T @ fused[:, row // 2, column // 2]
                    true = normed(op.norm, true[None])[0]
                torch.testing.assert_close(y[0, :, t, row, column], true)


@pytest.mark.parametrize("extraction", ["conv", "mlp", "soft_argmax"])
@pytest.mark.parametrize("integration", ["conv", "mlp"])
@pytest.mark.parametrize("size", [(6, 8), (7, 8), (6, 5), (1, 1)])
def test_forward_is_its_parts(extraction, integration, size):
    op = settled(extraction=extraction, integration=integration, offsets=(-1, 1))
    x = clip(3, *size)
    with torch.no_grad():
        stss = similarity_as_loops(op, x)
        assert stss.shape[-2:] == tuple(-(-n // 2) for n in size)
        whole = op.integrate(op.extract(stss), tuple(2 * n for n in stss.shape[-2:]))
        true = (x + whole[..., : size[0], : size[1]]).clamp(min=0)
        torch.testing.assert_close(op(x), true)
    assert (op(x) - x.clamp(min=0)).abs().max() > 0.1


def test_starts_as_the_relu_of_its_input():
    op, x = SELFY(6, **SMALL), clip().float()
    assert torch.equal(op(x), x.relu())


def test_one_frame_is_compared_with_itself_alone():
    op = settled(**HARD, offsets=(-1, 0, 1))
    stss = op.similarity(clip(frames=1))
    assert stss[:, 0].abs().max() == stss[:, 2].abs().max() == 0
    assert stss[:, 1].max() > 0.99


@pytest.mark.parametrize("extraction", ["conv", "mlp"])
def test_statistics_are_those_of_all_offsets_at_once(extraction):
    torch.manual_seed(0)
    op = SELFY(6, **SMALL, offsets=(-2, 0, 1), extraction=extraction).train()
    x = clip().float()
    op(x)
    assert all(norm.num_batches_tracked == 1 for norm in op.modules() if isinstance(norm, nn.BatchNorm2d))
    conv, norm, _ = op.extraction[0]
    stss = op.similarity(x).movedim((2, 3), (-2, -1)).flatten(0, 4)  # all offsets, frames and positions
    images = conv(stss[:, None] if extraction == "conv" else stss.flatten(1)[..., None, None])
    torch.testing.assert_close(norm.running_mean, 0.1 * images.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * images.var((0, 2, 3)))


def test_parameters_of_the_paper():
    """966,284 at 512 channels, as the released block has."""
    assert sum(p.numel() for p in SELFY(512).parameters()) == 966_284


@pytest.mark.parametrize(
    "options",
    [
        {"hidden": 0},
        {"offsets": ()},
        {"offsets": (0, 1, 0)},
        {"window": 8, "extraction": "mlp"},
        {"window": -1, "extraction": "mlp"},
        {"extraction": "none"},
        {"integration": "soft_argmax"},
        {"ext_channels": (4, 16, 64)},
        {"ext_channels": (4, 16, 0, 64)},
        {"int_channels": (64,) * 5},
    ],
)
def test_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SELFY(8, **options)


@pytest.mark.parametrize("window", [7, 13])
def test_refuses_windows_that_the_convolutions_do_not_bring_to_one(window):
    with pytest.raises(ValueError, match=f"window must be 9 or 11.*got {window}") as refused:
        SELFY(8, window=window)
    assert "mlp" in refused.value.args[1]
    for extraction in ("mlp", "soft_argmax"):
        assert SELFY(8, window=window, extraction=extraction)(torch.randn(1, 8, 2, 5, 6)).shape == (1, 8, 2, 5, 6)


def test_channels_last_clips_of_few_channels_do_not_break_the_memory():
    """In a process of its own: what went wrong here ended the process."""
    script = """
import torch
from vidops_cli.ops.selfy import SELFY
torch.set_num_threads(2)
op = SELFY(8, hidden=8, offsets=(0,), ext_channels=(4, 4, 4, 8), int_channels=(8, 8, 8, 8))
torch.nn.init.ones_(op.norm.weight)
for _ in range(20):
    x = torch.randn(1, 8, 3, 8, 12, requires_grad=True)
    (op(x.contiguous(memory_format=torch.channels_last_3d)) * torch.randn_like(x)).sum().backward()
print("done")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-500:]
