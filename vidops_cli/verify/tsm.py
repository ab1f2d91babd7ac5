"""Cases of MotionSqueeze/tsm_util.py, which SELFY has too."""

from __future__ import annotations

import torch


def clips(x: torch.Tensor, frames: int) -> torch.Tensor:
    """(B T, C, H, W) -> (B, C, T, H, W)"""
    return x.unflatten(0, (-1, frames)).transpose(1, 2)


def frames_of(x: torch.Tensor) -> torch.Tensor:
    """(B, C, T, H, W) -> (B T, C, H, W)"""
    return x.transpose(1, 2).flatten(0, 1)
