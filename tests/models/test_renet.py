import pytest
import torch
import torch.nn.functional as F

from vidops_cli.models import MODELS
from vidops_cli.ops.cca import CCA
from vidops_cli.ops.scr import SCR

BOTH = [
    {"op": "scr", "at": "res4", "options": {"planes": [8, 8, 8]}},
    {"op": "cca", "options": {"reduced": 8, "planes": [4, 1]}},
]


def build(ops=(), name="renet_tiny", **options):
    torch.manual_seed(0)
    return MODELS[name].build(classes=7, ops=list(ops), **options)


def images(count, size=32, seed=1):
    return torch.randn(count, 3, 1, size, size, generator=torch.Generator().manual_seed(seed))


def told(maps, shots, ways):
    """Support maps by shot and class."""
    return maps.unflatten(0, (shots, ways))


@torch.no_grad()
def test_without_a_head_scores_are_cosines_with_the_means_of_each_class():
    network = build().eval()
    support, query = images(6), images(4, seed=2)
    found = network.scores(told(network.maps(support), 3, 2), network.maps(query))
    vectors = [network.maps(x).mean((2, 3, 4)) for x in (support, query)]
    s, q = (v - v.mean(1, keepdim=True) for v in vectors)
    prototypes = torch.stack([s[[0, 2, 4]].mean(0), s[[1, 3, 5]].mean(0)])  # support stands shot by shot
    wanted = F.cosine_similarity(q[:, None], prototypes[None], dim=-1) / 0.2
    torch.testing.assert_close(found, wanted)


@torch.no_grad()
def test_an_image_is_most_like_itself():
    for ops in ([], BOTH):
        network = build(ops).eval()
        maps = network.maps(images(5))
        scores = network.scores(told(maps, 1, 5), maps)
        assert scores.argmax(1).tolist() == [0, 1, 2, 3, 4]
        torch.testing.assert_close(scores.diagonal(), torch.full((5,), 5.0))  # a cosine of 1, over 0.2


@torch.no_grad()
def test_the_head_sees_maps_by_shot_and_class():
    network = build(BOTH).eval()
    maps, query = network.maps(images(6)), network.maps(images(4, seed=2))
    assert type(network.head) is CCA
    assert type(network.encoder.after_res4) is SCR
    torch.testing.assert_close(network.scores(told(maps, 3, 2), query), network.head(maps, query, shots=3))


@torch.no_grad()
def test_the_order_of_classes_is_that_of_scores_and_the_order_of_shots_nothing():
    for ops in ([], BOTH):
        network = build(ops).eval()
        support, query = told(network.maps(images(6)), 2, 3), network.maps(images(4, seed=2))
        scores = network.scores(support, query)
        torch.testing.assert_close(network.scores(support[:, [2, 0, 1]], query), scores[:, [2, 0, 1]])
        torch.testing.assert_close(network.scores(support.flip(0), query), scores)


@torch.no_grad()
def test_in_evaluation_a_query_is_scored_alike_whatever_stands_beside_it():
    """No statistic of the batch: running ones of all norms, those of CCA too."""
    for ops in ([], BOTH):
        network = build(ops).eval()
        support, query = told(network.maps(images(3)), 1, 3), images(6, seed=2)
        whole = network(query, support)
        alone = torch.cat([network(query[i : i + 1], support) for i in range(6)])
        torch.testing.assert_close(whole, alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_logits_of_base_classes_are_of_pooled_maps():
    network = build(BOTH).eval()
    x = images(4)
    maps = network.maps(x)
    assert maps.shape == (4, 64, 1, 4, 4)
    assert maps.min() == 0
    torch.testing.assert_close(network(x), network.fc(maps.mean((2, 3, 4))))


def test_a_loss_of_scores_and_logits_reaches_every_parameter():
    network = build(BOTH)
    maps = network.maps(images(12))
    scores = network.scores(told(maps[:4], 2, 2), maps[4:])
    (F.cross_entropy(scores, torch.arange(8) % 2) + network(images(4, seed=3)).square().sum()).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().max() > 0, key


def test_a_wider_network_has_wider_operators():
    network = build(BOTH, width=1.5)
    assert network.widths == (12, 36, 96)
    assert network.head.reduction[0].in_channels == network.fc.in_features == 96


@torch.no_grad()
def test_the_full_network_has_the_size_of_the_released_one():
    """12.669 M parameters with a classifier of 64 classes, counted there; 5 x 5 positions of 84 x 84 pixels."""
    network = MODELS["renet"].build(classes=64, ops=[{"op": "scr", "at": "res5"}, {"op": "cca"}]).eval()
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(12.669, abs=1e-3)
    assert network.maps(images(1, 84)).shape == (1, 640, 1, 5, 5)
