"""What is known of an operator without importing it."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass, field


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

    def problem(self, value: object) -> str | None:
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
        for number in value if kind == "ints" else [value]:
            if self.least is not None and number < self.least:
                return f"expected at least {self.least}, got {value!r}"
            if self.above is not None and number <= self.above:
                return f"expected more than {self.above}, got {value!r}"
            if self.odd and number % 2 == 0:
                return f"expected odd, got {value!r}"
        if kind == "ints" and len(value) != 3:
            return f"expected (time, height, width), got {value!r}"
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
class Card:
    """One operator of the zoo. `layer` is the paper's typical layer: (channels, T, H, W)."""

    name: str
    cls: str
    title: str
    paper: str
    venue: str
    arxiv: str
    slot: str  # block_input | conv2 | after_stage | mixer
    equation: str
    layer: tuple[int, int, int, int]
    options: dict[str, Option] = field(default_factory=dict)
    deviations: str = "none"
    status: str = ""
    min_frames: int = 1

    def load(self) -> type:
        """The nn.Module class; imports torch."""
        return getattr(importlib.import_module(f"vidops_cli.ops.{self.name}"), self.cls)

    @property
    def defaults(self) -> dict[str, object]:
        return {name: option.default for name, option in self.options.items()}
