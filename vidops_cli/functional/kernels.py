"""What runs on a GPU: each primitive's form for "cuda", held against the plain loops at its first use."""

import torch
from torch import Tensor

from . import deformable, reference, window
from .guard import guarded


def correlate(q: Tensor, k: Tensor, size: list[int], start: int, groups: int) -> Tensor:
    """The plain form of the primitive, with the primitive's arguments."""
    L, U, V = size
    return reference.correlate(q, k, (L, U, V), groups=groups, start=start)


def aggregate(w: Tensor, v: Tensor, size: list[int], start: int) -> Tensor:
    """The plain form of the primitive, with the primitive's arguments."""
    L, U, V = size
    return reference.aggregate(w, v, (L, U, V), start=start)


def sample(v: Tensor, offset: Tensor, kernel: int, dilation: int) -> Tensor:
    """The plain form of the primitive, with the primitive's arguments."""
    return reference.sample(v, offset, kernel, dilation)


def _maps(*channels: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, c, 3, 5, 7, generator=generator) for c in channels]


def _probe_correlate() -> tuple:
    return (*_maps(6, 6), [3, 3, 5], -2, 2)


def _probe_aggregate() -> tuple:
    weights, values = _maps(90, 6)
    return weights.unflatten(1, (2, 45)), values, [3, 3, 5], -2


def _probe_sample() -> tuple:
    return (*_maps(6, 18), 3, 2)


for _name, _op, _plain, _probe in (
    ("vidops::correlate", window._correlate, correlate, _probe_correlate),
    ("vidops::aggregate", window._aggregate, aggregate, _probe_aggregate),
    ("vidops::sample", deformable._sample, sample, _probe_sample),
):
    _op.register_kernel("cuda")(guarded(_name, _op._init_fn, _plain, _probe))
