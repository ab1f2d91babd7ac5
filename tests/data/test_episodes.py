import numpy as np
import pytest

from vidops_cli.data.clips import Order
from vidops_cli.data.episodes import Beside, Episode, fixed

LABELS = np.random.default_rng(0).permutation(np.arange(90) % 6)
SHAPE = Episode(ways=4, shots=2, queries=3)


def beside(epoch=0, seed=0, start=0, batch=8, labels=LABELS):
    order = Order(range(len(labels)), epoch=epoch, seed=seed, start=start * batch)
    return Beside(order.keys, labels, SHAPE, batch=batch, epoch=epoch, seed=seed, start=start)


def check(episode, labels=LABELS, shape=SHAPE):
    """Support and queries of as many classes as ways, one class to a column, no image twice."""
    assert episode.shape == (shape.shots + shape.queries, shape.ways)
    assert len(np.unique(episode)) == episode.size == shape.size
    told = labels[episode]
    assert (told == told[:1]).all()
    assert len(np.unique(told[0])) == shape.ways


def test_support_and_queries_share_no_image_and_columns_are_classes():
    for episode in fixed(LABELS, 50, SHAPE):
        check(episode)


def test_fixed_episodes_are_equal_each_time_and_differ_from_each_other():
    first, again = (list(fixed(LABELS, 20, SHAPE)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({episode.tobytes() for episode in first}) == 20
    assert all(np.array_equal(a, b) for a, b in zip(first, fixed(LABELS, 5, SHAPE), strict=False))


def test_all_classes_and_images_take_part_alike():
    counts = np.bincount(np.concatenate([episode.ravel() for episode in fixed(LABELS, 900, SHAPE)]), minlength=90)
    assert counts.mean() == 900 * SHAPE.size / 90
    assert counts.min() > 150 and counts.max() < 250  # 200, give or take 13


def test_the_steps_of_an_epoch_are_an_episode_and_then_a_batch():
    keys, size = list(beside(epoch=3)), SHAPE.size + 8
    assert len(keys) == len(beside(epoch=3)) == 12 * SHAPE.size + 90
    others = []
    for step in range(12):
        mine = keys[step * size : (step + 1) * size]
        assert {epoch for epoch, _ in mine} == {3}
        check(np.array([index for _, index in mine[: SHAPE.size]]).reshape(-1, SHAPE.ways))
        others += mine[SHAPE.size :]
    assert others == Order(range(90), epoch=3, seed=0).keys  # the last batch is short


@pytest.mark.parametrize("start", [1, 5, 11])
def test_a_resumed_epoch_goes_on_as_it_would_have(start):
    whole, rest = list(beside(epoch=2)), list(beside(epoch=2, start=start))
    assert rest == whole[start * (SHAPE.size + 8) :]


def test_episodes_hang_on_seed_epoch_and_step():
    first = [list(beside(**told))[: SHAPE.size] for told in ({}, {"seed": 1}, {"epoch": 1}, {"start": 1})]
    assert len({tuple(index for _, index in keys) for keys in first}) == 4


@pytest.mark.parametrize("shape", [Episode(7, 2, 3), Episode(2, 8, 8)])
def test_too_few_classes_or_images_are_refused(shape):
    with pytest.raises(ValueError, match="an episode takes of each") as refused:
        list(fixed(LABELS, 1, shape))
    assert "episodes.ways" in refused.value.args[1]


def test_a_class_with_too_few_images_is_left_out():
    labels = np.array([0] * 5 + [1] * 5 + [2] * 4)
    for episode in fixed(labels, 20, Episode(2, 2, 3)):
        assert set(labels[episode].ravel()) == {0, 1}
