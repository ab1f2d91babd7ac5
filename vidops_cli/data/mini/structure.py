"""Mini structure: images of the same parts in every class; the label is how they are arranged.

A board of `places` by `places`; around its rim stand parts of four kinds, in one order again and again. The label is
that order, but for where it begins and which way it goes: the kind that stands two after "level", on the other side of
both its neighbours; one of 3. The board is rolled, around the edges of the image, by up to `shift` pixels. So in every
class the bag of parts is the same, and a kind stands at each place as often: a sum over parts of anything, their kinds
and places told, has the same mean. Patches see more than one part only where they lie across an edge between two.

With task "content", the control, the label is which two of the four kinds are there, each on half of the rim, anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

VERSION = 1
CELL = 4  # pixels of a kind's glyph
CONTRAST = 40.0  # grey levels of a part over and under the ground
TASKS = ("arrangement", "content")
_HALVES, _STRIPES = np.array([1, 1, -1, -1]), np.array([1, -1, 1, -1])
_ONES = np.ones(CELL, int)
KINDS = {  # what fills a part, again and again: orthogonal, of one brightness and contrast
    "level": np.outer(_HALVES, _ONES),
    "upright": np.outer(_ONES, _HALVES),
    "quarters": np.outer(_HALVES, _HALVES),
    "checks": np.outer(_STRIPES, _STRIPES),
}
_GLYPHS = np.stack(list(KINDS.values())).astype(np.float32)
PAIRS = tuple(combinations(range(len(KINDS)), 2))


@dataclass(frozen=True)
class Dials:
    """Difficulty. Size and shift are in pixels, places are those on a side of the board, noise in a part's contrast."""

    task: str = "arrangement"
    size: int = 24
    places: int = 2
    shift: int = 2
    noise: float = 0.5

    def check(self) -> None:
        """ValueError on dials that make no benchmark."""
        for wrong, expected, got in (
            (self.task not in TASKS, f"a task of {' and '.join(TASKS)}", self.task),
            (self.places < 2, "two places or more on a side", self.places),
            (self.size < 1 or self.size % (CELL * max(self.places, 1)), f"a size in steps of {CELL} pixels a place",
             self.size),
            (not 0 <= 2 * self.shift <= self.size, "a shift of half the size at most", self.shift),
            (not 0 <= self.noise <= 3, "noise up to 3", self.noise),
        ):  # fmt: skip
            if wrong:
                raise ValueError(f"expected {expected}, got {got}", "`vidops data generate --help` tells of dials")


@dataclass(frozen=True)
class Scene:
    """All that one image is made of: kinds along the rim, pixels rolled down and right, the seed of the noise."""

    label: int
    kinds: tuple[int, ...]
    shift: tuple[int, int]
    seed: int


def classes(dials: Dials, split: str) -> tuple[str, ...]:
    """The kind two after "level", or the two kinds that are there."""
    names = tuple(KINDS)
    return names[1:] if dials.task == "arrangement" else tuple(f"{names[one]}-{names[other]}" for one, other in PAIRS)


def floors(dials: Dials) -> dict[str, float]:
    """Scores that need no understanding. Where content decides, parts are all there is to see."""
    return {"chance": 1 / 3, "bag of parts": 1 / 3} if dials.task == "arrangement" else {"chance": 1 / 6}


def rim(places: int) -> list[tuple[int, int]]:
    """Row and column of the places along the rim, clockwise from the first: four for each place on a side but one."""
    last = places - 1
    there, back = range(last), range(last, 0, -1)
    return [(0, i) for i in there] + [(i, last) for i in there] + [(last, i) for i in back] + [(i, 0) for i in back]


def draw_scene(dials: Dials, rng: np.random.Generator, label: int, split: str) -> Scene:
    """Shift and seed are drawn before the label is looked at."""
    down, right = (int(step) for step in rng.integers(-dials.shift, dials.shift + 1, 2))
    seed = int(rng.integers(2**31))
    if dials.task == "arrangement":
        two_after = label + 1
        before, after = rng.permutation([kind for kind in range(1, len(KINDS)) if kind != two_after])
        kinds = np.roll([0, after, two_after, before] * (dials.places - 1), rng.integers(len(KINDS)))
    else:
        kinds = rng.permutation(PAIRS[label] * 2 * (dials.places - 1))
    return Scene(label, tuple(int(kind) for kind in kinds), (down, right), seed)


def render(scene: Scene, dials: Dials) -> np.ndarray:
    """One frame (1, size, size, 3), uint8, grey."""
    glyphs, cells = dials.size // CELL, dials.size // dials.places // CELL
    board = np.zeros((glyphs, CELL, glyphs, CELL), np.float32)
    for kind, (row, column) in zip(scene.kinds, rim(dials.places), strict=True):
        rows, columns = (slice(start * cells, (start + 1) * cells) for start in (row, column))
        board[rows, :, columns] = _GLYPHS[kind][:, None]
    frame = np.roll(board.reshape(dials.size, dials.size), scene.shift, (0, 1))
    noise = np.random.default_rng(scene.seed).standard_normal(frame.shape, np.float32)
    grey = np.clip(np.rint(128 + CONTRAST * (frame + dials.noise * noise)), 0, 255).astype(np.uint8)
    return np.repeat(grey[None, ..., None], 3, axis=-1)
