"""Global context of SIFA-Net's blocks. Long et al., CVPR 2022, arXiv 2206.06931; its released code only.

The mean over the whole clip, put through a bottleneck of two layers, is added to each position.

    y[n] = x[n] + W2 relu(W1 mean_m x[m] + b1) + b2

Deviations: none (SIFA/model/c2d_sifa_resnet.py, GBottleneck); it is added, where squeeze-and-excitation multiplies.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn

from .checks import at_least, made_for
from .cost import Cost, each, products


class GlobalContext(nn.Module):
    """(B, C, T, H, W) -> the same shape."""

    def __init__(self, channels: int, *, ratio: int = 16):
        super().__init__()
        at_least(1, ratio=ratio)
        self.ratio = ratio
        hidden = max(1, channels // ratio)
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def context(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C"]:
        return self.fc2(self.fc1(x.mean(dim=(2, 3, 4))).relu())

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("GlobalContext", self.fc1.in_features, x)
        return x + self.context(x)[:, :, None, None, None]

    def cost(self, x: tuple[int, ...]) -> Cost:
        B, C, *_ = x
        hidden = self.fc1.out_features
        mean_and_sum = each(2 * math.prod(x))
        return mean_and_sum + products(B * hidden, C) + each(B * hidden) + products(B * C, hidden)

    def extra_repr(self) -> str:
        return f"ratio={self.ratio}"
