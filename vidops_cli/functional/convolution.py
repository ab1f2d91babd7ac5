"""Convolution over time and space."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sequence[int] = (1, 1, 1),
    padding: Sequence[int] = (0, 0, 0),
    groups: int = 1,
) -> Tensor:
    """torch's conv3d, right on maps smaller than their kernel too.

    There torch 2.13 gives wrong, even infinite gradients of a bfloat16 weight on a CPU, unless zeros are written out.
    """
    if any(size < kernel for size, kernel in zip(x.shape[2:], weight.shape[2:], strict=True)):
        x = F.pad(x, [pad for pad in reversed(padding) for _ in (0, 1)])
        padding = (0, 0, 0)
    return F.conv3d(x, weight, bias, tuple(stride), tuple(padding), 1, groups)
