"""From decoded frames to a tensor: resize, crop, flip, normalise. Frames in are uint8 (T, H, W, 3)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .augment import Augment
from .poses import Moved
from .views import ONE, View


def prepare(
    frames: np.ndarray,
    *,
    resize: int | list[int] | None,
    crop: int | None,
    flip: float,
    mean: list[float],
    std: list[float],
    rng: np.random.Generator | None,
    augment: Augment | None = None,
    view: View = ONE,
) -> tuple[Tensor, Moved]:
    """Clip (3, T, H, W), float32, in memory as (T, H, W, 3), and where its pixels have gone.

    `resize` is the shorter side, or height and width (bilinear, antialiased), `crop` a square: at random with `rng`,
    else where the view says and as large, by default in the middle, and never mirrored. `augment` is for clips with
    `rng`; its crop is scaled to `crop`, and a resized crop is of the frames as they come, since its share of them is
    all that counts. ValueError if a frame is smaller than the crop.
    """
    clip, moved = torch.from_numpy(frames), Moved()
    crop = view.size or crop
    chosen = augment if rng is not None else None
    if resize is not None and not (chosen and chosen.resized_crop):
        size = _size(*clip.shape[1:3], resize)
        clip, moved = _scaled(clip, size), moved.resized(clip.shape[1:3], size)
    if crop is not None and chosen and chosen.crop:
        top, left, height, width = chosen.crop.box(*clip.shape[1:3], crop, rng)
        clip = _scaled(clip[:, top : top + height, left : left + width], [crop, crop])
        moved = moved.cut(top, left).resized((height, width), (crop, crop))
    elif crop is not None:
        height, width = clip.shape[1:3]
        if min(height, width) < crop:
            raise ValueError(
                f"a {crop} crop does not fit frames of {height} x {width}", f"set data.resize to at least {crop}"
            )
        top, left = view.corner(height, width, crop)
        if rng is not None:
            top, left = int(rng.integers(height - crop + 1)), int(rng.integers(width - crop + 1))
        clip, moved = clip[:, top : top + crop, left : left + crop], moved.cut(top, left)
    if rng is not None and flip and rng.random() < flip:
        clip, moved = clip.flip(2), moved.turned(clip.shape[2])
    if chosen:
        clip = chosen.recolour(clip, rng)
    scale = 1 / (255 * torch.tensor(std))
    shift = -torch.tensor(mean) / torch.tensor(std)
    clip = clip.float() * scale + shift
    if chosen and chosen.erase:
        clip = chosen.erase(clip, rng)
    return clip.permute(3, 0, 1, 2), moved


def _size(height: int, width: int, resize: int | list[int]) -> list[int]:
    """Height and width after `resize`, which may be the shorter side."""
    if not isinstance(resize, int):
        return resize
    scale = resize / min(height, width)
    return [max(resize, round(side * scale)) for side in (height, width)]


def _scaled(clip: Tensor, size: list[int]) -> Tensor:
    if list(clip.shape[1:3]) == size:
        return clip
    images = clip.permute(0, 3, 1, 2).float()
    return F.interpolate(images, size, mode="bilinear", antialias=True).permute(0, 2, 3, 1)
