"""Temporal shift module. Lin et al., TSM: Temporal Shift Module for Efficient Video Understanding, arXiv 1811.08383.

A 2-D network sees its neighbours in time when a part of the channels is moved by one frame, at no multiply-add.

    y[t] = ( x[t+1] on the first C / fold_div channels, x[t-1] on the next C / fold_div, x[t] on the rest )

Deviations: none from the code that MotionSqueeze and SELFY released (zeros outside the clip; placed at the input of the
residual branch). IntegralAction's code is fold_div=4, first="previous": twice the channels, directions exchanged. The
released "circulant" padding goes the opposite way of its "zero"; padding="circular" keeps the direction that `first`
names, so first="previous" gives the released form.
"""

from jaxtyping import Float
from torch import Tensor, nn

from vidops_cli.functional import temporal_shift
from vidops_cli.functional.shift import check_shift

from .checks import made_for
from .cost import Cost


class TemporalShift(nn.Module):
    """(B, C, T, H, W) -> the same shape."""

    def __init__(self, channels: int, *, fold_div: int = 8, first: str = "next", padding: str = "zero"):
        super().__init__()
        if fold_div < 2 or channels < fold_div:
            raise ValueError(f"fold_div must lie between 2 and the {channels} channels, got {fold_div}")
        check_shift(first, padding)
        self.channels = channels
        self.fold = channels // fold_div
        self.first = first
        self.padding = padding

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C T H W"]:
        made_for("TemporalShift", self.channels, x)
        return temporal_shift(x, self.fold, first=self.first, padding=self.padding)

    def cost(self, x: tuple[int, ...]) -> Cost:
        return Cost()

    def extra_repr(self) -> str:
        return f"fold={self.fold}, first={self.first}, padding={self.padding}"
