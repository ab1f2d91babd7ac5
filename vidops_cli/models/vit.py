"""Vision transformer on clips, with a hole for its token mixer. Dosovitskiy et al., arXiv 2010.11929.

Every frame is cut into patches; mixers see all patches of the clip as one map (B, C, T, H, W), so that an operator of
space-time maps can stand in the place of attention, and nothing is learned for one size of grid. Fixed positions; the
mean over positions in the place of a class token.

    x = x + mixer(norm(x)),    x = x + mlp(norm(x))
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional.frames import per_frame
from vidops_cli.ops.self_attention import SelfAttention

from .blocks import Blocks, Paths
from .inputs import check_clip


def positions(channels: int, grid: tuple[int, int, int], **like: Any) -> Float[Tensor, "C T H W"]:
    """Sines and cosines of the place in time (a quarter of the channels), height and width (3/8 each)."""
    table = torch.zeros(channels, *grid, **like)
    start = 0
    for axis, (size, share) in enumerate(zip(grid, (2, 3, 3), strict=True)):
        half = channels * share // 16
        waves = 10_000 ** (-torch.arange(half, **like) / half)
        phase = waves[:, None] * torch.arange(size, **like)
        shape = [2 * half] + [size if i == axis else 1 for i in range(3)]
        table[start : start + 2 * half] = torch.cat([phase.sin(), phase.cos()]).view(shape)
        start += 2 * half
    return table


class Norm(nn.LayerNorm):
    """Over the channels of each position of (B, C, T, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Mlp(nn.Module):
    """Two linear layers on each position of (B, C, T, H, W), four times as wide between them."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)
        for layer in (self.fc1, self.fc2):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x.movedim(1, -1)))).movedim(-1, 1)


class Block(nn.Module):
    """(B, C, T, H, W) -> the same shape."""

    def __init__(self, channels: int, heads: int, *, eps: float = 1e-5):
        super().__init__()
        self.norm1 = Norm(channels, eps=eps)
        self.mixer = SelfAttention(channels, heads=heads)  # slot
        self.norm2 = Norm(channels, eps=eps)
        self.mlp = Mlp(channels)
        self.stochastic_depth = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.stochastic_depth(self.mixer(self.norm1(x)))
        return x + self.stochastic_depth(self.mlp(self.norm2(x)))


class ViT(nn.Module):
    """Clips (B, 3, T, H, W) -> logits (B, classes); H and W are multiples of `patch`."""

    unused = ("class_token.", "positions.")  # of an image network that it starts from

    def __init__(self, *, classes: int, patch: int, channels: int, blocks: int, heads: int, dropout: float = 0.0):
        super().__init__()
        assert channels % 16 == 0, "positions share the channels out in 16ths"
        self.channels, self.patch = channels, patch
        self.patch_embed = nn.Conv2d(3, channels, patch, stride=patch)
        self.blocks = Blocks(*(Block(channels, heads) for _ in range(blocks)))
        self.norm = Norm(channels)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, classes)

    def forward(self, clip: Float[Tensor, "B 3 T H W"]) -> Float[Tensor, "B K"]:
        check_clip(clip, least=self.patch, multiple=self.patch)
        x = per_frame(self.patch_embed, clip)
        weight = self.patch_embed.weight
        x = x + positions(self.channels, tuple(x.shape[2:]), dtype=weight.dtype, device=weight.device)
        x = self.norm(self.blocks(x)).mean(dim=(2, 3, 4))
        return self.head(self.dropout(x))

    def paths(self) -> Paths:
        """Steps from the clip to the classifier, by depth: blocks.py."""
        return [[["patch_embed"], *([f"blocks.{i}"] for i in range(len(self.blocks)))]]

    def places(self) -> dict[str, dict[str, tuple[nn.Module, str, int]]]:
        """slot -> place -> (parent, attribute, channels): where an operator can be put."""
        return {"mixer": {f"block{i}": (block, "mixer", self.channels) for i, block in enumerate(self.blocks)}}
