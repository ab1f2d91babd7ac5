"""A simple feature of frames, on which operators that were never trained can do what they are built for."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 8  # cells of a patch, a way
GREY = (0.299, 0.587, 0.114)
NOISE = 1.0  # grey levels, below which what stands in a patch counts little


def patches(frames: np.ndarray, stride: int) -> Tensor:
    """Frames (T, H, W, 3) uint8 -> (1, 64, T, H // stride, W // stride), float32.

    A cell is the mean grey value of stride x stride pixels. Each is told by the 8 x 8 cells around it, less their mean,
    over their standard deviation: the mean product of two is the normalised cross-correlation of template matching. At
    the border the last cells are repeated. ValueError on a stride above the frame's size.
    """
    if not 1 <= stride <= min(frames.shape[1:3]):
        raise ValueError(f"a stride of {stride} does not fit frames of {frames.shape[1]} x {frames.shape[2]}", "less")
    grey = torch.from_numpy(frames).float() @ torch.tensor(GREY)
    cells = F.avg_pool2d(grey[:, None], stride)
    before, after = SIDE // 2, (SIDE - 1) // 2
    padded = F.pad(cells, (before, after, before, after), mode="replicate")
    found = padded.unfold(2, SIDE, 1).unfold(3, SIDE, 1)[:, 0].flatten(-2)  # T h w 64
    found = found - found.mean(-1, keepdim=True)
    found = found / (found.square().mean(-1, keepdim=True) + NOISE**2).sqrt()
    return found.permute(3, 0, 1, 2)[None].contiguous()
