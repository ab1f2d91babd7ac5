"""A generated benchmark on disk: real video files, a manifest with hashes, seeds that no two splits share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from vidops_cli.record import read_json, write_json

from .. import Annotations
from ..video import write_video
from . import motion

SPLITS = ("train", "val", "test")
VERSION = 1


def parse_dials(settings: list[str]) -> motion.Dials:
    """Dials from `name=value` texts. ValueError on an unknown name or a value that is no number."""
    kinds = {field.name: type(field.default) for field in fields(motion.Dials)}
    chosen = {}
    for text in settings:
        name, _, value = text.partition("=")
        if name not in kinds:
            raise ValueError(f"no dial {name!r}", f"dials: {', '.join(kinds)}")
        try:
            chosen[name] = kinds[name](value)
        except ValueError:
            raise ValueError(
                f"dial {name} takes {'an integer' if kinds[name] is int else 'a number'}, got {value!r}",
                "as in speed=4",
            ) from None
    dials = motion.Dials(**chosen)
    dials.check()
    return dials


def clip_rng(seed: int, split: str, index: int) -> np.random.Generator:
    """The random numbers of one clip; seed, split and index make a key of its own."""
    return np.random.default_rng([seed, SPLITS.index(split), index])


def plan(dials: motion.Dials, sizes: dict[str, int], seed: int) -> list[dict[str, Any]]:
    """One entry for each clip, labels in equal numbers: split, path, label and the scene's parameters."""
    entries = []
    for split in SPLITS:
        for i in range(sizes[split]):
            scene = motion.draw_scene(dials, clip_rng(seed, split, i), i % dials.directions)
            entries.append(
                {
                    "split": split,
                    "path": f"{split}/{i:05d}.mp4",
                    "label": scene.label,
                    "scene": asdict(scene),
                }
            )
    return entries


def generate(
    root: Path,
    *,
    dials: motion.Dials,
    sizes: dict[str, int],
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Write all clips below `root`, then the manifest. Clips that are there with the right bytes are kept.

    The manifest comes last: a folder without one is an unfinished benchmark. Returns the manifest. ValueError on a
    folder that holds another benchmark.
    """
    dials.check()
    told = {"name": "mini_motion", "version": VERSION, "seed": seed, "dials": asdict(dials), "sizes": sizes}
    manifest = root / "manifest.json"
    hashes: dict[str, str] = {}
    if manifest.exists():
        there = read_manifest(root)
        if {key: there.get(key) for key in told} != told:
            raise ValueError(f"{root} holds another benchmark", f"name another --root, or remove {root}")
        hashes = {clip["path"]: clip["sha256"] for clip in there["clips"]}
    entries = plan(dials, sizes, seed)
    for split in SPLITS:
        (root / split).mkdir(parents=True, exist_ok=True)

    def write(entry: dict[str, Any]) -> dict[str, Any]:
        path = root / entry["path"]
        digest = _digest(path)
        if digest is None or digest != hashes.get(entry["path"]):
            write_video(path, motion.render(motion.Scene(**entry["scene"]), dials), crf=dials.crf)
            digest = _digest(path)
        return {**entry, "sha256": digest}

    done = []
    with ThreadPoolExecutor(2) as pool:
        for entry in pool.map(write, entries):
            done.append(entry)
            progress(len(done), len(entries))
    write_json(manifest, {**told, "clips": done})
    return read_manifest(root)


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def read_manifest(root: Path) -> dict[str, Any]:
    """ValueError if it is no manifest of this benchmark and version."""
    manifest = read_json(root / "manifest.json")
    if not isinstance(manifest, dict) or (manifest.get("name"), manifest.get("version")) != ("mini_motion", VERSION):
        hint = f"remove it, then: vidops data generate mini_motion --root {root}"
        raise ValueError(f"{root} holds no mini_motion benchmark of version {VERSION}", hint)
    return manifest


def missing(root: Path, manifest: dict[str, Any]) -> list[str]:
    """Clips that the manifest names and the folder lacks."""
    return [clip["path"] for clip in manifest["clips"] if not (root / clip["path"]).is_file()]


def fingerprint(manifest: dict[str, Any]) -> str:
    """Hash of the clips' hashes and labels: equal data, equal fingerprint."""
    told = [(clip["split"], clip["label"], clip["sha256"]) for clip in manifest["clips"]]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


def read(root: Path, split: str, splits: dict[str, str]) -> Annotations:
    """One split of a generated benchmark; ValueError with the command that makes it if it is absent or incomplete."""
    command = f"vidops data generate mini_motion --root {root}"
    if splits:
        raise ValueError("mini_motion has its own splits", "remove data.splits")
    if not (root / "manifest.json").is_file():
        raise ValueError(f"no mini_motion benchmark: {root / 'manifest.json'} is not there", f"make it: {command}")
    manifest = read_manifest(root)
    absent = missing(root, manifest)
    if absent:
        told = f"{len(absent)} of {len(manifest['clips'])} files are missing below {root}, the first is {absent[0]}"
        raise ValueError(f"mini_motion is incomplete: {told}", f"make them again: {command}")
    clips = [clip for clip in manifest["clips"] if clip["split"] == split]
    directions = manifest["dials"]["directions"]
    return Annotations(
        root=root,
        split=split,
        paths=tuple(clip["path"] for clip in clips),
        labels=tuple(clip["label"] for clip in clips),
        classes=tuple(f"{360 * i // directions} degrees" for i in range(directions)),
        fingerprint=fingerprint(manifest),
        floors={"chance": 1 / directions, "order-blind": 1 / 2},
    )
