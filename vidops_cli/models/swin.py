"""Swin transformer on clips, frame by frame, with holes for operators. Liu et al., arXiv 2103.14030.

Attention within windows of each frame; every second block shifts them by half a window.

    x = x + attn(norm1(x));    x = after_mixer(x);    x = x + mlp(norm2(x))

In the released SIFA-Swin an operator stands there, SIFA in the plain blocks and a temporal convolution in the shifted
ones, and a patch is of four frames; in figure 4b of that paper (arXiv 2206.06931) the operator stands inside the
branch: x = x + after_mixer(attn(norm1(x))).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vidops_cli.functional import partition
from vidops_cli.functional.partition import joined as joined
from vidops_cli.functional.partition import windows as windows
from vidops_cli.ops import window_attention

from .blocks import Blocks, Paths
from .inputs import check_clip
from .vit import Mlp, Norm

Size = tuple[int, int]
PATCH = 4  # pixels


def relative_index(height: int, width: int, window: int, device: torch.device | None = None) -> Int[Tensor, "n n"]:
    """Row of the table of a `window` for each pair of positions of a height x width window, no larger than that one."""
    return partition.relative_index((height, width), (window, window), device)


def shift_mask(grid: Size, window: Size, shift: int, device: torch.device | None = None) -> Float[Tensor, "k n n"]:
    """0 for pairs of one region, -100 for pairs that only the shift brought into one window; k windows of a grid."""
    return partition.shift_mask(grid, window, (shift, shift), device=device)


class WindowAttention(window_attention.WindowAttention):
    """The operator of that name within windows of each frame, (B, C, T, H, W) -> the same shape.

    Maps that the window does not divide are padded with zeros, which take part, as in Swin for detection; a map with a
    side no longer than the window is not shifted, and a window longer than the map is cut to it.
    """

    def __init__(self, channels: int, *, heads: int, window: int, shift: int = 0):
        super().__init__(channels, heads=heads, window=(1, window, window), padding="zero")
        if not 0 <= shift < window:
            raise ValueError(f"shift must be within the window of {window}, got {shift}")
        self.window, self.shift = window, shift

    def shifts(self, grid: Sequence[int]) -> tuple[int, int, int]:
        shift = self.shift if min(grid[1:]) > self.window else 0
        return 0, shift, shift


class SwinBlock(nn.Module):
    """(B, C, T, H, W) -> the same shape. `inside_branch`: the operator stands before the attention's sum."""

    def __init__(self, channels: int, *, heads: int, window: int, shift: int = 0, inside_branch: bool = False):
        super().__init__()
        self.inside_branch = inside_branch
        self.norm1 = Norm(channels)
        self.attn = WindowAttention(channels, heads=heads, window=window, shift=shift)
        self.after_mixer = nn.Identity()  # slot
        self.norm2 = Norm(channels)
        self.mlp = Mlp(channels)
        self.stochastic_depth = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.attn(self.norm1(x))
        if self.inside_branch:
            x = x + self.stochastic_depth(self.after_mixer(y))
        else:
            x = self.after_mixer(x + self.stochastic_depth(y))
        return x + self.stochastic_depth(self.mlp(self.norm2(x)))


class PatchMerging(nn.Module):
    """Each 2 x 2 positions become one of twice the channels, (B, C, T, H, W) -> (B, 2 C, T, H / 2, W / 2)."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C2 T H2 W2"]:
        x = F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2))
        corners = [x[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, dim=1).movedim(1, -1))).movedim(-1, 1)


class Stage(nn.Module):
    """Blocks at one size of the map, every second one shifted, and what halves it behind them (except the last)."""

    def __init__(self, channels: int, depth: int, *, heads: int, window: int, last: bool):
        super().__init__()
        self.blocks = Blocks(
            *(SwinBlock(channels, heads=heads, window=window, shift=window // 2 * (j % 2)) for j in range(depth))
        )
        self.downsample = nn.Identity() if last else PatchMerging(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.downsample(self.blocks(x))


class Swin(nn.Module):
    """Clips (B, 3, T, H, W) -> logits (B, classes), averaged over time. A patch is of `tube` frames, 4 x 4 pixels.

    `first_norm`: a norm behind the patches, as in Swin; the released SIFA-Swin has none.
    """

    unused = ("patch_norm.",)  # of an image network that one without it starts from
    inflation = "middle"  # of the patches; the released Swin's own rule is not known to us

    def __init__(
        self,
        *,
        classes: int,
        channels: int,
        blocks: tuple[int, ...],
        heads: tuple[int, ...],
        window: int = 7,
        tube: int = 1,
        first_norm: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.tube = tube
        self.patch_embed = nn.Conv3d(3, channels, (tube, PATCH, PATCH), stride=(tube, PATCH, PATCH))
        self.patch_norm = Norm(channels) if first_norm else nn.Identity()
        stages = []
        for i, (depth, number) in enumerate(zip(blocks, heads, strict=True)):
            last = i == len(blocks) - 1
            stages.append(Stage(channels << i, depth, heads=number, window=window, last=last))
        self.layers = nn.Sequential(*stages)
        self.channels = tuple(channels << i for i in range(len(blocks)))
        self.norm = Norm(self.channels[-1])
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.channels[-1], classes)

    def forward(self, clip: Float[Tensor, "B 3 T H W"]) -> Float[Tensor, "B K"]:
        check_clip(clip, least=PATCH, multiple=PATCH)
        if clip.shape[2] % self.tube:
            raise ValueError(f"this network takes a multiple of {self.tube} frames, got {clip.shape[2]}")
        x = self.norm(self.layers(self.patch_norm(self.patch_embed(clip))))
        return self.head(self.dropout(x.mean(dim=(2, 3, 4))))

    def paths(self) -> Paths:
        """Steps from the clip to the classifier, by depth: blocks.py."""
        path = [["patch_embed", "patch_norm"]]
        for i, stage in enumerate(self.layers):
            path += [[f"layers.{i}.blocks.{j}"] for j in range(len(stage.blocks))]
            path[-1].append(f"layers.{i}.downsample")
        return [path]

    def places(self) -> dict[str, dict[str, tuple[nn.Module, str, int]]]:
        """slot -> place -> (parent, attribute, channels): where an operator can be put."""
        found: dict[str, dict[str, tuple[nn.Module, str, int]]] = {"mixer": {}, "after_mixer": {}}
        for i, (stage, channels) in enumerate(zip(self.layers, self.channels, strict=True)):
            for j, block in enumerate(stage.blocks):
                found["mixer"][f"stage{i + 1}.{j}"] = (block, "attn", channels)
                found["after_mixer"][f"stage{i + 1}.{j}"] = (block, "after_mixer", channels)
        return found
