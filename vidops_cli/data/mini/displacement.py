"""Mini displacement: look-alike discs jump far between frames; the label is how the mark of each changes on its way.

A disc is known by its hue, which it keeps, and bears a mark, the direction of its stripes, of which there are as many
as discs. From frame to frame each disc jumps anywhere, as far as all in its clip, and its mark moves on by `label`
steps. Each frame shows every mark once, so that only who bears which tells the label: a solver finds the disc of a hue
again and compares its two marks. No disc comes nearer than a jump to any place where one stood in the frame before, so
an aligned place, or a window smaller than the jump, shows ground alone.

Jumps of all lengths from `near` to `far` pixels are in train, val and test alike; those of test_far are in the farther
half. All on a torus, places uniform. Backwards, a clip of label s is one of label -s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VERSION = 1
SPLITS = ("test_far",)
CONTRAST = 40.0  # grey levels in one standard deviation of ground and noise, and in the amplitude of stripes
COLOUR = 64.0  # amplitude of a hue in each of red, green and blue
ROUNDS, TRIES = 1000, 64  # layouts tried for a clip; places tried for a disc


@dataclass(frozen=True)
class Dials:
    """Difficulty. Lengths are in pixels; `near` and `far` bound the jumps from a frame to the next."""

    discs: int = 3
    frames: int = 3
    size: int = 36
    radius: float = 4.0
    near: float = 0.0
    far: float = 14.0
    clutter: float = 0.3
    noise: float = 0.0
    crf: int = 12

    def check(self) -> None:
        """ValueError on dials that make no benchmark."""
        for wrong, expected, got in (
            (self.discs not in (3, 4), "3 or 4 discs: of 2 the order of frames tells nothing", self.discs),
            (self.frames < 2, "at least 2 frames", self.frames),
            (self.size < 16 or self.size % 2, "an even size from 16", self.size),
            (not 2 <= self.radius <= self.size / 6, "a radius from 2 to a sixth of the size", self.radius),
            (not 0 <= self.near <= self.far < self.size / 2, "0 <= near <= far < size / 2", (self.near, self.far)),
            (not 0 <= self.crf <= 18, "crf between 0 and 18: more blurs the stripes", self.crf),
            (not 0 <= self.noise <= 5 or not 0 <= self.clutter <= 2, "noise up to 5 and clutter up to 2",
             (self.noise, self.clutter)),
        ):  # fmt: skip
            if wrong:
                raise ValueError(f"expected {expected}, got {got}", "`vidops data generate --help` tells of dials")
        for seed in range(10):  # with room to spare: no clip is to fail later
            _layout(self, np.random.default_rng(seed), self.far, rounds=30)


@dataclass(frozen=True)
class Scene:
    """All that one clip is made of."""

    label: int
    jump: float
    places: tuple[tuple[tuple[float, float], ...], ...]  # frame, disc: x, y
    shifts: tuple[tuple[float, ...], ...]  # frame, disc: of the stripes, in turns; their direction is the mark
    marks: tuple[int, ...]  # of each disc, in the first frame
    hue: float  # of the first disc, in turns; the others follow evenly
    seed: int


def classes(dials: Dials, split: str) -> tuple[str, ...]:
    return ("the mark stays", *(f"{180 * step // dials.discs} degrees on" for step in range(1, dials.discs)))


def floors(dials: Dials) -> dict[str, float]:
    """Chance, and the best without the order of frames: steps s and -s are one."""
    return {"chance": 1 / dials.discs, "order-blind": (dials.discs // 2 + 1) / dials.discs}


def apart(a: np.ndarray, b: np.ndarray, size: int) -> np.ndarray:
    """Distance on the torus of places a and b (..., 2)."""
    away = np.abs(a - b) % size
    return np.hypot(*np.moveaxis(np.minimum(away, size - away), -1, 0))


def draw_scene(dials: Dials, rng: np.random.Generator, label: int, split: str) -> Scene:
    jump = float(rng.uniform((dials.near + dials.far) / 2 if split == "test_far" else dials.near, dials.far))
    places = _layout(dials, rng, jump)[:: rng.choice([1, -1])]  # forwards and backwards as often
    marks = tuple(int(mark) for mark in rng.permutation(dials.discs))
    told = tuple(tuple((float(x), float(y)) for x, y in frame) for frame in places)
    shifts = tuple(tuple(map(float, frame)) for frame in rng.uniform(size=places.shape[:2]))
    return Scene(label, jump, told, shifts, marks, float(rng.uniform()), int(rng.integers(2**31)))


def _layout(dials: Dials, rng: np.random.Generator, jump: float, rounds: int = ROUNDS) -> np.ndarray:
    """Places (T, discs, 2), each drawn from all that are left. ValueError where there is no room."""
    for _ in range(rounds):
        layout: list[np.ndarray] = []
        while len(layout) < dials.frames and (frame := _frame(dials, rng, jump, layout)) is not None:
            layout.append(frame)
        if len(layout) == dials.frames:
            return np.stack(layout)
    told = f"{dials.discs} discs of radius {dials.radius:g} cannot jump {jump:g} pixels off all places"
    raise ValueError(f"{told} in {dials.size} x {dials.size}", "take a larger size, fewer discs or a smaller far")


def _frame(dials: Dials, rng: np.random.Generator, jump: float, before: list[np.ndarray]) -> np.ndarray | None:
    """Places of one frame (discs, 2), or None if a disc found no room."""
    places = np.empty((0, 2))
    for disc in range(dials.discs):
        if before:
            angle = rng.uniform(0, 2 * np.pi, TRIES)
            tried = before[-1][disc] + jump * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
            tried %= dials.size
            free = (apart(tried[:, None], before[-1], dials.size) >= jump - 1e-9).all(axis=1)
        else:
            tried, free = rng.uniform(0, dials.size, (TRIES, 2)), np.ones(TRIES, bool)
        free &= (apart(tried[:, None], places, dials.size) >= 2 * dials.radius + 1).all(axis=1)
        if not free.any():
            return None
        places = np.vstack([places, tried[free.argmax()]])
    return places


def marks(scene: Scene, dials: Dials) -> np.ndarray:
    """Mark of each disc in each frame, (T, discs)."""
    return (np.array(scene.marks) + scene.label * np.arange(dials.frames)[:, None]) % dials.discs


def reverse(scene: Scene, dials: Dials) -> Scene:
    """The clip of label -label with, but for noise, the same frames backwards."""
    last = tuple(int(mark) for mark in marks(scene, dials)[-1])
    label = -scene.label % dials.discs
    return Scene(label, scene.jump, scene.places[::-1], scene.shifts[::-1], last, scene.hue, scene.seed)


def ground(rng: np.random.Generator, size: int) -> np.ndarray:
    """A periodic random texture of 2 to size / 4 cycles, unit variance."""
    f = np.fft.fftfreq(size, 1 / size)
    radius = np.hypot(f[:, None], f[None, :])
    made = np.fft.ifft2(np.fft.fft2(rng.standard_normal((size, size))) * ((radius >= 2) & (radius <= size / 4))).real
    return made / made.std()


def render(scene: Scene, dials: Dials) -> np.ndarray:
    """Frames (T, size, size, 3), uint8."""
    rng = np.random.default_rng(scene.seed)
    size, places = dials.size, np.array(scene.places)  # T, disc, 2
    frames = np.repeat((dials.clutter * CONTRAST * ground(rng, size))[None, ..., None], dials.frames, axis=0)
    frames = np.repeat(frames, 3, axis=-1)
    away = (np.arange(size) - places[..., None] + size / 2) % size - size / 2  # T, disc, axis, size
    x, y = away[:, :, 0, None, :], away[:, :, 1, :, None]
    cover = np.clip(dials.radius - np.hypot(x, y) + 0.5, 0, 1)[..., None]
    angle = (np.pi / dials.discs * marks(scene, dials))[..., None, None]
    along = (x * np.cos(angle) + y * np.sin(angle)) / dials.radius  # two periods to a disc
    stripes = np.cos(2 * np.pi * (along + np.array(scene.shifts)[..., None, None]))
    hues = 2 * np.pi * (scene.hue + np.arange(dials.discs)[:, None] / dials.discs - np.arange(3) / 3)
    discs = CONTRAST * stripes[..., None] + COLOUR * np.cos(hues)[:, None, None, :]
    frames = frames * (1 - cover.max(axis=1)) + (discs * cover).sum(axis=1)
    if dials.noise:
        frames = frames + dials.noise * CONTRAST * rng.standard_normal((*frames.shape[:3], 1))
    return np.clip(np.rint(128 + frames), 0, 255).astype(np.uint8)
