import itertools
import math

import pytest
import torch

from vidops_cli.ops.integral_action import IntegralAction
from vidops_cli.ops.score_average import ScoreAverage
from vidops_cli.textbook import textbook

GATES = ["pose", "appearance", "both", "none"]


def streams(factor=1, frames=3, batch=2, dtype=torch.float64):
    torch.manual_seed(1)
    rgb = torch.randn(batch, 4, frames, 2, 3, dtype=dtype)
    return rgb, torch.randn(batch, 3, factor * (frames - 1) + 1, 3, 2, dtype=dtype)


def lively(op):
    """Running statistics, scales and shifts that are not those of a new module."""
    torch.manual_seed(2)
    for name, value in op.state_dict().items():
        if value.is_floating_point():
            torch.nn.init.uniform_(value, 0.5, 2) if name.endswith("var") else torch.nn.init.normal_(value)
    return op.double().eval()


def dense(layer, frames, t):
    """A convolution over the vectors of all frames, at frame t."""
    y = layer.bias.tolist()
    reach = layer.weight.shape[2] // 2
    for o, c, i in itertools.product(*map(range, layer.weight.shape)):
        if 0 <= t + i - reach < len(frames):
            y[o] += layer.weight[o, c, i].item() * frames[t + i - reach][c]
    return y


def normed(norm, x):
    parts = zip(*(part.tolist() for part in (norm.running_mean, norm.running_var, norm.weight, norm.bias)), strict=True)
    return [(v - m) / math.sqrt(s + norm.eps) * w + b for v, (m, s, w, b) in zip(x, parts, strict=True)]


def layer_normed(norm, x):
    mean = sum(x) / len(x)
    spread = math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + norm.eps)
    return [(v - mean) / spread * w + b for v, w, b in zip(x, norm.weight.tolist(), norm.bias.tolist(), strict=True)]


def relu(x):
    return [max(0.0, v) for v in x]


@pytest.mark.parametrize("factor, frames", [(1, 1), (2, 1), (3, 1), (1, 3), (2, 5)])
@pytest.mark.parametrize("gate", GATES)
def test_equation_as_loops(gate, factor, frames):
    options = {"pose_channels": 3, "features": 5, "pose_frame_factor": factor, "block_frames": frames}
    op = lively(IntegralAction(4, gate=gate, **options))
    rgb, pose = streams(factor)
    y, found = op(rgb, pose), op.gate(*op.vectors(rgb, pose)) if gate != "none" else None
    assert y.shape == (2, 5, 3, 1, 1)
    for b, t in itertools.product(range(2), range(3)):
        f_a = [rgb[b, :, i].mean((1, 2)).tolist() for i in range(3)]
        pooled = pose[b].mean((2, 3))
        f_p = [pooled[:, i].tolist() if factor == 1 else fused(op, pooled, i) for i in range(3)]
        a = relu(normed(op.rgb_block[1], dense(op.rgb_block[0], f_a, t)))
        p = relu(normed(op.pose_block[1], dense(op.pose_block[0], f_p, t)))
        if gate == "none":
            true = [left + right for left, right in zip(a, p, strict=True)]
        else:
            a, p = layer_normed(op.rgb_norm, a), layer_normed(op.pose_norm, p)
            seen = {"pose": f_p, "appearance": f_a, "both": [x + y for x, y in zip(f_a, f_p, strict=True)]}[gate]
            g = [1 / (1 + math.exp(-v)) for v in dense(op.gate_conv, seen, t)]
            assert found[b, t].tolist() == pytest.approx(g)
            true = [(1 - g) * left + g * right for g, left, right in zip(g, a, p, strict=True)]
        assert y[b, :, t, 0, 0].tolist() == pytest.approx(true)


def fused(op, pose, t):
    """Five frames of the pose around frame t of the clip; nothing beyond its ends."""
    conv, norm, _ = op.pose_fusion
    y = conv.bias.tolist()
    for i, o, c in itertools.product(range(5), range(3), range(3)):
        at = op.pose_frame_factor * t + i - 2
        if 0 <= at < pose.shape[1]:
            y[o] += conv.weight[o, c, i].item() * pose[c, at].item()
    return relu(normed(norm, y))


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("factor", [2, 4])
def test_other_frame_rates_equal_the_textbook_form(factor, gate, train):
    op = lively(IntegralAction(4, pose_channels=3, features=5, gate=gate, pose_frame_factor=factor)).train(train)
    wanted = [*streams(factor), *op.parameters()]
    for x in wanted:
        x.requires_grad_()
    ours, true = op(*wanted[:2]), textbook("integral_action")(op, *wanted[:2])
    torch.testing.assert_close(ours, true)
    seed = torch.randn_like(ours)
    for mine, theirs in zip(
        torch.autograd.grad(ours, wanted, seed), torch.autograd.grad(true, wanted, seed), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-7, rtol=1e-7)


def test_an_open_gate_reads_the_pose_alone_and_a_shut_one_the_appearance():
    op = lively(IntegralAction(4, pose_channels=3, features=5))
    rgb, pose = streams()
    op.gate_conv.weight.data.zero_()
    for bias, changed, kept in ((60.0, (rgb + 1, pose), True), (60.0, (rgb, pose + 1), False)):
        op.gate_conv.bias.data.fill_(bias)
        assert torch.allclose(op(*changed), op(rgb, pose)) == kept
        op.gate_conv.bias.data.fill_(-bias)
        assert torch.allclose(op(*changed), op(rgb, pose)) != kept


@pytest.mark.parametrize("gate, moved", [("pose", [1]), ("appearance", [0]), ("both", [0, 1])])
def test_what_the_gate_is_computed_from(gate, moved):
    op = lively(IntegralAction(4, pose_channels=3, features=5, gate=gate))
    vectors = op.vectors(*streams())
    before = op.gate(*vectors)
    for i in range(2):
        other = [x + (j == i) for j, x in enumerate(vectors)]
        assert torch.equal(op.gate(*other), before) == (i not in moved)


def test_starts_as_released():
    torch.manual_seed(0)
    op = IntegralAction(256, pose_frame_factor=2)
    for layer, std in ((op.rgb_block[0], 0.001), (op.pose_fusion[0], 0.001), (op.gate_conv, 0.01)):
        assert layer.weight.std().item() == pytest.approx(std, rel=0.02)
        assert not layer.bias.any()


def test_parameters_are_those_of_the_released_module():
    """2,104,320 with the temporal convolution, which the released module holds at any frame rate."""
    assert sum(p.numel() for p in IntegralAction(512, pose_frame_factor=2).parameters()) == 2_104_320
    assert sum(p.numel() for p in IntegralAction(512).parameters()) == 2_104_320 - 5 * 512 * 512 - 3 * 512


@pytest.mark.parametrize("options", [{"gate": "sound"}, {"pose_frame_factor": 0}])
def test_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        IntegralAction(8, **options)


def test_refuses_streams_that_do_not_fit():
    op = IntegralAction(4, pose_channels=3, features=5, pose_frame_factor=4)
    rgb, pose = streams(4, dtype=torch.float32)
    with pytest.raises(ValueError, match="takes 9 frames of pose to 3 of rgb, got 8"):
        op(rgb, pose[:, :, 1:])
    with pytest.raises(ValueError, match="takes 4 channels of rgb, got 3"):
        op(rgb[:, 1:], pose)
    with pytest.raises(ValueError, match="takes 3 channels of pose, got 2"):
        op(rgb, pose[:, 1:])
    with pytest.raises(ValueError, match="no gate"):
        IntegralAction(4, gate="none").gate(torch.randn(1, 2, 4), torch.randn(1, 2, 4))


def test_score_average_is_the_mean_of_both_streams_probabilities():
    torch.manual_seed(0)
    op = lively(ScoreAverage(4, pose_channels=3, classes=6))
    rgb, pose = streams(factor=2)
    y = op(rgb, pose)
    assert y.shape == (2, 6)
    assert y.exp().sum(1).tolist() == pytest.approx([1, 1])
    for b in range(2):
        p = [0.0] * 6
        for fc, x in ((op.rgb_fc, rgb[b]), (op.pose_fc, pose[b])):
            frames = [(fc.weight @ x[:, t].mean((1, 2)) + fc.bias).tolist() for t in range(x.shape[1])]
            powers = [math.exp(sum(scores) / len(frames)) for scores in zip(*frames, strict=True)]
            p = [old + power / sum(powers) / 2 for old, power in zip(p, powers, strict=True)]
        assert y[b].exp().tolist() == pytest.approx(p)


def test_score_average_of_two_that_are_sure_of_different_classes():
    op = ScoreAverage(2, classes=3)
    op.rgb_fc.weight.data = torch.tensor([[1.0, 0], [0, 1], [0, 0]])
    op.pose_fc.weight.data = torch.tensor([[0, 0], [1.0, 0], [0, 1]])
    for fc in (op.rgb_fc, op.pose_fc):
        torch.nn.init.zeros_(fc.bias)
    x = torch.tensor([200.0, 0.0]).view(1, 2, 1, 1, 1)
    y = op(x, x)
    assert y[0, :2].exp().tolist() == pytest.approx([0.5, 0.5])
    assert y[0, 2].item() == pytest.approx(-200)  # finite, where the probability itself is none


def test_score_average_refuses():
    with pytest.raises(ValueError, match="classes"):
        ScoreAverage(4, classes=0)
    with pytest.raises(ValueError, match="takes 4 channels of pose, got 3"):
        ScoreAverage(4)(*streams(dtype=torch.float32))


@pytest.mark.parametrize("op", [IntegralAction(4, pose_channels=3), ScoreAverage(4, pose_channels=3)])
def test_streams_of_other_numbers_of_clips_are_refused(op):
    rgb, pose = streams(dtype=torch.float32)
    with pytest.raises(ValueError, match="as many clips of pose as of rgb, got 1 and 2"):
        op(rgb, pose[:1])
