"""Floating-point operations that a call really performs, whatever the published algorithm would."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from vidops_cli.functional import deformable, window

from .handles import SOFTMAX

_BODIES = {
    torch.ops.vidops.correlate.default: window._correlate._init_fn,
    torch.ops.vidops.aggregate.default: window._aggregate._init_fn,
    torch.ops.vidops.sample.default: deformable._sample._init_fn,
}


class _Executed(TorchDispatchMode):
    """Sums floating-point operations of every aten call, those inside our primitives too."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0.0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in _BODIES:
            with self:
                return _BODIES[function](*args, **kwargs)
        out = function(*args, **kwargs)
        self.flops += self._price(function, args, kwargs, out)
        return out

    def _price(self, function, args, kwargs, out) -> float:
        name = function.overloadpacket._qualified_op_name
        if function.overloadpacket in flop_registry:
            return flop_registry[function.overloadpacket](*args, **kwargs, out_val=out)
        if name == "aten::_scaled_dot_product_flash_attention_for_cpu":
            return (
                sdpa_flop_count(*(value.shape for value in args[:3]))
                + SOFTMAX * math.prod(args[0].shape[:-1]) * args[1].shape[-2]
            )
        if name in ("aten::_fft_r2c", "aten::_fft_c2r", "aten::_fft_c2c"):
            real = out if name == "aten::_fft_c2r" else args[0]
            n = math.prod(real.shape[dim] for dim in args[1])
            return (5.0 if name == "aten::_fft_c2c" else 2.5) * real.numel() * math.log2(max(n, 2))
        if name == "aten::embedding_bag":  # sums of weighted rows
            return 2 * args[1].numel() * args[0].shape[1]
        if name in ("aten::_softmax", "aten::_log_softmax"):
            return SOFTMAX * out.numel()
        if name in ("aten::native_batch_norm", "aten::_native_batch_norm_legit_no_training", "aten::cudnn_batch_norm"):
            return 2 * out[0].numel()
        if torch.Tag.pointwise in function.tags and torch.is_tensor(out):
            return out.numel() * (6 if out.is_complex() and "mul" in name else 1)
        if torch.Tag.reduction in function.tags and torch.is_tensor(args[0]):
            return args[0].numel()
        return 0.0


@torch.no_grad()
def executed(function: Callable, *inputs: torch.Tensor) -> int:
    """Floating-point operations that a call really performs."""
    mode = _Executed()
    with mode:
        function(*inputs)
    return round(mode.flops)
