import math

import pytest
import torch

from vidops_cli.engine import checkpoint, loop
from vidops_cli.engine.evaluate import evaluate_checkpoint
from vidops_cli.engine.moving import make_optimizer
from vidops_cli.engine.setup import Setup, pick_device
from vidops_cli.engine.stopping import Stop
from vidops_cli.engine.tasks import Classification
from vidops_cli.engine.train import train
from vidops_cli.record import read_lines

PARTS = ("conv1", "bn1", "layer1", "layer2", "layer3", "fc")
GOLDEN = [1.42886, 1.00396]  # mean training loss of each epoch of the recipe in conftest.py


def same(a, b):
    """Equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_golden_loss(recipe, tmp_path):
    train(recipe(), tmp_path / "run", device="cpu")
    losses = [row["train_loss"] for row in read_lines(tmp_path / "run" / "metrics.jsonl")]
    assert losses == pytest.approx(GOLDEN, abs=5e-3)  # other processors round otherwise


def test_same_seed_same_bits_and_other_seed_other_bits(recipe, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(recipe(f"train.seed={seed}", "train.epochs=1"), tmp_path / name, device="cpu")
    a, b, c = (checkpoint.load(tmp_path / name / "last.pt")["model"] for name in "abc")
    assert same(a, b)
    assert not same(a, c)


@pytest.mark.parametrize("stop_after", [3, 5, 7])
def test_resumed_run_equals_uninterrupted_bit_for_bit(recipe, tmp_path, stop_after):
    """40 clips in batches of 8: 5 steps an epoch; stopped inside the first, at its end, inside the second."""
    whole = train(recipe(), tmp_path / "whole", device="cpu")
    counted = []

    def report(status):
        if status["phase"] == "training":
            counted.append(status["done"])

    stop = Stop(lambda: len(counted) >= stop_after)
    stopped = train(recipe(), tmp_path / "cut", device="cpu", report=report, stop=stop)
    assert stopped is None
    assert checkpoint.load(tmp_path / "cut" / "last.pt")["step"] == stop_after
    resumed = train(recipe(), tmp_path / "cut", device="cpu")
    a, b = (checkpoint.load(tmp_path / name / "last.pt") for name in ("whole", "cut"))
    assert same(a["model"], b["model"])
    assert read_lines(tmp_path / "whole" / "metrics.jsonl") == read_lines(tmp_path / "cut" / "metrics.jsonl")
    assert whole["metrics"] == resumed["metrics"]


@pytest.mark.parametrize("words, every, kept", [(["train.save_every=2"], 0.0, 2), ([], 0.0, 3), ([], 600.0, None)])
def test_inside_an_epoch_it_is_saved_by_steps_or_by_the_clock(recipe, tmp_path, monkeypatch, words, every, kept):
    """Killed in the fourth step of five."""
    monkeypatch.setattr(loop, "EVERY", every)
    counted = []

    def killed(status):
        counted.append(status)
        if status["phase"] == "training" and status["done"] == 4:
            raise SystemExit

    with pytest.raises(SystemExit):
        train(recipe(*words), tmp_path / "cut", device="cpu", report=killed)
    assert (tmp_path / "cut/last.pt").exists() == bool(kept)
    assert not kept or checkpoint.load(tmp_path / "cut/last.pt")["step"] == kept
    whole, again = (train(recipe(*words), tmp_path / name, device="cpu") for name in ("whole", "cut"))
    assert whole["metrics"] == again["metrics"]
    assert same(*(checkpoint.load(tmp_path / name / "last.pt")["model"] for name in ("whole", "cut")))


def test_progress_of_validation_and_test_is_reported(recipe, tmp_path):
    found = []
    train(recipe("train.epochs=1", "eval.batch=6"), tmp_path / "run", device="cpu", report=found.append)
    told = [(one["phase"], one["done"], one["total"]) for one in found if one["phase"] in ("validating", "testing")]
    assert told[0] == ("validating", 6, 8) and told[1] == ("validating", 8, 8)
    assert told[2:] == [("testing", done, 16) for done in (6, 12, 16)]


def test_resume_of_a_finished_run_trains_no_further(recipe, tmp_path):
    first = train(recipe(), tmp_path / "run", device="cpu")
    phases = []
    second = train(recipe(), tmp_path / "run", device="cpu", report=lambda status: phases.append(status["phase"]))
    assert first["metrics"] == second["metrics"]
    assert "training" not in phases


@pytest.mark.parametrize(("codes", "told"), [(("a", "a"), "a"), (("a", "b"), "a+b"), (("a", "b", "a"), "a+b+a")])
def test_a_run_that_other_code_continued_tells_both(recipe, tmp_path, codes, told):
    for i, code in enumerate(codes):
        steps, last = [], i == len(codes) - 1
        summary = train(
            recipe(), tmp_path / "run", device="cpu", code=code,
            report=lambda status, steps=steps: steps.append(1) if status["phase"] == "training" else None,
            stop=Stop(lambda steps=steps, last=last: bool(steps) and not last),
        )  # fmt: skip
        assert (summary is None) != last
    assert summary["code"] == told


def test_no_resume_starts_over(recipe, tmp_path):
    train(recipe(), tmp_path / "run", device="cpu")
    phases = []
    train(recipe(), tmp_path / "run", device="cpu", resume=False, report=lambda status: phases.append(status["phase"]))
    assert phases.count("training") == 10
    assert len(read_lines(tmp_path / "run" / "metrics.jsonl")) == 2


def test_checkpoint_of_another_recipe_is_refused(recipe, tmp_path):
    train(recipe("train.epochs=1"), tmp_path / "run", device="cpu")
    with pytest.raises(ValueError, match="another recipe"):
        train(recipe("train.epochs=1", "train.optimizer.lr=1e-3"), tmp_path / "run", device="cpu")


def test_workers_and_cache_change_nothing(recipe, tmp_path):
    for name, changes in (
        ("a", []),
        ("b", ["data.workers=2"]),
        ("c", ["data.cache=memory"]),
        ("d", ["data.cache=disk"]),
    ):
        train(recipe("train.epochs=1", *changes), tmp_path / name, device="cpu")
    a, b, c, d = (checkpoint.load(tmp_path / name / "last.pt")["model"] for name in "abcd")
    assert same(a, b)
    assert same(a, c)
    assert same(a, d)


AUGMENTED = (
    "data.flip=0.5",
    "data.flip_swap=[[0, 2]]",
    "data.crop=14",
    "data.augment={multi_scale: {}, rand_augment: {}, jitter: {hue: 0.1}, grey: 0.2, blur: {}, erase: {}}",
    "train.mixup=0.2",
    "train.cutmix=1",
    "train.epochs=1",
)


def test_workers_and_resuming_change_nothing_of_an_augmented_run(recipe, tmp_path):
    """40 clips in batches of 8; left after 3 of 5 steps, and gone on with from there with two workers."""
    whole = train(recipe(*AUGMENTED), tmp_path / "whole", device="cpu")
    steps = []
    told = dict(report=lambda status: steps.append(1) if status["phase"] == "training" else None)
    assert train(recipe(*AUGMENTED), tmp_path / "cut", device="cpu", stop=Stop(lambda: len(steps) >= 3), **told) is None
    resumed = train(recipe(*AUGMENTED, "data.workers=2"), tmp_path / "cut", device="cpu")
    train(recipe(*AUGMENTED, "train.mixup=0"), tmp_path / "other", device="cpu")
    a, b, c = (checkpoint.load(tmp_path / name / "last.pt")["model"] for name in ("whole", "cut", "other"))
    assert same(a, b) and not same(a, c)
    assert whole["metrics"] == resumed["metrics"]


def test_non_finite_loss_stops_with_the_step_named(recipe, tmp_path):
    with pytest.raises(ValueError, match=r"the loss is (nan|inf) at step \d+ .*learning rate"):
        train(recipe("train.optimizer.name=sgd", "train.optimizer.lr=1e30"), tmp_path / "run", device="cpu")


def test_eval_of_the_checkpoint_gives_the_tested_number(recipe, tmp_path):
    told = recipe()
    summary = train(told, tmp_path / "run", device="cpu")
    path = tmp_path / "run" / "last.pt"
    found = evaluate_checkpoint(told, path, "cpu", lambda done, total: None)
    assert found["metrics"] == summary["metrics"]
    assert found["metrics"]["n"] == 16
    assert found["metrics"]["present"] == "16/16"


def test_best_checkpoint_is_the_one_tested_when_asked(recipe, tmp_path):
    told = recipe("train.checkpoint=best")
    summary = train(told, tmp_path / "run", device="cpu")
    rows = read_lines(tmp_path / "run" / "metrics.jsonl")
    best = max(rows, key=lambda row: row["val_top1"])
    assert summary["val"]["val_top1"] == best["val_top1"]
    assert checkpoint.load(tmp_path / "run" / "best.pt")["step"] == best["step"]
    path = tmp_path / "run" / "best.pt"
    found = evaluate_checkpoint(told, path, "cpu", lambda done, total: None)
    assert found["metrics"] == summary["metrics"]


def test_recalibrated_evaluation_equals_train_mode(recipe, tmp_path):
    """With statistics renewed on a batch, evaluating that batch equals running it in training mode."""
    from vidops_cli.data.clips import Order, batches
    from vidops_cli.engine.loop import Loop
    from vidops_cli.engine.setup import Setup, open_clips

    told = recipe("model.dropout=0", "train.batch=16", "train.recalibrate_bn=1")
    setup = Setup.of(told, "cpu")
    splits = {split: open_clips(told, split, train=split == "train") for split in ("train", "val", "test")}
    model = setup.build(4)
    loop = Loop(told, tmp_path, setup, splits, model, Classification(4), lambda status: None, "")
    loop._recalibrate(0)
    order = Order(splits["train"].listed, epoch=0, seed=0)
    batch = next(batches(splits["train"], order, 16))
    with torch.no_grad():
        model.eval()
        evaluated = model(batch["clip"])
        for norm in model.modules():
            if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
                norm.track_running_stats = False
        trained = model.train()(batch["clip"])
    # running variances are unbiased, those of a training step are not: a difference of 1 / (count - 1)
    assert torch.allclose(evaluated, trained, atol=2e-2)
    assert evaluated.abs().max() > 0.1


def test_bfloat16_trains(recipe, tmp_path):
    summary = train(recipe("train.precision=bfloat16", "train.epochs=1"), tmp_path / "run", device="cpu")
    assert math.isfinite(summary["metrics"]["loss"])


def test_gradients_are_clipped(recipe, tmp_path):
    """SGD without momentum moves by at most lr * clip_norm a step."""
    changes = ["train.optimizer.name=sgd", "train.optimizer.momentum=0", "train.optimizer.weight_decay=0"]
    told = recipe(*changes, "train.optimizer.lr=0.5", "train.schedule.name=constant", "train.schedule.warmup=0",
                  "train.clip_norm=1e-4", "train.epochs=1", "train.recalibrate_bn=0")  # fmt: skip
    train(told, tmp_path / "run", device="cpu")
    from vidops_cli.engine.setup import Setup

    before = dict(Setup.of(told, "cpu").build(4).named_parameters())
    after = checkpoint.load(tmp_path / "run" / "last.pt")["model"]
    moved = math.sqrt(sum((after[name] - value).square().sum().item() for name, value in before.items()))
    assert 0 < moved <= 5 * 0.5 * 1e-4 * 1.01


def test_checkpoints_are_whole_or_not_there(recipe, tmp_path, monkeypatch):
    train(recipe("train.epochs=1"), tmp_path / "run", device="cpu")
    path = tmp_path / "run" / "last.pt"
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(ValueError, match=r"last.pt cannot be written: disk full"):
        checkpoint.save(path, {"model": {}})
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["best.pt", "last.pt", "metrics.jsonl", "recipe.yaml"]


def test_bad_checkpoints_are_named(recipe, tmp_path):
    for name, content in (
        ("cut.pt", b"PK\x03\x04 half a file"),
        ("text.pt", b"hello"),
        ("empty.pt", b""),
        ("page.pt", b"<html>"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} cannot be read: ."):
            checkpoint.load(tmp_path / name)
    torch.save({"weights": {}}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="holds no weights"):
        checkpoint.load(tmp_path / "other.pt")
    with pytest.raises(ValueError, match="no such checkpoint"):
        checkpoint.load(tmp_path / "absent.pt")


def test_pickled_code_is_refused(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "made"), "w"))

    torch.save({"model": {}, "payload": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match="would run code"):
        checkpoint.load(tmp_path / "evil.pt")
    assert not (tmp_path / "made").exists()


def test_checkpoint_of_another_network_says_which_keys_differ(recipe):
    from vidops_cli.engine.setup import Setup

    model = Setup.of(recipe(), "cpu").build(4)
    other = {**model.state_dict(), "extra.weight": torch.zeros(1), "fc.weight": torch.zeros(7, 64)}
    del other["conv1.weight"]
    with pytest.raises(ValueError, match="another network") as error:
        checkpoint.load_model(model, {"model": other}, "some.pt")
    message = error.value.args[0]
    assert "1 keys missing: conv1.weight" in message
    assert "1 keys of another network: extra.weight" in message
    assert "fc.weight (7, 64) instead of (4, 64)" in message


def test_a_frozen_part_keeps_the_weights_it_starts_from(recipe, tmp_path):
    train(recipe("train.epochs=1"), tmp_path / "first", device="cpu")
    start = checkpoint.load(tmp_path / "first" / "last.pt")["model"]
    words = [f"model.weights.layer1={tmp_path / 'first' / 'last.pt'}", "train.frozen=[layer1]", "train.seed=3"]
    train(recipe(*words), tmp_path / "run", device="cpu")
    ended = checkpoint.load(tmp_path / "run" / "last.pt")["model"]
    moved = {key for key in start if not torch.equal(start[key], ended[key])}
    inside = {key for key in start if key.startswith("layer1.")}
    assert inside & moved == {key for key in inside if ".running_" in key}
    assert not {key for key in set(start) - inside - moved if "num_batches" not in key}
    model = Setup.of(recipe(), "cpu").build(4)
    model.layer1.requires_grad_(False)
    given = {
        id(weight)
        for group in make_optimizer(model, recipe().train.optimizer).param_groups
        for weight in group["params"]
    }
    assert given == {id(weight) for name, weight in model.named_parameters() if not name.startswith("layer1.")}

    again, stops = recipe(*words), iter([False, False, True])
    assert train(again, tmp_path / "cut", device="cpu", stop=Stop(lambda: next(stops))) is None
    (tmp_path / "first" / "last.pt").unlink()  # a run that goes on has its own
    train(again, tmp_path / "cut", device="cpu")
    assert same(ended, checkpoint.load(tmp_path / "cut" / "last.pt")["model"])


@pytest.mark.parametrize(
    "word, told, hint",
    [
        ("train.frozen=[layer9]", "the network has no part 'layer9'", "layer1"),
        ("model.weights={layer9: FILE}", "the network has no part 'layer9'", "layer1"),
        ("model.weights={layer2: FILE}", "another network: 2 keys missing", "one of the same network"),
        ("model.weights={layer1: nowhere.pt}", "no such checkpoint: nowhere.pt", "vidops train"),
        (f"train.frozen=[{', '.join(PARTS)}]", "leaves nothing to train", "leave out a part"),
    ],
)
def test_parts_that_cannot_be_started_or_frozen(recipe, tmp_path, word, told, hint):
    model = Setup.of(recipe(), "cpu").build(4)
    state = {key: value for key, value in model.state_dict().items() if not key.startswith("layer2.0.conv")}
    file = tmp_path / "part.pt"
    torch.save({"model": state}, file)
    with pytest.raises(ValueError, match=told) as error:
        train(recipe(word.replace("FILE", str(file))), tmp_path / "run", device="cpu")
    assert hint in error.value.args[1] and not (tmp_path / "run").exists()


def test_every_validation_clip_is_counted(recipe, tmp_path):
    """16 test clips at a batch of 5: the last, smaller batch counts too."""
    summary = train(recipe("eval.batch=5", "train.epochs=1"), tmp_path / "run", device="cpu")
    assert summary["metrics"]["n"] == 16


def test_corrupt_clips_are_counted_and_stop_training_above_max_bad(recipe, clips_root, tmp_path):
    import shutil

    root = tmp_path / "damaged"
    shutil.copytree(clips_root, root)
    for name in ("train/00003.mp4", "train/00007.mp4", "test/00005.mp4"):
        (root / name).write_bytes(b"not a video")
    with pytest.raises(ValueError, match=r"1 videos of split train cannot be used.*0000[37]\.mp4"):
        train(recipe(f"data.root={root}"), tmp_path / "strict", device="cpu")
    for cache in ("none", "memory"):
        changes = (f"data.root={root}", "data.max_bad=2", f"data.cache={cache}", "train.epochs=2")
        summary = train(recipe(*changes), tmp_path / cache, device="cpu")
        assert summary["metrics"]["n"] == 15
        assert summary["metrics"]["present"] == "15/16"
        assert sorted(summary["bad"]) == ["test/00005.mp4", "train/00003.mp4", "train/00007.mp4"]
        counts = {split: int(present.split("/")[0]) for split, present in summary["present"].items()}
        assert summary["backends"] == {split: {"decord": count} for split, count in counts.items()}


def test_a_bad_file_of_val_costs_no_epoch(recipe, clips_root, tmp_path):
    """The steps of the epoch are kept; with the file mended the run ends as if nothing had been."""
    import shutil

    root = tmp_path / "damaged"
    shutil.copytree(clips_root, root)
    file, whole = root / "val/00002.mp4", train(recipe(f"data.root={root}"), tmp_path / "whole", device="cpu")
    content = file.read_bytes()
    file.write_bytes(b"not a video")
    with pytest.raises(ValueError, match="of split val cannot be used"):
        train(recipe(f"data.root={root}"), tmp_path / "run", device="cpu")
    assert checkpoint.load(tmp_path / "run" / "last.pt")["step"] == 5
    file.write_bytes(content)
    steps = []
    again = train(
        recipe(f"data.root={root}"),
        tmp_path / "run",
        device="cpu",
        report=lambda status: steps.append(status["done"]) if status["phase"] == "training" else None,
    )
    assert steps == [6, 7, 8, 9, 10] and again["metrics"] == whole["metrics"]
    assert read_lines(tmp_path / "run" / "metrics.jsonl") == read_lines(tmp_path / "whole" / "metrics.jsonl")
    file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 of \d+ videos of split val are empty"):
        train(recipe(f"data.root={root}"), tmp_path / "other", device="cpu")


def test_which_clips_were_right_is_told_by_their_place_in_the_list(recipe, clips_root, tmp_path):
    """A clip that cannot be used has a place, too, and is not right."""
    import shutil

    import numpy as np

    from vidops_cli.engine.evaluate import evaluate
    from vidops_cli.engine.setup import open_clips

    root = tmp_path / "damaged"
    shutil.copytree(clips_root, root)
    (root / "test/00003.mp4").write_bytes(b"not a video")
    told = recipe(f"data.root={root}", "data.max_bad=1", "eval.batch=3")
    clips = open_clips(told, "test", train=False)
    labels = clips.labels.tolist()

    class Two(torch.nn.Module):
        def forward(self, clip):
            return torch.nn.functional.one_hot(torch.full((len(clip),), 2), 4).float()

    found = evaluate(Two(), clips, Classification(4), told, torch.device("cpu"))
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(found["correct"]), dtype=np.uint8))
    assert bits.tolist() == [int(label == 2 and i != 3) for i, label in enumerate(labels)]
    assert 0 < bits.sum() < 16


def test_resume_with_corrupt_clips_is_exact_too(recipe, clips_root, tmp_path):
    """Found bad in the first epoch, or again after the resume: the order of the others is the same."""
    import shutil

    root = tmp_path / "damaged"
    shutil.copytree(clips_root, root)
    for i in (3, 7, 20, 21):
        (root / f"train/{i:05d}.mp4").write_bytes(b"not a video")
    told = recipe(f"data.root={root}", "data.max_bad=4")
    train(told, tmp_path / "whole", device="cpu")
    steps = []
    stopped = train(
        told, tmp_path / "cut", device="cpu", stop=Stop(lambda: len(steps) >= 7),
        report=lambda status: steps.append(1) if status["phase"] == "training" else None,
    )  # fmt: skip
    assert stopped is None
    summary = train(told, tmp_path / "cut", device="cpu")
    a, b = (checkpoint.load(tmp_path / name / "last.pt") for name in ("whole", "cut"))
    assert same(a["model"], b["model"])
    assert summary["present"]["train"] == "36/40"


def test_a_decoder_that_crashes_in_a_worker_leaves_the_run_as_a_file_known_to_be_bad_does(
    recipe, clips_root, tmp_path, monkeypatch
):
    import os
    import shutil

    import vidops_cli.data.clips as clips

    root = tmp_path / "damaged"
    shutil.copytree(clips_root, root)
    crashing = [root / "train/00007.mp4", root / "test/00003.mp4"]
    opened = clips.open_file
    with monkeypatch.context() as patched:
        patched.setattr(clips, "open_file", lambda path: os._exit(1) if path in crashing else opened(path))
        changes = (f"data.root={root}", "data.max_bad=1")
        crashed = train(recipe(*changes, "data.workers=2"), tmp_path / "crashed", device="cpu")
    for path in crashing:
        path.write_bytes(b"not a video")
    known = train(recipe(*changes), tmp_path / "known", device="cpu")
    a, b = (checkpoint.load(tmp_path / name / "last.pt") for name in ("crashed", "known"))
    assert same(a["model"], b["model"])
    for key in ("metrics", "present", "val", "steps", "backends"):
        assert crashed[key] == known[key]
    assert sorted(crashed["bad"]) == sorted(known["bad"]) == ["test/00003.mp4", "train/00007.mp4"]


def test_a_batch_of_nothing_but_corrupt_clips_is_passed_over(recipe, clips_root, tmp_path):
    import shutil

    root = tmp_path / "damaged"
    shutil.copytree(clips_root, root)
    for i in range(39):
        (root / f"train/{i:05d}.mp4").write_bytes(b"not a video")
    summary = train(recipe(f"data.root={root}", "data.max_bad=39"), tmp_path / "run", device="cpu")
    assert (summary["steps"], summary["present"]["train"]) == (10, "1/40")


def test_devices():
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in ("cpu", "cuda")
    with pytest.raises(ValueError, match="unknown device"):
        pick_device("tpu")


def test_shuffled_labels_are_scored_on_true_ones(recipe):
    """Else the control could not fail: labels shuffled in the test split say nothing of any network."""
    from vidops_cli.engine.setup import open_clips

    plain, control = recipe(), recipe("data.shuffle_labels=true")
    for split, changed in (("train", True), ("val", True), ("test", False)):
        before = open_clips(plain, split, train=False).labels.tolist()
        after = open_clips(control, split, train=False).labels.tolist()
        assert sorted(before) == sorted(after)
        assert (before != after) is changed


def test_the_tested_split_is_never_augmented(recipe, tmp_path):
    """The train split is tested as it is, not as it is trained on: `vidops eval` gives the same number."""
    told = recipe("eval.split=train", "data.crop=12", "train.epochs=1")
    summary = train(told, tmp_path / "run", device="cpu")
    found = evaluate_checkpoint(told, tmp_path / "run" / "last.pt", "cpu", lambda done, total: None)
    assert found["metrics"] == summary["metrics"]
    assert found["metrics"]["n"] == 40


def test_nothing_of_an_older_run_is_left_to_a_new_one(recipe, clips_root, tmp_path):
    train(recipe("train.epochs=1"), tmp_path / "run", device="cpu")
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    with pytest.raises(ValueError, match="no mini_motion benchmark"):
        train(recipe(f"data.root={tmp_path}", "train.epochs=1"), tmp_path / "run", device="cpu", resume=False)
    assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()} == before
    train(recipe("train.epochs=1", "train.seed=5"), tmp_path / "run", device="cpu", resume=False)
    assert "seed: 5" in (tmp_path / "run" / "recipe.yaml").read_text()


def test_eval_on_data_of_more_classes_is_refused(recipe, tmp_path):
    from vidops_cli.data.mini import benchmark, motion

    train(recipe("train.epochs=1"), tmp_path / "run", device="cpu")
    dials = motion.Dials(directions=8, frames=4, size=16, radius=4.0, speed=4.0, crf=0)
    benchmark.generate("mini_motion", tmp_path / "eight", dials=dials, sizes={"train": 8, "val": 8, "test": 8})
    with pytest.raises(ValueError, match=r"8 classes, .* was trained on 4"):
        told = recipe(f"data.root={tmp_path / 'eight'}")
        evaluate_checkpoint(told, tmp_path / "run" / "last.pt", "cpu", lambda done, total: None)


def test_a_run_goes_on_with_its_own_data_alone(recipe, clips_root, tmp_path):
    """In another place it is the same data; other clips are refused, and so are other keys, by name."""
    import shutil

    from vidops_cli.data.mini import benchmark, motion

    stop = Stop()
    report = lambda status: stop.ask() if status["phase"] == "training" else None  # noqa: E731
    assert train(recipe(), tmp_path / "run", device="cpu", report=report, stop=stop) is None
    dials = motion.Dials(frames=4, size=16, radius=4.0, speed=4.0, crf=0)
    benchmark.generate(
        "mini_motion", tmp_path / "other", dials=dials, sizes={"train": 20, "val": 8, "test": 16}, seed=1
    )
    with pytest.raises(ValueError, match="was trained on other data: train at"):
        train(recipe(f"data.root={tmp_path / 'other'}"), tmp_path / "run", device="cpu")
    with pytest.raises(ValueError, match=r"another recipe: train\.epochs"):
        train(recipe("train.epochs=3"), tmp_path / "run", device="cpu")
    shutil.copytree(clips_root, tmp_path / "moved")
    moved, told = recipe(f"data.root={tmp_path / 'moved'}"), []
    assert train(moved, tmp_path / "run", device="cpu", report=told.append)["steps"] == 10
    assert "going on from step 1 of 10 (epoch 1), on cpu" in told[0]["told"]


def test_what_would_stop_a_test_stops_the_run_before_it_is_trained(recipe, tmp_path):
    seen = []
    with pytest.raises(ValueError, match="a 64 crop does not fit"):
        train(recipe("data.crop=null", "eval.crop=64"), tmp_path / "run", device="cpu", report=seen.append)
    assert "training" not in [status["phase"] for status in seen]


def test_the_mean_of_weights_has_statistics_of_its_own(recipe, tmp_path):
    """train.recalibrate_bn renews those of what is tested."""
    means = []
    for count in (0, 2):
        words = ("train.ema=0.5", f"train.recalibrate_bn={count}", "train.epochs=1")
        train(recipe(*words), tmp_path / str(count), device="cpu")
        means.append(checkpoint.load(tmp_path / str(count) / "last.pt")["mean"])
    apart = [key for key in means[0] if not torch.equal(means[0][key], means[1][key])]
    assert apart and all("running" in key or "num_batches" in key for key in apart)


def test_train_scores_are_means_over_clips(recipe, tmp_path, monkeypatch):
    """Not over steps, the last of which may be a single clip."""

    def loss(task, model, batch):
        share = 1 / len(batch["clip"])
        return 0 * model(batch["clip"]).sum() + share, {"accuracy": share}

    monkeypatch.setattr(Classification, "loss", loss)
    train(recipe("train.batch=39", "train.epochs=1", "train.recalibrate_bn=0"), tmp_path / "run", device="cpu")
    row = read_lines(tmp_path / "run" / "metrics.jsonl")[0]
    assert row["train_top1"] == pytest.approx(100 * 2 / 40) and row["train_loss"] == pytest.approx(2 / 40)
