"""Batch norms whose statistics are of the clips of all processes (synchronised, or cross-GPU, batch normalisation).

Peng et al., MegDet, arXiv 1711.07240. On GPUs `torch.nn.SyncBatchNorm`, which runs there alone; on a CPU the same in
plain operations, which a test holds to a batch norm of the whole batch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

Norm = nn.modules.batchnorm._BatchNorm


class _Sum(torch.autograd.Function):
    """Sum over processes; each one's gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _Sum.forward(ctx, grad)


class SyncNorm(Norm):
    """(B, C, ...) -> the same shape; in training mean and variance are over the batches of all processes."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Any."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        dims, shape = [0, *range(2, input.ndim)], [1, -1] + [1] * (input.ndim - 2)
        x = input.double()  # as torch's own adds up on a CPU
        count = _Sum.apply(x.new_tensor([x.numel() / x.shape[1]]))
        mean = _Sum.apply(x.sum(dims)) / count
        x = x - mean.view(shape)
        var = _Sum.apply(x.square().sum(dims)) / count
        with torch.no_grad():
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            share = self.momentum if self.momentum is not None else 1 / self.num_batches_tracked.item()
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
            self.running_var.lerp_((var * count / (count - 1)).to(self.running_var.dtype), share)
        y = x * (var + self.eps).rsqrt().view(shape) * self.weight.view(shape) + self.bias.view(shape)
        return y.to(input.dtype)


def synchronised(model: nn.Module, device: torch.device) -> nn.Module:
    """The network with its batch norms exchanged; weights, statistics and their names stay."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for name, child in list(model.named_children()):
        if isinstance(child, Norm):
            norm = SyncNorm(child.num_features, eps=child.eps, momentum=child.momentum)
            norm._parameters, norm._buffers = child._parameters, child._buffers
            setattr(model, name, norm)
        else:
            synchronised(child, device)
    return model
