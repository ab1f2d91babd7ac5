"""Image functions on clips."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor


def per_frame(function: Callable[[Tensor], Tensor], x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C2 T H2 W2"]:
    """Apply a function of images (N, C, H, W) to each frame. Views only, when memory runs as channels_last_3d."""
    images = x.transpose(1, 2)
    return function(images.flatten(0, 1)).unflatten(0, images.shape[:2]).transpose(1, 2)
