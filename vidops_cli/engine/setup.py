"""From a recipe to the objects of a run: device, threads, seed, data, network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidops_cli.data import DATASETS
from vidops_cli.data.augment import Augment
from vidops_cli.data.clips import ClipOptions, Clips
from vidops_cli.data.corruption import Corruption
from vidops_cli.data.episodes import Episode
from vidops_cli.data.lists import check_links
from vidops_cli.data.views import views
from vidops_cli.models import MODELS, Network
from vidops_cli.models.blocks import compile_blocks, recompute
from vidops_cli.recipe import Recipe

from .few_shot import FewShot
from .tasks import Classification


def pick_device(name: str) -> torch.device:
    """auto, cpu, cuda or cuda:N. ValueError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.split(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"unknown device {name!r}", "auto, cpu or cuda")
    if name.startswith("cuda"):
        if not torch.cuda.is_available():
            raise ValueError(
                "no CUDA device is available to this torch", "use --device cpu, or install a CUDA build of torch"
            )
        index = name.partition(":")[2]
        if index and (not index.isdigit() or int(index) >= torch.cuda.device_count()):
            raise ValueError(f"no device {name}: {torch.cuda.device_count()} at hand", "count them from cuda:0")
        torch.cuda.set_device(torch.device(name if index else "cuda:0"))  # events are recorded on the current device
    return torch.device(name)


@dataclass(frozen=True)
class Setup:
    recipe: Recipe
    device: torch.device

    @classmethod
    def of(cls, recipe: Recipe, device: str) -> Setup:
        """Pins the thread count and seeds torch, so that equal recipes give equal bits on a CPU."""
        chosen = pick_device(device)
        if recipe.train.threads:
            torch.set_num_threads(recipe.train.threads)
        torch.manual_seed(recipe.train.seed)
        return cls(recipe, chosen)

    def build(self, classes: int) -> nn.Module:
        """The recipe's network. ValueError if the recipe says another number of classes."""
        model = self.recipe.model
        check_classes(self.recipe, classes)
        ops = [placed.model_dump() for placed in model.ops]
        keys = ("dropout", "drop_path", "inflate", "width", "fresh_blocks")
        given = {key: getattr(model, key) for key in keys}
        return network_of(self.recipe).build(classes=classes, ops=ops, **given)

    def prepare(self, model: nn.Module) -> None:
        """Let the network, on its device, run as the recipe says. ValueError where it cannot be compiled."""
        if self.recipe.train.activation_checkpointing:
            recompute(model)
        if self.recipe.train.compile:
            compile_blocks(model)

    @torch.no_grad()
    def example(self, model: nn.Module, clip: tuple[int, ...]) -> list[Tensor]:
        """What the recipe's network takes of one clip; in episodes a query image, and maps of support images."""
        told, inputs = self.recipe.episodes, network_of(self.recipe).example(clip)
        if told is None:
            return inputs
        (support,) = model.eval().maps(*inputs)
        return [*inputs, support.expand(told.shots, told.ways, *support.shape).contiguous()]

    def task(self, classes: int) -> Classification | FewShot:
        """What its batches mean, to the recipe's network."""
        train, inputs = self.recipe.train, network_of(self.recipe).inputs
        if told := self.recipe.episodes:
            smoothing, shape = train.label_smoothing, Episode(told.ways, told.shots, told.queries)
            return FewShot(classes, shape, weight=told.weight, episodes=told.eval, label_smoothing=smoothing)
        return Classification(classes, train.label_smoothing, inputs=inputs, gate_weight=train.gate_weight)


def network_of(recipe: Recipe) -> Network:
    """Its card, with the recipe's skeleton."""
    return MODELS[recipe.model.name].drawing(recipe.model.skeleton)


def check_classes(recipe: Recipe, classes: int) -> None:
    """ValueError, with a hint, if the recipe says another number than the train split has."""
    data = recipe.data
    if data.classes not in (None, classes):
        told = f"{data.name} at {data.root} has {classes} classes, the recipe says {data.classes}"
        raise ValueError(told, "check the label lists, or data.classes")


def open_clips(recipe: Recipe, split: str, *, train: bool) -> Clips:
    """One split of the recipe's data set. ValueError, with what to do, if it, or the joints to see, are not there."""
    data, dataset, network = recipe.data, DATASETS[recipe.data.name], network_of(recipe)
    annotations = dataset.read(Path(data.root), split, recipe.parts())
    if not data.links:
        check_links(annotations)
    if train:
        check_classes(recipe, len(annotations.classes))
    if not network.skeleton:
        annotations = replace(annotations, joints=None)  # nobody looks at them
    elif annotations.joints is None:
        told = f"{network.name} sees joints, of which {data.name} at {data.root} has none for {split}"
        raise ValueError(told, f"how to lay them out: {dataset.page}")
    elif dataset.joints != network.skeleton:
        told = f"{network.name} sees persons of {network.skeleton}, those of {data.name} are {dataset.joints}"
        raise ValueError(told, f"set model.skeleton={dataset.joints}")
    return Clips(annotations, clip_options(recipe), train=train, seed=recipe.train.seed)


def clip_options(recipe: Recipe) -> ClipOptions:
    """How the recipe takes a clip from a video."""
    data = recipe.data
    return ClipOptions(
        num_frames=data.num_frames,
        stride=data.stride,
        resize=data.resize,
        crop=data.crop,
        flip=data.flip,
        flip_keep=data.flip_keep,
        flip_swap=data.flip_swap,
        mean=data.mean,
        std=data.std,
        frames=data.frames,
        corruption=data.corruption and Corruption(**data.corruption.model_dump()),
        augment=data.augment and Augment.of(data.augment.model_dump()),
        shuffle_labels=data.shuffle_labels,
        max_bad=data.max_bad,
        timeout=data.timeout,
        views=views(recipe.eval.clips, recipe.eval.crops, recipe.eval.crop),
    )


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    return {
        key: value.to(device, non_blocking=True) if torch.is_tensor(value) else value for key, value in batch.items()
    }
