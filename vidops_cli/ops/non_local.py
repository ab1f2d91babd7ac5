"""Non-local block, embedded Gaussian. Wang et al., Non-local Neural Networks, CVPR 2018, arXiv 1711.07971.

Each position is a sum over all positions, weighted by how the features resemble each other.

    y[n] = sum_m softmax_m( theta(x[n]) . phi(x[m]) ) g(x[m]),   z = x + bn(W y)

theta, phi, g are 1x1 convolutions to half of the channels. Deviations: none. As in the paper, the dot product is not
divided by the root of its width, the norm starts at zero (the block as the identity), and m runs over the positions of
all frames. RENet (arXiv 2108.09666), whose released code is followed, uses it on images, where
`space_time=False` (each frame alone) is the same. `subsample` is the paper's trick of 2x2 max pooling in phi and g.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional.frames import per_frame

from .checks import at_least, made_for
from .cost import BATCH_NORM, SOFTMAX, Cost, each, products


def halved(x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H2 W2"]:
    """2x2 max pooling; an axis of one position stays."""
    return F.max_pool2d(x, tuple(min(2, size) for size in x.shape[2:]))


class NonLocal(nn.Module):
    """(B, C, T, H, W) -> the same shape."""

    def __init__(
        self,
        channels: int,
        *,
        reduced: int | None = None,
        subsample: bool = False,
        norm: bool = True,
        space_time: bool = True,
    ):
        super().__init__()
        at_least(1, reduced=reduced)
        width = max(1, channels // 2) if reduced is None else reduced
        self.subsample = subsample
        self.space_time = space_time
        self.theta = nn.Conv2d(channels, width, 1)
        self.phi = nn.Conv2d(channels, width, 1)
        self.g = nn.Conv2d(channels, width, 1)
        self.W = nn.Sequential(nn.Conv2d(width, channels, 1))
        if norm:
            self.W.append(nn.BatchNorm2d(channels))
        nn.init.zeros_(self.W[-1].weight)
        nn.init.zeros_(self.W[-1].bias)

    def projected(self, x: Float[Tensor, "B C T H W"]) -> tuple[Tensor, Tensor, Tensor]:
        """theta, phi and g, (B, P, T, H, W) each; of a subsampled map the last two are smaller."""
        q, k, v = (per_frame(projection, x) for projection in (self.theta, self.phi, self.g))
        if self.subsample:
            k, v = per_frame(halved, k), per_frame(halved, v)
        return q, k, v

    def attention(self, q: Float[Tensor, "B P M"], k: Float[Tensor, "B P N"]) -> Float[Tensor, "B M N"]:
        """The weights of M queries on N positions; over all positions they are not formed."""
        return torch.softmax(q.mT @ k, dim=-1)

    def attend(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B P T H W"]:
        """y, over all positions and frames of x."""
        tokens = (part.flatten(2).transpose(1, 2).unsqueeze(1) for part in self.projected(x))
        y = F.scaled_dot_product_attention(*tokens, scale=1.0)
        return y.squeeze(1).transpose(1, 2).unflatten(2, x.shape[2:])

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("NonLocal", self.theta.in_channels, x)
        if self.space_time:
            y = self.attend(x)
        else:
            y = per_frame(lambda images: self.attend(images.unsqueeze(2)).squeeze(2), x)
        return x + per_frame(self.W, y)

    def cost(self, x: tuple[int, ...]) -> Cost:
        B, C, T, H, W = x
        width, queries = self.theta.out_channels, B * T * H * W
        area = min(2, H) * min(2, W) if self.subsample else 1
        frame = (H // min(2, H)) * (W // min(2, W)) if self.subsample else H * W  # positions that are attended
        pairs = queries * frame * (T if self.space_time else 1)
        pooling = each(2 * B * width * T * frame, area if self.subsample else 0)
        attention = products(pairs, 2 * width) + each(pairs, SOFTMAX)
        norm_and_sum = each(math.prod(x), (BATCH_NORM if len(self.W) > 1 else 0) + 1)
        return products(queries * C, 4 * width) + pooling + attention + norm_and_sum

    def extra_repr(self) -> str:
        return f"subsample={self.subsample}, space_time={self.space_time}"
