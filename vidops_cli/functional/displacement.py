"""From a correlation volume to a displacement and a confidence."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from .precision import full_precision


def soft_argmax(
    volume: Float[Tensor, "B N T H W"], height: int, width: int, *, temperature: float, sigma: float | None = None
) -> tuple[Float[Tensor, "B 2 T H W"], Float[Tensor, "B 1 T H W"]]:
    """Expected displacement (x, y) in positions under a softmax over the N = height * width offsets, and the maximum.

    With `sigma`, scores are first multiplied by a Gaussian of that width (peak 1) centred on the best offset
    (kernel-soft-argmax), through whose centre no gradient flows. Scores are divided by `temperature`. Both results are
    float32 or better.
    """
    if volume.shape[1] != height * width:
        raise ValueError(f"a {height} x {width} window has {height * width} offsets, got {volume.shape[1]}")
    if volume.dtype != torch.float64:
        volume = volume.float()  # a small temperature magnifies rounding
    y = torch.arange(-(height // 2), height - height // 2, device=volume.device, dtype=volume.dtype)
    x = torch.arange(-(width // 2), width - width // 2, device=volume.device, dtype=volume.dtype)
    x, y = x.repeat(height), y.repeat_interleave(width)
    confidence, best = volume.max(dim=1, keepdim=True)
    scores = volume.movedim(1, -1)
    if sigma is None:
        scores = scores / temperature
    else:  # one Gaussian for each offset that may be the best
        squared = (x - x[:, None]) ** 2 + (y - y[:, None]) ** 2
        gaussians = torch.exp(-squared / (2 * sigma**2)) / temperature
        scores = scores * F.embedding(best.squeeze(1), gaussians)
    weights = torch.softmax(scores, dim=-1)
    with full_precision(volume):
        displacement = F.linear(weights, torch.stack([x, y]))
    return displacement.movedim(-1, 1), confidence
