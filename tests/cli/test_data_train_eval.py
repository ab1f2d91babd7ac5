"""vidops data, train and eval, as they are used."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from terminal import ROOT, shell, told_errors, tree, write_recipes

# --- data -------------------------------------------------------------------------------------------------------------


def test_data_generate(vidops, place):
    words = ("data", "generate", "mini_motion", "--root", "new/mini", "--train", 4, "--val", 2, "--test", 2)
    code, out, _ = vidops(*words, "--dial", "speed=3", "--seed", 5)
    assert code == 0
    assert all(word in out for word in ("4 train", "2 val", "2 test"))
    manifest = json.loads((place / "new/mini/train/manifest.json").read_text())
    assert (manifest["seed"], manifest["dials"]["speed"]) == (5, 3.0)
    assert len(list((place / "new/mini").rglob("*.mp4"))) == 8
    before = tree(place / "new/mini/train")
    assert vidops(*words, "--dial", "speed=3", "--seed", 5)[:2] == (0, out)
    assert tree(place / "new/mini/train") == before
    assert json.loads((place / "new/mini/train/manifest.json").read_text()) == manifest


OWN = """
base: {base}
data:
  root: made
  generated: {{dials: {{speed: 3}}, sizes: {{train: 8, val: 4, test: 4}}}}
ablation:
  seeds: [0, 2]
  rows: [{{name: TSN}}, {{name: wide, set: {{model.width: 1.5}}}}]
"""


def test_a_recipe_makes_its_benchmark(vidops, place):
    """Each seed gets a train set of its own, when its cells run; val and test are common, and nothing is made twice."""
    (place / "own.yaml").write_text(OWN.format(base=ROOT / "recipes/base/mini_motion.yaml"))
    code, out, _ = vidops("ablate", "own.yaml", "--dry-run")
    assert code == 0 and "data not there" in out and not (place / "made").exists()
    assert vidops("ablate", "own.yaml", "--only", "TSN/0", "--device", "cpu")[0] == 0
    assert sorted(path.name for path in (place / "made").glob("[!.]*")) == ["test", "train-0", "val"]
    before = tree(place / "made")
    code, out, _ = vidops("data", "generate", "own.yaml")
    assert code == 0 and "mini_motion at made" in out
    whole = tree(place / "made")
    assert whole.items() > before.items() and {path.split("/")[0] for path in whole.keys() - before} == {"train-2"}
    assert vidops("ablate", "own.yaml", "--table")[1].count("1/2") == 1  # by the key it had among half of the data
    code, out, _ = vidops("ablate", "own.yaml", "--dry-run", "--format", "json")
    assert vidops("data", "generate", "own.yaml", "data.generated.sizes.train=12")[0] == 2
    assert vidops("ablate", "own.yaml", "--smoke", "--device", "cpu", "--only", "TSN/0")[0] == 0
    assert sorted(path.name for path in (place / "made-smoke").glob("[!.]*")) == ["test", "train-0", "val"]
    assert vidops("train", "own.yaml", "train.seed=5", "--out", "run", "--device", "cpu")[0] == 0
    assert (place / "made/train-5/manifest.json").is_file()
    assert vidops("eval", "run", "eval.split=train")[0] == 0


def test_hints_name_the_recipe_that_makes_the_data(vidops, place):
    """As a shell takes it."""
    (place / "my own.yaml").write_text(OWN.format(base=ROOT / "recipes/base/mini_motion.yaml"))
    made = "vidops data generate 'my own.yaml' 'data.root=no where'"
    words = ("ablate", "my own.yaml", "data.root=no where")
    assert made in " ".join(vidops(*words, "--dry-run")[1].split())
    assert f"{made} --smoke" in " ".join(vidops(*words, "--dry-run", "--smoke")[1].split())
    assert f"{made} 'ablation.seeds=[0]'" in " ".join(vidops(*words, "--dry-run", "--seeds", "1")[1].split())
    (place / "kept.jsonl").write_text('{"schema": 1, "table": {}}\n{"cell": "123", "metric": "top1"}\n')
    ((error, hint),) = told_errors(vidops(*words, "--record", "kept.jsonl", "--table")[2])
    assert error.startswith("the data are not there, so cells of kept.jsonl cannot be told: no mini_motion benchmark")
    assert hint == f"make it: {made}"
    ((_, hint),) = told_errors(vidops("train", "one.yaml", "data.root=no where", "--device", "cpu")[2])
    assert hint == "make it: vidops data generate mini_motion --root 'no where'"


# --- train and eval ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny):
    """One epoch on tiny data, in the folder `run` beside the recipes."""
    folder = tmp_path_factory.mktemp("trained")
    write_recipes(folder, tiny)
    return shell("train", "one.yaml", "--out", "run", "--device", "cpu", cwd=folder), folder


def test_train_writes_a_run(trained):
    done, folder = trained
    assert done.returncode == 0, done.stderr
    assert "top1" in done.stdout and "run/summary.json" in done.stdout
    assert "run run: Tiny [run], 1 epoch of 3 steps, on cpu\ndecoding train, " in done.stderr
    files = {path.name for path in (folder / "run").iterdir()}
    assert {"recipe.yaml", "metrics.jsonl", "summary.json", "last.pt", "best.pt"} <= files
    assert not [name for name in files if name.startswith(".") or name.endswith(".partial")]
    assert json.loads((folder / "run/status.json").read_text()) == {"phase": "done", "line": "done"}
    told = json.loads((folder / "run/summary.json").read_text())
    assert told["metrics"]["n"] == 8 and told["metrics"]["present"] == "8/8"
    assert f"{told['metrics']['top1']:.1f} %" in done.stdout
    assert told["floors"] == {"chance": 0.25, "order-blind": 0.5}
    assert told["train"].keys() == {"epoch", "step", "train_loss", "train_top1"}
    assert told["val"].keys() == {"epoch", "step", "val_loss", "val_top1", "val_mean_class"}
    assert told["data_train"]["clips"] == 24 and told["data_train"]["fingerprint"] != told["data"]
    assert len((folder / "run/metrics.jsonl").read_text().splitlines()) == 1


def test_eval_of_a_run_gives_its_score(trained, vidops, monkeypatch):
    _, folder = trained
    monkeypatch.chdir(folder)
    before = tree(folder)
    code, out, _ = vidops("eval", "run", "--format", "json")
    assert code == 0
    told, summary = json.loads(out), json.loads((folder / "run/summary.json").read_text())
    assert told["metrics"]["top1"] == summary["metrics"]["top1"]
    assert told["metrics"] == summary["metrics"]
    kept = told["checkpoint"]
    assert (kept["path"], kept["step"], kept["epoch"], kept["epochs"]) == ("run/last.pt", 3, 1, 1)
    code, out, _ = vidops("eval", "one.yaml", "--checkpoint", "run/last.pt", "eval.split=val", "data.frames=reversed")
    assert code == 0
    assert "val split" in out and "8/8" in out and "order-blind 50.0 %" in out
    assert "changed: eval.split=val data.frames=reversed" in out and f"sha256 {kept['sha256']}, step 3" in out
    assert "epoch" not in out  # it has ended
    assert tree(folder) == before


@pytest.mark.parametrize("name", ["text", "cut", "list", "keys", "foreign", "shapes"])
def test_eval_of_what_is_no_checkpoint_of_the_network(trained, vidops, place, name):
    whole = trained[1] / "run/last.pt"
    ours = torch.load(whole, weights_only=True)["model"]
    path = place / f"{name}.pt"
    if name == "text":
        path.write_text("not a checkpoint")
    elif name == "cut":
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    else:
        torch.save(
            {
                "list": [1, 2, 3],
                "keys": {"state": ours},
                "foreign": {"model": {"stem.weight": torch.zeros(3)}},
                "shapes": {"model": {**ours, "fc.weight": torch.zeros(9, 64), "fc.bias": torch.zeros(9)}},
            }[name],
            path,
        )
    code, out, err = vidops("eval", trained[1] / "run", "--checkpoint", path)
    assert (code, out) == (2, "")
    ((error, hint),) = told_errors(err)
    assert str(path) in error and hint
    if name == "foreign":
        assert "stem.weight" in error and "missing" in error
    if name == "shapes":
        assert "fc.weight (9, 64) instead of (4, 64)" in error


def test_what_is_kept_says_what_was_tested(trained, vidops, place):
    run = trained[1] / "run"
    code, out, _ = vidops("eval", run, "data.frames=reversed", "--out", "kept", "--format", "json")
    assert code == 0
    kept, told = json.loads((place / "kept/summary.json").read_text()), json.loads(out)
    assert kept["overrides"] == told["overrides"] == ["data.frames=reversed"]
    assert kept["checkpoint"] == told["checkpoint"] and kept["checkpoint"]["path"] == str(run / "last.pt")
    assert len(kept["checkpoint"]["sha256"]) == 12 and kept["command"].startswith("vidops eval ")
    assert "frames: reversed" in (place / "kept/recipe.yaml").read_text()


def test_a_run_that_has_not_ended_is_told(trained, vidops, place):
    half = place / "half"
    half.mkdir()
    (half / "recipe.yaml").write_text((trained[1] / "run/recipe.yaml").read_text())
    state = torch.load(trained[1] / "run/last.pt", weights_only=True)
    torch.save({**state, "epochs": 60}, half / "last.pt")
    code, out, _ = vidops("eval", "half")
    assert code == 0 and "epoch 1 of 60: its training is unfinished" in out
    (place / "two").mkdir()
    (half / "last.pt").rename(place / "two/last.pt")
    assert "epoch 1 of 60\n" in vidops("eval", "half", "--checkpoint", "two/last.pt")[1]


def test_where_nothing_can_be_written_nothing_is_tested(trained, vidops, place, monkeypatch):
    monkeypatch.setattr("vidops_cli.engine.evaluate.evaluate_checkpoint", lambda *_, **__: pytest.fail("tested"))
    (place / "file").write_text("")
    for words in (("--dump", "file/x.npz"), ("--out", "file"), ("--dump", "/proc/x.npz")):
        code, out, err = vidops("eval", trained[1] / "run", *words)
        ((error, hint),) = told_errors(err)
        assert (code, out) == (2, "") and "cannot be written" in error and words[0] in hint


def test_a_run_whose_last_checkpoint_is_cut(trained, vidops, place):
    run = place / "cut"
    shutil.copytree(trained[1] / "run", run)
    (run / "last.pt").write_bytes((run / "last.pt").read_bytes()[:5000])
    (run / "summary.json").unlink()
    code, _, err = vidops("eval", "cut")
    assert code == 2 and told_errors(err) == [
        ("cut/last.pt cannot be read: it is cut short or damaged", "name another checkpoint, as cut/best.pt")
    ]
    words = ("train", "one.yaml", "--out", "cut", "--device", "cpu")
    code, _, err = vidops(*words)
    ((error, hint),) = told_errors(err)
    assert code == 2 and "cut short or damaged" in error
    assert hint == "use --no-resume to start over; or go on from the best epoch so far: cp cut/best.pt cut/last.pt"
    shutil.copy(run / "best.pt", run / "last.pt")
    assert vidops(*words)[0] == 0 and (run / "summary.json").is_file()


def test_a_run_that_is_not_there(trained, vidops, monkeypatch):
    monkeypatch.chdir(trained[1])
    for name, hint in (("rum", "did you mean 'run'?"), ("runs/nothing", "`vidops train` wrote")):
        code, _, err = vidops("eval", name)
        ((error, told),) = told_errors(err)
        assert code == 2 and error == f"no such run: {name}" and hint in told
    assert "no such recipe" in vidops("eval", "nothing.yaml")[2]


def test_a_run_of_another_recipe_is_not_written_over(trained, vidops, monkeypatch):
    _, folder = trained
    monkeypatch.chdir(folder)
    before = tree(folder)
    code, out, err = vidops("train", "one.yaml", "train.batch=4", "--out", "run", "--device", "cpu")
    assert (code, out) == (2, "")
    ((error, hint),) = told_errors(err)
    assert "another recipe" in error and "--no-resume" in hint
    assert (
        len(
            told_errors(
                vidops("train", "one.yaml", "train.batch=4", "--out", "run", "--no-resume", "--device", "cuda")[2]
            )
        )
        == 1
    )
    assert tree(folder) == before


def test_a_finished_run_says_so(trained, vidops, monkeypatch):
    """Of few classes no top5 is told: any guess is among five."""
    done, folder = trained
    assert "top5" not in done.stdout and "already" not in done.stderr
    told = json.loads((folder / "run/summary.json").read_text())
    monkeypatch.setattr("vidops_cli.cli.train._run", lambda *_: told)
    monkeypatch.chdir(folder)
    code, out, err = vidops("train", "one.yaml", "--out", "run", "--device", "cpu")
    assert code == 0 and "already finished" in err and "top5" not in out


def test_train_dry_run(trained, vidops, monkeypatch):
    _, folder = trained
    monkeypatch.chdir(folder)
    before = tree(folder)
    code, out, err = vidops("train", "two.yaml", "train.epochs=3", "--dry-run", "--device", "cpu")
    assert (code, err) == (0, "")
    for word in ("runs/two", "cpu", "weights  random", "24/24", "8/8", "resnet_tiny", "9 steps of 8 clips"):
        assert word in out
    assert tree(folder) == before
