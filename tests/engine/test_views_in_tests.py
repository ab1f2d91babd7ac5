"""Several views of a video, from the recipe to the metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vidops_cli.data.views import ONE
from vidops_cli.engine.evaluate import evaluate, evaluate_checkpoint
from vidops_cli.engine.scores import Kept, averaged, together
from vidops_cli.engine.setup import Setup, open_clips
from vidops_cli.engine.train import train
from vidops_cli.recipe import RecipeError

VIEWS = ("data.resize=[16,24]", "data.crop=12", "eval.clips=2", "eval.crops=3", "eval.crop=16", "data.num_frames=2")


def parts(scores, labels, size, views):
    index = torch.arange(len(labels)).repeat_interleave(views)
    labels = labels.repeat_interleave(views)
    for i in range(0, len(scores), size):
        yield scores[i : i + size], labels[i : i + size], index[i : i + size]


@pytest.mark.parametrize("how", ["softmax", "logits"])
@pytest.mark.parametrize("size", [1, 4, 7, 100])
def test_each_clip_is_counted_once_whatever_the_batch(how, size):
    views, labels = 6, torch.tensor([0, 2, 1, 1, 2])
    scores = 50 * torch.randn(30, 3, generator=torch.Generator().manual_seed(1))
    found = [torch.cat(one) for one in zip(*averaged(parts(scores, labels, size, views), views, how), strict=True)]
    grouped = scores.double().reshape(5, views, 3)
    wanted = grouped.mean(1) if how == "logits" else grouped.softmax(2).mean(1).log()
    assert torch.allclose(found[0].double(), wanted, rtol=1e-5)
    assert torch.equal(found[1], labels) and found[2].tolist() == [0, 1, 2, 3, 4]
    assert torch.isfinite(found[0]).all()


def test_a_clip_that_lacks_a_view_is_left_out():
    (scores, labels, index), *_ = parts(torch.randn(6, 3), torch.tensor([0, 1, 2]), 6, 2)
    keep = [0, 1, 3, 4, 5]  # the first view of clip 1 was bad
    (found,) = averaged([(scores[keep], labels[keep], index[keep])], 2, "logits")
    assert found[2].tolist() == [0, 2]


def test_together():
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    assert torch.allclose(together([a, b], "logits"), (a + b) / 2)
    assert torch.allclose(together([a, b], "softmax").exp(), (a.softmax(1) + b.softmax(1)) / 2, atol=1e-6)


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_views_by_hand(recipe, cache):
    """By a network that sees one view at a time; whatever the batch."""
    told = recipe(*VIEWS, f"data.cache={cache}")
    setup = Setup.of(told, "cpu")
    clips = open_clips(told, "test", train=False)
    if cache == "memory":
        clips.decode_all(lambda done, total: None)
    assert clips.shape() == (3, 2, 16, 16)
    model = setup.build(4).eval()
    wanted = []
    with torch.no_grad():
        for index in clips.listed:
            each = [model(clips[view, index]["clip"][None]).softmax(1)[0] for view in clips.options.views]
            assert len({tuple(one.tolist()) for one in each}) == 6
            wanted.append(torch.stack(each).mean(0))
    wanted = torch.stack(wanted)
    for size in (4, 64):
        kept = []
        sized = told.model_copy(update={"eval": told.eval.model_copy(update={"batch": size})})
        found = evaluate(model, clips, setup.task(4), sized, setup.device, kept=kept)
        assert (found["n"], found["present"], found["views"], found["average"]) == (16, "16/16", 6, "softmax")
        assert torch.allclose(torch.cat([part[0] for part in kept]).exp(), wanted, atol=1e-5)
        assert found["top1"] == 100 * (wanted.argmax(1).numpy() == clips.labels).mean()
    assert evaluate(model, clips, setup.task(4), told, setup.device, views=(ONE,))["views"] == 1


def test_workers_change_nothing(recipe):
    told = recipe(*VIEWS)
    setup = Setup.of(told, "cpu")
    model = setup.build(4)
    found = [
        evaluate(model, open_clips(one, "test", train=False), setup.task(4), one, setup.device)
        for one in (told, recipe(*VIEWS, "data.workers=2"))
    ]
    assert found[0] == found[1]


def test_a_run_tests_views_and_validates_one(recipe, tmp_path):
    told = recipe(*VIEWS, "train.epochs=1", "eval.split=val")
    summary = train(told, tmp_path / "run", device="cpu")
    assert (summary["metrics"]["n"], summary["metrics"]["views"], summary["clip"]) == (8, 6, [3, 2, 16, 16])
    dump = tmp_path / "scores.npz"
    again = evaluate_checkpoint(told, tmp_path / "run/last.pt", "cpu", lambda done, total: None, dump)
    assert again["metrics"] == summary["metrics"]
    kept = Kept.load(dump)
    assert kept.metrics()["top1"] == again["metrics"]["top1"] and kept.views == 6 and len(kept.paths) == 8
    assert kept.recipe == told.hash()
    one = recipe(*VIEWS, "train.epochs=1", "eval.split=val", "eval.clips=1", "eval.crops=1", "eval.crop=12")
    again = evaluate_checkpoint(one, tmp_path / "run/last.pt", "cpu", lambda done, total: None)
    assert again["metrics"]["top1"] == summary["val"]["val_top1"]
    assert again["metrics"]["loss"] == pytest.approx(summary["val"]["val_loss"])


def test_a_video_of_which_views_fail_is_not_scored(recipe, monkeypatch):
    told = recipe(*VIEWS, "data.max_bad=1")
    setup, clips = Setup.of(told, "cpu"), open_clips(told, "test", train=False)
    take = type(clips)._frames

    def breaks(self, index, view, rng):
        if index == 3 and view.clip == 1:
            raise ValueError("cut short")
        return take(self, index, view, rng)

    monkeypatch.setattr(type(clips), "_frames", breaks)
    kept = []
    found = evaluate(setup.build(4), clips, setup.task(4), told, setup.device, kept=kept)
    assert (found["n"], found["present"]) == (15, "15/16")
    assert np.array_equal(torch.cat([part[2] for part in kept]), [i for i in range(16) if i != 3])


@pytest.mark.parametrize(
    ("words", "told", "hint"),
    [
        (("eval.crops=2",), "eval.crops", ""),
        (("eval.crops=3",), "no crop is cut out", "eval.crop"),
        (("data.resize=16", "eval.crop=20"), "20 does not fit frames of data.resize 16", "at most 16"),
        (("eval.clips=0",), "eval.clips", ""),
        (("eval.average=mean",), "eval.average", ""),
    ],
)
def test_views_that_cannot_be_taken(recipe, words, told, hint):
    with pytest.raises(RecipeError, match=told) as refused:
        recipe(*words)
    assert hint in refused.value.problems[0].hint


def test_a_crop_larger_than_the_frames_is_refused(recipe):
    told = recipe("eval.crop=20")
    setup = Setup.of(told, "cpu")
    with pytest.raises(ValueError, match="a 20 crop does not fit frames of 16 x 16"):
        evaluate(setup.build(4), open_clips(told, "test", train=False), setup.task(4), told, setup.device)


def test_hashes_of_one_view_hold(recipe):
    plain = recipe("data.crop=16").hash()
    for words in ("eval.clips=1", "eval.crops=1", "eval.crop=16", "eval.average=logits"):
        assert recipe("data.crop=16", words).hash() == plain
    told = [("eval.clips=2",), ("eval.crops=3",), ("eval.crop=8",), ("eval.clips=2", "eval.average=logits")]
    assert len({recipe("data.crop=16", *words).hash() for words in told} | {plain}) == 5
