"""Length brought to one."""

import torch
from torch import Tensor


def l2norm(x: Tensor, dim: int = 1) -> Tensor:
    """x / sqrt(sum of x^2 over an axis + 1e-6): the epsilon is inside the root. float32 or better, as half precision
    overflows."""
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    return exact * torch.rsqrt(exact.square().sum(dim, keepdim=True) + 1e-6)
