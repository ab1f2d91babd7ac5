import pytest
import torch

from vidops_cli.engine.tasks import Classification
from vidops_cli.models import MODELS


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


def test_a_network_is_given_what_it_takes():
    class Sums(torch.nn.Module):
        def forward(self, coords, clip):
            return clip - coords

    clip, coords = torch.randn(2, 3), torch.randn(2, 3)
    batch = {"clip": clip, "coords": coords, "scores": None, "label": torch.tensor([0, 1])}
    task = Classification(3, inputs=("coords", "clip"))
    assert torch.equal(task.logits(Sums(), batch), clip - coords)
    assert dict(task.metrics(Sums(), [batch]))["n"] == 2
    with pytest.raises(ValueError, match="data set has no scores") as refused:
        Classification(3, inputs=("clip", "scores")).logits(Sums(), {"clip": clip})
    assert "mini_out_of_context" in refused.value.args[1]


def test_the_gate_is_pushed_towards_the_pose():
    torch.manual_seed(0)
    gated = {"op": "integral_action", "options": {"gate": "pose"}}
    card = MODELS["two_stream_tiny"]
    network = card.build(classes=3, ops=[gated]).eval()
    batch = dict(zip(card.inputs, card.example((3, 2, 16, 16)), strict=True)) | {"label": torch.tensor([1])}
    plain, _ = Classification(3, inputs=card.inputs).loss(network, batch)
    pushed, _ = Classification(3, inputs=card.inputs, gate_weight=1.5).loss(network, batch)
    vectors = network.two_stream.vectors(network.rgb(batch["clip"]), network.pose(*(batch[key] for key in card.inputs)))
    wanted = plain - 1.5 * network.two_stream.gate(*vectors).log().mean()
    assert pushed.item() == pytest.approx(wanted.item(), rel=1e-5)
    (pushed - plain).backward()
    assert (network.two_stream.gate_conv.bias.grad < 0).all()  # a step down the gradient opens it
    ungated = card.build(classes=3)
    with pytest.raises(ValueError, match="no gate") as refused:
        Classification(3, inputs=card.inputs, gate_weight=1.5).loss(ungated, batch)
    assert len(refused.value.args) == 2


def test_streams_whose_scores_are_averaged_learn_apart():
    """The gradient of each is that of its own loss, whatever the other says."""
    torch.manual_seed(0)
    card = MODELS["two_stream_tiny"]
    network = card.build(classes=3, ops=[{"op": "score_average"}]).eval()
    batch = dict(zip(card.inputs, card.example((3, 2, 16, 16)), strict=True)) | {"label": torch.tensor([1])}
    found = []
    for bias in (0.0, 9.0):
        torch.nn.init.constant_(network.two_stream.rgb_fc.bias, 0)
        network.two_stream.rgb_fc.bias.data[1] = bias  # frames are sure of the label, or not
        network.zero_grad()
        loss, _ = Classification(3, inputs=card.inputs).loss(network, batch)
        loss.backward()
        found.append((loss.item(), network.two_stream.pose_fc.weight.grad.clone()))
    assert torch.equal(found[0][1], found[1][1]) and found[0][1].abs().max() > 0
    assert found[0][0] > found[1][0] > 1.0  # the pose stream's own is left, of about log 3


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 1.0])
def test_the_loss_of_mixed_clips_is_that_of_soft_labels(share, smoothing):
    torch.manual_seed(0)
    logits, one, other = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([1, 1, 3, 0, 2, 2])
    batch = {"clip": logits, "label": one, "other": other, "share": share}
    loss, logs = Classification(4, smoothing).loss(Fixed(), batch)
    soft = share * torch.eye(4)[one] + (1 - share) * torch.eye(4)[other]
    soft = (1 - smoothing) * soft + smoothing / 4
    assert loss.item() == pytest.approx(-(soft * logits.log_softmax(1)).sum(1).mean().item(), rel=1e-5)
    most = one if share >= 0.5 else other
    assert logs["accuracy"] == pytest.approx((logits.argmax(1) == most).float().mean().item())
    if share == 1:
        plain, _ = Classification(4, smoothing).loss(Fixed(), {"clip": logits, "label": one})
        assert plain.item() == pytest.approx(loss.item(), rel=1e-6)
