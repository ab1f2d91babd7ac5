"""2-D convolution of each frame: the layer that most operators replace.

    y[t, n] = sum over d in K x K of W[d] x[t, n + d]

Weights keep the shape and key of `nn.Conv2d`, so that image checkpoints load.
"""

from jaxtyping import Float
from torch import Tensor

from vidops_cli.functional.frames import per_frame

from .checks import at_least, made_for, odd
from .cost import Cost, products
from .layers import SafeConv2d


class Conv2d(SafeConv2d):
    """(B, C, T, H, W) -> (B, out_channels, T, H / stride, W / stride), zero padded."""

    def __init__(
        self, channels: int, *, out_channels: int | None = None, kernel: int = 3, stride: int = 1, bias: bool = False
    ):
        odd(kernel=kernel)
        at_least(1, stride=stride, out_channels=out_channels)
        super().__init__(channels, out_channels or channels, kernel, stride=stride, padding=kernel // 2, bias=bias)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C2 T H2 W2"]:
        made_for("Conv2d", self.in_channels, x)
        return per_frame(super().forward, x)

    def cost(self, x: tuple[int, ...]) -> Cost:
        B, C, T, H, W = x
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        return products(B * self.out_channels * T * -(-H // stride) * -(-W // stride), C * kernel**2)
