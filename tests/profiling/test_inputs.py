"""Inputs of operators whose shapes follow from their options."""

import pytest
import torch
from formulas import OPTIONS, made

from vidops_cli.ops import OPS
from vidops_cli.ops.pose_maps import SKELETONS
from vidops_cli.textbook import module_of

FOLLOWING = [card.name for card in OPS.values() if card.letters or card.draws]


def shapes(name, **options):
    return OPS[name].shapes(2, 8, (3, 5, 6), options)


def test_shapes_follow_options():
    rgb = (2, 8, 3, 5, 6)
    assert shapes("tsm") == [rgb]
    assert shapes("cca") == [(5, *rgb[1:]), rgb]
    assert shapes("integral_action") == shapes("score_average") == [rgb, rgb]
    assert shapes("integral_action", pose_frame_factor=4, pose_channels=7) == [rgb, (2, 7, 9, 5, 6)]
    assert shapes("score_average", pose_channels=7) == [rgb, (2, 7, 3, 5, 6)]
    assert shapes("pose_to_feature") == [(2, 3, 1, 18, 2), (2, 3, 1, 18)]
    for name, skeleton in SKELETONS.items():
        assert shapes("pose_to_feature", skeleton=name)[1][-1] == skeleton.joints
    assert OPS["tsm"].shapes(0, 8, (3, 5, 6)) == [(0, *rgb[1:])]


@pytest.mark.parametrize("name, options", [(name, options) for name in FOLLOWING for options in OPTIONS[name]])
def test_an_example_has_these_shapes_and_is_taken(name, options):
    grid = (1 if name == "cca" else 3, 6, 4)
    op, inputs = made(name, grid, options)
    assert [tuple(x.shape) for x in inputs] == OPS[name].shapes(2, 16, grid, options)
    assert op(*inputs).isfinite().all()


def test_a_drawn_map_has_the_size_that_is_told():
    op, inputs = made("pose_to_feature", (2, 9, 7), {}, channels=4)
    assert op(*inputs).shape == (2, 4, 2, 9, 7)
    assert op(*inputs, (5, 6)).shape == (2, 4, 2, 5, 6)
    assert torch.allclose(op(*inputs), module_of("pose_to_feature").forward(op, *inputs), atol=1e-6)
    assert OPS["pose_to_feature"].load()(4).size == OPS["pose_to_feature"].layer[2:]
    assert all(card.draws != any("H" in told.shape for told in card.inputs) for card in OPS.values())
