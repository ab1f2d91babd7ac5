"""What moves the weights: which of them, at which rate, and the mean over their way."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vidops_cli.models.blocks import depths
from vidops_cli.recipe import Optimizer, Recipe

BATCH_NORMS = (nn.modules.batchnorm._BatchNorm,)
NORMS = (*BATCH_NORMS, nn.LayerNorm, nn.GroupNorm)


def learning_rate(recipe: Recipe, step: int, total: int) -> float:
    """Learning rate of a step: a linear warm-up over the first share of the steps, then what the schedule says.

    By epochs a rate is that of all steps of an epoch, counted from 1: warm-up and cosine end with the last one of
    theirs, as in the logs of RSA's released code.
    """
    schedule, peak, per_epoch = recipe.train.schedule, recipe.train.optimizer.lr, total / recipe.train.epochs
    by_epoch = schedule.per == "epoch"
    unit = per_epoch if by_epoch else 1.0
    done, total_units = int(step / unit), total / unit
    warmup = round(schedule.warmup * total_units, 6)  # 0.07 of 100 epochs are 7, not a little more
    if done < warmup:
        return peak * (schedule.start + (1 - schedule.start) * (done + 1) / math.ceil(warmup))
    if schedule.name == "constant":
        return peak
    if schedule.name == "step":
        return peak * schedule.by ** sum(step >= epoch * per_epoch for epoch in schedule.at)
    share = (done + by_epoch - warmup) / max(1, total_units - warmup)
    return peak * (schedule.final + (1 - schedule.final) * 0.5 * (1 + math.cos(math.pi * share)))


def make_optimizer(model: nn.Module, told: Optimizer) -> torch.optim.Optimizer:
    """SGD or AdamW; norms and biases are not decayed unless asked. Each group has its `factor` of the rate.

    By layer-wise decay (as in BEiT, arXiv 2106.08254) that falls block by block from the head to the stem.
    ValueError if a group of the recipe names no weight.
    """
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    norms = {id(p) for module in model.modules() if isinstance(module, NORMS) for p in module.parameters()}
    below = depths(model) if told.layer_decay < 1 else {}
    used, groups = set(), dict[tuple[float, float], list[nn.Parameter]]()
    for name, weight in trained.items():
        factor = 1.0
        decay = told.weight_decay if weight.ndim > 1 or told.decay_norm_bias else 0.0
        kind = "norm" if id(weight) in norms else "bias" if name.rpartition(".")[2] == "bias" else "weight"
        mine = [one for one in told.groups if one.kind in ("all", kind) and any(fnmatchcase(name, of) for of in one.of)]
        used |= {id(group) for group in mine}
        if mine:
            factor, decay = mine[0].lr, decay * mine[0].weight_decay
        factor *= told.layer_decay ** below.get(name, 0)
        groups.setdefault((factor, decay), []).append(weight)
    if idle := [group for group in told.groups if id(group) not in used]:
        raise ValueError(
            f"train.optimizer.groups: {', '.join(idle[0].of)} ({idle[0].kind}) names no weight that is trained",
            f"names are as {', '.join([*trained][:2])}, {[*trained][-1]}",
        )
    given: Iterable[Any] = [
        {"params": weights, "weight_decay": decay, "factor": factor} for (factor, decay), weights in groups.items()
    ]
    if told.name == "adamw":
        return torch.optim.AdamW(given, lr=told.lr)
    return torch.optim.SGD(given, lr=told.lr, momentum=told.momentum, nesterov=told.nesterov and told.momentum > 0)


def settle_norms(model: nn.Module, told: str) -> None:
    """Batch norms that are not trained use the statistics that they have; called at the start of each epoch."""
    if told in ("train", "sync"):
        return
    norms = [module for module in model.modules() if isinstance(module, BATCH_NORMS)]
    for norm in norms[1:] if told == "partial" else norms:
        norm.eval()
        norm.requires_grad_(False)


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """The running mean of weights, and of the statistics of norms: decay x mean + (1 - decay) x weights."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
