"""Options that cannot be, told by name."""

from collections.abc import Sequence

from torch import Tensor

from .refused import Refused


def at_least(least: int, **options: int | Sequence[int] | None) -> None:
    """ValueError naming the first option that is less, or holds less; None is none."""
    for name, value in options.items():
        numbers = value if isinstance(value, Sequence) else [value]
        if any(number is not None and number < least for number in numbers):
            raise ValueError(f"{name} must be at least {least}, got {value}")


def odd(**options: int | Sequence[int]) -> None:
    """ValueError naming the first option that is not an odd number from 1, or holds one that is not."""
    for name, value in options.items():
        numbers = value if isinstance(value, Sequence) else [value]
        if any(number < 1 or number % 2 == 0 for number in numbers):
            raise ValueError(f"{name} must be odd, got {value}")


def heads_divide(heads: int, channels: int) -> None:
    """ValueError unless the channels are as many for each head."""
    if heads < 1 or channels % heads:
        raise ValueError(f"{heads} heads do not divide {channels} channels")


def made_for(name: str, channels: int, x: Tensor) -> None:
    """ValueError if x is no map, or has other channels than its operator."""
    is_map(name, x)
    if x.shape[1] != channels:
        raise ValueError(f"{name} was made for {channels} channels, got {x.shape[1]}")


def is_map(name: str, x: Tensor) -> None:
    """ValueError unless x is (B, C, T, H, W)."""
    if x.dim() != 5:
        hint = "an image has T = 1: x.unsqueeze(2)" if x.dim() == 4 else "an image has T = 1"
        raise Refused(f"{name} takes (B, C, T, H, W), got {tuple(x.shape)}", hint)


def two_frames(name: str, x: Tensor) -> None:
    """ValueError on a single frame."""
    if x.shape[2] < 2:
        raise Refused(f"{name} compares frames: it needs at least 2, got {x.shape[2]}", "give a clip with T >= 2")
