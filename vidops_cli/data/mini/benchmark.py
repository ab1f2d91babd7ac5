"""A generated benchmark on disk: real video or image files, manifests with hashes, seeds that no two splits share.

A benchmark is a module of this folder: `Dials`, `classes`, `floors`, `draw_scene`, `render`, a `VERSION`, and, where it
has them, `joints` with `PAIRS` of the left and the right, and further test splits, `SPLITS`. Its parts are train (or
train-SEED, for runs with a train set of their own), val, test and the further splits; each is a folder with a manifest.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from vidops_cli.record import read_json, write_bytes, write_json

from .. import DATASETS, Absent, Annotations, Progress
from ..image import write_image
from ..poses import Stored
from ..video import write_video

SPLITS = ("train", "val", "test")
SIZES = {"train": 6144, "val": 512, "test": 2048}
OWN = "train-"  # and a seed
LARGEST, MOST = 4096, 2**28  # of a whole number, and pixels of a clip: far from what is asked for, and from all memory


def generator(name: str) -> Any:
    """The module of a generated benchmark. ValueError on a data set that is not one."""
    if name not in DATASETS or not DATASETS[name].generated:
        able = ", ".join(known for known, dataset in DATASETS.items() if dataset.generated)
        raise ValueError(f"{name!r} cannot be generated", f"these can: {able}")
    return DATASETS[name].load()


def make_dials(name: str, values: Mapping[str, Any]) -> Any:
    """The benchmark's dials. ValueError on an unknown name, a value of another kind, or what makes no benchmark."""
    made = generator(name).Dials
    kinds = {field.name: type(field.default) for field in fields(made)}
    for dial, value in values.items():
        if dial not in kinds:
            raise ValueError(f"{name} has no dial {dial!r}", f"dials: {', '.join(kinds)}")
        if type(value) not in ((int, float) if kinds[dial] is float else (kinds[dial],)):
            wanted = {int: "an integer", float: "a number", str: "a word"}[kinds[dial]]
            raise ValueError(f"dial {dial} takes {wanted}, got {value!r}", "as in speed=4")
    if wrong := next((value for value in values.values() if type(value) is int and value > LARGEST), None):
        raise ValueError(f"a dial of {wrong} is beyond {LARGEST}", "`vidops show` and its name tell the usual ones")
    dials = made(**{dial: kinds[dial](value) for dial, value in values.items()})
    if getattr(dials, "frames", 1) * getattr(dials, "size", 1) ** 2 > MOST:
        told = f"clips of {getattr(dials, 'frames', 1)} frames of {dials.size} x {dials.size}"
        raise ValueError(f"{told} are beyond {MOST:,} pixels", "lower size or frames")
    dials.check()
    return dials


def clip_rng(seed: int, part: str, index: int, name: str = "mini_motion") -> np.random.Generator:
    """The random numbers of one clip; seed, part and index make a key of its own."""
    if part.startswith(OWN):
        return np.random.default_rng([seed, 1000, int(part.removeprefix(OWN)), index])
    return np.random.default_rng([seed, (*SPLITS, *further(name)).index(part), index])


def further(name: str) -> tuple[str, ...]:
    """Test splits that the benchmark has beside `test`; each as large as that."""
    return getattr(generator(name), "SPLITS", ())


def plan(name: str, dials: Any, part: str, count: int, seed: int) -> list[tuple[str, Any]]:
    """Path and scene of each clip of a part, labels in equal numbers."""
    made, split = generator(name), part.split("-")[0]
    labels = len(made.classes(dials, split))
    suffix = "mp4" if getattr(dials, "frames", 1) > 1 else "png"
    drawn = (made.draw_scene(dials, clip_rng(seed, part, i, name), i % labels, split) for i in range(count))
    return [(f"{part}/{i:05d}.{suffix}", scene) for i, scene in enumerate(drawn)]


def generate(
    name: str,
    root: Path,
    *,
    dials: Any,
    sizes: Mapping[str, int],
    seed: int = 0,
    train_seeds: Sequence[int] | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[str, dict[str, Any]]:
    """Write what is missing of a benchmark below `root`: clips, then the manifest of their part.

    Clips that are there with the right bytes are kept. With `train_seeds` there is a train set for each of them, else
    one. Returns the manifest of each part. ValueError on a folder that holds another benchmark.
    """
    dials.check()
    heads = heads_of(name, dials, sizes, seed, train_seeds)
    hashes: dict[str, str] = {}
    for part, head in heads.items():
        if (root / part / "manifest.json").exists():
            hashes |= {clip["path"]: clip["sha256"] for clip in _of_head(root, head)["clips"]}
    done, total, found = 0, sum(head["count"] for head in heads.values()), {}
    for part, head in heads.items():
        (root / part).mkdir(parents=True, exist_ok=True)
        planned, clips = plan(name, dials, part, head["count"], seed), []
        with ThreadPoolExecutor(2) as pool:
            for clip in pool.map(lambda entry: _write(name, root, entry, dials, hashes), planned):
                clips.append(clip)
                done += 1
                progress(done, total)
        if hasattr(generator(name), "joints"):
            head = {**head, "joints": _write_joints(name, root / part, [scene for _, scene in planned], dials)}
        if not _same(root / part / "manifest.json", {**head, "clips": clips}):
            write_json(root / part / "manifest.json", {**head, "clips": clips})
        found[part] = read_manifest(name, root, part)
    return found


def heads_of(
    name: str, dials: Any, sizes: Mapping[str, int], seed: int, train_seeds: Sequence[int] | None
) -> dict[str, dict[str, Any]]:
    """What the manifest of each part begins with."""
    trains = ["train"] if train_seeds is None else [f"{OWN}{number}" for number in train_seeds]
    counts = {**dict.fromkeys(trains, sizes["train"]), "val": sizes["val"]}
    counts |= dict.fromkeys(("test", *further(name)), sizes["test"])
    told = {"name": name, "version": generator(name).VERSION, "seed": seed, "dials": asdict(dials)}
    return {part: {**told, "part": part, "count": count} for part, count in counts.items()}


def _write(name: str, root: Path, entry: tuple[str, Any], dials: Any, hashes: dict[str, str]) -> dict[str, Any]:
    """Render and write a clip, unless it is there with the right bytes. Its entry in the manifest."""
    path, scene = root / entry[0], entry[1]
    digest = _digest(path)
    if digest is None or digest != hashes.get(entry[0]):
        frames = generator(name).render(scene, dials)
        if path.suffix == ".png":
            write_image(path, frames[0])
        else:
            write_video(path, frames, crf=getattr(dials, "crf", 12))
        digest = _digest(path)
    return {"path": entry[0], "label": scene.label, "scene": asdict(scene), "sha256": digest}


def _write_joints(name: str, folder: Path, scenes: list[Any], dials: Any) -> str:
    """joints.npy, (N, T, P, J, 3) float32: x and y in pixels, score. Returns its hash."""
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.stack([generator(name).joints(scene, dials) for scene in scenes]).astype(np.float32))
    write_bytes(folder / "joints.npy", buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def _same(path: Path, content: dict[str, Any]) -> bool:
    return path.exists() and read_json(path) == json.loads(json.dumps(content))


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def is_whole(root: Path, head: Mapping[str, Any]) -> bool:
    """Whether this very part is there with all its clips. ValueError if the folder holds another benchmark."""
    if not (root / head["part"] / "manifest.json").exists():
        return False
    return not missing(root, _of_head(root, head))


def _of_head(root: Path, head: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a part; ValueError if it is of another benchmark."""
    there = read_manifest(head["name"], root, head["part"])
    if {key: there.get(key) for key in head} != head:
        raise ValueError(f"{root} holds another benchmark", f"name another root, or remove {root}")
    return there


def read_manifest(name: str, root: Path, part: str) -> dict[str, Any]:
    """ValueError if it is no manifest of this benchmark and version."""
    path, version = root / part / "manifest.json", generator(name).VERSION
    manifest = read_json(path)
    if not isinstance(manifest, dict) or (manifest.get("name"), manifest.get("version")) != (name, version):
        hint = f"remove it, then: {_command(name, root)}"
        raise ValueError(f"{path} is no manifest of {name}, version {version}", hint)
    return manifest


def missing(root: Path, manifest: dict[str, Any]) -> list[str]:
    """Clips that the manifest names and the folder lacks."""
    return [clip["path"] for clip in manifest["clips"] if not (root / clip["path"]).is_file()]


def fingerprint(manifest: dict[str, Any]) -> str:
    """Hash of the hashes and labels of a part: equal data, equal fingerprint."""
    told = [(clip["label"], clip["sha256"]) for clip in manifest["clips"]]
    return hashlib.sha256(json.dumps([told, manifest.get("joints")]).encode()).hexdigest()[:12]


def read(name: str, root: Path, split: str, splits: Mapping[str, str]) -> Annotations:
    """One split of a generated benchmark, or the part that `splits` names for it.

    ValueError with the command that makes it if it is absent or incomplete.
    """
    part = splits.get(split, split)
    parts = (*SPLITS, *further(name))
    if part not in parts and not (part.startswith(OWN) and part.removeprefix(OWN).isdigit()):
        raise ValueError(f"{name} has no split {part!r}", f"its splits: {', '.join(parts)}, {OWN}0, ...")
    made = f"make it: {_command(name, root)}"
    if not (root / part / "manifest.json").is_file():
        raise Absent(f"no {name} benchmark: {root / part / 'manifest.json'} is not there", made)
    manifest = read_manifest(name, root, part)
    absent = missing(root, manifest)
    if absent:
        told = f"{len(absent)} of {len(manifest['clips'])} files of {root / part} are missing, the first is {absent[0]}"
        raise ValueError(f"{name} is incomplete: {told}", f"{made.replace('it', 'them again', 1)}")
    dials = generator(name).Dials(**manifest["dials"])
    return Annotations(
        root=root,
        split=split,
        paths=tuple(clip["path"] for clip in manifest["clips"]),
        labels=tuple(clip["label"] for clip in manifest["clips"]),
        classes=generator(name).classes(dials, part.split("-")[0]),
        fingerprint=fingerprint(manifest),
        floors=generator(name).floors(dials),
        joints=Stored(root / part / "joints.npy", generator(name).PAIRS) if "joints" in manifest else None,
        hashes=tuple(clip["sha256"] for clip in manifest["clips"]),
    )


def command(name: str, root: Path) -> str:
    """What makes it at its own dials."""
    return f"vidops data generate {name} --root {shlex.quote(str(root))}"


def _command(name: str, root: Path) -> str:
    return f"{command(name, root)}, or RECIPE for one with data.generated"
