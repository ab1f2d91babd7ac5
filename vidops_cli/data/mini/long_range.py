"""Mini long range: motion that shows only between frames some way apart.

`gap` scenes take turns: frame t shows scene t mod gap, so that neighbouring frames have nothing in common, and each
scene is seen again `gap` frames later, with an object of the same texture as its ground moved on by `speed`. All
objects of a clip move in the same direction, the label. On a torus, by an exact Fourier shift, as mini motion.

Any `gap` consecutive frames show as many scenes once each, and each looks the same under every label: no frame, and no
window shorter than gap + 1 frames, tells anything. A clip played backwards is a clip of the opposite label.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .motion import CONTRAST, texture

VERSION = 1


@dataclass(frozen=True)
class Dials:
    """Difficulty. Lengths are in pixels; `speed` is how far an object moves from one view to the next."""

    directions: int = 8
    frames: int = 6
    size: int = 24
    gap: int = 3
    radius: float = 24.0
    speed: float = 5.0
    occlusion: float = 0.0
    noise: float = 0.8
    crf: int = 12

    def check(self) -> None:
        """ValueError on dials that make no benchmark."""
        for wrong, expected, got in (
            (self.directions < 2 or self.directions % 2, "an even number of directions", self.directions),
            (self.size < 16 or self.size % 2, "an even size from 16", self.size),
            (not 1 <= self.gap < self.frames, "a gap from 1 that is less than the frames", (self.gap, self.frames)),
            (not 0 < self.radius <= self.size, "a radius above 0, up to the size: then all moves", self.radius),
            (not 0 < self.speed < self.size / 2, "a speed between 0 and half the size", self.speed),
            (not 0 <= self.occlusion <= 0.7, "occlusion from 0 to 0.7 of a frame", self.occlusion),
            (not 0 <= self.noise <= 5, "noise from 0 to 5", self.noise),
            (not 0 <= self.crf <= 18, "crf between 0 and 18: more lets codec residue tell the direction", self.crf),
        ):
            if wrong:
                raise ValueError(f"expected {expected}, got {got}", "`vidops data generate --help` tells of dials")


@dataclass(frozen=True)
class Scene:
    """All that one clip is made of; `starts` are where the objects of the interleaved scenes are first seen."""

    label: int
    starts: tuple[tuple[float, float], ...]
    textures: tuple[int, ...]
    seed: int


def classes(dials: Dials, split: str) -> tuple[str, ...]:
    return tuple(f"{360 * i // dials.directions} degrees" for i in range(dials.directions))


def floors(dials: Dials) -> dict[str, float]:
    return {"chance": 1 / dials.directions, "order-blind": 1 / 2}


def draw_scene(dials: Dials, rng: np.random.Generator, label: int, split: str) -> Scene:
    starts = rng.uniform(0, dials.size, (dials.gap, 2)).tolist()
    textures = rng.integers(2**31, size=dials.gap).tolist()
    return Scene(label, tuple(map(tuple, starts)), tuple(textures), int(rng.integers(2**31)))


def positions(scene: Scene, dials: Dials) -> np.ndarray:
    """Centre (x, y) of the object in each frame, (T, 2), on the torus."""
    angle = 2 * np.pi * scene.label / dials.directions
    velocity = dials.speed * np.array([np.cos(angle), np.sin(angle)])
    views, shown = np.divmod(np.arange(dials.frames), dials.gap)
    return (np.array(scene.starts)[shown] + views[:, None] * velocity) % dials.size


def relabelled(scene: Scene, dials: Dials, label: int, first: int) -> Scene:
    """A scene of another label that shows the same in the frames from `first` to `first + gap - 1`."""
    there = positions(replace(scene, label=label), dials) - positions(scene, dials)
    seen = np.arange(first, min(first + dials.gap, dials.frames))
    starts = np.array(scene.starts)
    starts[seen % dials.gap] -= there[seen]
    return replace(scene, label=label, starts=tuple(map(tuple, (starts % dials.size).tolist())))


def reverse(scene: Scene, dials: Dials) -> Scene:
    """The opposite label, from the last views: without noise and occlusion, the same frames in reverse order."""
    last = dials.frames - 1 - np.arange(dials.gap)
    return Scene(
        (scene.label + dials.directions // 2) % dials.directions,
        tuple(map(tuple, positions(scene, dials)[last].tolist())),
        tuple(scene.textures[t % dials.gap] for t in last),
        scene.seed,
    )


def covered(xy: np.ndarray, radius: float, size: int) -> np.ndarray:
    """How much of each pixel a disc around (x, y) covers, on the torus: (T, 2) -> (T, size, size)."""
    away = np.abs(np.arange(size) - xy[:, :, None])
    x, y = np.minimum(away, size - away).swapaxes(0, 1)
    return np.clip(radius - np.hypot(y[:, :, None], x[:, None, :]) + 0.5, 0, 1)


def render(scene: Scene, dials: Dials) -> np.ndarray:
    """Frames (T, size, size, 3), uint8, grey."""
    size, xy = dials.size, positions(scene, dials)
    shown = np.arange(dials.frames) % dials.gap
    drawn = [np.random.default_rng(number) for number in scene.textures]
    ground = np.fft.ifft2(np.stack([texture(rng, size) for rng in drawn])).real[shown]
    x, y = xy.T[..., None] * np.fft.fftfreq(size)
    turned = np.exp(-2j * np.pi * y)[:, :, None] * np.exp(-2j * np.pi * x)[:, None, :]
    moved = np.fft.ifft2(np.stack([texture(rng, size) for rng in drawn])[shown] * turned).real
    frames = blended(ground, moved, covered(xy, dials.radius, size))
    rng = np.random.default_rng(scene.seed)
    if dials.occlusion:  # a disc over each frame, of a texture and a place of its own
        before = np.fft.ifft2(np.stack([texture(rng, size) for _ in shown])).real
        places = rng.uniform(0, size, (dials.frames, 2))
        frames = blended(frames, before, covered(places, size * (dials.occlusion / np.pi) ** 0.5, size))
    if dials.noise:
        frames = frames + dials.noise * rng.standard_normal(frames.shape)
    grey = np.clip(np.rint(128 + CONTRAST * frames), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def blended(below: np.ndarray, above: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Of the same variance everywhere, so that an edge shows nothing of an object."""
    return np.sqrt(1 - cover) * below + np.sqrt(cover) * above
