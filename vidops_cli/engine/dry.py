"""One training step and one tested batch of a recipe on torch's meta device: shapes alone, no data, no numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vidops_cli.data.mixing import mixed
from vidops_cli.models.blocks import recompute
from vidops_cli.recipe import Recipe

from . import checkpoint
from .few_shot import FewShot
from .loop import sizes
from .moving import averaged, make_optimizer, settle_norms
from .setup import Setup, network_of

META = torch.device("meta")


@dataclass(frozen=True)
class DryStep:
    """What a step takes, in bytes, of float32."""

    params: int
    """their number"""
    state: int
    """weights and buffers, gradients, what the optimizer keeps, and the mean of the weights where there is one"""
    kept: int
    """what the forward pass of one part of the batch keeps for the backward pass, parameters and buffers left out"""


def dry_step(recipe: Recipe, classes: int, clip: tuple[int, ...], view: tuple[int, ...] | None = None) -> DryStep:
    """Build the recipe's network, train it for a step and test it on a batch, all as shapes.

    `clip` is the shape (3, T, H, W) of a clip in training, `view` of one in testing where that is another. The step is
    whole: parts of the batch, an episode beside it, mixing, frozen parts, the norm of the gradient, the optimizer. Not
    seen: autocast, which the meta device does not know, and what an operation needs while it runs.
    ValueError if the shapes do not fit the network, or the recipe leaves nothing to train.
    """
    setup, told = Setup(recipe, META), recipe.train
    with META:
        model = setup.build(classes)
    for part in told.frozen:
        checkpoint.part_of(model, part).requires_grad_(False)
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("train.frozen leaves nothing to train", "leave out a part")
    if told.activation_checkpointing:
        recompute(model)
    optimizer, task = make_optimizer(model, told.optimizer), setup.task(classes)
    mean = averaged(model, told.ema) if told.ema else None
    beside = task.shape.size if isinstance(task, FewShot) else 0
    settle_norms(model.train(), told.batch_norm)
    most = 0
    for size in sizes(told.batch, told.accumulate):
        batch = _batch(recipe, clip, beside + size)
        if told.mixup or told.cutmix:
            batch = mixed(batch, mixup=told.mixup, cutmix=told.cutmix, rng=np.random.default_rng(told.seed))
        with _kept(model) as storages:
            loss, _ = task.loss(model, batch)
        most = max(most, sum(storages.values()))
        loss.backward()
    if told.clip_norm:
        nn.utils.clip_grad_norm_(model.parameters(), told.clip_norm)
    optimizer.step()
    held = [*model.parameters(), *model.buffers(), *(p.grad for p in model.parameters() if p.grad is not None)]
    held += [x for state in optimizer.state.values() for x in state.values() if torch.is_tensor(x)]
    if mean is not None:
        mean.update_parameters(model)
        held += [*mean.module.parameters(), *mean.module.buffers()]
    _test(model, task, _batch(recipe, view or clip, recipe.eval.batch))
    return DryStep(sum(p.numel() for p in model.parameters()), sum(x.nbytes for x in held), most)


def _batch(recipe: Recipe, clip: tuple[int, ...], size: int) -> dict[str, Any]:
    network = network_of(recipe)
    with META:
        given = dict(zip(network.inputs, network.example(clip), strict=True))
        one = {name: x.expand(size, *x.shape[1:]).contiguous() for name, x in given.items()}
        return {**one, "label": torch.zeros(size, dtype=torch.long)}


@contextmanager
def _kept(model: nn.Module) -> Iterator[dict[Any, int]]:
    """Fills in the bytes of each storage that autograd saves meanwhile, those of the network's own tensors left out."""
    own = {x.untyped_storage()._cdata for x in (*model.parameters(), *model.buffers())}
    found: dict[Any, int] = {}
    alive = []

    def note(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage._cdata not in own:
            alive.append(storage)  # or another could take its place
            found[storage._cdata] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        yield found


@torch.no_grad()
def _test(model: nn.Module, task: Any, batch: dict[str, Any]) -> None:
    model.eval()
    if not isinstance(task, FewShot):
        task.logits(model, batch)
        return
    maps, shape = model.maps(batch["clip"]), task.shape
    with META:
        support = torch.zeros(shape.shots, shape.ways, *maps.shape[1:])
        model.scores(support, torch.zeros(shape.ways * shape.queries, *maps.shape[1:]))
