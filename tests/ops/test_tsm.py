import pytest
import torch

from vidops_cli.ops.tsm import TemporalShift


def numbered(channels, frames):
    """x[0, c, t] = 10 c + t + 1"""
    x = 10 * torch.arange(channels)[:, None] + torch.arange(frames)[None, :] + 1.0
    return x.view(1, channels, frames, 1, 1)


def test_an_eighth_takes_the_next_frame_and_an_eighth_the_one_before():
    x = numbered(16, 3)
    y = TemporalShift(16)(x)[0, :, :, 0, 0].tolist()
    assert y[:4] == [[2, 3, 0], [12, 13, 0], [0, 21, 22], [0, 31, 32]]
    assert y[4:] == x[0, 4:, :, 0, 0].tolist()


def test_as_in_integral_action():
    x = numbered(8, 3)
    y = TemporalShift(8, fold_div=4, first="previous")(x)[0, :, :, 0, 0].tolist()
    assert y[:4] == [[0, 1, 2], [0, 11, 12], [22, 23, 0], [32, 33, 0]]
    assert y[4:] == x[0, 4:, :, 0, 0].tolist()


def test_circular_keeps_the_direction():
    x = numbered(4, 3)
    y = TemporalShift(4, fold_div=4, padding="circular")(x)[0, :, :, 0, 0].tolist()
    assert y[:2] == [[2, 3, 1], [13, 11, 12]]


def test_one_frame():
    x = numbered(4, 1)
    assert torch.equal(TemporalShift(4, fold_div=2, padding="circular")(x), x)
    assert not TemporalShift(4, fold_div=2)(x).any()


@pytest.mark.parametrize("options", [{"fold_div": 1}, {"fold_div": 9}, {"first": "both"}, {"padding": "reflect"}])
def test_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        TemporalShift(8, **options)
