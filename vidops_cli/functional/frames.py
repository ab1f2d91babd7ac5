"""Image functions on clips."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def per_frame(function: Callable[[Tensor], Tensor], x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C2 T H2 W2"]:
    """Apply a function of images (N, C, H, W) to each frame. Views only, when memory runs as channels_last_3d."""
    images = x.transpose(1, 2)
    return function(images.flatten(0, 1)).unflatten(0, images.shape[:2]).transpose(1, 2)


def per_position(function: Callable[[Tensor], Tensor], x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C2 T H W"]:
    """Apply a function of images that treats positions apart, as a 1x1 convolution does. Views only, if x is dense."""
    if x.is_contiguous(memory_format=torch.channels_last_3d):
        return per_frame(function, x)
    return function(x.flatten(2, 3)).unflatten(2, x.shape[2:4])
