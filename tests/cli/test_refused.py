"""What the command line refuses, and how."""

from __future__ import annotations

import shutil

import pytest
from terminal import shell, told_errors, tree

from vidops_cli.data.mini import motion
from vidops_cli.data.video import write_video

REFUSED = [
    ("train zzzzzzzzz.yaml", "zzzzzzzzz.yaml", "vidops list recipes"),
    ("train tow.yaml", "tow.yaml", "two.yaml"),
    ("train empty.yaml", "empty.yaml is empty", "quickstart"),
    ("train list.yaml", "list.yaml", "quickstart"),
    ("train folder", "folder", ""),
    ("train one.yaml model.ops=[{op:\u00a0tms}]", "tms", "tsm"),
    ("train one.yaml model.ops=[{op:\u00a0tsm,options:\u00a0{fold:\u00a02}}]", "fold", "fold_div"),
    ("train one.yaml model.ops=[{op:\u00a0tsm,at:\u00a0res9}]", "res9", "res2.0"),
    ("train one.yaml model.ops=[{op:\u00a0lisa,slot:\u00a0conv2,options:\u00a0{heads:\u00a05}}]", "5 heads", ""),
    ("train one.yaml train.epochs", "not an override", "key=value"),
    ("train one.yaml train.epoch=3", "train.epoch", "epochs"),
    ("train one.yaml data.root=nowhere --out run", "nowhere", "vidops data generate mini_motion --root nowhere"),
    ("train one.yaml --device cuda --out run", "CUDA", "--device cpu"),
    ("train one.yaml --device tpu", "tpu", "cuda"),
    ("train one.yaml --out one.yaml", "one.yaml is a file, not a folder", "--out"),
    ("train one.yaml train.batch=-3", "train.batch=-3: expected greater", "vidops show recipe"),
    ("train recipes/rsa/nothing.yaml", "nothing.yaml", "vidops list recipes"),
    ("train", "recipe", "vidops train --help"),
    ("eval nowhere", "nowhere", ""),
    ("eval folder", "folder is not the folder of a run", "vidops train"),
    ("eval folder --row TSN", "--row is of a recipe", "--row out"),
    ("eval one.yaml --checkpoint missing.pt", "missing.pt", ".pt"),
    ("eval one.yaml --checkpoint one.yaml", "one.yaml", ""),
    ("eval one.yaml --format csv", "csv", "json"),
    ("ablate one.yaml", "no ablation", "vidops train"),
    ("ablate two.yaml data.root=nowhere", "nowhere", "vidops data generate"),
    ("ablate two.yaml --only TSX", "TSX", "TSN"),
    ("ablate two.yaml --format xml", "xml", "markdown"),
    ("ablate two.yaml --smoke --seeds 2", "one seed", "leave one"),
    ("ablate two.yaml --rerun newer", "older", "--force"),
    ("ablate two.yaml --launcher ssh", "ssh", "slurm"),
    ("ablate two.yaml --launcher slurm", "--cluster", "docs/ablate.md"),
    ("ablate two.yaml --force none", "none", "rows: TSN, TSM"),
    ("ablate two.yaml --mini --out table.xml", ".html", "--out"),
    ("ablate none.jsonl", "none.jsonl", "--publish"),
    ("ablate . --out table.md", "one table", "recipe"),
    ("ablate data", "no such recipe", "vidops list recipes"),
    ("ablate two.yaml --jobs 0", "--jobs", "vidops ablate --help"),
    ("ablate two.yaml ablation.metric=topp1", "'top1', 'top5'", ""),
    ("profile --op lisaa", "lisaa", "lisa"),
    ("profile --op lisa --seq 10", "10 positions", "9 and 12"),
    ("profile --op lisa --seq 0", "0", ""),
    ("profile --op lisa --seq -4", "-4", ""),
    ("profile --op lisa --seq ten", "--seq", "vidops profile --help"),
    ("profile --op lisa --grid 8x28", "8x28", "8x28x28"),
    ("profile --op lisa --grid 0x4x4", "0x4x4", "8x28x28"),
    ("profile --op lisa --seq 16 --grid 1x4x4", "--grid", "one of them"),
    ("profile --op lisa --seq 16 --format xml", "xml", "csv"),
    ("profile --op lisa --seq 16 --out rows.txt", "rows.txt", ".json"),
    ("profile --op lisa --seq 16 --dtype int8", "int8", "bfloat16"),
    ("profile --op lisa --seq 16 --device cuda", "CUDA", "--device cpu"),
    ("profile --op motion_squeeze --seq 16", "at least 2 frames", "--grid"),
    ("profile --op conv2d --op motion_squeeze --seq 16 --out rows.json", "at least 2 frames", "--grid"),
    ("profile --op rsa --set heads=7 --quiet", "7 heads do not divide 256 channels", "give another --set heads"),
    ("profile --op lisa --seq 16 --channels 30 --quiet", "8 heads do not divide 30", "--channels"),
    ("profile --seq 16", "--op", "vidops profile --help"),
    ("list operators", "operators", "ops"),
    ("list --format csv", "csv", "json"),
    ("show motion_sqeeze", "motion_sqeeze", "motion_squeeze"),
    ("show zzzzzz", "zzzzzz", "lisa"),
    ("show nothing", "nothing", "known: recipe, "),
    ("import nothing one.yaml", "unknown source 'nothing'", "sources: torchvision"),
    ("validate missing.yaml", "missing.yaml", ""),
    ("validate empty.yaml", "empty.yaml", "quickstart"),
    ("data generate kinetics", "kinetics", "mini_motion"),
    ("data generate mini_motion --root new --dial directions=3", "even number", ""),
    ("data generate mini_motion --root new --dial speeed=3", "speeed", "speed"),
    ("data generate mini_motion --root new --dial speed=fast", "fast", ""),
    ("data generate mini_motion --root new --dial speed=nan", "speed", ""),
    ("data generate mini_motion --root new --train 0", "--train", "vidops data generate --help"),
    ("data generate one.yaml", "describes no generated benchmark", "data.generated"),
    ("data generate one.yaml --root new", "--root", "data.root"),
    ("data generate mini_motion train.epochs=2", "train.epochs=2", "--dial"),
    ("train one.yaml data.generated={dials:\u00a0{sped:\u00a03}}", "sped", "speed"),
    ("train one.yaml data.name=video_folder data.generated={seed:\u00a01}", "not a generated", "data.generated"),
    ("data generate mini_motion --root one.yaml --train 1 --val 1 --test 1", "one.yaml is a file", "place"),
    ("trian one.yaml", "trian", "vidops --help"),
    ("train one.yaml --epochs 3", "no such option: --epochs", "write train.epochs=VALUE"),
    ("train one.yaml --num-frames 3", "no such option: --num-frames", "write data.num_frames=VALUE"),
    ("train one.yaml --nprok 3", "--nprok", "vidops train --help"),
    ("validate tab.yaml", "tab.yaml:2: not valid YAML: a tab", "use spaces"),
    ("validate text.yaml", "text.yaml: holds text, not keys and values", "quickstart"),
    ("validate list.yaml", "list.yaml: holds a list, not keys and values", "quickstart"),
    ("validate .", ".: is a folder", ""),
]


@pytest.mark.parametrize(("line", "error", "hint"), REFUSED, ids=[line for line, *_ in REFUSED])
def test_refused(vidops, place, line, error, hint):
    """Exit code 2, one `error:` and one `hint:` line, and nothing written."""
    before = tree(place)
    code, out, err = vidops(*(word.replace("\u00a0", " ") for word in line.split(" ")))
    assert code == 2, err
    ((told, advice),) = told_errors(err)
    assert error in told and hint in advice, err
    assert out == ""
    assert tree(place) == before


def test_every_problem_of_a_recipe_is_told(vidops, place):
    code, out, err = vidops("validate", "bad.yaml")
    assert (code, out) == (2, "")
    assert sorted(error.split(": ")[0].rpartition(":")[2] for error, _ in told_errors(err)) == ["6", "7"]
    code, out, err = vidops("validate", "two.yaml", "bad.yaml", "empty.yaml", "missing.yaml")
    assert code == 2
    assert out == "two.yaml: valid, 2 rows x 1 seed\n"
    assert len(told_errors(err)) == 4


def test_a_broken_data_set_is_told(vidops, place, tiny):
    shutil.copytree(tiny, place / "half")
    for file in (place / "half/val").glob("*.mp4"):
        file.unlink()
    before = tree(place)
    for verb in ("train", "eval", "ablate"):
        code, out, err = vidops(verb, "two.yaml", "data.root=half")
        assert (code, out) == (2, "")
        ((error, hint),) = told_errors(err)
        assert "8 of 8" in error or verb == "eval"  # which looks for its checkpoint first
        assert "vidops" in hint
    assert tree(place) == before


def test_another_benchmark_is_not_written_over(vidops, tiny):
    before = tree(tiny)
    code, _, err = vidops("data", "generate", "mini_motion", "--root", tiny, "--dial", "speed=2")
    assert code == 2
    ((error, hint),) = told_errors(err)
    assert "holds another benchmark" in error and "root" in hint
    assert tree(tiny) == before


@pytest.mark.parametrize("workers", [0, 2])
def test_a_crop_that_does_not_fit(place, workers):
    """Also where it is met in a worker process."""
    done = shell("train", "one.yaml", "data.crop=64", "data.cache=none", f"data.workers={workers}", cwd=place)
    assert done.returncode == 2
    ((error, hint),) = told_errors(done.stderr)
    assert error == "a 64 crop does not fit frames of 24 x 24"
    assert "data.resize" in hint


def test_splits_of_different_classes(vidops, place):
    """Labels are places in the list of classes: those of the splits must be the same ones, not just as many."""
    frames = motion.render(motion.Scene(0, (3.0, 4.0), 1), motion.Dials())
    for split, names in {"train": ("left", "right"), "val": ("left", "up"), "test": ("left", "right")}.items():
        for name in names:
            (place / "mine" / split / name).mkdir(parents=True)
            write_video(place / "mine" / split / name / "1.mp4", frames)
    code, _, err = vidops(
        "train", "one.yaml", "data.name=video_folder", "data.root=mine", "--device", "cpu", "--out", "run"
    )
    assert code == 2
    ((error, _),) = told_errors(err)
    assert "val" in error and "class" in error


def test_only_a_recipe_as_it_stands_is_published(vidops, place):
    """And that is told before anything is trained."""
    before = tree(place)
    for changes in (["--seeds", "2"], ["train.epochs=2"], ["ablation.seeds=[3]"], ["ablation.rates=[0.5]"]):
        code, out, err = vidops("ablate", "two.yaml", *changes, "--publish", "--device", "cpu")
        assert (code, out) == (2, "")
        assert len(told_errors(err)) == 1
        assert tree(place) == before
