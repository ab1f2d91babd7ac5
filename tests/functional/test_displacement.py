import itertools
import math

import pytest
import torch

from vidops_cli.functional import soft_argmax


def literal(scores, height, width, temperature, sigma):
    """(x, y) and confidence of one position from its list of scores, y the slower axis."""
    offsets = [(x, y) for y in range(-(height // 2), height // 2 + 1) for x in range(-(width // 2), width // 2 + 1)]
    confidence = max(scores)
    best = offsets[scores.index(confidence)]
    if sigma is not None:
        scores = [
            score * math.exp(-((x - best[0]) ** 2 + (y - best[1]) ** 2) / (2 * sigma**2))
            for score, (x, y) in zip(scores, offsets, strict=True)
        ]
    weights = [math.exp(score / temperature) for score in scores]
    x = sum(weight * x for weight, (x, _) in zip(weights, offsets, strict=True)) / sum(weights)
    y = sum(weight * y for weight, (_, y) in zip(weights, offsets, strict=True)) / sum(weights)
    return x, y, confidence


@pytest.mark.parametrize("sigma", [None, 1.0, 2.5])
@pytest.mark.parametrize("height, width", [(3, 3), (3, 5), (5, 1)])
@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_equals_loops(height, width, sigma, temperature):
    torch.manual_seed(0)
    volume = torch.rand(2, height * width, 2, 2, 3, dtype=torch.float64)
    displacement, confidence = soft_argmax(volume, height, width, temperature=temperature, sigma=sigma)
    assert displacement.shape == (2, 2, 2, 2, 3)
    assert confidence.shape == (2, 1, 2, 2, 3)
    for b, *at in itertools.product(range(2), range(2), range(2), range(3)):
        at = tuple(at)
        x, y, best = literal(volume[(b, slice(None), *at)].tolist(), height, width, temperature, sigma)
        assert displacement[(b, 0, *at)].item() == pytest.approx(x, abs=1e-12)
        assert displacement[(b, 1, *at)].item() == pytest.approx(y, abs=1e-12)
        assert confidence[(b, 0, *at)].item() == best


@pytest.mark.parametrize("sigma", [None, 5.0])
@pytest.mark.parametrize("x, y", [(2, -1), (-3, 0), (0, 2), (3, 2), (-3, -2)])
def test_a_sharp_peak_gives_its_offset(x, y, sigma):
    volume = torch.zeros(1, 5, 7, 1, 2, 2)
    volume[:, y + 2, x + 3] = 1  # five offsets in y, seven in x
    displacement, confidence = soft_argmax(volume.flatten(1, 2), 5, 7, temperature=0.01, sigma=sigma)
    assert displacement[0, 0].sub(x).abs().max() < 1e-4
    assert displacement[0, 1].sub(y).abs().max() < 1e-4
    torch.testing.assert_close(confidence, torch.ones(1, 1, 1, 2, 2))


def test_the_gaussian_cuts_off_a_far_second_peak():
    volume = torch.zeros(1, 1, 15, 1, 1, 1)
    volume[:, :, 1], volume[:, :, 13] = 1.0, 0.99
    plain, _ = soft_argmax(volume[:, 0], 1, 15, temperature=0.1)
    near, _ = soft_argmax(volume[:, 0], 1, 15, temperature=0.01, sigma=1.0)
    assert abs(plain[0, 0].item()) < 1
    assert near[0, 0].item() == pytest.approx(-6, abs=0.05)


@pytest.mark.parametrize("sigma", [None, 1.5])
def test_no_gradient_flows_through_the_centre(sigma):
    """As a formula whose Gaussian is a constant: the index of the best offset is not a function to differentiate."""
    torch.manual_seed(0)
    volume = torch.rand(2, 15, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    displacement, confidence = soft_argmax(volume, 3, 5, temperature=0.2, sigma=sigma)
    weigh_d, weigh_c = torch.randn_like(displacement), torch.randn_like(confidence)
    (ours,) = torch.autograd.grad((displacement * weigh_d).sum() + (confidence * weigh_c).sum(), volume)

    offsets = torch.tensor([(x, y) for y in (-1, 0, 1) for x in (-2, -1, 0, 1, 2)], dtype=torch.float64)
    constant = torch.ones_like(volume)
    if sigma is not None:
        centre = offsets[volume.detach().argmax(1)]  # B T H W 2
        squared = (offsets.view(1, 15, 1, 1, 1, 2) - centre[:, None]).square().sum(-1)
        constant = torch.exp(-squared / (2 * sigma**2))
    weights = torch.softmax(constant * volume / 0.2, dim=1)
    expected = torch.einsum("bnthw,nc->bcthw", weights, offsets)
    best = volume.amax(1, keepdim=True)
    (true,) = torch.autograd.grad((expected * weigh_d).sum() + (best * weigh_c).sum(), volume)
    torch.testing.assert_close(ours, true)
    assert torch.autograd.gradcheck(lambda v: soft_argmax(v, 3, 5, temperature=0.5)[0], volume[:1, :, :1, :2, :1])


def test_any_memory_layout():
    volume = torch.rand(2, 9, 2, 3, 4)
    true = soft_argmax(volume, 3, 3, temperature=0.1, sigma=2.0)
    changed = volume.movedim(1, -1).contiguous().movedim(-1, 1)
    assert not changed.is_contiguous()
    torch.testing.assert_close(soft_argmax(changed, 3, 3, temperature=0.1, sigma=2.0), true)


@pytest.mark.parametrize("height, width", [(3, 5), (1, 9), (2, 4)])
def test_refuses_a_volume_of_another_window(height, width):
    with pytest.raises(ValueError, match="offsets"):
        soft_argmax(torch.rand(1, 25, 1, 2, 2), height, width, temperature=0.1)
