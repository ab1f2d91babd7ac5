import pytest
import torch
from torch import nn

from vidops_cli.functional import correlate
from vidops_cli.models import MODELS
from vidops_cli.ops.motion_squeeze import MotionSqueeze
from vidops_cli.profiling.convention import CONVENTIONS, as_printed
from vidops_cli.profiling.cost import count
from vidops_cli.recipe import Recipe


def test_recipes_know_the_same_conventions():
    told = Recipe.model_json_schema()["properties"]["convention"]["anyOf"]
    assert {name for part in told for name in part.get("enum", ())} == set(CONVENTIONS)


def test_multiply_adds_and_flops():
    model, x = nn.Sequential(nn.Linear(6, 4), nn.ReLU()), torch.randn(3, 6)
    cost = count(model, x)
    assert as_printed(model, x, convention="macs") == cost.macs == 3 * 6 * 4
    assert as_printed(model, x, convention="flops") == cost.flops > 2 * cost.macs


@pytest.mark.parametrize(
    ("model", "shape", "printed"),
    [
        (nn.Linear(6, 4), (3, 6), 3 * 4 * 11),
        (nn.Conv2d(4, 6, 3, padding=1, bias=False), (2, 4, 5, 5), 2 * 6 * 25 * 36),
        (nn.Conv2d(4, 6, 3, padding=1, groups=2), (2, 4, 5, 5), 2 * 6 * 25 * (18 + 1)),
        (nn.Conv2d(4, 6, 3, padding="same"), (2, 4, 5, 5), 2 * 6 * 25 * (36 + 1)),
        (nn.ConvTranspose3d(4, 6, 1, stride=(1, 2, 2), groups=2, bias=False), (2, 4, 1, 3, 3), 2 * 6 * 25 * 2),
        (nn.BatchNorm2d(4), (2, 4, 5, 5), 4 * 200),
        (nn.AdaptiveAvgPool2d(1), (2, 4, 5, 5), 8 * (25 + 1)),
        (nn.ReLU(), (2, 4), 0),
        (nn.Softmax(1), (2, 4), 0),
    ],
)
def test_motionsqueeze_by_hand(model, shape, printed):
    assert as_printed(model, torch.randn(shape), convention="motionsqueeze") == printed


@pytest.mark.parametrize("groups", [1, 2])
def test_motionsqueeze_counts_a_correlation_as_sums_and_products(groups):
    class Match(nn.Module):
        def forward(self, q, k):
            return correlate(q, k, (1, 3, 3), groups=groups)

    q = torch.randn(2, 8, 3, 5, 6)
    outputs = 2 * groups * 9 * 90
    assert as_printed(Match(), q, q, convention="motionsqueeze") == outputs * (2 * 8 // groups - 1)


def test_motionsqueeze_of_motion_squeeze_by_hand():
    """Its module: convolutions, their norms, and the correlation of 3 pairs of frames; nothing else is counted."""
    op = MotionSqueeze(8, reduced=4, max_displacement=1)
    positions, widths = 4 * 5 * 6, [3, 16, 32, 64, 8]
    stages = zip((7, 3, 3, 3), widths[:-1], widths[1:], strict=True)
    refined = sum(kernel**2 * a + 4 * a + a * b + 4 * b for kernel, a, b in stages)
    printed = positions * (8 * 4 + 4 * 4 + refined) + 3 * 5 * 6 * 9 * (2 * 4 - 1)
    assert as_printed(op, torch.randn(1, 8, 4, 5, 6), convention="motionsqueeze") == printed


def test_what_the_released_counter_printed():
    """TSM-ResNet-18, 8 frames, 174 classes: 14.5896G in MotionSqueeze's FLOPsCounter.ipynb."""
    network = MODELS["resnet18"].build(classes=174, ops=[{"op": "tsm"}])
    x = torch.randn(1, 3, 8, 224, 224)
    assert f"{as_printed(network, x, convention='motionsqueeze') / 1e9:.4f}G" == "14.5896G"
