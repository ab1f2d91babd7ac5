"""Batches whose clips are mixtures of two: mixup and CutMix."""

from __future__ import annotations

from typing import Any

import numpy as np


def mixed(batch: dict[str, Any], *, mixup: float, cutmix: float, rng: np.random.Generator) -> dict[str, Any]:
    """The batch with each clip a mixture with another: its own label counts `share`, and `other` the rest.

    `mixup` and `cutmix` are the alpha of a Beta(alpha, alpha) that the share is drawn from, one for the batch; with
    both a batch is of either kind, by half. mixup adds the clips up (Zhang et al., arXiv 1710.09412); CutMix puts a box
    of the other in, the same in all frames, and its share is that of the pixels that stay (Yun et al., arXiv
    1905.04899).
    """
    clip, label = batch["clip"], batch["label"]
    order = rng.permutation(len(clip)).tolist()
    boxed = bool(cutmix) and (not mixup or rng.random() < 0.5)
    alpha = cutmix if boxed else mixup
    share = float(rng.beta(alpha, alpha))
    if boxed:
        height, width = clip.shape[-2:]
        top, bottom = _side(height, share, rng)
        left, right = _side(width, share, rng)
        other, clip = clip[order, ..., top:bottom, left:right], clip.clone()
        clip[..., top:bottom, left:right] = other
        share = 1 - (bottom - top) * (right - left) / (height * width)
    else:
        clip = share * clip + (1 - share) * clip[order]
    return {**batch, "clip": clip, "other": label[order], "share": share}


def _side(length: int, share: float, rng: np.random.Generator) -> tuple[int, int]:
    """From where to where a box reaches whose middle may be anywhere: what is outside is cut off."""
    half, middle = int(length * np.sqrt(1 - share)) // 2, int(rng.integers(length))
    return max(0, middle - half), min(length, middle + half)
