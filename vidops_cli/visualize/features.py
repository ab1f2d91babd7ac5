"""A simple feature of frames, on which operators that were never trained can do what they are built for."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 8  # pixels of a patch
STRIDES = range(1, SIDE + 1)
GREY = (0.299, 0.587, 0.114)
NOISE = 1.0  # grey levels, below which what stands in a patch counts little


def patches(frames: np.ndarray, stride: int) -> Tensor:
    """Frames (T, H, W, 3) uint8 -> (1, 64, T, H // stride, W // stride), float32.

    Each position is told by the grey values of the 8 x 8 pixels around it, less their mean, over their standard
    deviation: the mean product of two is the normalised cross-correlation of template matching. At the border the
    frame repeats its last pixels. ValueError on a stride beyond 1 to 8 or above the frame's size.
    """
    height, width = frames.shape[1:3]
    if stride not in STRIDES or stride > min(height, width):
        raise ValueError(f"a stride of {stride} does not fit frames of {height} x {width}", "from 1 to 8")
    grey = torch.from_numpy(frames).float() @ torch.tensor(GREY)
    grid = height // stride, width // stride
    before = SIDE // 2 - stride // 2  # so that a patch and the stride x stride pixels it stands for have one centre
    after = [(size - 1) * stride + SIDE - before - whole for size, whole in zip(grid, (height, width), strict=True)]
    padded = F.pad(grey[:, None], (before, max(0, after[1]), before, max(0, after[0])), mode="replicate")
    found = padded.unfold(2, SIDE, stride).unfold(3, SIDE, stride)[:, 0, : grid[0], : grid[1]].flatten(-2)  # T h w 64
    found = found - found.mean(-1, keepdim=True)
    found = found / (found.square().mean(-1, keepdim=True) + NOISE**2).sqrt()
    return found.permute(3, 0, 1, 2)[None].contiguous()
