"""SE, as RENet compares with it. Hu et al., Squeeze-and-Excitation Networks, CVPR 2018, arXiv 1709.01507.

An image's channels are averaged over all positions, and two small layers turn the averages into one factor for each
channel. RENet puts the module between two 1x1 convolutions, and the result replaces the feature map.

    z = relu(bn(W_in x));   s = sigmoid(W2 relu(W1 mean_n z));   y = relu(bn(W_out (s z)))

Deviations: `planes=None` leaves out the two 1x1 convolutions, which is the module of Hu et al. but for the biases of W1
and W2 (the released code of RENet, arXiv 2108.09666, has none). Clips are taken frame by frame.
"""

from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional.frames import per_frame

from . import cost
from .checks import at_least, made_for
from .layers import conv_bn_relu


class SE(nn.Module):
    """(B, C, T, H, W) -> the same shape."""

    def __init__(self, channels: int, *, planes: int | None = 64, reduction: int = 16):
        super().__init__()
        at_least(1, planes=planes)
        width = channels if planes is None else planes
        if not 1 <= reduction <= width:
            raise ValueError(f"reduction must be from 1 to the {width} channels that are squeezed, got {reduction}")
        self.conv_in = nn.Sequential() if planes is None else conv_bn_relu(channels, width)
        self.excitation = nn.Sequential(
            nn.Linear(width, width // reduction, bias=False),
            nn.ReLU(),
            nn.Linear(width // reduction, width, bias=False),
            nn.Sigmoid(),
        )
        self.conv_out = nn.Sequential() if planes is None else conv_bn_relu(width, channels)
        self.channels = channels
        self.planes = planes
        self.reduction = reduction

    def gate(self, z: Float[Tensor, "B P T H W"]) -> Float[Tensor, "B P T 1 1"]:
        """s, of the channels of each frame."""
        s = self.excitation(z.mean((3, 4)).transpose(1, 2))
        return s.transpose(1, 2)[..., None, None]

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("SE", self.channels, x)
        z = per_frame(self.conv_in, x)
        return per_frame(self.conv_out, self.gate(z) * z)

    def cost(self, x: tuple[int, ...]) -> cost.Cost:
        B, _, T, H, W = x
        images, n = B * T, B * T * H * W
        hidden, width = self.excitation[0].weight.shape
        total = cost.each(2 * n * width)  # the mean, s z
        total += 2 * cost.products(images * width, hidden) + cost.each(images * (hidden + width))
        if self.planes is not None:
            total += cost.conv_bn_relu(self.conv_in[0].weight.shape, n)
            total += cost.conv_bn_relu(self.conv_out[0].weight.shape, n)
        return total

    def extra_repr(self) -> str:
        return f"planes={self.planes}, reduction={self.reduction}"
