"""What is to be profiled: operators on shapes, one by one, along a sweep, or from a suite of layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vidops_cli.ops import Card

Grid = tuple[int, int, int]


@dataclass(frozen=True)
class Shape:
    """Input of an operator: (batch, channels, T, H, W)."""

    batch: int
    channels: int
    grid: Grid

    def along(self, axis: str) -> int:
        """Its size along an axis of a sweep: seq, frames, size (height), channels or batch."""
        T, H, W = self.grid
        return {"seq": T * H * W, "frames": T, "size": H, "channels": self.channels, "batch": self.batch}[axis]

    def __str__(self) -> str:
        return f"{self.batch}x{self.channels}x" + "x".join(map(str, self.grid))


@dataclass(frozen=True)
class Case:
    """One operator on one shape; `axis` and `at` tell its place in a sweep, `layer` the line of a suite.

    `baseline`: an operator, or textbook or eager, timed in turns with it. `inputs`: shapes by the name of an input,
    where they are not the card's, in its letters. `call`: keywords of forward. `released`: milliseconds of the released
    code (fwd_ms, fwdbwd_ms), which the row only repeats. `processes` of its own time it, one after another; 0: the one
    that asks.
    """

    card: Card
    shape: Shape
    options: dict[str, Any] = field(default_factory=dict)
    axis: str | None = None
    at: int | None = None
    layer: str | None = None
    baseline: str | None = None
    reference: bool = False  # measured for the sake of the others: what is swept may not concern it
    inputs: dict[str, str] = field(default_factory=dict)
    call: dict[str, Any] = field(default_factory=dict)
    released: dict[str, float | None] = field(default_factory=dict)
    processes: int = 0

    def __str__(self) -> str:
        return f"{self.layer or self.card.name} on {self.shape}"

    def example(self) -> list[Any]:
        """Random inputs on the CPU, in the order that forward takes them; imports torch."""
        told = tuple(replace(one, shape=self.inputs.get(one.name, one.shape)) for one in self.card.inputs)
        card, shape = replace(self.card, inputs=told), self.shape
        return card.example(shape.batch, shape.channels, shape.grid, options=self.options)


def sweep(cases: Sequence[Case], axis: str, values: Sequence[int]) -> Iterator[Case]:
    """Every case at every value of an axis: seq, frames, size (H = W), channels, batch, or an option of the operator.

    ValueError if an operator has no such option, or no grid fits a sequence.
    """
    for value in values:
        for case in cases:
            yield replace(_moved(case, axis, value), axis=axis, at=value, released={})  # of another size


def _moved(case: Case, axis: str, value: int) -> Case:
    T, H, W = case.shape.grid
    grids = {"frames": (value, H, W), "size": (T, value, value)}
    if axis == "seq":
        return replace(case, shape=replace(case.shape, grid=grid_of(value)))
    if axis in grids:
        return replace(case, shape=replace(case.shape, grid=grids[axis]))
    if axis in ("channels", "batch"):
        return replace(case, shape=replace(case.shape, **{axis: value}))
    if case.reference and axis not in case.card.options:
        return case
    option = find_option(case.card, axis)
    given: Any = value
    if option.type.startswith("ints"):  # one number is height and width
        if option.length != 3:
            raise ValueError(f"{case.card.name}: {axis} is a list that one number does not make", "sweep another axis")
        given = ((option.default or (1,))[0], value, value)
    if problem := option.problem(given):
        raise ValueError(f"{case.card.name}: {axis}={value}: {problem}", f"see `vidops show {case.card.name}`")
    return replace(case, options={**case.options, axis: given})


def find_option(card: Card, name: str) -> Any:
    """An operator's option; ValueError with those that it has."""
    if name not in card.options:
        known = ", ".join(card.options) or "none"
        raise ValueError(f"{card.name} has no option {name!r}", f"its options: {known}")
    return card.options[name]


def grid_of(sequence: int) -> Grid:
    """The most square 1 x H x W grid of `sequence` positions with H <= W <= 2H; ValueError with the nearest if none."""
    if sequence < 1:
        raise ValueError(f"a sequence has at least 1 position, got {sequence}", "as in --seq 4096")

    def split(n: int) -> tuple[int, int] | None:
        height = int(n**0.5)
        while height and n % height:
            height -= 1
        return (height, n // height) if height and n // height <= 2 * height else None

    found = split(sequence)
    if found:
        return (1, *found)
    below = next((n for n in range(sequence - 1, 0, -1) if split(n)), None)
    above = next(n for n in range(sequence + 1, 3 * sequence + 3) if split(n))
    near = " and ".join(str(n) for n in (below, above) if n)
    raise ValueError(
        f"{sequence} positions make no grid with H <= W <= 2H", f"the nearest that do: {near}; or give --grid TxHxW"
    )
