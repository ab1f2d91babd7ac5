"""Mini dots: limited-life random dots, of which a share moves in one direction; the label is that direction.

No dot tells the label: each lives for a few frames, then another starts elsewhere, and most may go any way. What is
asked is to match neighbouring frames and to sum up weak evidence over all of a clip (Newsome and Pare, A selective
impairment of motion perception following lesions of MT, J. Neurosci. 1988).

All on a torus with uniform starts, so one frame is the same random field whatever the label. A clip of a label is, in
one of two draws, a clip of the opposite label played backwards: the frames in any order tell the axis at most.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

VERSION = 1
CONTRAST = 100.0  # grey levels at the middle of a dot


@dataclass(frozen=True)
class Dials:
    """Difficulty. Pixels, frames, pixels a frame; the speed of a clip is from speed - spread to speed."""

    directions: int = 4
    frames: int = 8
    size: int = 24
    dots: int = 24
    radius: float = 1.0
    speed: float = 2.0
    spread: float = 0.0
    life: int = 3
    coherence: float = 0.5
    noise: float = 0.0
    crf: int = 12

    def check(self) -> None:
        """ValueError on dials that make no benchmark."""
        for wrong, expected, got in (
            (self.directions < 2 or self.directions % 2, "an even number of directions", self.directions),
            (self.frames < 2, "at least 2 frames", self.frames),
            (self.size < 16 or self.size % 2, "an even size from 16", self.size),
            (self.dots < 1, "at least one dot", self.dots),
            (not 0.5 <= self.radius < self.size / 8, "a radius from 0.5 to an eighth of the size", self.radius),
            (not 0 < self.speed < self.size / 2, "a speed between 0 and half the size", self.speed),
            (not 0 <= self.spread < self.speed, "a spread from 0 to less than the speed", self.spread),
            (not 2 <= self.life <= self.frames, "a life of 2 frames to all", self.life),
            (not 0 < self.coherence <= 1, "a coherence above 0, up to 1", self.coherence),
            (not 0 <= self.noise <= 5, "noise up to 5", self.noise),
            (not 0 <= self.crf <= 18, "crf between 0 and 18: more lets codec residue tell the direction", self.crf),
        ):  # fmt: skip
            if wrong:
                raise ValueError(f"expected {expected}, got {got}", "`vidops data generate --help` tells of dials")


def classes(dials: Dials, split: str) -> tuple[str, ...]:
    return tuple(f"{360 * i // dials.directions} degrees" for i in range(dials.directions))


def floors(dials: Dials) -> dict[str, float]:
    return {"chance": 1 / dials.directions, "order-blind": 1 / 2}


@dataclass(frozen=True)
class Scene:
    """All that one clip is made of. `backward`: dots of the opposite direction, last frame first."""

    label: int
    backward: bool
    seed: int
    pace: float = 0.0  # how far down from the fastest to the slowest


def draw_scene(dials: Dials, rng: np.random.Generator, label: int, split: str) -> Scene:
    return Scene(label, bool(rng.integers(2)), int(rng.integers(2**31)), float(rng.random()))


def reverse(scene: Scene, dials: Dials) -> Scene:
    """The opposite label: without noise, the same frames in reverse order."""
    return replace(scene, label=(scene.label + dials.directions // 2) % dials.directions, backward=not scene.backward)


def positions(scene: Scene, dials: Dials) -> tuple[np.ndarray, np.ndarray]:
    """Centre (x, y) of each dot in each frame, (T, N, 2), on the torus; and its sign, (T, N): white 1, black -1."""
    rng = np.random.default_rng(scene.seed)
    label = reverse(scene, dials).label if scene.backward else scene.label
    time = rng.integers(dials.life, size=dials.dots) + np.arange(dials.frames)[:, None]  # since the first birth
    life, age = divmod(time, dials.life)
    lives = (dials.frames + dials.life - 2) // dials.life + 1, dials.dots
    start, away = rng.uniform(0, dials.size, (*lives, 2)), rng.uniform(0, 2 * np.pi, lives)
    angle = np.where(rng.random(lives) < dials.coherence, 2 * np.pi * label / dials.directions, away)
    velocity = (dials.speed - dials.spread * scene.pace) * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    sign = 2 * rng.integers(2, size=lives) - 1
    dot = np.arange(dials.dots)
    xy = (start[life, dot] + age[..., None] * velocity[life, dot]) % dials.size
    order = slice(None, None, -1 if scene.backward else 1)
    return xy[order], sign[life, dot][order]


def render(scene: Scene, dials: Dials) -> np.ndarray:
    """Frames (T, size, size, 3), uint8, grey."""
    xy, sign = positions(scene, dials)
    away = np.abs(np.arange(dials.size) - xy[..., None])  # T, N, axis, size
    away = np.minimum(away, dials.size - away)
    profile = np.exp(-0.5 * (away / dials.radius) ** 2)
    frames = np.einsum("tny,tnx->tyx", sign[..., None] * profile[:, :, 1], profile[:, :, 0], optimize=True)
    if dials.noise:
        frames = frames + dials.noise * np.random.default_rng([scene.seed, 1]).standard_normal(frames.shape)
    grey = np.clip(np.rint(128 + CONTRAST * frames), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
