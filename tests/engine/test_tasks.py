import pytest
import torch

from vidops_cli.engine.tasks import Classification


class Fixed(torch.nn.Module):
    """A network whose logits are its input."""

    def forward(self, clip):
        return clip


def batches(logits, labels, size):
    for i in range(0, len(labels), size):
        yield {"clip": logits[i : i + size], "label": labels[i : i + size]}


@pytest.mark.parametrize("size", [1, 3, 10])
def test_metrics_by_hand_whatever_the_batch(size):
    scores = torch.arange(7.0).repeat(4, 1)  # class 6 first, then 5, 4, 3, 2; 1 and 0 are not among five
    labels = torch.tensor([6, 6, 2, 0])
    found = dict(Classification(7).metrics(Fixed(), batches(scores, labels, size)))
    assert found["top1"] == pytest.approx(50.0)
    assert found["top5"] == pytest.approx(75.0)
    assert found["mean_class"] == pytest.approx(100 / 3)  # classes 6, 2, 0 at 100, 0, 0
    assert found["n"] == 4
    assert found["loss"] == pytest.approx(torch.nn.functional.cross_entropy(scores, labels).item())


def test_top5_of_three_classes_is_all():
    found = dict(Classification(3).metrics(Fixed(), batches(torch.eye(3), torch.tensor([1, 2, 0]), 2)))
    assert found["top1"] == 0
    assert found["top5"] == 100


def test_nothing_to_evaluate_is_an_error():
    with pytest.raises(ValueError, match="no clip was evaluated"):
        dict(Classification(3).metrics(Fixed(), []))


def test_label_smoothing_is_in_the_training_loss_only():
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    batch = {"clip": logits, "label": labels}
    smooth, _ = Classification(4, 0.1).loss(Fixed(), batch)
    plain, _ = Classification(4).loss(Fixed(), batch)
    assert smooth != plain
    assert dict(Classification(4, 0.1).metrics(Fixed(), [batch]))["loss"] == pytest.approx(plain.item())


def test_which_clips_were_right_in_their_order():
    scores, labels = torch.eye(3)[[0, 1, 2, 1, 0]], torch.tensor([0, 1, 0, 1, 2])
    for size in (1, 2, 5):
        found = dict(Classification(3).metrics(Fixed(), batches(scores, labels, size)))
        assert found["right"] == [True, True, False, True, False]
