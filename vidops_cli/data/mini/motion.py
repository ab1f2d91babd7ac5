"""Mini motion: a camouflaged disc moves over a ground of the same texture; the label is its direction.

All on a torus (wrap-around, uniform start), sub-pixel motion by an exact Fourier shift. Directions come in opposite
pairs, and a clip played backwards is a clip of the opposite direction with the same frames. So one frame tells nothing
(every single-frame distribution is that of every label), and a model that cannot tell the order of frames is right at
most every other time, however well it reads the axis of motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CONTRAST = 40.0  # grey levels in one standard deviation of the texture


@dataclass(frozen=True)
class Dials:
    """Difficulty. Lengths are in pixels, speeds in pixels a frame."""

    directions: int = 4
    frames: int = 8
    size: int = 24
    radius: float = 6.0
    speed: float = 6.0
    noise: float = 0.0
    flicker: float = 0.0
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
        ):  # fmt: skip
            if wrong:
                raise ValueError(f"expected {expected}, got {got}", "`vidops data generate --help` tells of dials")


@dataclass(frozen=True)
class Scene:
    """All that one clip is made of."""

    label: int
    start: tuple[float, float]
    seed: int


def draw_scene(dials: Dials, rng: np.random.Generator, label: int) -> Scene:
    x, y = rng.uniform(0, dials.size, 2)
    return Scene(label, (float(x), float(y)), int(rng.integers(2**31)))


def positions(scene: Scene, dials: Dials) -> np.ndarray:
    """Centre (x, y) of the disc in each frame, (T, 2), on the torus."""
    angle = 2 * np.pi * scene.label / dials.directions
    velocity = dials.speed * np.array([np.cos(angle), np.sin(angle)])
    return (np.array(scene.start) + np.arange(dials.frames)[:, None] * velocity) % dials.size


def reverse(scene: Scene, dials: Dials) -> Scene:
    """The opposite label, from the last position: without noise and flicker, the same frames in reverse order."""
    x, y = positions(scene, dials)[-1]
    return Scene((scene.label + dials.directions // 2) % dials.directions, (float(x), float(y)), scene.seed)


def texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """Spectrum of a periodic random texture, band-limited (2 to size / 4 cycles), unit variance in space."""
    f = np.fft.fftfreq(size, 1 / size)
    radius = np.hypot(f[:, None], f[None, :])
    spectrum = np.fft.fft2(rng.standard_normal((size, size))) * ((radius >= 2) & (radius <= size / 4))
    return spectrum / np.fft.ifft2(spectrum).real.std()


def render(scene: Scene, dials: Dials) -> np.ndarray:
    """Frames (T, size, size, 3), uint8, grey."""
    rng = np.random.default_rng(scene.seed)
    size = dials.size
    ground, disc = np.fft.ifft2(texture(rng, size)).real, texture(rng, size)
    xy = positions(scene, dials)
    f = np.fft.fftfreq(size)
    phase = np.exp(-2j * np.pi * (f[None, :, None] * xy[:, 1, None, None] + f[None, None, :] * xy[:, 0, None, None]))
    moved = np.fft.ifft2(disc * phase).real
    grid = np.arange(size)
    away = np.abs(grid[None, None, :] - xy[:, :, None])  # T, axis, size
    away = np.minimum(away, size - away)
    distance = np.hypot(away[:, 1, :, None], away[:, 0, None, :])
    cover = np.clip(dials.radius - distance + 0.5, 0, 1)
    frames = np.sqrt(1 - cover) * ground + np.sqrt(cover) * moved
    if dials.flicker:
        frames = frames * rng.uniform(1 - dials.flicker, 1 + dials.flicker, (len(frames), 1, 1))
        frames = frames + rng.uniform(-dials.flicker, dials.flicker, (len(frames), 1, 1))
    if dials.noise:
        frames = frames + dials.noise * rng.standard_normal(frames.shape)
    grey = np.clip(np.rint(128 + CONTRAST * frames), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
