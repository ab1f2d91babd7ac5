"""What the operators of a trained network are given as it looks at a clip."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidops_cli.data import Annotations
from vidops_cli.data.clips import Clips
from vidops_cli.data.frames import as_frames
from vidops_cli.models.listening import Standing, overhearing, standing
from vidops_cli.recipe import Recipe

from . import checkpoint, made_of
from .setup import Setup, clip_options, network_of, open_clips


@dataclass(frozen=True)
class Given:
    """What an operator was given; `others` could have been looked at, too."""

    standing: Standing
    inputs: tuple[Any, ...]
    frames: np.ndarray  # (T, H, W, 3), uint8, as the network saw them; of an episode a support and a query image
    others: list[Standing]


def overhear(
    recipe: Recipe,
    path: Path,
    *,
    videos: Sequence[Path],
    clips: Sequence[int],
    names: Container[str],
    op: str | None = None,
    at: str | None = None,
) -> Given:
    """Run the network of a checkpoint on the CPU, on a video, or a clip of eval.split by its index; of episodes on two.

    The operator is the first of `names` in the network: that called `op`, if told, and at the place `at`, if told.
    ValueError, with a hint, if there is none, or the clip cannot be used.
    """
    two, network = recipe.episodes is not None, network_of(recipe)
    count = len(videos) or len(clips)
    if count != 1 + two:
        told = "two images, a support and a query" if two else "one clip"
        word = "--video" if videos else "--clip"
        raise ValueError(f"the network looks at {told}, got {count}", f"give {word} {'twice' if two else 'once'}")
    state = checkpoint.load(path)
    made_of.check(state.get("made_of"), recipe, path)
    items, classes = _items(recipe, videos, clips)
    setup = Setup.of(recipe, "cpu")
    model = setup.build(state.get("classes", classes)).eval()
    checkpoint.load_model(model, {**state, "model": checkpoint.tested(state)}, path)
    seen = [each for each in standing(model) if each.name in names]
    chosen = [
        each for each in seen if op in (None, each.name) and (at is None or f"{each.place}.".startswith(f"{at}."))
    ]
    if not chosen:
        told = f"no {op or 'operator with something to see'} stands {f'at {at}' if at else 'in this network'}"
        places = ", ".join(f"{each.name} at {each.place}" for each in seen)
        raise ValueError(told, f"there is {places}" if places else "see one alone: vidops visualize --op")
    with torch.no_grad(), overhearing([chosen[0].module]) as given:
        if two:
            maps = model.maps(torch.stack([item["clip"] for item in items]))
            model.scores(maps[:1][None], maps[1:])
        else:
            model(*(items[0][name][None] for name in network.inputs))
    data = recipe.data
    frames = np.concatenate([as_frames(item["clip"], data.mean, data.std) for item in items])
    return Given(chosen[0], given[chosen[0].module], frames, chosen[1:])


def _items(recipe: Recipe, videos: Sequence[Path], indices: Sequence[int]) -> tuple[list[dict[str, Any]], int]:
    """The clips as the recipe takes them, and how many classes its data have, as far as is known."""
    if videos:
        if network_of(recipe).skeleton:
            raise ValueError("the network sees joints, which a video file does not hold", "give --clip N instead")
        paths = tuple(str(video.absolute()) for video in videos)
        told = Annotations(Path("/"), recipe.eval.split, paths, (0,) * len(paths), ("",), "")
        clips, indices = Clips(told, clip_options(recipe), train=False), range(len(paths))
    else:
        clips = open_clips(recipe, recipe.eval.split, train=False)
    if bad := [index for index in indices if not 0 <= index < len(clips.listed)]:
        told = f"split {recipe.eval.split} has no clip {bad[0]}"
        raise ValueError(told, f"--clip 0 to {len(clips.listed) - 1}")
    items = [clips[0, index] for index in indices]
    for item in items:
        if "bad" in item:
            raise ValueError(item["bad"], "give another clip")
        if "error" in item:
            raise ValueError(*item["error"])
    return items, recipe.data.classes or len(clips.annotations.classes)
