"""Mini out of context: a stick figure moves its limbs before a scene that, in training, gives the action away.

The label is which limbs go up and which go down. Each swings from a uniform angle of its own through a window, and at
its end begins anew at the other, so that single frames of all actions are alike, and a clip played backwards is the
same frames with all limbs going the other way. In training the ground's colour is mostly that of the action; out of
context (`test`) it is that of another one, in `test_agree` always its own, in `test_absent` that of none. Joints show
the movement, but in a share of the clips no person is found, and in another hands and feet stand wrong, anew in every
frame; frames show it too, but in a share of the clips, whatever the joints, the figure is hidden.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

REST = (180.0, 0.0, 130.0, 50.0)  # middle of the window of left and right arm, left and right leg; degrees clockwise
UP = (1, -1, 1, -1)  # which way round each of them rises
LIMBS = {  # number of actions: the limbs that go together
    4: {"arms": (0, 1), "legs": (2, 3)},
    8: {"left arm": (0,), "right arm": (1,), "legs": (2, 3)},
}
SPLITS = ("test_agree", "test_absent")
# joints: head; left and right shoulder, hand, hip, foot. The skeleton `stick9` of ops/pose_maps.py
BONES = ((0, 1), (0, 2), (1, 3), (2, 4), (1, 5), (2, 6), (5, 7), (6, 8))
PAIRS = ((1, 2), (3, 4), (5, 6), (7, 8))  # left and right
VERSION = 1  # of what it makes of a seed
ENDS = (3, 4, 7, 8)  # hands and feet
NO_SCENE = -1  # a ground of no action: grey


@dataclass(frozen=True)
class Dials:
    """Difficulty. Lengths are in pixels, angles in degrees, contrasts in grey levels."""

    actions: int = 4
    frames: int = 8
    size: int = 24
    limb: float = 5.0
    swing: float = 100.0  # window of a limb
    step: float = 25.0  # turn from frame to frame
    context: float = 0.5  # share of training clips whose ground is the action's own
    colour: float = 15.0  # how far the grounds' colours are from grey
    texture: float = 10.0  # standard deviation of the ground
    ink: float = 110.0  # of the figure, brighter or darker than mid-grey
    noise: float = 0.0  # standard deviation, of each frame and pixel
    missing: float = 0.2  # share of clips without a pose
    wrong: float = 0.1  # share of clips with wrong joints
    hidden: float = 0.3  # share of clips in which no figure is drawn
    crf: int = 12

    def check(self) -> None:
        """ValueError on dials that make no benchmark."""
        for wrong, expected, got in (
            (self.actions not in LIMBS, "4 or 8 actions", self.actions),
            (self.frames < 2, "at least 2 frames", self.frames),
            (self.size < 16 or self.size % 2, "an even size from 16", self.size),
            (not 2 <= self.limb <= (self.size - 2) / 4, "limbs from 2 pixels to a quarter of the size", self.limb),
            (not 0 < self.step < self.swing / 2, "a step between 0 and half the swing", self.step),
            (not 0 < self.swing <= 180, "a swing of up to 180 degrees", self.swing),
            (not 1 / self.actions <= self.context <= 1, "context between chance and 1", self.context),
            (not 0 <= self.crf <= 18, "crf between 0 and 18: more blurs the figure into the ground", self.crf),
            (min(self.colour, self.texture, self.ink, self.noise) < 0, "contrasts from 0",
             (self.colour, self.texture, self.ink, self.noise)),
            (not 0 <= self.hidden <= 1, "hidden between 0 and 1", self.hidden),
            (min(self.missing, self.wrong) < 0 or self.missing + self.wrong > 1, "shares from 0, together up to 1",
             (self.missing, self.wrong)),
        ):  # fmt: skip
            if wrong:
                raise ValueError(f"expected {expected}, got {got}", "`vidops data generate --help` tells of dials")


@dataclass(frozen=True)
class Scene:
    """All that one clip is made of. `start`: how far up its window each limb is in the first frame, from 0 to 1."""

    label: int
    ground: int  # the action whose scene it is, or NO_SCENE
    centre: tuple[float, float]
    start: tuple[float, float, float, float]
    pose: Literal["found", "missing", "wrong"]
    drawn: bool
    seed: int


def classes(dials: Dials, split: str) -> tuple[str, ...]:
    """Names of the labels; those of all splits are the same."""
    groups = list(LIMBS[dials.actions])
    return tuple(
        ", ".join(f"{name} {('up', 'down')[label >> i & 1]}" for i, name in enumerate(groups))
        for label in range(dials.actions)
    )


def floors(dials: Dials) -> dict[str, float]:
    """Scores that need no understanding of the movement."""
    return {
        "chance": 1 / dials.actions,
        "order-blind": 1 / 2,
        "ground alone, as in training": dials.context,
        "ground alone, out of context": 0.0,
    }


def draw_scene(dials: Dials, rng: np.random.Generator, label: int, split: str) -> Scene:
    """Only the ground hangs on the label, and in `test_absent` not even that."""
    reach = 2 * dials.limb  # of legs below, and of arms above; the head is nearer
    x, y = rng.uniform(1.7 * dials.limb, dials.size - 1 - 1.7 * dials.limb), rng.uniform(-1, 1)
    y = (dials.size - 1) / 2 + y * max(0.0, (dials.size - 1) / 2 - reach)
    start = rng.uniform(0, 1, len(REST))
    share = {"test": 0.0, "test_agree": 1.0}.get(split, dials.context)
    own, other = rng.random() < share, (label + 1 + int(rng.integers(dials.actions - 1))) % dials.actions
    ground = NO_SCENE if split == "test_absent" else label if own else other
    u = rng.random()
    pose = "missing" if u < dials.missing else "wrong" if u < dials.missing + dials.wrong else "found"
    drawn = bool(rng.random() >= dials.hidden)
    return Scene(label, ground, (float(x), float(y)), tuple(map(float, start)), pose, drawn, int(rng.integers(2**31)))


def heights(scene: Scene, dials: Dials) -> np.ndarray:
    """How far up its window every limb is in every frame, (T, 4), from 0 to 1."""
    way = np.zeros(len(REST))
    for i, limbs in enumerate(LIMBS[dials.actions].values()):
        way[list(limbs)] = -1 if scene.label >> i & 1 else 1
    return (np.array(scene.start) + way * dials.step / dials.swing * np.arange(dials.frames)[:, None]) % 1


def angles(height: np.ndarray, dials: Dials) -> np.ndarray:
    """Of limbs so far up their windows, in radians, clockwise from where x points."""
    return np.radians(np.array(REST) + np.array(UP) * dials.swing * (height - 0.5))


def at_frame(scene: Scene, dials: Dials, frame: int, label: int, there: int) -> Scene:
    """A scene of another action whose frame `there` is frame `frame` of this one."""
    wanted = heights(scene, dials)[frame]
    moved = heights(replace(scene, label=label, start=tuple(map(float, wanted))), dials)[there] - wanted
    return replace(scene, label=label, start=tuple(map(float, (wanted - moved) % 1)))


def reverse(scene: Scene, dials: Dials) -> Scene:
    """All limbs the other way, from the last frame: without noise, the same frames in reverse order."""
    return at_frame(scene, dials, dials.frames - 1, dials.actions - 1 - scene.label, 0)


def skeleton(centre: tuple[float, float], turned: np.ndarray, limb: float) -> np.ndarray:
    """(x, y) of the joints, (T, 9, 2), of limbs that stand at these angles, (T, 4)."""
    half = limb / 2
    corners = np.array([(-half, -half), (half, -half), (-half, half), (half, half)]) + centre
    ends = corners + limb * np.stack([np.cos(turned), np.sin(turned)], axis=-1)
    head = np.array([0.0, -1.7 * half]) + centre
    still = np.broadcast_to(np.vstack([head, corners]), (len(turned), 5, 2))
    return np.concatenate([still, ends], axis=1)[:, [0, 1, 2, 5, 6, 3, 4, 7, 8]]


def joints(scene: Scene, dials: Dials) -> np.ndarray:
    """What a pose estimator would find: x, y and score, float32 (T, 1 person, 9 joints, 3)."""
    height = heights(scene, dials)
    if scene.pose == "wrong":
        height = np.random.default_rng([scene.seed, 1]).uniform(0, 1, height.shape)
    found = np.ones((dials.frames, 1, 9, 3), np.float32)
    found[..., 0, :, :2] = skeleton(scene.centre, angles(height, dials), dials.limb)
    return np.zeros_like(found) if scene.pose == "missing" else found


def distances(bones: np.ndarray, size: int) -> np.ndarray:
    """Squared distance of each pixel from the nearest of the bones (T, bones, 2 ends, x and y), (T, size, size)."""
    start, bone = bones[:, :, 0], bones[:, :, 1] - bones[:, :, 0]
    length = np.sqrt((bone**2).sum(-1, keepdims=True))
    unit, grid = bone / length, np.arange(size, dtype=np.float32)
    x, y = grid - start[..., :1], grid - start[..., 1:]  # T, bones, size
    along = (unit[..., :1] * x)[..., None, :] + (unit[..., 1:] * y)[..., None]
    beyond = along - np.clip(along, 0, length[..., None])
    across = (unit[..., 1:] * x)[..., None, :] - (unit[..., :1] * y)[..., None]
    return (beyond**2 + across**2).min(axis=1)


def render(scene: Scene, dials: Dials) -> np.ndarray:
    """Frames (T, size, size, 3), uint8."""
    rng = np.random.default_rng([scene.seed, 0])
    size = dials.size
    f = np.hypot(np.fft.fftfreq(size, 1 / size)[:, None], np.fft.rfftfreq(size, 1 / size))
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * ((f >= 1) & (f <= size / 6))
    texture = np.fft.irfft2(spectrum, (size, size))
    ground = 128 + dials.texture * (texture / texture.std())[..., None]
    if scene.ground != NO_SCENE:
        ground = ground + dials.colour * np.cos(2 * np.pi * (scene.ground / dials.actions - np.arange(3) / 3))
    ink = 128 + dials.ink * (1 - 2 * rng.integers(2))

    xy = skeleton(scene.centre, angles(heights(scene, dials), dials), dials.limb).astype(np.float32)
    moving = [bone for bone in BONES if bone[1] in ENDS]
    still = [bone for bone in BONES if bone[1] not in ENDS]
    squared = np.minimum(distances(xy[:, moving], size), distances(xy[:1, still], size))
    cover = scene.drawn * np.clip(1.25 - np.sqrt(squared), 0, 1)[..., None]  # lines one and a half pixels wide
    frames = (1 - cover) * np.broadcast_to(ground, (size, size, 3)) + cover * ink
    if dials.noise:
        frames = frames + dials.noise * rng.standard_normal(frames.shape)
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)
