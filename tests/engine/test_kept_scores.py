"""Scores that were kept: read, put together, compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vidops_cli import stats
from vidops_cli.engine.scores import Kept, compared, ensemble, episode_interval

ABOUT = {"recipe": "r", "average": "softmax", "views": 1, "split": "test", "present": "6/6"}
A, B = Path("a.npz"), Path("b.npz")
LABELS = np.array([0, 0, 1, 1, 2, 2])


def clips(scores, **changed):
    told = {"paths": np.array([f"{i}.mp4" for i in range(len(scores))]), "labels": LABELS, "checkpoint": "c"}
    told |= {"classes": np.array(["x", "y", "z"]), **ABOUT}
    return Kept(kind="clips", scores=np.asarray(scores, np.float32), **told | changed)


def episodes(accuracy, **changed):
    told = {"paths": np.array(["0.png"]), "labels": np.array([0]), "classes": np.array(["x"]), "checkpoint": "c"}
    told |= {"episodes": np.zeros((len(accuracy), 2, 1), np.int64), "accuracy": np.asarray(accuracy)}
    return Kept(kind="episodes", **told | ABOUT | changed)


def test_read_as_written(tmp_path):
    kept = clips(np.random.default_rng(0).normal(size=(6, 3)))
    kept.save(tmp_path / "new/a.npz")
    again = Kept.load(tmp_path / "new/a.npz")
    assert all(np.array_equal(getattr(kept, name), getattr(again, name)) for name in Kept.__dataclass_fields__)
    assert isinstance(again.views, int) and isinstance(again.average, str)


def test_files_that_are_none(tmp_path):
    clips(np.eye(3)[LABELS]).save(tmp_path / "good.npz")
    whole = (tmp_path / "good.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez(tmp_path / "foreign.npz", x=np.zeros(3))
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "pickle.npz", x=np.array([{}], dtype=object))
    clips(np.eye(3)[LABELS], labels=LABELS[:4]).save(tmp_path / "unlike.npz")
    clips(np.eye(3)[LABELS], labels=LABELS + 1).save(tmp_path / "beyond.npz")
    clips(np.eye(3)[LABELS], labels=LABELS + 0.5).save(tmp_path / "halves.npz")
    names = ["absent.npz", "cut.npz", "text.npz", "empty.npz", "foreign.npz", "array.npy", "pickle.npz", "unlike.npz"]
    names += ["beyond.npz", "halves.npz"]
    for name in [*names, "."]:
        with pytest.raises(ValueError, match=r"cannot be read|cut short|no file of scores") as refused:
            Kept.load(tmp_path / name)
        assert len(refused.value.args) == 2, name


def test_scores_that_are_not_finite(tmp_path):
    clips(np.full((6, 3), np.nan)).save(tmp_path / "nan.npz")
    with pytest.raises(ValueError, match="not finite"):
        Kept.load(tmp_path / "nan.npz")


def test_metrics_and_classes_by_hand():
    kept = clips(np.eye(3)[[0, 1, 1, 1, 0, 2]])
    found = kept.metrics()
    assert found["top1"] == pytest.approx(400 / 6) and found["mean_class"] == pytest.approx(200 / 3)
    assert found["top5"] == 100
    rows = kept.per_class()
    assert [(row["class"], row["n"], row["top1"]) for row in rows] == [("y", 2, 100), ("x", 2, 50), ("z", 2, 50)]


def test_an_ensemble_by_hand():
    a, b = (np.random.default_rng(i).normal(0, 3, (6, 3)) for i in (1, 2))
    soft = [np.exp(one) / np.exp(one).sum(1, keepdims=True) for one in (a, b)]
    found = ensemble([clips(a), clips(b, checkpoint="d")], [A, B], None)
    assert np.allclose(np.exp(found.scores), sum(soft) / 2, atol=1e-5)
    assert (found.views, found.checkpoint) == (2, "c+d")
    assert np.allclose(ensemble([clips(a), clips(b)], [A, B], "logits").scores, (a + b) / 2, atol=1e-6)
    assert ensemble([found], [A], None) is found


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"paths": np.array([f"{i}.avi" for i in range(6)])}, "other lists: 6 and 6 of them, 0 in common"),
        ({"labels": LABELS[::-1]}, "other labels, of 4 of 6"),
        ({"classes": np.array(["x", "y", "w"])}, "other classes"),
        ({"average": "logits"}, "in two ways"),
    ],
)
def test_what_cannot_be_put_together(changed, told):
    with pytest.raises(ValueError, match=told) as refused:
        ensemble([clips(np.zeros((6, 3))), clips(np.zeros((6, 3)), **changed)], [A, B], None)
    assert len(refused.value.args) == 2


def test_logits_that_were_not_kept():
    two = [clips(np.zeros((6, 3)), views=10), clips(np.zeros((6, 3)))]
    with pytest.raises(ValueError, match="its logits were not kept"):
        ensemble(two, [A, B], "logits")
    with pytest.raises(ValueError, match="episodes cannot be put together"):
        ensemble([episodes([0.5, 1])] * 2, [A, B], None)
    with pytest.raises(ValueError, match="episodes have no classes"):
        episodes([0.5, 1]).per_class()


def test_a_difference_in_pairs():
    a, b = clips(np.eye(3)[LABELS]), clips(np.eye(3)[[0, 1, 1, 1, 0, 2]])
    found = compared(a, b, (A, B))
    assert found["difference"] == pytest.approx(200 / 6) and (found["only_a"], found["only_b"]) == (2, 0)
    assert found["low"] <= found["difference"] <= found["high"]
    back = compared(b, a, (B, A))
    assert (back["only_a"], back["only_b"]) == (0, 2) and back["difference"] == -found["difference"]
    with pytest.raises(ValueError, match="is of clips, "):
        compared(a, episodes([1.0]), (A, B))


def test_episodes_in_pairs():
    rng = np.random.default_rng(3)
    hard = rng.uniform(0.2, 0.7, 500)
    a, b = episodes(hard + 0.1 + rng.normal(0, 0.01, 500)), episodes(hard)
    found = compared(a, b, (A, B))
    assert 9.8 < found["low"] < found["difference"] < found["high"] < 10.2  # alone each is +- 1.3
    told = a.metrics()
    assert told["high"] - told["low"] == pytest.approx(2 * 1.96 * np.std(100 * a.accuracy, ddof=1) / 500**0.5)
    assert episode_interval([0.5]) == {}
    with pytest.raises(ValueError, match="other episodes"):
        compared(a, episodes(hard, episodes=np.ones((500, 2, 1), np.int64)), (A, B))


def test_a_bootstrap_of_a_mean_is_that_of_resampled_values():
    values = np.random.default_rng(0).choice([-100.0, 0.0, 100.0], 300, p=[0.1, 0.7, 0.2])
    fast = stats.bootstrap(values, "mean", resamples=4000)
    slow = stats.bootstrap(values, np.mean, resamples=4000)
    assert fast == pytest.approx(slow, abs=0.6)
    margin = 1.96 * values.std(ddof=1) / 300**0.5
    assert fast == pytest.approx((values.mean() - margin, values.mean() + margin), abs=0.6)
