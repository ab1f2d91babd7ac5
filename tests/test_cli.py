"""The command line as it is used: what it answers, what it writes, and how it refuses."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from vidops_cli import __version__
from vidops_cli.data import DATASETS
from vidops_cli.data.mini import benchmark, motion
from vidops_cli.data.video import write_video
from vidops_cli.models import MODELS
from vidops_cli.ops import OPS

ROOT = Path(__file__).parent.parent
VIDOPS = Path(sys.executable).with_name("vidops")

RECIPE = """\
base: {base}
title: Tiny [run]
data:
  root: {data}
train:
  batch: 8
  recalibrate_bn: 1
"""
ROWS = """\
ablation:
  rows:
    - name: TSN
    - name: TSM
      set:
        model.ops: [{op: tsm}]
"""
BROKEN = """\
    - name: broken
      set:
        train.optimizer.lr: 1e30
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A benchmark of 24 + 8 + 8 clips."""
    root = tmp_path_factory.mktemp("tiny") / "mini"
    benchmark.generate("mini_motion", root, dials=motion.Dials(), sizes={"train": 24, "val": 8, "test": 8})
    return root


def write_recipes(folder: Path, data: Path) -> None:
    one = RECIPE.format(base=ROOT / "recipes/base/mini_motion.yaml", data=data)
    (folder / "one.yaml").write_text(one)
    (folder / "two.yaml").write_text(one + ROWS)
    (folder / "three.yaml").write_text(one + ROWS + BROKEN)


@pytest.fixture
def place(tmp_path, tiny, monkeypatch):
    """A working folder with recipes, good and bad."""
    write_recipes(tmp_path, tiny)
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "bad.yaml").write_text((tmp_path / "one.yaml").read_text().replace("batch: 8", "bach: 8\n  epochs: x"))
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shell(*words: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess:
    """Run the installed command."""
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", **variables}
    return subprocess.run(
        [VIDOPS, *map(str, words)],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below, with its size and the time of its last change."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        if path.is_file()
        else (0, 0)
        for path in folder.rglob("*")
    }


def told_errors(err: str) -> list[tuple[str, str]]:
    """(error, hint) of a stderr that holds nothing else."""
    lines = err.splitlines()
    assert lines and len(lines) % 2 == 0, err
    found = []
    for error, hint in zip(lines[::2], lines[1::2], strict=True):
        assert error.startswith("error: ") and hint.startswith("hint: "), err
        assert len(error) > 10 and len(hint) > 8, err
        found.append((error.removeprefix("error: "), hint.removeprefix("hint: ")))
    assert "Traceback" not in err
    return found


# --- what is refused --------------------------------------------------------------------------------------------------

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
    ("train one.yaml --out one.yaml", "one.yaml", ""),
    ("train", "recipe", "vidops train --help"),
    ("eval nowhere", "nowhere", ""),
    ("eval folder", "folder is not the folder of a run", "vidops train"),
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
    ("ablate", "recipes", ""),
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
    ("profile --op lisa --seq 16 --channels 30", "8 heads do not divide 30", "--channels"),
    ("profile --seq 16", "--op", "vidops profile --help"),
    ("list operators", "operators", "ops"),
    ("list --format csv", "csv", "json"),
    ("show motion_sqeeze", "motion_sqeeze", "motion_squeeze"),
    ("show zzzzzz", "zzzzzz", "lisa"),
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
    ("data generate mini_motion --root one.yaml --train 1 --val 1 --test 1", "one.yaml", ""),
    ("trian one.yaml", "trian", "vidops --help"),
    ("train one.yaml --epochs 3", "--epochs", "vidops train --help"),
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
    assert out == "two.yaml: valid, 2 rows x 1 seeds\n"
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


# --- what is answered -------------------------------------------------------------------------------------------------


def test_version():
    done = subprocess.run([sys.executable, "-m", "vidops_cli", "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"vidops {__version__}\n", "")
    assert shell("--version", cwd=ROOT).stdout == f"vidops {__version__}\n"


def test_help(vidops):
    for words in ((), ("--help",), ("-h",)):
        code, out, err = vidops(*words)
        assert code == (0 if words else 2)
        assert err == ""
        for verb in ("train", "eval", "profile", "ablate", "list", "show", "validate", "data"):
            assert verb in out


def test_list(vidops, monkeypatch):
    monkeypatch.chdir(ROOT)
    code, out, err = vidops("list")
    assert (code, err) == (0, "")
    for name in (*OPS, *MODELS, *DATASETS, "recipes/quickstart.yaml"):
        assert name in out
    kinds = {"ops": OPS, "models": MODELS, "datasets": DATASETS, "recipes": ["recipes/quickstart.yaml"]}
    for kind, names in kinds.items():
        code, out, _ = vidops("list", kind)
        assert code == 0
        assert all(name in out for name in names)
        assert not any(f" {name} " in out for other in kinds.values() if other is not names for name in other)


def test_list_as_json(vidops, monkeypatch):
    monkeypatch.chdir(ROOT)
    code, out, _ = vidops("list", "--format", "json")
    told = json.loads(out)
    assert code == 0
    assert set(told) == {"ops", "models", "datasets", "recipes"}
    assert [row["name"] for row in told["ops"]] == list(OPS)
    assert [row["name"] for row in told["models"]] == list(MODELS)
    assert [row["name"] for row in told["datasets"]] == list(DATASETS)
    assert "recipes/quickstart.yaml" in [row["file"] for row in told["recipes"]]


def test_list_where_there_are_no_recipes(vidops, place):
    code, out, _ = vidops("list", "--format", "json")
    assert code == 0
    assert json.loads(out)["recipes"] == []


@pytest.mark.parametrize("name", OPS)
def test_show_an_operator(vidops, name):
    code, out, err = vidops("show", name)
    assert (code, err) == (0, "")
    card = OPS[name]
    flat = " ".join(out.split())
    assert card.title in flat and card.arxiv in flat and card.equation[:30] in flat
    assert all(option in out for option in card.options)
    assert "MACs" in out and "parameters" in out


@pytest.mark.parametrize("name", MODELS)
def test_show_a_network(vidops, name):
    code, out, _ = vidops("show", name)
    assert code == 0
    assert MODELS[name].title in out
    flat = " ".join(out.split())
    for slot, places in MODELS[name].slots.items():
        assert f"slot {slot} " in flat and places[0] in flat and places[-1] in flat
    assert ("inflate" in out) == MODELS[name].inflates


@pytest.mark.parametrize("name", DATASETS)
def test_show_a_data_set(vidops, name):
    code, out, _ = vidops("show", name)
    assert code == 0
    assert DATASETS[name].how.split(",")[0] in out


def test_show_the_keys_of_recipes(vidops):
    code, out, _ = vidops("show", "recipe")
    assert code == 0
    for key in ("data.root", "data.num_frames", "model.name", "train.optimizer.lr", "train.seed", "ablation"):
        assert key in out


def test_validate(vidops, place):
    code, out, err = vidops("validate", "one.yaml", "two.yaml")
    assert (code, err) == (0, "")
    assert out.splitlines() == ["one.yaml: valid", "two.yaml: valid, 2 rows x 1 seeds"]


@pytest.mark.parametrize("name", ["[red]", "[bold] x", "a [/b]"])
def test_names_with_brackets_are_printed_as_they_are(vidops, place, name):
    (place / name).mkdir(parents=True)
    shutil.copy("one.yaml", place / name / "one.yaml")
    code, out, _ = vidops("validate", f"{name}/one.yaml")
    assert (code, out) == (0, f"{name}/one.yaml: valid\n")
    code, out, err = vidops("train", "one.yaml", "--dry-run", "--out", f"{name}/run")
    assert (code, err) == (0, "")
    assert f"{name}/run" in out and "Tiny [run]" in out


# --- profile ----------------------------------------------------------------------------------------------------------

SMALL = ("profile", "--op", "conv2d", "--op", "tsm", "--grid", "2x8x8", "--channels", 8, "--device", "cpu")


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    """Two small operators, as JSON, into a file."""
    folder = tmp_path_factory.mktemp("profiled")
    return shell(*SMALL, "--format", "json", "--out", "new/rows.json", cwd=folder), folder / "new/rows.json"


def test_profile_as_json(profiled):
    done, file = profiled
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told == json.loads(file.read_text())
    assert told["schema"] == 1
    assert told["env"]["device"] == "cpu" and "--op conv2d" in told["env"]["command"]
    assert [row["op"] for row in told["rows"]] == ["conv2d", "tsm"]
    wanted = {"op", "shape", "dtype", "device", "params", "macs", "other_flops", "flops", "flops_executed", "uncounted"}
    wanted |= {"fwd_ms", "fwdbwd_ms", "peak_fwd_bytes", "peak_fwdbwd_bytes", "checked"}
    for row in told["rows"]:
        assert wanted <= set(row)
        assert row["shape"] == "1x8x2x8x8"
        assert row["flops"] == 2 * row["macs"] + row["other_flops"]
        assert row["fwd_ms"] > 0 and row["fwdbwd_ms"] > 0 and row["passed"] is True
    assert told["rows"][0]["macs"] == 8 * 8 * 9 * 2 * 8 * 8
    assert told["rows"][1]["macs"] == 0


def test_profile_as_table_and_csv(vidops, place):
    code, out, err = vidops(*SMALL, "--no-backward", "--out", "rows.csv")
    assert (code, err) == (0, "")
    assert "conv2d" in out and "tsm" in out and "1x8x2x8x8" in out
    rows = list(csv.DictReader(io.StringIO((place / "rows.csv").read_text())))
    assert [row["op"] for row in rows] == ["conv2d", "tsm"]
    assert rows[0]["fwdbwd_ms"] == "" and float(rows[0]["fwd_ms"]) > 0
    code, out, _ = vidops(*SMALL[:3], *SMALL[5:], "--no-backward", "--format", "csv")
    assert code == 0
    assert [row["op"] for row in csv.DictReader(io.StringIO(out))] == ["conv2d"]


def test_profile_takes_the_most_square_grid(vidops):
    code, out, _ = vidops("profile", "--op", "tsm", "--seq", 32, "--channels", 8, "--no-backward", "--format", "json")
    assert code == 0
    assert json.loads(out)["rows"][0]["shape"] == "1x8x1x4x8"


S = ("--grid", "2x6x6", "--channels", 8, "--no-backward", "--format", "json")
MINE = """
import torch
from torch import nn

class Good(nn.Module):
    def __init__(self, channels, *, scale: float = 1.0):
        super().__init__()
        self.scale = scale
    def forward(self, x):
        return self.scale * x

class Fails(Good):
    def forward(self, x):
        if x.dtype == torch.float64:
            raise RuntimeError("float32 alone")
        return x
"""


@pytest.fixture
def mine(place):
    (place / "mine.py").write_text(MINE)
    yield
    sys.modules.pop("mine", None)


def rows_of(out):
    return json.loads(out)["rows"]


def test_profile_against_a_baseline(vidops, place):
    code, out, _ = vidops(
        "profile", "--op", "scr", "--baseline", "conv2d", "--set", "planes=[4]", "--set", "window=1", *S
    )
    assert code == 0
    base, row = rows_of(out)
    assert (base["op"], base["baseline"], base["options"]) == ("conv2d", None, "")
    assert row["baseline"] == "conv2d" and row["fwd_speedup"] > 0 and row["fwd_pairs"] >= 10


def test_profile_keeps_a_row_whose_baseline_fails(vidops, place):
    words = (
        "--op",
        "conv2d",
        "--baseline",
        "motion_squeeze",
        "--sweep",
        "frames=1,2",
        "--no-backward",
        "--format",
        "json",
    )
    code, out, _ = vidops("profile", *words, "--channels", 8, "--grid", "2x6x6")
    rows = {(row["op"], row["at"]): row for row in rows_of(out)}
    assert code == 1  # the baseline takes no single frame
    assert rows["motion_squeeze", 1]["status"] == "error"
    assert rows["conv2d", 1]["status"] == "ok" and rows["conv2d", 1]["fwd_ms"] > 0
    assert "not compared" in rows["conv2d", 1]["error"]
    assert rows["conv2d", 2]["fwd_speedup"] > 0 and rows["conv2d", 2]["error"] is None


def test_profile_sweeps_and_draws(vidops, place):
    words = ("--op", "tsm", "--sweep", "frames=2,4,8", "--channels", 8, "--grid", "2x6x6", "--no-backward")
    code, out, err = vidops("profile", *words, "--plot", "new/frames.png", "--out", "new/frames.json")
    assert code == 0 and "scaling plot: new/frames.png" in err
    assert "exponent" in out and "fits up to 8" in out
    told = json.loads((place / "new/frames.json").read_text())
    assert [row["at"] for row in told["rows"]] == [2, 4, 8]
    assert {entry["axis"] for entry in told["scaling"]} == {"frames"}
    assert (place / "new/frames.png").read_bytes()[:4] == b"\x89PNG"
    code, _, err = vidops(
        "profile", "--op", "scr", "--sweep", "window=1,3", "--set", "planes=[4]", *S, "--plot", "w.svg"
    )
    assert code in (0, 1) and "scaling plot" in err


def test_profile_in_a_process_of_its_own(vidops, mine):
    code, out, _ = vidops("profile", "--op", "tsm", "--op", "mine:Good", "--processes", 1, *S)
    assert code == 0
    assert [(row["status"], row["processes"]) for row in rows_of(out)] == [("ok", 1), ("ok", 1)]
    code, _, err = vidops("profile", "--op", "self_attention", "--processes", 1, "--grid", "1x4x4", "--channels", 12)
    assert code == 2 and "8 heads" in err and "--channels" in err


def test_profile_of_a_module_of_ones_own(vidops, mine):
    code, out, _ = vidops("profile", "--op", "mine:Good", "--set", "scale=2.5", *S)
    assert code == 0
    (row,) = rows_of(out)
    assert (row["other_flops"], row["checked_how"], row["options"]) == (8 * 72, "itself in float64", "scale=2.5")
    code, out, _ = vidops("profile", "--op", "mine:Good", "--op", "mine:Fails", *S)
    assert code == 1
    assert [row["status"] for row in rows_of(out)] == ["ok", "error"]
    assert "float32 alone" in rows_of(out)[1]["error"]


def test_profile_of_a_suite(vidops, place):
    (place / "few.yaml").write_text("title: Few\nlayers:\n  - {name: one, op: tsm, channels: 8, grid: [2, 4, 4]}\n")
    code, out, _ = vidops("profile", "--suite", "few.yaml", "--no-backward", "--format", "markdown")
    assert code == 0 and out.startswith("# Few\n") and "| one " in out and " tsm " in out


def test_profile_of_a_network(vidops, place):
    recipe = ROOT / "recipes/quickstart.yaml"
    words = ("--grid", "4x32x32", "--classes", 4, "--depth", 1, "--views", "10x3", "convention=macs")
    code, out, _ = vidops("profile", recipe, *words)
    assert code == 0
    assert "ResNet" in out and "layer1" in out and "as the paper counts (macs)" in out and "30 views" in out
    code, _, err = vidops("profile", ROOT / "recipes/profile/layers.yaml")
    assert code == 2 and "--suite" in err


@pytest.mark.parametrize(
    "words, told",
    [
        ((ROOT / "recipes/quickstart.yaml", "--dtype", "float16"), "--dtype"),
        (("--suite", ROOT / "recipes/profile/layers.yaml", "--channels", 4), "--channels"),
        (("--op", "tsm", "--depth", 3), "--depth"),
        (("--op", "tsm", "--threads", 10**6), "--threads"),
        (("--op", "tsm", "--out", "."), "--out"),
        (("--op", "tsm", "--plot", "x.pdf"), ".png"),
    ],
)
def test_profile_refuses_what_means_nothing(vidops, place, words, told):
    code, _, err = vidops("profile", *words)
    assert code == 2
    ((error, hint),) = told_errors(err)
    assert told in error + hint


def test_profile_stopped_keeps_its_rows(place):
    words = ("profile", "--op", "tsm", "--sweep", "frames=2,3,4,5,6,7,8,9", "--channels", "8", "--out", "kept.json")
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([VIDOPS, *words, "--device", "cpu"], cwd=place, env=env, **pipes)
    until = time.monotonic() + 60
    while not (place / "kept.json").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped: " in err and "of 8 rows" in err
    kept = json.loads((place / "kept.json").read_text())["rows"]
    assert 1 <= len(kept) < 8 and all(row["status"] == "ok" for row in kept)
    assert "tsm" in out


def test_compare_answers_with_its_exit_code(vidops, place, profiled):
    _, file = profiled
    slow = json.loads(file.read_text())
    for row in slow["rows"]:
        for key in ("fwd_ms", "fwd_p10", "fwd_p90"):
            row[key] *= 10
    (place / "slow.json").write_text(json.dumps(slow))
    assert vidops("compare", file, file)[0] == 0
    code, out, _ = vidops("compare", file, "slow.json")
    assert code == 1 and "worse" in out
    assert vidops("compare", "slow.json", file)[0] == 0
    assert vidops("compare", file, "missing.json")[0] == 2


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
    """Each seed gets a train set of its own; val and test are common, and nothing is made twice."""
    (place / "own.yaml").write_text(OWN.format(base=ROOT / "recipes/base/mini_motion.yaml"))
    code, out, _ = vidops("ablate", "own.yaml", "--dry-run")
    assert code == 0 and "data not there" in out and not (place / "made").exists()
    assert vidops("ablate", "own.yaml", "--only", "TSN/0", "--device", "cpu")[0] == 0
    assert sorted(path.name for path in (place / "made").glob("[!.]*")) == ["test", "train-0", "train-2", "val"]
    before = tree(place / "made")
    code, out, _ = vidops("data", "generate", "own.yaml")
    assert code == 0 and "mini_motion at made" in out
    assert tree(place / "made") == before
    code, out, _ = vidops("ablate", "own.yaml", "--dry-run", "--format", "json")
    assert vidops("data", "generate", "own.yaml", "data.generated.sizes.train=12")[0] == 2
    assert vidops("ablate", "own.yaml", "--smoke", "--device", "cpu", "--only", "TSN/0")[0] == 0
    assert sorted(path.name for path in (place / "made-smoke").glob("[!.]*")) == ["test", "train-0", "val"]
    assert vidops("train", "own.yaml", "train.seed=5", "--out", "run", "--device", "cpu")[0] == 0
    assert (place / "made/train-5/manifest.json").is_file()
    assert vidops("eval", "run", "eval.split=train")[0] == 0


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
    assert "Traceback" not in done.stderr
    files = {path.name for path in (folder / "run").iterdir()}
    assert {"recipe.yaml", "metrics.jsonl", "summary.json", "last.pt", "best.pt"} <= files
    assert not [name for name in files if name.startswith(".") or name.endswith(".partial")]
    told = json.loads((folder / "run/summary.json").read_text())
    assert told["metrics"]["n"] == 8 and told["metrics"]["present"] == "8/8"
    assert f"{told['metrics']['top1']:.1f} %" in done.stdout
    assert told["floors"] == {"chance": 0.25, "order-blind": 0.5}
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
    assert told["checkpoint"] == "run/last.pt"
    code, out, _ = vidops("eval", "one.yaml", "--checkpoint", "run/last.pt", "eval.split=val", "data.frames=reversed")
    assert code == 0
    assert "val split" in out and "8/8" in out and "order-blind 50.0 %" in out
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


def test_train_dry_run(trained, vidops, monkeypatch):
    _, folder = trained
    monkeypatch.chdir(folder)
    before = tree(folder)
    code, out, err = vidops("train", "two.yaml", "train.epochs=3", "--dry-run", "--device", "cpu")
    assert (code, err) == (0, "")
    for word in ("runs/two", "cpu", "24/24", "8/8", "resnet_tiny", "9 steps of 8 clips"):
        assert word in out
    assert tree(folder) == before


# --- ablate -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ablated(tmp_path_factory, tiny):
    """Two rows, trained into the folder `kept`."""
    folder = tmp_path_factory.mktemp("ablated")
    write_recipes(folder, tiny)
    return shell("ablate", "two.yaml", "--store", "kept", "--device", "cpu", cwd=folder), folder


def test_ablate(ablated):
    done, folder = ablated
    assert done.returncode == 0, done.stderr
    assert "cells: 2, of which run now: 2" in done.stdout
    assert "TSN" in done.stdout and "TSM" in done.stdout and "not run" not in done.stdout
    assert "chance 25.0 %" in done.stdout and "8/8" in done.stdout and "scale: mini" in done.stdout
    assert done.stderr.count("done: ") == 2
    cells = list((folder / "kept/cells").iterdir())
    assert len(cells) == 2
    assert all((cell / "summary.json").is_file() and (cell / "log.txt").is_file() for cell in cells)


def test_ablate_again_runs_nothing(ablated):
    _, folder = ablated
    before, used = tree(folder), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = shell("ablate", "two.yaml", "--store", "kept", cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, "")
    assert "cells: 2, of which run now: 0" in done.stdout
    assert "TSM" in done.stdout and "not run" not in done.stdout
    assert tree(folder) == before
    assert after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime < 2


def test_ablate_dry_run(ablated, vidops, monkeypatch):
    _, folder = ablated
    monkeypatch.chdir(folder)
    before = tree(folder)
    code, out, _ = vidops("ablate", "two.yaml", "--store", "kept", "--dry-run")
    assert code == 0
    assert out.count("finished") == 2 and "0 of 2 cells to run" in out
    code, out, _ = vidops("ablate", "two.yaml", "--store", "kept", "--dry-run", "--seeds", 2, "--only", "TSM")
    assert code == 0
    assert out.count("finished") == 2 and out.count("left out") == 1 and "1 of 4 cells to run" in out
    code, out, _ = vidops("ablate", "two.yaml", "--store", "elsewhere", "--dry-run")
    assert "2 of 2 cells to run" in out
    assert tree(folder) == before


def test_ablate_formats(ablated, vidops, monkeypatch):
    _, folder = ablated
    monkeypatch.chdir(folder)
    code, out, _ = vidops("ablate", "two.yaml", "--store", "kept", "--format", "json")
    told = json.loads(out)
    assert code == 0 and told["schema"] == 1
    assert {(row["row"], row["metric"]) for row in told["rows"]} >= {("TSN", "top1"), ("TSM", "top1")}
    code, out, _ = vidops("ablate", "two.yaml", "--store", "kept", "--format", "markdown")
    assert code == 0
    assert out.startswith("# Tiny [run]\n\n|") and "| TSM" in out


def test_ablate_only_one_row_and_a_row_that_fails(ablated, vidops, monkeypatch):
    """The third row cannot be trained: the others stay, it is told, and it alone is run again."""
    _, folder = ablated
    monkeypatch.chdir(folder)
    code, out, _ = vidops("ablate", "three.yaml", "--store", "kept", "--only", "TSM")
    assert code == 0
    assert "cells: 3, of which run now: 0" in out and out.count("not run") == 1
    before = tree(folder / "kept")
    done = shell("ablate", "three.yaml", "--store", "kept", "--device", "cpu", cwd=folder)
    assert done.returncode == 1
    assert "failed: broken, seed 0: error: the loss is" in done.stderr
    assert "log.txt" in done.stderr and "Traceback" not in done.stderr
    assert done.stdout.count("not run") == 1 and "TSM" in done.stdout
    after = tree(folder / "kept")
    assert {path: after[path] for path in before} == before
    assert vidops("ablate", "three.yaml", "--store", "kept", "--dry-run")[1].count("finished") == 2


def test_publish(ablated, vidops, place):
    _, folder = ablated
    kept = folder / "kept"
    code, _, err = vidops("ablate", "three.yaml", "--store", kept, "--only", "TSM", "--publish")
    assert code == 2
    assert "not finished" in told_errors(err)[0][0]
    assert not (place / "results").exists()
    code, out, _ = vidops("ablate", "two.yaml", "--store", kept, "--publish")
    assert code == 0
    assert "results/two.jsonl" in out and "results/two.md" in out
    head, *rows = [json.loads(line) for line in (place / "results/two.jsonl").read_text().splitlines()]
    assert head["schema"] == 1 and head["env"]["vidops"] == __version__
    assert {row["row"] for row in rows} == {"TSN", "TSM"}
    told = (place / "results/two.md").read_text()
    assert told == vidops("ablate", "two.yaml", "--store", kept, "--format", "markdown")[1]
    assert sorted(path.name for path in (place / "results").iterdir()) == ["two.jsonl", "two.md"]


def test_publish_keeps_the_folders_of_a_recipe(ablated, vidops, place):
    (place / "recipes/paper").mkdir(parents=True)
    shutil.copy("two.yaml", place / "recipes/paper/table.yaml")
    code, _, _ = vidops("ablate", "recipes/paper/table.yaml", "--store", ablated[1] / "kept", "--publish")
    assert code == 0
    assert (place / "results/paper/table.jsonl").is_file()


def test_ablate_alone_tells_of_all_tables(ablated, vidops, place, monkeypatch):
    (place / "recipes").mkdir()
    shutil.copy("two.yaml", place / "recipes/two.yaml")
    shutil.copy("bad.yaml", place / "recipes/bad.yaml")
    shutil.copy("one.yaml", place / "recipes/one.yaml")
    code, out, err = vidops("ablate", "--store", ablated[1] / "kept")
    assert (code, err) == (0, "")
    assert "recipes/two.yaml" in out and "2/2" in out
    assert "recipes/bad.yaml" in out and "not valid" in out
    assert "recipes/one.yaml" not in out
    monkeypatch.chdir(ROOT)
    code, out, err = vidops("ablate", "--store", place / "none")
    assert (code, err) == (0, "")
    assert "recipes/quickstart.yaml" in out and "0/6" in out


EMPTY = '{"schema": 1, "table": {}}\n'
CLAIMS = "  claims:\n    - {claim: a shift helps, better: TSM, worse: TSN, least: 1.0}\n"


def test_ablate_shows_what_is_stored_and_runs_nothing(ablated, vidops, place):
    kept = ablated[1] / "kept"
    (place / "claim.yaml").write_text((place / "two.yaml").read_text() + CLAIMS)
    before = tree(kept)
    code, out, _ = vidops("ablate", "claim.yaml", "--store", kept, "--table")
    assert code == 0 and "TSM" in out and "not run" not in out and "a shift helps" not in out
    code, out, _ = vidops("ablate", "claim.yaml", "--store", "nowhere", "--table")
    assert code == 0 and out.count("not run") == 2 and not (place / "nowhere").exists()
    code, out, _ = vidops("ablate", "claim.yaml", "--store", kept, "--claims")
    assert code == 0 and "a shift helps" in out and "undecided" in out  # of one seed nothing can be told
    assert vidops("ablate", "claim.yaml", "--store", kept, "--check")[0] == 1
    assert vidops("ablate", "two.yaml", "--store", kept, "--check")[0] == 0  # claims nothing
    code, out, _ = vidops("ablate", "claim.yaml", "--store", kept, "--check", "--format", "json")
    assert code == 1 and [entry["verdict"] for entry in json.loads(out)["claims"]] == ["undecided"]
    assert tree(kept) == before


@pytest.mark.parametrize(
    ("name", "begins"),
    [("t.tex", "%"), ("t.html", "<!doctype html>"), ("t.md", "# Tiny [run]"), ("t.csv", "row,"), ("t.json", "{")],
)
def test_ablate_writes_its_table(ablated, vidops, place, name, begins):
    code, _, _ = vidops("ablate", "two.yaml", "--store", ablated[1] / "kept", "--table", "--out", f"new/{name}")
    text = (place / "new" / name).read_text()
    assert code == 0 and text.startswith(begins) and "TSM" in text


def test_ablate_published_rows(ablated, vidops, place):
    kept = ablated[1] / "kept"
    (place / "claim.yaml").write_text((place / "two.yaml").read_text() + CLAIMS)
    assert vidops("ablate", "claim.yaml", "--store", kept, "--publish")[0] == 0
    code, out, _ = vidops("ablate", "results/claim.jsonl", "--format", "markdown")
    assert (code, out) == (0, (place / "results/claim.md").read_text())
    assert vidops("ablate", "results/claim.jsonl", "--check")[0] == 1
    lines = (place / "results/claim.jsonl").read_text().splitlines(True)
    (place / "cut.jsonl").write_text("".join(lines[:-1]) + lines[-1][:40])
    assert vidops("ablate", "cut.jsonl")[0] == 0  # what is whole is shown
    for text, told in (
        ("", "no table"),
        ('{"schema": 9, "table": {}}\n', "schema 9"),
        ("{\n", "no table"),
        (EMPTY, "was published"),
    ):
        (place / "bad.jsonl").write_text(text)
        code, _, err = vidops("ablate", "bad.jsonl")
        assert code == 2 and told in told_errors(err)[0][0]


def test_ablate_claims_of_a_folder_of_published_rows(ablated, vidops, place):
    kept, claim = ablated[1] / "kept", (place / "two.yaml").read_text() + CLAIMS
    cost = "    - {claim: it is free, better: TSM, worse: TSN, metric: macs, most: 0}\n"
    for name, text in (("claim", claim), ("more", claim + cost), ("two", "")):
        (place / f"{name}.yaml").write_text(text or (place / "two.yaml").read_text())
        assert vidops("ablate", f"{name}.yaml", "--store", kept, "--publish")[0] == 0
    (place / "results/other.jsonl").write_text('{"rows": "of something else"}\n')
    code, out, _ = vidops("ablate", "results", "--claims", "--format", "markdown")
    assert code == 0 and out.startswith("| table") and out.count("| a shift helps") == 2
    assert [line.split("|")[1].strip() for line in out.splitlines() if line.startswith("|")][2:] == [
        "claim", "more", "more",
    ]  # fmt: skip
    assert "+0.00 %" in out and "two" not in out.split("\n\n")[0]
    assert vidops("ablate", "results", "--check", "--plot", "all.svg")[0] == 1
    assert "more: a shift helps" in (place / "all.svg").read_text()
    code, out, _ = vidops("ablate", "results", "--claims", "--format", "json", "--out", "all.csv")
    assert [(entry["table"], entry["verdict"]) for entry in json.loads(out)["claims"]] == [
        ("claim", "undecided"), ("more", "undecided"), ("more", "held"),
    ]  # fmt: skip
    assert len(list(csv.reader((place / "all.csv").read_text().splitlines()))) == 4
    for words, told in (([], "claims are shown"), (["--claims", "--publish"], "published already")):
        code, _, err = vidops("ablate", "results", *words)
        assert code == 2 and told in told_errors(err)[0][0]
    (place / "results/more.jsonl").write_text(EMPTY)
    code, _, err = vidops("ablate", "results", "--claims")
    assert code == 2 and "more.jsonl is no table" in told_errors(err)[0][0]
    for name in ("more", "claim"):
        (place / f"results/{name}.jsonl").unlink()
    assert "claims anything" in vidops("ablate", "results", "--claims")[2]


def test_ablate_runs_the_rows_of_claims_at_other_learning_rates(ablated, vidops, place):
    (place / "claim.yaml").write_text((place / "two.yaml").read_text() + CLAIMS + "  rates: [0.5, 2]\n")
    words = ("ablate", "claim.yaml", "--store", ablated[1] / "kept")
    code, out, _ = vidops(*words, "--dry-run")
    assert code == 0 and "4 of 6 cells to run" in out and "TSM, lr x0.5" in out
    assert "4 of 6 cells to run" in vidops(*words, "--dry-run", "--only", "TSM", "--only", "TSN/0")[1]
    assert "0 of 2 cells to run" in vidops(*words, "ablation.rates=[]", "--dry-run")[1]
    code, out, _ = vidops(*words, "--claims")
    assert code == 0 and "x0.5 not run, x2 not run" in out and "flips)" not in out.split("x0.5, x2:")[0]
    assert "not finished" in vidops(*words, "--table", "--publish")[2]


def test_ablate_force_and_older(ablated, vidops, place, monkeypatch):
    kept = ablated[1] / "kept"
    code, out, _ = vidops("ablate", "two.yaml", "--store", kept, "--dry-run", "--force", "TSM")
    assert code == 0 and out.count("finished, to run again") == 1 and "1 of 2 cells to run, about" in out
    code, out, _ = vidops("ablate", "two.yaml", "--store", kept, "--dry-run", "--rerun", "older")
    assert code == 0 and "0 of 2 cells to run" in out
    monkeypatch.setattr("vidops_cli.ablation.grid.code_of", lambda *_: "changed")
    code, out, _ = vidops("ablate", "two.yaml", "--store", kept, "--table")
    assert code == 0 and out.count("(older code)") == 2
    code, out, _ = vidops("ablate", "two.yaml", "--store", kept, "--dry-run", "--rerun", "older")
    assert code == 0 and out.count("older code, to run again") == 2
    code, out, _ = vidops("ablate", "two.yaml", "--store", kept, "--dry-run")
    assert "0 of 2 cells to run" in out


def test_ablate_smoke_in_a_folder(place):
    """Every table of a folder, at one seed and one epoch, published under a name of its own; again nothing is run."""
    (place / "tables").mkdir()
    (place / "tables/two.yaml").write_text((place / "two.yaml").read_text() + CLAIMS)
    words = ("ablate", "tables", "--smoke", "--publish", "--claims", "--store", "kept", "--device", "cpu")
    done = shell(*[word for word in words if word not in ("--claims", "--publish")], cwd=place)
    assert done.returncode == 0, done.stderr
    assert "1 of 1 tables are whole" in done.stderr and "one seed, one epoch" in done.stdout
    done = shell(*words, cwd=place)
    assert done.returncode == 0 and "smoke" in done.stdout and "held" not in done.stdout
    head, *rows = [json.loads(line) for line in (place / "results/two_smoke.jsonl").read_text().splitlines()]
    assert head["table"]["scale"] == "smoke" and {row["scale"] for row in rows} == {"smoke"}
    assert {row["seed"] for row in rows} == {0}
