"""Mini few-shot: glyphs of six strokes in a clutter of strokes; the classes of train, val and test are disjoint.

A glyph joins points of a 3 x 3 lattice by four straight and two slanting strokes. All classes are made of the same
twenty strokes, so that what is learnt of strokes on the classes of train serves the new ones of val and test. A glyph
stands anywhere in its image, turned, scaled and bent a little, among fragments of two such strokes that are as much ink
as itself: what is averaged over the image is of object and clutter alike. Every class has the same ink and every image
the same mean, and nothing but the glyph hangs on the label.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

VERSION = 1
COUNTS = {"train": 64, "val": 32, "test": 64}  # classes
SEED = 2108  # of the classes
STRAIGHT, SLANTING = 4, 2  # strokes of a glyph
WAYS = 5  # of the episodes that floors speak of
INK = 45.0  # grey levels of a stroke at contrast 1
WIDTH = 1.8  # of a stroke, pixels


def _strokes(*steps: tuple[int, int]) -> list[tuple[int, int]]:
    """Pairs of points of the lattice (3 y + x) that such steps (dx, dy) join."""
    inside = [(x, y, x + dx, y + dy) for dx, dy in steps for y in range(3) for x in range(3)]
    return [(3 * y + x, 3 * v + u) for x, y, u, v in inside if 0 <= u < 3 and 0 <= v < 3]


STROKES = [*_strokes((1, 0), (0, 1)), *_strokes((1, 1), (-1, 1))]  # 12 straight, then 8 slanting
FRAGMENTS = np.array([a + b for a, b in combinations(STROKES, 2) if {*a} & {*b}])  # two strokes that meet
POINTS = np.array([(x / 2 - 0.5, y / 2 - 0.5) for y in range(3) for x in range(3)])


@dataclass(frozen=True)
class Dials:
    """Difficulty. Lengths are in pixels."""

    size: int = 32
    glyph: float = 12.0
    clutter: int = 3
    turn: float = 10.0
    scale: float = 0.1
    bend: float = 0.4
    contrast: float = 0.3
    noise: float = 0.1

    def check(self) -> None:
        """ValueError on dials that make no benchmark."""
        for wrong, expected, got in (
            (not self.glyph >= 6, "a glyph of 6 pixels or more", self.glyph),
            (not 0 <= self.turn <= 45, "a turn from 0 to 45 degrees", self.turn),
            (not 0 <= self.scale < 1 or not 0 <= self.contrast < 1, "scale and contrast from 0 to below 1",
             (self.scale, self.contrast)),
            (self.clutter < 0 or self.bend < 0 or self.noise < 0, "clutter, bend and noise from 0",
             (self.clutter, self.bend, self.noise)),
            (self.size < 2 * _reach(self), f"a size from {2 * _reach(self):.0f}, for the glyph to fit", self.size),
        ):  # fmt: skip
            if wrong:
                raise ValueError(f"expected {expected}, got {got}", "`vidops show mini_few_shot` tells of dials")


@dataclass(frozen=True)
class Scene:
    """All that one image is made of: the glyph (a bit for each stroke), how it stands, and the rest by its seed."""

    label: int
    glyph: int
    x: float
    y: float
    turn: float
    scale: float
    contrast: float
    seed: int


def _reach(dials: Dials) -> float:
    """From the centre of the largest glyph to its furthest edge, at its furthest turn."""
    turn = np.radians(dials.turn)
    return dials.glyph / 2 * (1 + dials.scale) * (np.cos(turn) + np.sin(turn)) + WIDTH


def _joined(strokes: tuple[int, ...]) -> bool:
    """Whether the strokes hang together, reach all sides of the lattice, and do not cross."""
    parts = [{*STROKES[stroke]} for stroke in strokes]
    for _ in strokes:
        for part in parts[1:]:
            if parts[0] & part:
                parts[0] |= part
    points = set().union(*parts)
    columns, rows = {point % 3 for point in points}, {point // 3 for point in points}
    middles = [sum(STROKES[stroke]) for stroke in strokes if stroke >= 12]  # that of a cell is of both its diagonals
    return parts[0] == points and columns == rows == {0, 1, 2} and len(set(middles)) == len(middles)


@lru_cache
def glyphs() -> dict[str, tuple[int, ...]]:
    """Split -> the glyph of each class: drawn from all there are, any two differ in two strokes of six or more."""
    every = [
        straight + slanting
        for straight in combinations(range(12), STRAIGHT)
        for slanting in combinations(range(12, 20), SLANTING)
    ]
    chosen: list[tuple[int, ...]] = []
    for i in np.random.default_rng(SEED).permutation(len(every)):
        if _joined(every[i]) and all(len({*every[i]} & {*other}) <= 4 for other in chosen):
            chosen.append(every[i])
        if len(chosen) == sum(COUNTS.values()):
            break
    bits = iter([sum(1 << stroke for stroke in glyph) for glyph in chosen])
    return {split: tuple(next(bits) for _ in range(count)) for split, count in COUNTS.items()}


def classes(dials: Dials, split: str) -> tuple[str, ...]:
    return tuple(f"glyph {glyph:05x}" for glyph in glyphs()[split])


def floors(dials: Dials) -> dict[str, float]:
    return {"chance": 1 / WAYS}


def draw_scene(dials: Dials, rng: np.random.Generator, label: int, split: str) -> Scene:
    reach = _reach(dials)
    x, y = rng.uniform(reach, dials.size - reach, 2)
    turn = rng.uniform(-dials.turn, dials.turn)
    scale, contrast = 1 + rng.uniform(-1, 1, 2) * (dials.scale, dials.contrast)
    plain = (float(number) for number in (x, y, turn, scale, contrast))
    return Scene(label, glyphs()[split][label], *plain, int(rng.integers(2**31)))


def ink(ends: np.ndarray, size: int) -> np.ndarray:
    """Strokes (N, 2, 2), from (x, y) to (x, y), drawn each by itself: (N, size, size) from 0 to 1."""
    grid = np.arange(size, dtype=np.float32)
    x, y = (grid - ends[:, 0, axis, None].astype(np.float32) for axis in (0, 1))  # of each column, of each row
    u, v = (ends[:, 1] - ends[:, 0]).astype(np.float32).T[:, :, None]
    square = u**2 + v**2
    share = (x * u / square)[:, None, :] + (y * v / square)[:, :, None]
    np.clip(share, 0, 1, out=share)  # of the way along the stroke: the point that is nearest
    distance = np.hypot(x[:, None, :] - share * u[..., None], y[:, :, None] - share * v[..., None])
    return np.clip(WIDTH / 2 + 0.5 - distance, 0, 1)


def _placed(points: np.ndarray, centre: np.ndarray, degrees: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Points (..., P, 2) of the unit lattice, turned, scaled and moved."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = np.stack([points[..., 0] * cos - points[..., 1] * sin, points[..., 0] * sin + points[..., 1] * cos], -1)
    return centre + length[..., None] * turned


def _fragments(rng: np.random.Generator, dials: Dials) -> np.ndarray:
    """Ends (2 clutter, 2, 2) of pairs of strokes with a point in common, anywhere in the image."""
    points = POINTS[FRAGMENTS[rng.integers(len(FRAGMENTS), size=dials.clutter)]]
    points = points - points.mean(1, keepdims=True)
    centre = rng.uniform(0, dials.size, (dials.clutter, 1, 2))
    degrees = rng.uniform(-dials.turn, dials.turn, (dials.clutter, 1))
    length = dials.glyph * (1 + rng.uniform(-dials.scale, dials.scale, (dials.clutter, 1)))
    return _placed(points, centre, degrees, length).reshape(-1, 2, 2)


def render(scene: Scene, dials: Dials) -> np.ndarray:
    """One image (1, size, size, 3), uint8, grey."""
    rng = np.random.default_rng(scene.seed)
    bent = POINTS + rng.normal(0, dials.bend / dials.glyph, POINTS.shape)
    placed = _placed(bent, np.array([scene.x, scene.y]), np.array(scene.turn), np.array(dials.glyph * scene.scale))
    own = placed[np.array([ends for i, ends in enumerate(STROKES) if scene.glyph >> i & 1])]
    drawn = ink(np.concatenate([own, _fragments(rng, dials)]), dials.size)
    glyph = drawn[: len(own)].max(0)
    glyph *= _even(dials, scene.scale) / glyph.sum()
    picture = scene.contrast * (glyph + drawn[len(own) :].sum(0)) + dials.noise * rng.standard_normal(glyph.shape)
    grey = np.clip(np.rint(128 + INK * (picture - picture.mean())), 0, 255).astype(np.uint8)
    return np.repeat(grey[None, ..., None], 3, axis=-1)


def _even(dials: Dials, scale: float) -> float:
    """Ink of a glyph, whatever its class: the area of its strokes."""
    return WIDTH * dials.glyph / 2 * scale * (STRAIGHT + SLANTING * 2**0.5)
