"""What in a recipe does not go together in taking clips: sampling, mirroring, augmentation, mixing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .reading import Place
from .schema import Data, Eval, Train

RISING = ("resized_crop.scale", "resized_crop.ratio", "blur.sigma", "erase.area", "erase.ratio")
Found = tuple[Place, str, str]


def clip_problems(data: Data, train: Train | None, dataset: Any, *, episodes: bool, joints: bool) -> Iterator[Found]:
    """(key, message, hint) of each; `dataset` is the card, None if there is none of the name. `joints` are seen."""
    if data.sampling == "dense" and data.stride is None:
        yield ("data", "sampling"), "data.sampling: dense frames need a stride", "add data.stride; 1: consecutive ones"
    if data.sampling == "segments" and data.stride is not None:
        yield ("data", "stride"), "data.stride is of dense sampling", "set data.sampling to dense, or leave it out"
    yield from _mirroring(data, dataset)
    yield from _augment(data, joints)
    for name, on in (("mixup", train and train.mixup), ("cutmix", train and train.cutmix)):
        if on and episodes:
            told = f"train.{name}: an episode tells classes by whole images"
            yield ("train", name), told, "set it to 0, or leave `episodes` out"
        if on and joints:
            told = f"train.{name}: joints of {data.name} cannot be mixed as its frames are"
            yield ("train", name), told, "set it to 0"


def view_problems(tested: Eval, data: Data, *, episodes: bool) -> Iterator[Found]:
    """(key, message, hint) of each view that cannot be taken."""
    side = tested.crop or data.crop
    for key in ("clips", "crops"):
        if episodes and getattr(tested, key) > 1:
            told = f"eval.{key}: episodes are of one view of each image"
            yield ("eval", key), told, "set it to 1, or leave `episodes` out"
    if tested.crops > 1 and side is None:
        yield ("eval", "crops"), "eval.crops: no crop is cut out", "set eval.crop or data.crop"
    least = min(data.resize) if isinstance(data.resize, list) else data.resize
    if tested.crop and least and tested.crop > least:
        told = f"eval.crop: {tested.crop} does not fit frames of data.resize {data.resize}"
        yield ("eval", "crop"), told, f"set it to at most {least}, or raise data.resize"


def _mirroring(data: Data, dataset: Any) -> Iterator[Found]:
    labels = [label for pair in data.flip_swap for label in pair]
    for key, given in (("flip_keep", data.flip_keep), ("flip_swap", labels)):
        if given and not data.flip:
            yield ("data", key), f"data.{key} is of data.flip, which is 0", f"set data.flip, or leave {key} out"
    if data.flip and dataset is not None and not dataset.mirrors and not (data.flip_keep or labels):
        told = f"data.flip: a mirrored clip of {data.name} has another label"
        yield ("data", "flip"), told, "leave flip at 0, or name those labels in data.flip_keep or data.flip_swap"
    for label in dict.fromkeys(labels):
        if labels.count(label) > 1:
            yield ("data", "flip_swap"), f"data.flip_swap: label {label!r} stands twice", "give each label one other"
        if label in data.flip_keep:
            told = f"data.flip_swap: clips of label {label!r} are never mirrored (data.flip_keep)"
            yield ("data", "flip_swap"), told, "keep it in one of the two"
    for label in dict.fromkeys([*data.flip_keep, *labels]):
        if isinstance(label, int) and data.classes is not None and label >= data.classes:
            key = "flip_keep" if label in data.flip_keep else "flip_swap"
            told = f"data.{key}: no label {label} among {data.classes} classes"
            yield ("data", key), told, "labels are numbered from 0"


def _augment(data: Data, joints: bool) -> Iterator[Found]:
    told = data.augment
    if told is None:
        return
    if told.multi_scale and told.resized_crop:
        message = "data.augment: multi_scale and resized_crop both say what is cut out"
        yield ("data", "augment", "resized_crop"), message, "leave one of them out"
    for key in ("multi_scale", "resized_crop"):
        if getattr(told, key) is not None and data.crop is None:
            message = f"data.augment.{key}: its boxes are scaled to data.crop, which is not set"
            yield ("data", "augment", key), message, "set data.crop"
    if told.rand_augment is not None and joints:
        message = f"data.augment.rand_augment: joints of {data.name} would not move with the pixels"
        yield ("data", "augment", "rand_augment"), message, "leave it out; the other steps go with joints"
    for dotted in RISING:
        part, key = dotted.split(".")
        given = getattr(getattr(told, part), key, None)
        if given and given[0] > given[1]:
            message = f"data.augment.{dotted}: the first is above the second, got {given}"
            yield ("data", "augment", part, key), message, "as in [least, largest]"
