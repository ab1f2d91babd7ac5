"""Dry runs where there is no data: shipped recipes at full scale, and rows whose step fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidops_cli.engine import dry

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
    assert (code, err) == (0, "")
    for word in (*words, "a training step and a tested batch run on the meta device"):
        assert word in out, word
    assert not list(fresh.iterdir())


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
