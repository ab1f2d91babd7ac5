"""Dynamic convolution. Chen et al., Dynamic Convolution: Attention over Convolution Kernels, CVPR 2020,
arXiv 1912.03458.

A layer has K kernels, and each clip is convolved with their mean, weighted by what the clip is: the average of its map
goes through two small layers and a softmax, whose temperature keeps all kernels in use while they are learned.

    pi(x) = softmax( (W_2 relu(W_1 mean_n x[n] + a_1) + a_2) / tau )         K weights, which sum to one
    y     = (sum_k pi_k W~_k) * x + sum_k pi_k b~_k                          zero padded

Deviations: written from the paper's equations; no numbers of released code hold it. tau stays what it is, where the
paper lets it fall from 30 to 1 over the first epochs. The biases b~ are left out unless asked for, as what follows a
convolution here is a norm. The paper is about images: kernels over frames and pi of a whole clip are ours, and
per_frame=True is the paper's layer on each frame.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import conv3d

from . import cost
from .checks import at_least, made_for, odd


class DynamicConv(nn.Module):
    """(B, C, T, H, W) -> (B, out_channels, T, H / stride, W / stride), zero padded."""

    def __init__(
        self,
        channels: int,
        *,
        out_channels: int | None = None,
        kernels: int = 4,
        kernel: Sequence[int] = (1, 3, 3),
        reduction: int = 4,
        temperature: float = 30.0,
        stride: int = 1,
        per_frame: bool = False,
        bias: bool = False,
    ):
        super().__init__()
        if len(kernel) != 3:
            raise ValueError(f"kernel must be three odd sizes, got {tuple(kernel)}")
        odd(kernel=kernel)
        at_least(1, kernels=kernels, stride=stride, out_channels=out_channels)
        if not 1 <= reduction <= channels:
            raise ValueError(f"reduction must be from 1 to the {channels} channels, got {reduction}")
        if temperature <= 0:
            raise ValueError(f"temperature must be more than 0, got {temperature}")
        if per_frame and kernel[0] > 1:
            raise ValueError(f"per_frame takes kernels of one frame, got kernel {tuple(kernel)}")
        out = out_channels or channels
        self.channels, self.temperature, self.stride, self.per_frame = channels, temperature, stride, per_frame
        self.squeeze = nn.Sequential(
            nn.Linear(channels, channels // reduction), nn.ReLU(), nn.Linear(channels // reduction, kernels)
        )
        self.weight = nn.Parameter(torch.empty(kernels, out, channels, *kernel))
        self.bias = nn.Parameter(torch.empty(kernels, out)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Each kernel as that of a convolution."""
        for kernel in self.weight:
            nn.init.kaiming_uniform_(kernel, a=math.sqrt(5))
        if self.bias is not None:
            bound = self.weight[0, 0].numel() ** -0.5
            nn.init.uniform_(self.bias, -bound, bound)

    def attention(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B K"]:
        """pi, of the average over frames and positions."""
        return torch.softmax(self.squeeze(x.mean((2, 3, 4))) / self.temperature, dim=1)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C2 T H2 W2"]:
        made_for("DynamicConv", self.channels, x)
        if not self.per_frame:
            return self.convolved(x)
        images = x.transpose(1, 2).flatten(0, 1).unsqueeze(2)
        return self.convolved(images).squeeze(2).unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2)

    def convolved(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C2 T H2 W2"]:
        """One convolution in B groups, each clip with its own kernel."""
        pi, (clips, out) = self.attention(x), (x.shape[0], self.weight.shape[1])
        weight = (pi @ self.weight.flatten(1)).view(clips * out, *self.weight.shape[2:])
        padding, stride = [size // 2 for size in weight.shape[2:]], (1, self.stride, self.stride)
        if clips == 0:  # torch has no convolution of no groups
            return conv3d(x, self.weight[0], stride=stride, padding=padding)
        bias = None if self.bias is None else (pi @ self.bias).flatten()
        y = conv3d(x.flatten(0, 1)[None], weight, bias, stride=stride, padding=padding, groups=clips)
        return y.squeeze(0).unflatten(0, (clips, out))

    def cost(self, x: tuple[int, ...]) -> cost.Cost:
        B, C, T, H, W = x
        hidden, K = self.squeeze[0].out_features, len(self.weight)
        clips = B * T if self.per_frame else B
        total = cost.each(math.prod(x)) + cost.products(clips * hidden, C) + cost.each(clips * hidden)
        total += cost.products(clips * K, hidden) + cost.each(clips * K, 1 + cost.SOFTMAX)
        total += cost.products(clips * self.weight[0].numel(), K)
        total += cost.products(clips * self.weight.shape[1] if self.bias is not None else 0, K)
        outputs = B * T * -(-H // self.stride) * -(-W // self.stride) * self.weight.shape[1]
        return total + cost.products(outputs, self.weight[0, 0].numel())

    def extra_repr(self) -> str:
        kernels, _, _, *kernel = self.weight.shape
        sizes = f"kernels={kernels}, kernel={tuple(kernel)}, stride={self.stride}"
        return f"{sizes}, temperature={self.temperature}, per_frame={self.per_frame}"
