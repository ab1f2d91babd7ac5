"""Joints drawn as maps. Moon et al., IntegralAction, CVPRW 2021, arXiv 2007.06317, section on the pose stream.

A person becomes an image: a small Gaussian at each joint (heat maps), and along each limb the direction from its first
joint to its second (part affinity fields, Cao et al., arXiv 1611.08050), so that a 2-D network can read it.

    heat[j, n]  = min(1, sum_p exp(-|n - c_pj|^2 / (2 sigma^2)))     persons p whose joint j scores above the threshold
    v           = (c_pb - c_pa) / |c_pb - c_pa|                      limb s = (a, b), both score at least the threshold
    field[s, n] = mean_p v_ps over the persons whose limb has n in its band:
                  0 <= v . (n - c_pa) <= |c_pb - c_pa|  and  |v x (n - c_pa)| <= sigma

Deviations: none from the released code (main/model.py): strict threshold for heat maps only, and a limb of no length
draws nothing. Coordinates are (x, y) in pixels of the map, whose pixels stand at whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Limbs = Sequence[tuple[int, int]]


class Skeleton(NamedTuple):
    """How many joints, and the pairs of joints that are limbs."""

    joints: int
    limbs: Limbs


_OPENPOSE = "0-1 1-2 2-3 3-4 1-5 5-6 6-7 1-8 8-9 9-10 1-11 11-12 12-13 0-14 0-15 14-16 15-17"
# as released: spine and head, left arm, right arm, left leg, right leg; a thumb hangs on the tip of its hand
_KINECT = "0-1 1-2 2-3 4-20 4-5 5-6 6-7 7-21 21-22 8-20 8-9 9-10 10-11 11-23 23-24 0-12 12-13 13-14 14-15 0-16 "
_KINECT += "16-17 17-18 18-19 1-20"
_STICK = "0-1 0-2 1-3 2-4 1-5 2-6 5-7 6-8"  # of the stick figures of data/mini: head; shoulders, hands, hips, feet


def _skeleton(joints: int, limbs: str) -> Skeleton:
    return Skeleton(joints, tuple((int(a), int(b)) for a, b in (limb.split("-") for limb in limbs.split())))


SKELETONS = {
    "openpose18": _skeleton(18, _OPENPOSE),
    "ntu25": _skeleton(25, _KINECT),
    "stick9": _skeleton(9, _STICK),
}


def heatmaps(
    coords: Float[Tensor, "B T P J 2"],
    scores: Float[Tensor, "B T P J"],
    size: tuple[int, int],
    *,
    sigma: float = 0.5,
    threshold: float = 0.1,
) -> Float[Tensor, "B J T H W"]:
    """A Gaussian at each joint, height 1; persons are summed and clipped at 1. float32 or better."""
    seen = (scores > threshold)[..., None]
    coords = torch.where(seen, _exact(coords), 0)  # a joint that was not found may have no numbers
    (x, y), (x0, y0) = _pixels(coords, size), _split(coords)
    drawn = torch.exp((x - x0) ** 2 / (-2 * sigma**2)) * torch.exp((y - y0) ** 2 / (-2 * sigma**2))
    return (seen[..., None] * drawn).sum(2).clamp(max=1).transpose(1, 2)


def fields(
    coords: Float[Tensor, "B T P J 2"],
    scores: Float[Tensor, "B T P J"],
    limbs: Limbs,
    size: tuple[int, int],
    *,
    sigma: float = 1.0,
    threshold: float = 0.1,
) -> Float[Tensor, "B S2 T H W"]:
    """Part affinity fields: channels 2 s and 2 s + 1 are x and y of limb s. float32 or better."""
    unit, depth = bands(coords, scores, limbs, size, sigma=sigma, threshold=threshold)
    return mean_direction(unit, depth >= 0)


def bands(
    coords: Float[Tensor, "B T P J 2"],
    scores: Float[Tensor, "B T P J"],
    limbs: Limbs,
    size: tuple[int, int],
    *,
    sigma: float = 1.0,
    threshold: float = 0.1,
) -> tuple[Float[Tensor, "B T P S 2"], Float[Tensor, "B T P S H W"]]:
    """Direction of each limb, and how deep each pixel lies in its band; negative is outside, -inf of unseen limbs."""
    coords = torch.where((scores >= threshold)[..., None], _exact(coords), 0)
    first, second = [a for a, _ in limbs], [b for _, b in limbs]
    start, limb = coords[..., first, :], coords[..., second, :] - coords[..., first, :]
    squared = limb.square().sum(-1)
    seen = (scores[..., first] >= threshold) & (scores[..., second] >= threshold) & (squared > 0)
    length = torch.where(squared > 0, squared, 1).sqrt()
    unit = limb / length[..., None]

    (x, y), (x0, y0), (ux, uy) = _pixels(coords, size), _split(start), _split(unit)
    x, y = x - x0, y - y0
    along = ux * x + uy * y
    across = uy * x - ux * y
    depth = torch.minimum(torch.minimum(along, length[..., None, None] - along), sigma - across.abs())
    return unit, depth.masked_fill(~seen[..., None, None], -torch.inf)


def mean_direction(unit: Float[Tensor, "B T P S 2"], inside: Tensor) -> Float[Tensor, "B S2 T H W"]:
    """Directions averaged over the persons whose limb a pixel is inside of; zero where there is none."""
    persons = inside.sum(2).clamp(min=1)
    x, y = ((inside * value).sum(2) / persons for value in _split(unit))
    return torch.stack([x, y], dim=3).flatten(2, 3).transpose(1, 2)


def _exact(coords: Tensor) -> Tensor:
    return coords if coords.dtype == torch.float64 else coords.float()


def _pixels(like: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """x of each column, (W), and y of each row, (H, 1)."""
    H, W = size
    x = torch.arange(W, device=like.device, dtype=like.dtype)
    return x, torch.arange(H, device=like.device, dtype=like.dtype)[:, None]


def _split(points: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of (..., 2), each (..., 1, 1)"""
    return points[..., 0, None, None], points[..., 1, None, None]
