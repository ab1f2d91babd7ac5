"""Mini motion: a camouflaged disc moves over a ground of the same texture; the label is its direction.

Harder by more directions, by clips of unlike speeds (`spread`), by a ground that drifts any way (`drift`: motion
against motion), by discs that step as far each frame, but every time another way (`others`: one step is not enough),
by flicker and noise.

All on a torus (wrap-around, uniform start), sub-pixel motion by an exact Fourier shift. Directions come in opposite
pairs, and a clip played backwards is a clip of the opposite direction with the same frames. So one frame tells nothing
(every single-frame distribution is that of every label), and a model that cannot tell the order of frames is right at
most every other time, however well it reads the axis of motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VERSION = 1
CONTRAST = 40.0  # grey levels in one standard deviation of the texture


@dataclass(frozen=True)
class Dials:
    """Difficulty. Lengths are in pixels, speeds in pixels a frame: those of a clip from speed - spread to speed."""

    directions: int = 4
    frames: int = 8
    size: int = 24
    radius: float = 6.0
    speed: float = 6.0
    spread: float = 0.0
    noise: float = 0.0
    flicker: float = 0.0
    drift: float = 0.0
    others: int = 0
    crf: int = 12

    def check(self) -> None:
        """ValueError on dials that make no benchmark."""
        for wrong, expected, got in (
            (self.directions < 2 or self.directions % 2, "an even number of directions", self.directions),
            (self.frames < 2, "at least 2 frames", self.frames),
            (self.size < 16 or self.size % 2, "an even size from 16", self.size),
            (not 0 < self.radius < self.size / 2, "a radius between 0 and half the size", self.radius),
            (not 0 <= self.crf <= 18, "crf between 0 and 18: more lets codec residue tell the direction", self.crf),
            (not 0 <= self.noise <= 5 or not 0 <= self.flicker <= 1, "noise up to 5 and flicker up to 1",
             (self.noise, self.flicker)),
            (not 0 < self.speed < self.size / 2, "a speed between 0 and half the size", self.speed),
            (not 0 <= self.spread < self.speed, "a spread from 0 to less than the speed", self.spread),
            (not 0 <= self.drift < self.size / 2, "a drift from 0 to half the size", self.drift),
            (not 0 <= self.others <= 8, "0 to 8 other discs", self.others),
        ):  # fmt: skip
            if wrong:
                raise ValueError(f"expected {expected}, got {got}", "`vidops data generate --help` tells of dials")


Track = tuple[float, ...]  # x and y in the first frame, then the angle of each step; without angles it stands still


@dataclass(frozen=True)
class Scene:
    """All that one clip is made of."""

    label: int
    start: tuple[float, float]
    seed: int
    pace: float = 0.0  # how far down from the fastest to the slowest
    ground: Track = (0.0, 0.0)
    others: tuple[Track, ...] = ()


def classes(dials: Dials, split: str) -> tuple[str, ...]:
    return tuple(f"{360 * i // dials.directions} degrees" for i in range(dials.directions))


def floors(dials: Dials) -> dict[str, float]:
    return {"chance": 1 / dials.directions, "order-blind": 1 / 2}


def draw_scene(dials: Dials, rng: np.random.Generator, label: int, split: str) -> Scene:
    start, seed, pace, steps = _place(dials, rng), int(rng.integers(2**31)), float(rng.random()), dials.frames - 1
    ground = (*_place(dials, rng), *[float(rng.uniform(0, 2 * np.pi))] * steps) if dials.drift else Scene.ground
    others = tuple((*_place(dials, rng), *rng.uniform(0, 2 * np.pi, steps).tolist()) for _ in range(dials.others))
    return Scene(label, start, seed, pace, ground, others)


def _place(dials: Dials, rng: np.random.Generator) -> tuple[float, float]:
    x, y = rng.uniform(0, dials.size, 2)
    return float(x), float(y)


def speed(scene: Scene, dials: Dials) -> float:
    """Of all discs of a clip."""
    return dials.speed - dials.spread * scene.pace


def along(path: Track, step: float, dials: Dials) -> np.ndarray:
    """(x, y) in each frame, (T, 2), on the torus."""
    angles = np.zeros(dials.frames - 1) if len(path) == 2 else np.array(path[2:])
    steps = step * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return (np.array(path[:2]) + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])) % dials.size


def positions(scene: Scene, dials: Dials) -> np.ndarray:
    """Centre (x, y) of the disc in each frame, (T, 2), on the torus."""
    angle = 2 * np.pi * scene.label / dials.directions
    velocity = speed(scene, dials) * np.array([np.cos(angle), np.sin(angle)])
    return (np.array(scene.start) + np.arange(dials.frames)[:, None] * velocity) % dials.size


def reverse(scene: Scene, dials: Dials) -> Scene:
    """The opposite label, from the last position: without noise and flicker, the same frames in reverse order."""

    def back(path: Track, step: float) -> Track:
        x, y = along(path, step, dials)[-1]
        return float(x), float(y), *(float(angle + np.pi) for angle in path[:1:-1])

    x, y = positions(scene, dials)[-1]
    label = (scene.label + dials.directions // 2) % dials.directions
    ground, others = back(scene.ground, dials.drift), tuple(back(path, speed(scene, dials)) for path in scene.others)
    return Scene(label, (float(x), float(y)), scene.seed, scene.pace, ground, others)


def texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """Spectrum of a periodic random texture, band-limited (2 to size / 4 cycles), unit variance in space."""
    f = np.fft.fftfreq(size, 1 / size)
    radius = np.hypot(f[:, None], f[None, :])
    spectrum = np.fft.fft2(rng.standard_normal((size, size))) * ((radius >= 2) & (radius <= size / 4))
    return spectrum / np.fft.ifft2(spectrum).real.std()


def moved(spectrum: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """The texture shifted to each place of a path, (T, size, size)."""
    f = np.fft.fftfreq(len(spectrum))
    phase = np.exp(-2j * np.pi * (f[None, :, None] * xy[:, 1, None, None] + f[None, None, :] * xy[:, 0, None, None]))
    return np.fft.ifft2(spectrum * phase).real


def covered(frames: np.ndarray, spectrum: np.ndarray, xy: np.ndarray, dials: Dials) -> np.ndarray:
    """The frames with a disc that carries its texture along a path; its soft edge keeps the contrast."""
    away = np.abs(np.arange(dials.size) - xy[:, :, None])  # T, axis, size
    away = np.minimum(away, dials.size - away)
    distance = np.hypot(away[:, 1, :, None], away[:, 0, None, :])
    cover = np.clip(dials.radius - distance + 0.5, 0, 1)
    return np.sqrt(1 - cover) * frames + np.sqrt(cover) * moved(spectrum, xy)


def render(scene: Scene, dials: Dials) -> np.ndarray:
    """Frames (T, size, size, 3), uint8, grey."""
    rng = np.random.default_rng(scene.seed)
    ground, disc, *others = (texture(rng, dials.size) for _ in range(2 + dials.others))
    frames = moved(ground, along(scene.ground, dials.drift, dials))
    for spectrum, path in zip(others, scene.others, strict=True):
        frames = covered(frames, spectrum, along(path, speed(scene, dials), dials), dials)
    frames = covered(frames, disc, positions(scene, dials), dials)
    if dials.flicker:
        frames = frames * rng.uniform(1 - dials.flicker, 1 + dials.flicker, (len(frames), 1, 1))
        frames = frames + rng.uniform(-dials.flicker, dials.flicker, (len(frames), 1, 1))
    if dials.noise:
        frames = frames + dials.noise * rng.standard_normal(frames.shape)
    grey = np.clip(np.rint(128 + CONTRAST * frames), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
