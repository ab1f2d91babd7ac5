"""Suites: YAML files that list layers to profile, each an operator at a size. Knows no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from .checking import Known, explain, find_card, nearest, option_problems, section, where
from .problems import Problem, RecipeError
from .reading import Lines, Place, read_file
from .schema import Count, Name, Section

EXAMPLE = "recipes/profile/layers.yaml"
PUBLISHED = "textbook"  # the baseline that is the operator itself, as it was published


Processes = Annotated[int, Field(ge=0)]


class Released(Section):
    fwd_ms: Annotated[float, Field(gt=0)] | None = None
    """forward"""
    fwdbwd_ms: Annotated[float, Field(gt=0)] | None = None
    """forward + backward"""


class Layer(Section):
    name: Annotated[str, Field(min_length=1)]
    """what the table calls it"""
    op: str
    """an operator of `vidops list ops`"""
    channels: Count
    """of its input"""
    grid: Annotated[list[Count], Field(min_length=3, max_length=3)]
    """of its input: T, H, W"""
    options: dict[str, Any] = Field(default_factory=dict)
    """of the operator: see `vidops show OPERATOR`"""
    batch: Count = 1
    """clips, or images, at a time"""
    inputs: dict[str, str] = Field(default_factory=dict)
    """shape of an input where it is not the card's, as in support: 25 C T H W"""
    call: dict[str, Count] = Field(default_factory=dict)
    """keywords of the operator's forward, as in shots: 5"""
    baseline: str | None = None
    """what it is timed in turns with: textbook, or an operator"""
    released: Released = Released()
    """CPU milliseconds, at one thread, of the code released with the paper, measured elsewhere"""
    processes: Processes | None = None
    """of its own that time it, in place of the suite's"""
    sweep: Literal["seq", "frames", "size", "channels", "batch"] | None = None
    """the layers of an operator that say it are one series along this axis"""
    paper: str = ""
    """arXiv id, in quotes"""
    source: str = ""
    """where it is told that the layer stands there"""


class Growth(Section):
    claim: Name
    """what the paper says, in a sentence"""
    op: str
    """whose layers are a series"""
    what: Literal["fwd_ms", "fwdbwd_ms", "peak_fwd_bytes", "peak_fwdbwd_bytes"]
    """that grows with the sweep"""
    below: Annotated[float, Field(gt=0)] | None = None
    """its exponent is held to be less than that"""
    than: str | None = None
    """or less than the exponent of that operator, of the layers or their baseline"""


class Suite(Section):
    title: str = ""
    """heading of the table"""
    baseline: str | None = None
    """of all layers that say none"""
    processes: Processes = 0
    """each layer's own that time it, one after another; 0: one for all"""
    layers: Annotated[list[Layer], Field(min_length=1)]
    claims: list[Growth] = Field(default_factory=list)
    """on the exponents of its series"""


def is_suite(path: Path) -> bool:
    """Whether a file lists layers; RecipeError if it cannot be read."""
    return "layers" in read_file(path)[0]


def load_suite(path: Path, known: Known) -> Suite:
    """Read and check a suite. RecipeError with all problems, each with its line and a hint."""
    value, lines = read_file(path, "suite", EXAMPLE)
    problems: list[Problem] = []
    suite = None
    try:
        suite = Suite.model_validate(value)
    except ValidationError as error:
        problems += explain(error, lines, Suite)
    problems += _baseline(value.get("baseline"), ("baseline",), lines, known)
    problems += _layers(value.get("layers"), lines, known)
    problems += _claims(suite, lines) if suite else []
    if problems:
        raise RecipeError(problems)
    assert suite is not None
    return suite


def _layers(listed: Any, lines: Lines, known: Known) -> Iterator[Problem]:
    seen: set[str] = set()
    for i, item in enumerate(listed if isinstance(listed, list) else []):
        layer = section(Layer, item)
        if layer is None:
            continue
        if layer.name in seen:
            line = where(("layers", i, "name"), lines)
            yield Problem(line, f"two layers are named {layer.name!r}", "give each a name of its own")
        seen.add(layer.name)
        yield from _layer(layer, i, lines, known)


def _layer(layer: Layer, index: int, lines: Lines, known: Known) -> Iterator[Problem]:
    path = ("layers", index)
    yield from _baseline(layer.baseline, (*path, "baseline"), lines, known)
    card = find_card(layer.op, path, lines, known)
    if isinstance(card, Problem):
        yield card
        return
    yield from option_problems(layer.op, card, layer.options, path, lines)
    yield from _inputs(layer, card, path, lines)
    line, frames = where((*path, "grid"), lines), layer.grid[0]
    if frames < card.min_frames:
        yield Problem(line, f"{layer.op} needs at least {card.min_frames} frames, got T = {frames}", "grid: [T, H, W]")
    if card.max_frames and frames > card.max_frames:
        yield Problem(line, f"{layer.op} takes at most {card.max_frames} frames, got T = {frames}", "grid: [T, H, W]")
    fixed = list(card.layer[2:])
    if not any("H" in told.shape for told in card.inputs) and layer.grid[1:] != fixed:
        told = f"{layer.op} takes no map, so that no size of one can be given, got {layer.grid[1:]}"
        yield Problem(line, told, f"grid: {[frames, *fixed]}")


def _claims(suite: Suite, lines: Lines) -> Iterator[Problem]:
    series = {name for layer in suite.layers if layer.sweep for name in (layer.op, layer.baseline or suite.baseline)}
    for i, claim in enumerate(suite.claims):
        for key, name in (("op", claim.op), ("than", claim.than)):
            if name is not None and name not in series:
                hint = nearest(name, sorted(filter(None, series)), "layers with sweep: are of")
                yield Problem(where(("claims", i, key), lines), f"no series of {name!r}", hint)
        if (claim.below is None) == (claim.than is None):
            line = where(("claims", i), lines)
            yield Problem(line, "an exponent is held against a number or an operator", "give one of below: and than:")


def _baseline(name: Any, path: Place, lines: Lines, known: Known) -> Iterator[Problem]:
    if isinstance(name, str) and name not in (PUBLISHED, *known.ops):
        hint = nearest(name, [PUBLISHED, *known.ops], "baselines")
        yield Problem(where(path, lines), f"unknown baseline {name!r}", hint)


def _inputs(layer: Layer, card: Any, path: Place, lines: Lines) -> Iterator[Problem]:
    shapes = {told.name: told.shape for told in card.inputs}
    for name, shape in layer.inputs.items():
        line = where((*path, "inputs", name), lines)
        if name not in shapes:
            yield Problem(line, f"{layer.op} takes no input {name!r}", nearest(name, shapes, f"inputs of {layer.op}"))
            continue
        parts, letters = shape.split(), ("B", "C", "T", "H", "W", *card.letters)
        sound = all(part in letters or re.fullmatch(r"[1-9]\d*", part) for part in parts)
        if not sound or len(parts) != len(shapes[name].split()):
            told = f"{layer.op}.{name}: expected a shape like {shapes[name]!r}, got {shape!r}"
            yield Problem(line, told, f"numbers, or letters of {' '.join(letters)}")
