"""Temporal shift module. Lin et al., TSM: Temporal Shift Module for Efficient Video Understanding, arXiv 1811.08383.

A 2-D network sees its neighbours in time when a part of the channels is moved by one frame, at no multiply-add.

    y[t] = ( x[t+1] on the first C / fold_div channels, x[t-1] on the next C / fold_div, x[t] on the rest )

Deviations: none from the released code (zeros outside the clip; placed at the input of the residual branch).
"""

from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import temporal_shift


class TemporalShift(nn.Module):
    """(B, C, T, H, W) -> the same shape."""

    def __init__(self, channels: int, *, fold_div: int = 8):
        super().__init__()
        if fold_div < 2 or channels < fold_div:
            raise ValueError(f"fold_div must lie between 2 and the {channels} channels, got {fold_div}")
        self.fold = channels // fold_div

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        return temporal_shift(x, self.fold)

    def extra_repr(self) -> str:
        return f"fold={self.fold}"
