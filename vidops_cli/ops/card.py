"""What is known of an operator without importing it."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Option:
    """One keyword of an operator: its type as a recipe writes it, its default (the paper's), what it means."""

    type: str  # int | float | bool | str | ints (a list) ; "?" at the end allows null
    default: object
    help: str
    choices: tuple = ()
    least: int | None = None  # smallest value, of a number or of each of a list
    above: int | None = None  # a value must be larger
    odd: bool = False
    length: int | None = 3  # how many integers a list has; None: any number from one

    def problem(self, value: Any) -> str | None:
        """Why a recipe's value cannot be this option's, or None."""
        if value is None and self.type.endswith("?"):
            return None
        kind = self.type.rstrip("?")
        fits = {
            "int": isinstance(value, int) and not isinstance(value, bool),
            "float": isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value),
            "bool": isinstance(value, bool),
            "str": isinstance(value, str),
            "ints": isinstance(value, (list, tuple)) and all(type(item) is int for item in value),
        }[kind]
        if not fits:
            return f"expected {self.describe()}, got {value!r}"
        if self.choices and value not in self.choices:
            return f"expected one of {', '.join(map(str, self.choices))}, got {value!r}"
        numbers: Any = value if kind == "ints" else [value]
        for number in numbers:
            if self.least is not None and number < self.least:
                return f"expected at least {self.least}, got {value!r}"
            if self.above is not None and number <= self.above:
                return f"expected more than {self.above}, got {value!r}"
            if self.odd and number % 2 == 0:
                return f"expected odd, got {value!r}"
        if kind == "ints" and (len(numbers) != self.length if self.length else not numbers):
            return f"expected {self.length or 'one or more'} integers, got {value!r}"
        return None

    def describe(self) -> str:
        words = {
            "int": "an integer",
            "float": "a number",
            "bool": "true or false",
            "str": "a word",
            "ints": "a list of integers",
        }
        return words[self.type.rstrip("?")] + (" or null" if self.type.endswith("?") else "")


@dataclass(frozen=True)
class Input:
    """One tensor that an operator takes: its shape in numbers and letters (B C T H W, the card's own), its values."""

    name: str
    shape: str  # as in "B C T H W", or "5 C 1 H W"
    values: str = "feature"  # feature: any number | position: (x, y) on the map | score: 0 to 1


@dataclass(frozen=True)
class Card:
    """One operator of the zoo. `layer` is the paper's typical layer: (channels, T, H, W)."""

    name: str
    cls: str
    title: str
    paper: str
    venue: str
    arxiv: str
    slot: str  # a key of models.SLOTS
    equation: str
    layer: tuple[int, int, int, int]
    options: dict[str, Option] = field(default_factory=dict)
    deviations: str = "none"
    status: str = ""
    min_frames: int = 1
    max_frames: int | None = None
    inputs: tuple[Input, ...] = (Input("x", "B C T H W"),)
    # sizes in `inputs` that follow from those of B, C, T, H, W and from the options
    letters: dict[str, Callable[[Mapping[str, int], Mapping[str, Any]], int]] = field(default_factory=dict)
    draws: bool = False  # its inputs hold no map: the operator's attribute `size`, (H, W), says how large the output is
    compiles: bool = True  # torch.compile makes one graph of it

    def load(self) -> type:
        """The nn.Module class; imports torch."""
        return getattr(importlib.import_module(f"vidops_cli.ops.{self.name}"), self.cls)

    @property
    def defaults(self) -> dict[str, object]:
        return {name: option.default for name, option in self.options.items()}

    def shapes(
        self, batch: int, channels: int, grid: tuple[int, int, int], options: Mapping[str, Any] | None = None
    ) -> list[tuple[int, ...]]:
        """Shapes of the inputs, in the order that forward takes them. Options that are not given are the defaults."""
        sizes = dict(zip("BCTHW", (batch, channels, *grid), strict=True))
        sizes |= {letter: size(sizes, self.defaults | dict(options or {})) for letter, size in self.letters.items()}
        return [
            tuple(sizes[part] if part in sizes else int(part) for part in told.shape.split()) for told in self.inputs
        ]

    def example(
        self,
        batch: int,
        channels: int,
        grid: tuple[int, int, int],
        generator: Any = None,
        *,
        options: Mapping[str, Any] | None = None,
    ) -> list[Any]:
        """Random inputs on the CPU, in the order that forward takes them; imports torch."""
        import torch

        H, W = grid[1:]
        made = []
        for wanted, shape in zip(self.inputs, self.shapes(batch, channels, grid, options), strict=True):
            if wanted.values == "feature":
                made.append(torch.randn(shape, generator=generator))
            else:
                unit = torch.rand(shape, generator=generator)
                made.append(unit * torch.tensor([W - 1.0, H - 1.0]) if wanted.values == "position" else unit)
        return made
