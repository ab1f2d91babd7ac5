"""Options that cannot be, told by name."""

from collections.abc import Sequence

from torch import Tensor


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
    """ValueError if x has other channels than its operator."""
    if x.shape[1] != channels:
        raise ValueError(f"{name} was made for {channels} channels, got {x.shape[1]}")
