import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vidops_cli.data import DATASETS
from vidops_cli.data.episodes import Episode, fixed
from vidops_cli.data.mini import benchmark
from vidops_cli.engine import checkpoint
from vidops_cli.engine.evaluate import evaluate_checkpoint
from vidops_cli.engine.few_shot import FewShot
from vidops_cli.engine.scores import Kept, compared, episode_interval
from vidops_cli.engine.setup import Setup
from vidops_cli.engine.stopping import Stop
from vidops_cli.engine.train import train
from vidops_cli.models import MODELS
from vidops_cli.ops import OPS
from vidops_cli.recipe import Known, RecipeError, load
from vidops_cli.record import read_lines

KNOWN = Known(ops=OPS, models=MODELS, datasets=DATASETS)
SHAPE = Episode(ways=3, shots=2, queries=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """As many images as tests need: 6 of each class of train, 7 of val and test."""
    root = tmp_path_factory.mktemp("few_shot")
    dials = benchmark.make_dials("mini_few_shot", {"size": 24, "glyph": 9.0, "clutter": 1})
    sizes = {"train": 384, "val": 224, "test": 448}
    benchmark.generate("mini_few_shot", root, dials=dials, sizes=sizes)
    return root


@pytest.fixture
def recipe(root, tmp_path):
    """A function of overrides -> a recipe of 2 epochs of 3 steps, of 12 + 128 images each."""

    def make(*overrides: str):
        path = tmp_path / "recipe.yaml"
        path.write_text(
            f"""
scale: mini
data: {{name: mini_few_shot, root: {root}, num_frames: 1, cache: memory}}
model:
  name: renet_tiny
  ops:
    - {{op: scr, at: res4, options: {{planes: [8, 8, 8]}}}}
    - {{op: cca, options: {{reduced: 8, planes: [2, 1]}}}}
train:
  epochs: 2
  batch: 128
  optimizer: {{name: adamw, lr: 4e-3}}
  recalibrate_bn: 2
  threads: 1
episodes: {{ways: 3, shots: 2, queries: 2, eval: 40}}
"""
        )
        return load(path, KNOWN, list(overrides))

    return make


class Told(nn.Module):
    """A network whose maps are its images; it knows 5 base classes by a linear layer."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 5)
        self.seen = []

    def maps(self, images):
        self.seen.append(len(images))
        return images

    def logits(self, maps):
        return self.fc(maps.flatten(1))

    def forward(self, images):
        return self.logits(self.maps(images))

    def scores(self, support, query):
        return -(query[:, None] - support.mean(0)[None]).square().sum((2, 3, 4, 5))


def batch(count=20):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(5, (count,), generator=generator)
    return {"clip": torch.randn(count, 4, 1, 1, 1, generator=generator), "label": labels, "bad": []}


def test_the_loss_by_hand():
    torch.manual_seed(0)
    network, told = Told(), batch()
    loss, logs = FewShot(5, SHAPE, weight=0.5, episodes=1).loss(network, told)
    x, y = told["clip"].flatten(1), told["label"]
    prototypes = (x[:3] + x[3:6]) / 2
    scores = -(torch.cdist(x[6:12], prototypes) ** 2)
    way = torch.tensor([0, 1, 2, 0, 1, 2])
    wanted = 0.5 * F.cross_entropy(scores, way)
    wanted += F.cross_entropy(network.fc(x[6:12]), y[6:12]) + F.cross_entropy(network.fc(x[12:]), y[12:])
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert logs["accuracy"] == pytest.approx((scores.argmax(1) == way).float().mean().item())
    assert network.seen == [12, 8]  # norms see the episode and the others apart


def test_an_episode_that_lacks_an_image_is_refused():
    with pytest.raises(ValueError, match=r"cannot be used: no such image") as refused:
        FewShot(5, SHAPE, weight=1, episodes=1).loss(Told(), batch(19) | {"bad": [(3, "no such image: x.png")]})
    assert len(refused.value.args) == 2


def test_metrics_by_hand_whatever_the_batch():
    generator, labels = torch.Generator().manual_seed(0), torch.arange(40) % 5
    clips = torch.randn(40, 4, 1, 1, 1, generator=generator) + labels.view(-1, 1, 1, 1, 1)
    hits = []
    for episode in fixed(labels.numpy(), 30, SHAPE):
        support, query = clips[episode[:2]].mean(0).flatten(1), clips[episode[2:].ravel()].flatten(1)
        hits += (torch.cdist(query, support).argmin(1) == torch.arange(3).repeat(2)).tolist()
    assert 0.4 < np.mean(hits) < 0.95
    for size in (7, 40):
        told = ({"clip": clips[i : i + size], "label": labels[i : i + size]} for i in range(0, 40, size))
        found = dict(FewShot(5, SHAPE, weight=1, episodes=30).metrics(Told(), told))
        assert found["right"] == hits
        assert found["top1"] == pytest.approx(100 * np.mean(hits))
        assert (found["n"], found["group"]) == (180, 6)


def test_nothing_to_evaluate_is_an_error():
    with pytest.raises(ValueError, match="no image was evaluated"):
        dict(FewShot(5, SHAPE, weight=1, episodes=1).metrics(Told(), [{"bad": []}]))


def test_a_run_and_its_evaluation_agree(recipe, tmp_path):
    summary = train(recipe(), tmp_path / "run", device="cpu")
    found = evaluate_checkpoint(recipe(), tmp_path / "run/last.pt", "cpu", lambda done, total: None)
    assert found["metrics"] == summary["metrics"]
    metrics = summary["metrics"]
    assert (metrics["n"], metrics["group"], metrics["present"]) == (240, 6, "448/448")
    right = np.unpackbits(np.frombuffer(bytes.fromhex(metrics["correct"]), dtype=np.uint8), count=240)
    assert 100 * right.mean() == pytest.approx(metrics["top1"])
    assert (summary["classes"], summary["steps"]) == (64, 6)  # base classes; a step for each batch beside an episode


def test_shots_of_the_same_weights_can_be_changed(recipe, tmp_path):
    train(recipe("train.epochs=1"), tmp_path / "run", device="cpu")
    few, more = (
        evaluate_checkpoint(recipe(told), tmp_path / "run/last.pt", "cpu", lambda done, total: None)["metrics"]
        for told in ("episodes.shots=2", "episodes.shots=5")
    )
    assert few["n"] == more["n"]
    assert few["correct"] != more["correct"]


@pytest.mark.parametrize("stop_after", [2, 3, 4])
def test_resumed_run_equals_uninterrupted_bit_for_bit(recipe, tmp_path, stop_after):
    whole = train(recipe(), tmp_path / "whole", device="cpu")
    steps = []

    def report(status):
        if status["phase"] == "training":
            steps.append(status["done"])

    stop = Stop(lambda: len(steps) >= stop_after)
    assert train(recipe(), tmp_path / "cut", device="cpu", report=report, stop=stop) is None
    assert checkpoint.load(tmp_path / "cut/last.pt")["step"] == stop_after
    resumed = train(recipe(), tmp_path / "cut", device="cpu")
    a, b = (checkpoint.load(tmp_path / name / "last.pt")["model"] for name in ("whole", "cut"))
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert read_lines(tmp_path / "whole/metrics.jsonl") == read_lines(tmp_path / "cut/metrics.jsonl")
    assert whole["metrics"] == resumed["metrics"]


def test_every_norm_is_recalibrated_on_what_training_does(recipe, tmp_path):
    """Each counts the passes of two training steps: the encoder two a step, CCA's one or two."""
    train(recipe("train.epochs=1"), tmp_path / "run", device="cpu")
    state = checkpoint.load(tmp_path / "run/last.pt")["model"]
    counts = {key: value.item() for key, value in state.items() if key.endswith("num_batches_tracked")}
    assert {value for key, value in counts.items() if not key.startswith("head.")} == {4}
    assert {value for key, value in counts.items() if key.startswith("head.")} == {4}
    means = {key: value for key, value in state.items() if key.endswith("running_mean")}
    assert len(means) == len(counts) > 20
    assert all(value.abs().max() > 0 for value in means.values())


def test_classes_of_training_are_refused_in_tests(recipe, tmp_path):
    with pytest.raises(ValueError, match="that train has too"):
        train(recipe("data.splits={test: train}"), tmp_path / "run", device="cpu")


def test_a_network_without_episodes_is_refused(recipe):
    with pytest.raises(ValueError, match="resnet_tiny takes no episodes"):
        recipe("model.name=resnet_tiny", "model.ops=[]")


def test_recipes_without_episodes_keep_their_hash(recipe):
    assert "episodes" not in recipe("episodes=null").identity()
    assert recipe("episodes=null").hash() != recipe().hash() != recipe("episodes.shots=1").hash()


def test_what_a_query_costs(recipe):
    """Encoder and SCR once, and CCA against the support images, whose maps are at hand."""
    setup = Setup.of(recipe(), "cpu")
    model = setup.build(64)
    query, support = setup.example(model, (3, 1, 32, 32))
    assert (tuple(query.shape), tuple(support.shape)) == ((1, 3, 1, 32, 32), (2, 3, 64, 1, 4, 4))
    with torch.no_grad():
        assert model(query, support).shape == (1, 3)
    plain = Setup.of(recipe("episodes=null"), "cpu")
    assert len(plain.example(model, (3, 1, 32, 32))) == 1


def test_episodes_are_kept_and_do_not_hang_on_batches(recipe, tmp_path):
    train(recipe(), tmp_path / "run", device="cpu")
    found, kept = [], []
    for size in (7, 64):
        told, dump = recipe(f"eval.batch={size}"), tmp_path / f"{size}.npz"
        found.append(evaluate_checkpoint(told, tmp_path / "run/last.pt", "cpu", lambda done, total: None, dump))
        kept.append(Kept.load(dump))
    assert np.array_equal(kept[0].episodes, kept[1].episodes) and kept[0].episodes.shape == (40, 4, 3)
    assert np.array_equal(kept[0].accuracy, kept[1].accuracy)
    assert found[0]["metrics"]["top1"] == pytest.approx(100 * kept[0].accuracy.mean())
    assert found[0]["interval"] == found[1]["interval"] == episode_interval(kept[0].accuracy)
    assert found[0]["episodes"] == 40 and kept[0].metrics()["low"] == found[0]["interval"]["low"]
    ways = kept[0].labels[kept[0].episodes]
    assert (ways == ways[:, :1]).all() and all(len(set(ways[i, 0])) == 3 for i in range(40))
    paired = compared(*kept, (tmp_path / "7.npz", tmp_path / "64.npz"))
    assert (paired["difference"], paired["low"], paired["high"], paired["n"]) == (0, 0, 0, 40)


def test_episodes_take_one_view(recipe):
    for words in ("eval.clips=2", "eval.crops=3"):
        with pytest.raises(RecipeError, match="episodes are of one view"):
            recipe(words, "data.crop=20")
