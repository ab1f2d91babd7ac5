"""Divided space-time attention. Bertasius et al., Is Space-Time Attention All You Need for Video Understanding?,
ICML 2021, arXiv 2102.05095.

Each position attends to its own place in all frames first, then to all places of its own frame, with weights of their
own for either: T + H W instead of T H W keys for each query.

    z_time = z + W_t MSA_time(z)                   over the T frames at one place
    y      = z_time + W_s MSA_space(LN(z_time))    over the H W places of one frame

The mixer returns y - z, what the block adds to its input. Deviations: written from the paper's equations; no numbers of
the released code hold it. The first norm and the residual are the block's: a mixer sees z = LN(x) alone, so that the
spatial half reads LN(z + time) where the paper's reads LN(x + time); what is added to x is the same two terms. No
class token. The released code puts one more linear layer, zero at the start but in the first block, after MSA_time.
"""

from jaxtyping import Float
from torch import Tensor, nn

from .checks import made_for
from .cost import LAYER_NORM, Cost, each
from .self_attention import SelfAttention


class DividedAttention(nn.Module):
    """(B, C, T, H, W) -> the same shape; a token mixer."""

    def __init__(self, channels: int, *, heads: int = 8, bias: bool = True):
        super().__init__()
        self.heads = heads
        self.time = SelfAttention(channels, heads=heads, bias=bias)
        self.norm = nn.LayerNorm(channels)
        self.space = SelfAttention(channels, heads=heads, bias=bias)

    def temporal(self, z: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        """W_t MSA_time."""
        B, _, _, H, W = z.shape
        places = z.permute(0, 3, 4, 1, 2).flatten(0, 2)[..., None, None]  # B H W, C, T, 1, 1
        return self.time(places)[..., 0, 0].unflatten(0, (B, H, W)).permute(0, 3, 4, 1, 2)

    def spatial(self, z: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        """W_s MSA_space(LN(z))."""
        z = self.norm(z.movedim(1, -1)).movedim(-1, 1)
        frames = z.transpose(1, 2).flatten(0, 1)[:, :, None]
        return self.space(frames)[:, :, 0].unflatten(0, (z.shape[0], z.shape[2])).transpose(1, 2)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("DividedAttention", self.time.qkv.in_features, x)
        time = self.temporal(x)
        return time + self.spatial(x + time)

    def cost(self, x: tuple[int, ...]) -> Cost:
        B, C, T, H, W = x
        return (
            self.time.cost((B * H * W, C, T, 1, 1))
            + self.space.cost((B * T, C, 1, H, W))
            + each(B * C * T * H * W, LAYER_NORM + 2)
        )

    def extra_repr(self) -> str:
        return f"heads={self.heads}"
