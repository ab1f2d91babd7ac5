"""Channels moved along time."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def temporal_shift(
    x: Float[Tensor, "B C T H W"], fold: int, *, first: str = "next", padding: str = "zero"
) -> Float[Tensor, "B C T H W"]:
    """The first `fold` channels take frame t + 1, the next `fold` take t - 1, the rest stay.

    `first="previous"` exchanges t + 1 and t - 1. Beyond the clip are zeros, or with `padding="circular"` its other end.
    Raises ValueError on more channels than there are, or another word.
    """
    if not 0 <= 2 * fold <= x.shape[1]:
        raise ValueError(f"cannot shift 2 x {fold} of {x.shape[1]} channels")
    check_shift(first, padding)
    step = 1 if first == "next" else -1
    shifted = [_taken(x[:, :fold], step, padding), _taken(x[:, fold : 2 * fold], -step, padding)]
    return torch.cat([*shifted, x[:, 2 * fold :]], dim=1)


def check_shift(first: str, padding: str) -> None:
    """ValueError on a word that is neither."""
    if first not in ("next", "previous"):
        raise ValueError(f"first is next or previous, got {first!r}")
    if padding not in ("zero", "circular"):
        raise ValueError(f"padding is zero or circular, got {padding!r}")


def _taken(x: Tensor, step: int, padding: str) -> Tensor:
    """Frame t + step at t, one step forward or back."""
    if padding == "circular":
        return x.roll(-step, dims=2)
    kept, sides = (x[:, :, 1:], (0, 1)) if step == 1 else (x[:, :, :-1], (1, 0))
    return F.pad(kept, (0, 0, 0, 0, *sides))
