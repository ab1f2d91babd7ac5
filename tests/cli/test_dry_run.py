"""Dry runs where there is no data: shipped recipes at full scale, and rows whose step fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from terminal import tree

from vidops_cli.data import DATASETS
from vidops_cli.engine import dry
from vidops_cli.engine.train import check_start
from vidops_cli.models import MODELS
from vidops_cli.ops import OPS
from vidops_cli.recipe import Known, load, resolve

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A folder without data sets."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (
            "selfy/ssv1_8f.yaml",
            (
                "something_v1: not at datasets/something-something-v1; how to lay it out: docs/datasets/something-",
                "3 x 8 x 224 x 224, of 174 classes",
                "resnet50: 23.9 M parameters, 32.7 G MACs a clip",
                "steps by the 86017 clips of the official release",
                "GiB that a step keeps for its backward pass",
            ),
        ),
        ("renet/cub_5shot.yaml", ("64 clips beside an episode of 100", "docs/datasets/images.md", "3 x 1 x 84 x 84")),
        ("quickstart.yaml", ("vidops data generate mini_motion", "3 x 8 x 24 x 24, of 4 classes", "15.0 M MACs")),
    ],
)
def test_train(vidops, fresh, recipe, words):
    code, out, err = vidops("train", RECIPES / recipe, "--dry-run")
    assert (code, err) == (0, "") and "the recipe above its table; for a row of that: --row NAME, of '" in out
    for word in (*words, "a training step and a tested batch run on the meta device"):
        assert word in out, word
    assert not list(fresh.iterdir())


def test_a_row_of_a_table_is_trained_as_the_table_would(vidops, fresh):
    table = RECIPES / "rsa/ssv1_8f.yaml"
    words = ("train", table, "--row", "RSANet-R50")
    code, out, err = vidops(*words, "--dry-run", "train.seed=2")
    known = Known(ops=OPS, models=MODELS, datasets=DATASETS)
    told = load(table, known)
    cell = resolve(told, told.ablation.rows[2], 2, known)
    assert (code, err) == (0, "") and cell.hash() in out and "runs/ssv1_8f-rsanet-r50" in out
    assert "22.0 M parameters, 35.9 G MACs" in out
    assert vidops(*words)[2] == "error: no such folder of videos: datasets/something-something-v1\n" + (
        "hint: set data.root to the folder that holds them\n"
    )


@pytest.mark.parametrize(
    ("recipe", "words", "told"),
    [
        ("rsa/ssv1_8f.yaml", ["RSANet"], ("no row 'RSANet'", "did you mean 'RSANet-R50'?")),
        ("base/rsa_ssv1.yaml", ["RSANet-R50"], ("has no rows", "leave --row out")),
        ("rsa/ssv1_8f.yaml", ["RSANet-R50", "model.ops=[]"], ("sets model.ops itself", "leave model.ops out")),
        (
            "integral_action/table2_mimetics.yaml",
            ["pose gate, lambda 1.5", "train.optimizer={name: adamw, lr: 1e-3}"],
            ("sets train.optimizer.lr itself", "leave train.optimizer out"),
        ),
        (
            "integral_action/table2_mimetics.yaml",
            ["pose gate, lambda 1.5", "model.weights.rgb=rgb.pt"],
            ("starts from weights of 'pose only'", "add model.weights.pose=CHECKPOINT, or run all: vidops ablate"),
        ),
        (
            "integral_action/table2_mimetics.yaml",
            ["RGB only, Mimetics"],
            ("tests weights of another", "train that: --row 'RGB only'"),
        ),
    ],
)
def test_rows_that_cannot_be_trained(vidops, fresh, recipe, words, told):
    code, out, err = vidops("train", RECIPES / recipe, "--row", *words, "--dry-run")
    error, hint = err.splitlines()
    assert (code, out) == (2, "") and told[0] in error and told[1] in hint


def test_a_row_is_tested_and_profiled(vidops, fresh):
    """An eval row, too: its data, and weights that are named."""
    table = RECIPES / "rsa/ssv1_8f.yaml"
    assert "no such checkpoint: runs/ssv1_8f-rsanet-r50/" in vidops("eval", table, "--row", "RSANet-R50")[2]
    words = ("profile", RECIPES / "quickstart.yaml", "--depth", "0", "--grid", "2x32x32", "--classes", "4")
    code, out, _ = vidops(*words, "--row", "TSM + MotionSqueeze")
    assert code == 0 and "84.3 k" in out and "--row NAME" not in out
    assert "--row NAME, of 'TSN', 'TSM', 'TSM + MotionSqueeze'" in vidops(*words)[1].replace("\n", " ")
    words = (RECIPES / "integral_action/table2_mimetics.yaml", "--row", "RGB only, Mimetics", "--checkpoint", "x.pt")
    assert "no such checkpoint: x.pt" in vidops("eval", *words)[2]
    code, _, err = vidops("profile", "--op", "rsa", "--row", "TSM")
    assert code == 2 and "--row means nothing beside --op" in err


@pytest.mark.parametrize(
    ("recipe", "told"),
    [("quickstart.yaml", "3 processes cannot share a batch of 32"), ("renet/cub_5shot.yaml", "in one process")],
)
def test_as_many_processes_cannot_train_it(vidops, fresh, recipe, told):
    """Told before any is started."""
    words = ("train", RECIPES / recipe, "--nproc", "3")
    assert vidops(*words)[0::2] == vidops(*words, "--dry-run")[0::2]
    code, _, err = vidops(*words)
    assert code == 2 and told in err and not list(fresh.iterdir())


def test_clips_of_unknown_size(vidops, fresh):
    words = ("train", RECIPES / "selfy/ssv1_8f.yaml", "data.crop=null", "data.resize=256", "data.augment=null")
    code, _, err = vidops(*words, "--dry-run")
    assert code == 2 and "something_v1, which is not at" in err and "data.crop" in err


def test_a_row_whose_step_fails_is_told(vidops, fresh, monkeypatch):
    table = RECIPES / "quickstart.yaml"
    code, out, _ = vidops("ablate", table, "--dry-run")
    rows = int(out.split("a step of ")[1].split(" of ")[1].split()[0])
    assert code == 0 and f"a step of {rows} of {rows} rows runs" in out and rows > 1
    step = dry.dry_step

    def failing(told, *shapes):
        if any(placed.op == "motion_squeeze" for placed in told.model.ops):
            raise RuntimeError("sizes do not match\nof two maps")
        return step(told, *shapes)

    monkeypatch.setattr(dry, "dry_step", failing)
    code, out, err = vidops("ablate", table, "--dry-run")
    assert code == 1 and 0 < err.count("failed: ") < rows and ": sizes do not match\n" in err
    assert f"a step of {rows - err.count('failed: ')} of {rows} rows runs" in out


CLUSTER = "partition: gpu\nhours: 1.5\nnodes: {nodes}\ngpus: 4\nmemory: 32\nsetup: [module load cuda]\n"


def test_what_slurm_would_be_asked_for(vidops, fresh):
    """Nothing is submitted, and no Slurm is needed."""
    (fresh / "two.yaml").write_text(CLUSTER.format(nodes=2))
    (fresh / "one.yaml").write_text(CLUSTER.format(nodes=1))
    slurm = ("--launcher", "slurm", "--cluster")
    code, out, _ = vidops("train", RECIPES / "quickstart.yaml", *slurm, "two.yaml", "--dry-run", "--out", "my run")
    assert code == 0 and "run      my run on auto of the job\n" in out and "setup    module load cuda\n" in out
    assert "slurm    partition gpu, hours 1.5, nodes 2, gpus 4, cpus 4, memory 32 GB\n" in out
    assert "job      4 processes on each of 2 machines: python -m vidops_cli train 'my run/job.yaml' --out" in out
    assert "4 on each of 8 processes" in out and "memory   a process: " in out
    code, out, _ = vidops("ablate", RECIPES / "quickstart.yaml", *slurm, "one.yaml", "--dry-run", "--jobs", "2")
    told = " ".join(out.split())
    assert code == 0 and "array 6 jobs, 2 at a time slurm partition gpu, " in told and "--nproc 4 --device auto" in told
    assert (
        "a cell of a table runs on one machine" in vidops("ablate", RECIPES / "quickstart.yaml", *slurm, "two.yaml")[2]
    )
    (fresh / "bad.yaml").write_text("partiton: gpu\nhours: 1\n")
    for verb in ("train", "ablate"):
        code, out, err = vidops(verb, RECIPES / "quickstart.yaml", *slurm, "bad.yaml", "--dry-run")
        assert (code, out) == (2, "") and "bad.yaml:1: unknown key 'partiton'" in err
        code, _, err = vidops(verb, RECIPES / "quickstart.yaml", "--cluster", "one.yaml", "--dry-run")
        assert code == 2 and "--cluster is of --launcher slurm" in err
    assert sorted(path.name for path in fresh.iterdir()) == ["bad.yaml", "one.yaml", "two.yaml"]


def test_processes_share_the_batch_in_memory(vidops, fresh):
    def kept(*words):
        return json.loads(vidops("train", RECIPES / "quickstart.yaml", "--dry-run", "--format", "json", *words)[1])

    one, eight = kept(), kept("--nproc", "8")
    assert 7 < one["kept_bytes"] / eight["kept_bytes"] < 9 and one["state_bytes"] == eight["state_bytes"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["data.root=none", "data.generated=null"], "none/train/manifest.json is not there"),
        (["model.weights=nothing.pth"], "no such checkpoint: nothing.pth"),
        (["train.batch=31", "--nproc", "2"], "2 processes cannot share a batch of 31"),
    ],
)
def test_a_job_that_must_fail_is_not_submitted(vidops, place, words, told):
    pytest.importorskip("submitit")
    (place / "local.yaml").write_text("cluster: local\nhours: 0.1\ngpus: 0\n")
    before = tree(place)
    slurm = ("--launcher", "slurm", "--cluster", "local.yaml", "--out", "run")
    code, out, err = vidops("train", "one.yaml", *words, *slurm)
    assert (code, out) == (2, "") and told in err and tree(place) == before


def test_what_only_the_machines_of_a_job_have_is_left_to_them(tiny, place):
    """An absolute path of which not even the folder above is there."""
    known = Known(ops=OPS, models=MODELS, datasets=DATASETS)
    far = str(place / "scratch/net.pt")
    assert check_start(load(place / "one.yaml", known, [f"model.weights={far}"]), 1) == [far]
    assert check_start(load(place / "one.yaml", known, [f"data.root={place}/scratch/data/x"]), 1) != []
    with pytest.raises(ValueError, match="no such checkpoint"):
        check_start(load(place / "one.yaml", known, [f"model.weights={place}/net.pt"]), 1)
