"""Channels moved along time."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def temporal_shift(x: Float[Tensor, "B C T H W"], fold: int) -> Float[Tensor, "B C T H W"]:
    """The first `fold` channels take frame t + 1, the next `fold` take t - 1, the rest stay; zeros outside the clip."""
    if not 0 <= 2 * fold <= x.shape[1]:
        raise ValueError(f"cannot shift 2 x {fold} of {x.shape[1]} channels")
    ahead = F.pad(x[:, :fold, 1:], (0, 0, 0, 0, 0, 1))
    behind = F.pad(x[:, fold : 2 * fold, :-1], (0, 0, 0, 0, 1, 0))
    return torch.cat([ahead, behind, x[:, 2 * fold :]], dim=1)
