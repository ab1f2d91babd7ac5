"""From decoded frames to a tensor: resize, crop, flip, normalise. Frames in are uint8 (T, H, W, 3)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F


def prepare(
    frames: np.ndarray,
    *,
    resize: int | None,
    crop: int | None,
    flip: float,
    mean: list[float],
    std: list[float],
    rng: np.random.Generator | None,
) -> torch.Tensor:
    """Clip (3, T, H, W), float32, in memory as (T, H, W, 3).

    `resize` is the shorter side (bilinear, antialiased), `crop` a square: at random with `rng`, else in the middle and
    never flipped. ValueError if a frame is smaller than the crop.
    """
    clip = torch.from_numpy(frames)
    if resize is not None and min(clip.shape[1:3]) != resize:
        scale = resize / min(clip.shape[1:3])
        size = [max(resize, round(side * scale)) for side in clip.shape[1:3]]
        images = clip.permute(0, 3, 1, 2).float()
        clip = F.interpolate(images, size, mode="bilinear", antialias=True).permute(0, 2, 3, 1)
    if crop is not None:
        height, width = clip.shape[1:3]
        if min(height, width) < crop:
            raise ValueError(
                f"a {crop} crop does not fit frames of {height} x {width}", f"set data.resize to at least {crop}"
            )
        top, left = (height - crop) // 2, (width - crop) // 2
        if rng is not None:
            top, left = int(rng.integers(height - crop + 1)), int(rng.integers(width - crop + 1))
        clip = clip[:, top : top + crop, left : left + crop]
    if rng is not None and flip and rng.random() < flip:
        clip = clip.flip(2)
    scale = 1 / (255 * torch.tensor(std))
    shift = -torch.tensor(mean) / torch.tensor(std)
    return (clip.float() * scale + shift).permute(3, 0, 1, 2)
