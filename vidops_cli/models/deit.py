"""ViT and DeiT as released, on clips frame by frame. Dosovitskiy et al., arXiv 2010.11929; Touvron et al., 2012.12877.

A learned class token stands before the patches of a frame, each has a learned position, and the token is what is
classified; logits are averaged over frames. Blocks are those of `vit.py`, which see the tokens of a frame as a map of
one row. That is no map of space, so that there is no hole for operators: they go into the networks of `vit.py`, which
may start from these weights.

Deviations: on frames that give another grid of patches positions are interpolated, as is common. By
stochastic depth branches are left out frame by frame.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .blocks import Blocks, Paths
from .inputs import check_clip
from .vit import Block, Norm

PATCH, GRID = 16, 14  # pixels; patches of a side in training
EPS = 1e-6


class DeiT(nn.Module):
    """Clips (B, 3, T, H, W) -> logits (B, classes); H and W are multiples of 16."""

    def __init__(self, *, classes: int, channels: int, blocks: int, heads: int, dropout: float = 0.0):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, channels, PATCH, stride=PATCH)
        self.class_token = nn.Parameter(torch.empty(1, 1, channels))
        self.positions = nn.Parameter(torch.empty(1, 1 + GRID**2, channels))
        for table in (self.class_token, self.positions):
            nn.init.trunc_normal_(table, std=0.02)
        self.blocks = Blocks(*(Block(channels, heads, eps=EPS) for _ in range(blocks)))
        self.norm = Norm(channels, eps=EPS)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, classes)

    def table(self, height: int, width: int) -> Float[Tensor, "1 N C"]:
        """Positions of the class token and of a grid of patches."""
        if (height, width) == (GRID, GRID):
            return self.positions
        token, patches = self.positions.split((1, GRID**2), dim=1)
        grid = patches.transpose(1, 2).unflatten(2, (GRID, GRID))
        grid = F.interpolate(grid, (height, width), mode="bicubic", antialias=True)
        return torch.cat([token, grid.flatten(2).transpose(1, 2)], dim=1)

    def forward(self, clip: Float[Tensor, "B 3 T H W"]) -> Float[Tensor, "B K"]:
        check_clip(clip, least=PATCH, multiple=PATCH)
        patches = self.patch_embed(clip.transpose(1, 2).flatten(0, 1))  # B T, C, height, width
        tokens = torch.cat([self.class_token.expand(len(patches), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        row = (tokens + self.table(*patches.shape[2:])).transpose(1, 2)[:, :, None, None]  # B T, C, 1, 1, tokens
        token = self.norm(self.blocks(row)[..., :1]).flatten(1)
        return self.head(self.dropout(token)).unflatten(0, clip.shape[:1] + clip.shape[2:3]).mean(dim=1)

    def paths(self) -> Paths:
        """Steps from the clip to the classifier, by depth: blocks.py."""
        blocks = [[f"blocks.{i}"] for i in range(len(self.blocks))]
        return [[["patch_embed", "class_token", "positions"], *blocks]]

    def places(self) -> dict[str, dict[str, tuple[nn.Module, str, int]]]:
        return {}
