"""Benchmarks on disk, by way of mini motion."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import av
import numpy as np
import pytest
import yaml

from vidops_cli.data import DATASETS
from vidops_cli.data.mini import benchmark, motion
from vidops_cli.data.video import VideoFile

NAME = "mini_motion"
SIZES = {"train": 8, "val": 4, "test": 4}
DIALS = motion.Dials()


# --- the plan ---------------------------------------------------------------------------------------------------------

COUNTS = {"train": 6144, "train-0": 6144, "train-1": 6144, "val": 512, "test": 2048}


def planned(part: str, count: int, seed: int = 0) -> list[tuple[str, motion.Scene]]:
    return benchmark.plan(NAME, DIALS, part, count, seed)


@pytest.fixture(scope="module")
def parts():
    """Parts of the default size, on paper; two train sets are of runs that have their own."""
    return {part: planned(part, count) for part, count in COUNTS.items()}


def test_labels_are_equal_in_number(parts):
    for part, count in COUNTS.items():
        assert Counter(scene.label for _, scene in parts[part]) == dict.fromkeys(range(4), count // 4)


def test_no_two_clips_share_a_scene(parts):
    clips = [clip for part in parts.values() for clip in part]
    assert len({path for path, _ in clips}) == len(clips) == 20992
    assert len({(scene.seed, *scene.start) for _, scene in clips}) == len(clips)


def test_random_keys_of_parts_clips_and_seeds_differ():
    drawn = {
        benchmark.clip_rng(seed, part, index).integers(2**62)
        for seed in range(4)
        for part in (*benchmark.SPLITS, "train-0", "train-1", "train-2")
        for index in range(50)
    }
    assert len(drawn) == 4 * 6 * 50


def test_more_clips_keep_those_before():
    assert planned("train", 20)[:8] == planned("train", 8)


def test_another_seed_is_another_benchmark():
    one, other = ({scene.seed for _, scene in planned("train", 50, seed)} for seed in (0, 1))
    assert not one & other


# --- dials ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        "directions=3",
        "directions=0",
        "frames=1",
        "size=14",
        "size=25",
        "radius=0",
        "radius=12",
        "radius=nan",
        "crf=30",
        "crf=-1",
        "speed=nan",
        "speed=inf",
        "noise=-0.1",
        "flicker=-0.1",
        "noise=nan",
        "sped=3",
        "speed",
        "speed=fast",
        "directions=4.5",
        "=3",
        "radius=true",
        "speed=[3]",
    ],
)
def test_dials_that_make_no_benchmark(setting):
    with pytest.raises(ValueError, match=r"\w"):
        name, _, value = setting.partition("=")
        benchmark.make_dials(NAME, {name: yaml.safe_load(value)})


def test_dials_from_a_recipe():
    dials = benchmark.make_dials(NAME, {"speed": 3, "directions": 8, "noise": 0.25})
    assert dials == motion.Dials(speed=3.0, directions=8, noise=0.25)
    assert isinstance(dials.speed, float)
    assert benchmark.make_dials(NAME, {}) == DIALS


@pytest.mark.parametrize("name", ["video_folder", "mini_nothing"])
def test_data_that_cannot_be_generated(name):
    with pytest.raises(ValueError, match="cannot be generated") as error:
        benchmark.make_dials(name, {})
    assert NAME in error.value.args[1]


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("mini") / "made"
    seen = []
    manifests = benchmark.generate(
        NAME, root, dials=DIALS, sizes=SIZES, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(i, 16) for i in range(1, 17)]
    return root, manifests


@pytest.fixture
def copy(whole, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(whole[0], tmp_path / "mini")


def again(root, **changes):
    return benchmark.generate(NAME, root, **{"dials": DIALS, "sizes": SIZES, **changes})


def fingerprints(manifests) -> dict[str, str]:
    return {part: benchmark.fingerprint(manifest) for part, manifest in manifests.items()}


def clips_of(manifests) -> list[dict]:
    return [clip for manifest in manifests.values() for clip in manifest["clips"]]


def test_files_are_h264_in_mp4(whole):
    root, manifests = whole
    assert len(clips_of(manifests)) == 16
    for clip in clips_of(manifests):
        with av.open(str(root / clip["path"])) as container:
            assert "mp4" in container.format.name
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert (stream.width, stream.height, stream.frames) == (24, 24, 8)


def test_manifests_have_the_hashes_of_the_files(whole):
    root, manifests = whole
    assert list(manifests) == ["train", "val", "test"]
    for part, manifest in manifests.items():
        assert json.loads((root / part / "manifest.json").read_text()) == manifest
        assert manifest["dials"] == asdict(DIALS)
        assert (manifest["part"], manifest["count"]) == (part, SIZES[part])
    clips = clips_of(manifests)
    assert len({clip["sha256"] for clip in clips}) == 16
    for clip in clips:
        assert hashlib.sha256((root / clip["path"]).read_bytes()).hexdigest() == clip["sha256"]
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert files == {clip["path"] for clip in clips} | {f"{part}/manifest.json" for part in manifests}


def test_decoded_frames_are_close_to_the_rendered_ones(whole):
    root, manifests = whole
    for clip in clips_of(manifests):
        rendered = motion.render(motion.Scene(**clip["scene"]), DIALS)
        decoded = VideoFile(root / clip["path"]).read(np.arange(8))
        assert decoded.shape == rendered.shape
        assert np.abs(decoded.astype(int) - rendered).mean() < 6


def test_the_same_benchmark_is_made_anywhere(whole, tmp_path):
    before = fingerprints(whole[1])
    assert len(set(before.values())) == 3
    assert fingerprints(again(tmp_path / "other")) == before
    assert not set(fingerprints(again(tmp_path / "seed", seed=1)).values()) & set(before.values())


def test_train_sets_of_seeds_stand_beside_each_other(copy):
    before = stamps(copy)
    found = fingerprints(again(copy, train_seeds=[0, 3]))
    assert list(found) == ["train-0", "train-3", "val", "test"]
    assert len(set(found.values())) == 4
    assert {path: stamp for path, stamp in stamps(copy).items() if path in before} == before
    more = fingerprints(again(copy, train_seeds=[3, 7]))
    assert {part: more[part] for part in ("train-3", "val", "test")} == {
        part: found[part] for part in ("train-3", "val", "test")
    }
    read = DATASETS[NAME].read(copy, "train", {"train": "train-7"})
    assert read.split == "train" and read.paths[0] == "train-7/00000.mp4" and read.fingerprint == more["train-7"]


def stamps(root) -> dict[str, tuple[int, int]]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def test_a_whole_benchmark_is_kept(whole, copy):
    before = stamps(copy)
    assert len(before) == 19
    assert again(copy) == whole[1]
    assert stamps(copy) == before
    for head in benchmark.heads_of(NAME, DIALS, SIZES, 0, None).values():
        assert benchmark.is_whole(copy, head)


def test_a_deleted_file_is_made_again_and_the_others_are_kept(whole, copy):
    (copy / "train/00003.mp4").unlink()
    heads = benchmark.heads_of(NAME, DIALS, SIZES, 0, None)
    assert [benchmark.is_whole(copy, heads[part]) for part in ("train", "val", "test")] == [False, True, True]
    before = stamps(copy)
    assert fingerprints(again(copy)) == fingerprints(whole[1])
    assert (copy / "train/00003.mp4").read_bytes() == (whole[0] / "train/00003.mp4").read_bytes()
    after = stamps(copy)
    assert len(after) == 19
    assert {path: after[path] for path in before} == before


def test_a_spoiled_file_is_made_again(whole, copy):
    """What is there and whole is kept; this is there and not whole."""
    (copy / "val/00001.mp4").write_bytes(b"cut short")
    again(copy)
    assert (copy / "val/00001.mp4").read_bytes() == (whole[0] / "val/00001.mp4").read_bytes()


def test_an_interrupted_run_leaves_no_manifest_and_is_completed(whole, tmp_path):
    def interrupt(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(tmp_path, progress=interrupt)
    assert not (tmp_path / "train/manifest.json").exists()
    with pytest.raises(ValueError, match=r"manifest\.json is not there"):
        read(tmp_path, "train")
    assert fingerprints(again(tmp_path)) == fingerprints(whole[1])
    assert len(read(tmp_path, "train").paths) == 8


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"dials": motion.Dials(speed=3)}, {"sizes": {**SIZES, "train": 12}}], ids=str
)
def test_another_benchmark_in_the_folder_is_refused(whole, changes):
    before = stamps(whole[0])
    with pytest.raises(ValueError, match="holds another benchmark") as error:
        again(whole[0], **changes)
    assert str(whole[0]) in error.value.args[0]
    assert "root" in error.value.args[1]
    assert stamps(whole[0]) == before


# --- reading ----------------------------------------------------------------------------------------------------------


def read(root, split, splits=None):
    return DATASETS[NAME].read(root, split, splits)


def test_read(whole):
    found = read(whole[0], "test")
    assert found.paths == tuple(f"test/{i:05d}.mp4" for i in range(4))
    assert found.labels == (0, 1, 2, 3)
    assert found.classes == ("0 degrees", "90 degrees", "180 degrees", "270 degrees")
    assert found.floors == {"chance": 1 / 4, "order-blind": 1 / 2}
    assert found.fingerprint == benchmark.fingerprint(whole[1]["test"])
    assert found.joints is None


def refused(root, split="train", splits=None) -> tuple[str, str]:
    with pytest.raises(ValueError, match=re.escape(str(root)) if not splits else "split") as error:
        read(root, split, splits)
    message, hint = error.value.args
    return message, hint


def test_a_missing_benchmark(tmp_path):
    _, hint = refused(tmp_path / "nowhere")
    assert f"vidops data generate mini_motion --root {tmp_path / 'nowhere'}" in hint


def test_where_benchmarks_are_looked_for():
    """Cards, recipes and `vidops data generate` without --root agree."""
    cards = [card for card in DATASETS.values() if card.generated]
    assert len(cards) > 5 and all(card.how.endswith(f" --root {card.root}") for card in cards)


def test_a_half_deleted_benchmark(copy):
    for name in ("train/00001.mp4", "train/00005.mp4", "test/00000.mp4"):
        (copy / name).unlink()
    message, hint = refused(copy)
    assert "2 of 8" in message and "train/00001.mp4" in message
    assert f"vidops data generate mini_motion --root {copy}" in hint
    assert "1 of 4" in refused(copy, "test")[0]
    assert len(read(copy, "val").paths) == 4


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"name": "mini_motion", "version": 0}', "3"])
def test_a_manifest_that_is_none(copy, content):
    (copy / "train/manifest.json").write_text(content)
    refused(copy)


@pytest.mark.parametrize("name", ["other.txt", "../train", "train-", "train-x", "test_agree"])
def test_splits_that_it_does_not_have(whole, name):
    assert "train-0" in refused(whole[0], splits={"train": name})[1]


# --- cards ------------------------------------------------------------------------------------------------------------


def test_what_cannot_help_has_a_test_of_its_name():
    """Each line of a card that says what tells nothing stands for a test of the generator."""
    seen = 0
    for name, card in DATASETS.items():
        if card.generated:
            assert card.needs and card.floors and card.cannot_help
            tests = (Path(__file__).parent / f"test_mini_{card.module.rpartition('.')[2]}.py").read_text()
            for key in card.cannot_help:
                assert f"def test_cannot_help_{key}(" in tests, (name, key)
                seen += 1
    assert seen >= 2
