from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from dataclasses import asdict, replace

import av
import numpy as np
import pytest

from vidops_cli.data import DATASETS
from vidops_cli.data.mini import benchmark, motion
from vidops_cli.data.video import VideoFile

SIZES = {"train": 8, "val": 4, "test": 4}
DIALS = motion.Dials()


# --- the plan ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planned():
    """The default benchmark, on paper."""
    return benchmark.plan(DIALS, {"train": 6144, "val": 512, "test": 2048}, 0)


def test_labels_are_equal_in_number(planned):
    for split, count in (("train", 6144), ("val", 512), ("test", 2048)):
        labels = Counter(entry["label"] for entry in planned if entry["split"] == split)
        assert labels == dict.fromkeys(range(4), count // 4)


def test_no_two_clips_share_a_scene(planned):
    assert len({entry["path"] for entry in planned}) == len(planned) == 8704
    assert len({entry["scene"]["seed"] for entry in planned}) == len(planned)
    assert len({tuple(entry["scene"]["start"]) for entry in planned}) == len(planned)


def test_random_keys_of_splits_clips_and_seeds_differ():
    drawn = {
        benchmark.clip_rng(seed, split, index).integers(2**62)
        for seed in range(4)
        for split in benchmark.SPLITS
        for index in range(50)
    }
    assert len(drawn) == 4 * 3 * 50


def test_more_clips_keep_those_before():
    few = benchmark.plan(DIALS, SIZES, 3)
    more = {entry["path"]: entry for entry in benchmark.plan(DIALS, {"train": 20, "val": 6, "test": 9}, 3)}
    assert all(more[entry["path"]] == entry for entry in few)


def test_another_seed_is_another_benchmark():
    one, other = (benchmark.plan(DIALS, SIZES, seed) for seed in (0, 1))
    assert not {entry["scene"]["seed"] for entry in one} & {entry["scene"]["seed"] for entry in other}


# --- the generator ----------------------------------------------------------------------------------------------------


def scenes(dials: motion.Dials, count: int) -> list[motion.Scene]:
    return [
        motion.draw_scene(dials, np.random.default_rng([11, i]), i % dials.directions)
        for i in range(count * dials.directions)
    ]


def distance_from_uniform(values: np.ndarray, size: int) -> float:
    """Largest distance between the distribution of the values and the uniform one on [0, size)."""
    ordered = np.sort(values.ravel()) / size
    ranks = np.arange(len(ordered) + 1) / len(ordered)
    return max(np.abs(ordered - ranks[:-1]).max(), np.abs(ordered - ranks[1:]).max())


@pytest.mark.parametrize("dials", [DIALS, motion.Dials(directions=8, speed=3.3, size=32)], ids=["default", "eight"])
def test_positions_tell_nothing_of_the_label(dials):
    """Uniform for every label, in every frame and so pooled over time: 1.63 / sqrt(n) is the KS bound at 1 %."""
    per_label = 1500
    drawn = scenes(dials, per_label)
    for label in range(dials.directions):
        mine = np.stack([motion.positions(scene, dials) for scene in drawn if scene.label == label])
        assert mine.shape == (per_label, dials.frames, 2)
        assert mine.min() >= 0 and mine.max() < dials.size
        for axis in (0, 1):
            assert distance_from_uniform(mine[..., axis], dials.size) < 1.63 / per_label**0.5
            for t in range(dials.frames):
                assert distance_from_uniform(mine[:, t, axis], dials.size) < 2 / per_label**0.5
        cells, _, _ = np.histogram2d(*mine[:, -1].T, bins=4, range=[[0, dials.size]] * 2)
        expected = per_label / 16
        assert ((cells - expected) ** 2 / expected).sum() < 37.7  # chi-square, 15 degrees of freedom, 0.1 %


def test_the_bound_sees_a_start_that_is_not_uniform():
    drawn = np.random.default_rng(0).uniform(2, DIALS.size - 2, 1500)
    assert distance_from_uniform(drawn, DIALS.size) > 2 / 1500**0.5


@pytest.mark.parametrize("label", range(4))
def test_the_disc_moves_in_its_direction(label):
    scene = motion.Scene(label, (3.0, 20.0), 5)
    steps = np.diff(motion.positions(scene, DIALS), axis=0)
    steps = (steps + DIALS.size / 2) % DIALS.size - DIALS.size / 2
    wanted = DIALS.speed * np.array([(1, 0), (0, 1), (-1, 0), (0, -1)][label])
    assert np.allclose(steps, wanted, atol=1e-9)


@pytest.mark.parametrize(
    "dials",
    [DIALS, motion.Dials(directions=8, speed=3.7, frames=5, size=32, radius=9), motion.Dials(directions=2, speed=1.1)],
    ids=["default", "eight", "two"],
)
def test_reverse_gives_the_same_frames_backwards_and_the_opposite_label(dials):
    for scene in scenes(dials, 2):
        back = motion.reverse(scene, dials)
        assert back.label != scene.label
        assert (back.label - scene.label) % dials.directions == dials.directions // 2
        frames, backwards = motion.render(scene, dials), motion.render(back, dials)
        assert np.abs(frames.astype(int) - backwards[::-1]).max() <= 1
        assert np.abs(frames[0].astype(int) - frames[-1]).max() > 20
        assert motion.reverse(back, dials).label == scene.label


def test_frames_are_grey_and_the_disc_is_camouflaged():
    frames = np.stack([motion.render(scene, DIALS) for scene in scenes(DIALS, 50)])
    assert frames.shape == (200, 8, 24, 24, 3) and frames.dtype == np.uint8
    assert (frames == frames[..., :1]).all()
    centre, corner = frames[:, :, 10:14, 10:14], frames[:, :, :4, :4]
    assert abs(float(centre.mean()) - float(corner.mean())) < 2
    assert abs(float(centre.std()) - float(corner.std())) < 2
    assert 30 < frames.std() < 45


@pytest.mark.parametrize("dials", [DIALS, motion.Dials(noise=0.3, flicker=0.2)], ids=["default", "noisy"])
def test_a_scene_always_gives_the_same_bytes(dials):
    scene = motion.Scene(1, (4.5, 7.25), 99)
    assert motion.render(scene, dials).tobytes() == motion.render(scene, dials).tobytes()
    assert motion.render(scene, dials).tobytes() != motion.render(replace(scene, seed=100), dials).tobytes()


def test_noise_and_flicker_change_the_frames():
    scene = motion.Scene(1, (4.5, 7.25), 99)
    plain = motion.render(scene, DIALS).astype(int)
    noisy = motion.render(scene, motion.Dials(noise=0.5)).astype(int)
    assert 10 < np.abs(plain - noisy).mean() < 25
    flickering = motion.render(scene, motion.Dials(flicker=0.3)).astype(int)
    assert np.abs(plain - flickering).mean((1, 2, 3)).max() > 3


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
    ],
)
def test_dials_that_make_no_benchmark(setting):
    with pytest.raises(ValueError, match=r"\w"):
        benchmark.parse_dials([setting])


def test_dials_from_texts():
    dials = benchmark.parse_dials(["speed=3", "directions=8", "noise=0.25"])
    assert dials == motion.Dials(speed=3.0, directions=8, noise=0.25)
    assert isinstance(dials.speed, float)
    assert benchmark.parse_dials([]) == DIALS


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("mini") / "made"
    seen = []
    manifest = benchmark.generate(
        root, dials=DIALS, sizes=SIZES, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(i, 16) for i in range(1, 17)]
    return root, manifest


@pytest.fixture
def copy(whole, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(whole[0], tmp_path / "mini")


def again(root, **changes):
    return benchmark.generate(root, **{"dials": DIALS, "sizes": SIZES, **changes})


def test_files_are_h264_in_mp4(whole):
    root, manifest = whole
    assert len(manifest["clips"]) == 16
    for clip in manifest["clips"]:
        with av.open(str(root / clip["path"])) as container:
            assert "mp4" in container.format.name
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert (stream.width, stream.height, stream.frames) == (24, 24, 8)


def test_manifest_has_the_hashes_of_the_files(whole):
    root, manifest = whole
    assert json.loads((root / "manifest.json").read_text()) == json.loads(json.dumps(manifest))
    assert len({clip["sha256"] for clip in manifest["clips"]}) == 16
    for clip in manifest["clips"]:
        assert hashlib.sha256((root / clip["path"]).read_bytes()).hexdigest() == clip["sha256"]
    assert manifest["dials"] == asdict(DIALS)
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert files == {clip["path"] for clip in manifest["clips"]} | {"manifest.json"}


def test_decoded_frames_are_close_to_the_rendered_ones(whole):
    root, manifest = whole
    for clip in manifest["clips"]:
        rendered = motion.render(motion.Scene(**clip["scene"]), DIALS)
        decoded = VideoFile(root / clip["path"]).read(np.arange(8))
        assert decoded.shape == rendered.shape
        assert np.abs(decoded.astype(int) - rendered).mean() < 6


def test_the_same_benchmark_is_made_anywhere(whole, tmp_path):
    assert benchmark.fingerprint(again(tmp_path / "other")) == benchmark.fingerprint(whole[1])
    assert benchmark.fingerprint(again(tmp_path / "seed", seed=1)) != benchmark.fingerprint(whole[1])


def stamps(root) -> dict[str, tuple[int, int]]:
    files = [path for path in root.rglob("*.mp4") if path.is_file()]
    return {path.relative_to(root).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def test_a_whole_benchmark_is_kept(whole, copy):
    before = stamps(copy)
    assert again(copy) == json.loads(json.dumps(whole[1]))
    assert stamps(copy) == before


def test_a_deleted_file_is_made_again_and_the_others_are_kept(whole, copy):
    (copy / "train/00003.mp4").unlink()
    before = stamps(copy)
    manifest = again(copy)
    assert benchmark.fingerprint(manifest) == benchmark.fingerprint(whole[1])
    assert (copy / "train/00003.mp4").read_bytes() == (whole[0] / "train/00003.mp4").read_bytes()
    after = stamps(copy)
    assert len(after) == 16
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
    assert not (tmp_path / "manifest.json").exists()
    with pytest.raises(ValueError, match=r"manifest\.json is not there"):
        benchmark.read(tmp_path, "train", {})
    assert benchmark.fingerprint(again(tmp_path)) == benchmark.fingerprint(whole[1])
    assert len(benchmark.read(tmp_path, "train", {}).paths) == 8


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"dials": motion.Dials(speed=3)}, {"sizes": {**SIZES, "train": 12}}], ids=str
)
def test_another_benchmark_in_the_folder_is_refused(whole, changes):
    before = stamps(whole[0])
    with pytest.raises(ValueError, match="holds another benchmark") as error:
        again(whole[0], **changes)
    assert str(whole[0]) in error.value.args[0]
    assert "--root" in error.value.args[1]
    assert stamps(whole[0]) == before


# --- reading ----------------------------------------------------------------------------------------------------------


def test_read(whole):
    found = DATASETS["mini_motion"].read(whole[0], "test")
    assert found.paths == tuple(f"test/{i:05d}.mp4" for i in range(4))
    assert found.labels == (0, 1, 2, 3)
    assert found.classes == ("0 degrees", "90 degrees", "180 degrees", "270 degrees")
    assert found.floors == {"chance": 1 / 4, "order-blind": 1 / 2}
    assert found.fingerprint == benchmark.fingerprint(whole[1])


def refused(root, split="train", splits=None) -> tuple[str, str]:
    with pytest.raises(ValueError, match=re.escape(str(root)) if not splits else "splits") as error:
        benchmark.read(root, split, splits or {})
    message, hint = error.value.args
    return message, hint


def test_a_missing_benchmark(tmp_path):
    _, hint = refused(tmp_path / "nowhere")
    assert f"vidops data generate mini_motion --root {tmp_path / 'nowhere'}" in hint


def test_a_half_deleted_benchmark(copy):
    for name in ("train/00001.mp4", "train/00005.mp4", "test/00000.mp4"):
        (copy / name).unlink()
    message, hint = refused(copy)
    assert "3 of 16" in message and "train/00001.mp4" in message
    assert f"vidops data generate mini_motion --root {copy}" in hint
    shutil.rmtree(copy / "train")
    assert "9 of 16" in refused(copy, "val")[0]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"name": "mini_motion", "version": 0}', "3"])
def test_a_manifest_that_is_none(copy, content):
    (copy / "manifest.json").write_text(content)
    refused(copy)


def test_splits_cannot_be_named(whole):
    assert refused(whole[0], splits={"train": "other.txt"})[1] == "remove data.splits"
