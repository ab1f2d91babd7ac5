"""Matrix products."""

import torch
import torch.nn.functional as F
from torch import Tensor

ONEDNN = torch.backends.mkldnn.is_available()
LARGE = 2**24  # multiply-adds from which a convolution's overhead does not count


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, relu: bool = False) -> Tensor:
    """(..., K), (N, K), (N,) -> (..., N): torch's linear, and ReLU if wanted.

    On a CPU a large one is a 1 x 1 convolution: for that torch calls oneDNN, twice as fast as its BLAS.
    """
    convolves = x.device.type == "cpu" and x.dtype == torch.float32 and ONEDNN
    if not convolves or x.numel() * len(weight) < LARGE:
        y = F.linear(x, weight, bias)
        return y.relu_() if relu else y
    rows = x.reshape(1, 1, -1, x.shape[-1]).contiguous()
    y = F.conv2d(rows.permute(0, 3, 1, 2), weight[:, :, None, None], bias)  # channels run fastest
    y = y.relu_() if relu else y  # not after it has become a view, which autograd would copy
    return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], len(weight))
