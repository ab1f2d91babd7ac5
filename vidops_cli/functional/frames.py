"""Image functions on clips."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def per_frame(function: Callable[..., Tensor], *maps: Float[Tensor, "B _ T H W"]) -> Float[Tensor, "B C2 T H2 W2"]:
    """Apply a function of images (N, C, H, W) to each frame. Views only, when memory runs as channels_last_3d."""
    images = function(*(x.transpose(1, 2).flatten(0, 1) for x in maps))
    return images.unflatten(0, (maps[0].shape[0], maps[0].shape[2])).transpose(1, 2)


def per_position(function: Callable[..., Tensor], *maps: Float[Tensor, "B _ T H W"]) -> Float[Tensor, "B C2 T H W"]:
    """Apply a function of images that treats positions apart, as a 1x1 convolution does. Views only, if x is dense."""
    if maps[0].is_contiguous(memory_format=torch.channels_last_3d):
        return per_frame(function, *maps)
    return function(*(x.flatten(2, 3) for x in maps)).unflatten(2, maps[0].shape[2:4])
