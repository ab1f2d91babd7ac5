import pytest
import torch

from vidops_cli.functional import temporal_shift

WORDS = [
    pytest.param(first, padding, id=f"{first}-{padding}")
    for first in ("next", "previous")
    for padding in ("zero", "circular")
]


@pytest.mark.parametrize("first, padding", WORDS)
@pytest.mark.parametrize("fold", [0, 1, 2, 3])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_equals_loops(frames, fold, first, padding):
    torch.manual_seed(0)
    x = torch.randn(2, 7, frames, 3, 2)
    true = torch.zeros_like(x)
    for c in range(7):
        step = 1 if c < fold else -1 if c < 2 * fold else 0
        for t in range(frames):
            source = t + step if first == "next" else t - step
            source = source % frames if padding == "circular" else source
            if 0 <= source < frames:
                true[:, c, t] = x[:, c, source]
    assert torch.equal(temporal_shift(x, fold, first=first, padding=padding), true)


@pytest.mark.parametrize(
    "options, shifted",
    [
        ({}, [[20, 30, 0], [0, 10, 20]]),
        ({"first": "previous"}, [[0, 10, 20], [20, 30, 0]]),
        ({"padding": "circular"}, [[20, 30, 10], [30, 10, 20]]),
        ({"first": "previous", "padding": "circular"}, [[30, 10, 20], [20, 30, 10]]),
    ],
)
def test_the_first_fold_looks_ahead_and_the_second_behind(options, shifted):
    x = torch.tensor([10.0, 20.0, 30.0]).view(1, 1, 3, 1, 1).expand(1, 3, 3, 1, 1)
    y = temporal_shift(x, 1, **options)[0, :, :, 0, 0]
    assert y.tolist() == [*shifted, [10, 20, 30]]


@pytest.mark.parametrize("first, padding", WORDS)
def test_derivatives(first, padding):
    x = torch.randn(1, 5, 3, 1, 2, dtype=torch.float64, requires_grad=True)

    def shifted(x):
        return temporal_shift(x, 2, first=first, padding=padding)

    assert torch.autograd.gradcheck(shifted, (x,))
    assert torch.autograd.gradgradcheck(shifted, (x,))


@pytest.mark.parametrize("first, padding", WORDS)
def test_any_memory_layout(first, padding):
    options = {"first": first, "padding": padding}
    x = torch.randn(2, 6, 3, 4, 5)
    last = x.contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(temporal_shift(last, 2, **options), temporal_shift(x, 2, **options))


@pytest.mark.parametrize("fold", [-1, 4, 7])
def test_refuses_more_channels_than_there_are(fold):
    with pytest.raises(ValueError, match="channels"):
        temporal_shift(torch.randn(1, 7, 2, 2, 2), fold)


@pytest.mark.parametrize("options", [{"first": "last"}, {"padding": "circulant"}])
def test_refuses_words_it_does_not_know(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        temporal_shift(torch.randn(1, 7, 2, 2, 2), 1, **options)
