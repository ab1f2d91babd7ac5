"""Operations of a module, counted by fvcore, with handles for all that it does not see.

`macs` are multiply-adds of convolution, linear, matmul, attention, correlation and aggregation (what papers print);
`other_flops` is all else, a real FFT as 2.5 N log2 N; `flops` = 2 macs + other_flops. An operation that no handle knows
is named in `uncounted`, never taken as zero. Our primitives count as their published algorithm does; `flops_executed`
counts what the form that ran really does.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from vidops_cli.functional import window


@dataclass(frozen=True)
class Cost:
    """Operations of one forward pass. Counts, not thousands or millions."""

    params: int
    macs: int
    other_flops: int
    uncounted: tuple[str, ...]

    @property
    def flops(self) -> int:
        return 2 * self.macs + self.other_flops


def count(module: nn.Module, *inputs: torch.Tensor) -> Cost:
    """Operations of `module(*inputs)` in evaluation mode."""
    training = module.training
    module.eval()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch.jit.trace, on which fvcore stands, is deprecated
            analysis = (
                FlopCountAnalysis(module, inputs).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            )
            analysis.tracer_warnings("none").set_op_handle(**HANDLES)
            found = analysis.by_operator()
            uncounted = analysis.unsupported_ops()
    finally:
        module.train(training)
    params = sum(p.numel() for p in module.parameters())
    return Cost(params, round(found["macs"]), round(found["other"]), tuple(sorted(uncounted)))


# --- handles: (inputs, outputs of a traced node) -> Counter of macs or other ------------------------------------------


def _shape(value: Any) -> list[int]:
    return value.type().sizes() or []


def _numel(value: Any) -> int:
    shape = _shape(value)
    return math.prod(shape) if shape else 0  # scalars are bookkeeping


def _is_complex(value: Any) -> bool:
    kind = value.type()
    return kind.kind() == "TensorType" and kind.scalarType() in ("ComplexFloat", "ComplexDouble", "ComplexHalf")


def _tensors(values: list[Any]) -> list[Any]:
    return [value for value in values if value.type().kind() == "TensorType"]


def _per_output(each: int, each_complex: int | None = None) -> Callable:
    def handle(inputs: list[Any], outputs: list[Any]) -> Counter:
        price = each_complex if each_complex is not None and _is_complex(outputs[0]) else each
        return Counter(other=price * _numel(outputs[0]))

    return handle


def _per_input(each: int) -> Callable:
    return lambda inputs, outputs: Counter(other=each * _numel(inputs[0]))


def _free(inputs: list[Any], outputs: list[Any]) -> Counter:
    return Counter()


def _pool(inputs: list[Any], outputs: list[Any]) -> Counter:
    kernel = inputs[1].toIValue() or [1]
    return Counter(other=_numel(outputs[0]) * math.prod(kernel if len(kernel) > 1 else kernel * 2))


def _macs(handle: Callable) -> Callable:
    """An fvcore handle, whose unit is multiply-adds, as ours."""

    def ours(inputs: list[Any], outputs: list[Any]) -> Counter:
        told = handle(inputs, outputs)
        return Counter(macs=sum(told.values()) if isinstance(told, Counter) else told)

    return ours


def _baddbmm(inputs: list[Any], outputs: list[Any]) -> Counter:
    return Counter(macs=_numel(outputs[0]) * _shape(inputs[1])[-1])


def _same_conv(inputs: list[Any], outputs: list[Any]) -> Counter:
    return Counter(macs=_numel(outputs[0]) * math.prod(_shape(inputs[1])[1:]))


def _sdpa(inputs: list[Any], outputs: list[Any]) -> Counter:
    q, k, v = (_shape(value) for value in inputs[:3])
    batch, pairs = math.prod(q[:-2]), q[-2] * k[-2]
    return Counter(macs=batch * pairs * (q[-1] + v[-1]), other=SOFTMAX * batch * pairs)


def _fft(inputs: list[Any], outputs: list[Any]) -> Counter:
    """Real transforms over the axes that change or are named; the longer side holds the real numbers."""
    """2.5 n log2 n for each real transform of n points, 5 n log2 n for each complex one; n includes padding."""
    out = _shape(outputs[0])
    kind = outputs[0].node().kind()
    given = _ints(inputs[2])
    dims = given or {"n": list(range(len(out))), "2": [-2, -1]}.get(kind[-1], [-1])
    real_in, real_out = not _is_complex(inputs[0]), not _is_complex(outputs[0])
    lengths = [out[dim] for dim in dims]
    if real_in and not real_out:  # of n real points half the spectrum is kept; an odd n is taken as n - 1
        lengths[-1] = max(1, 2 * (lengths[-1] - 1))
    n, transforms = math.prod(lengths), math.prod(out) // math.prod(out[dim] for dim in dims)
    return Counter(other=(2.5 if real_in or real_out else 5.0) * n * math.log2(max(n, 2)) * transforms)


def _ints(value: Any) -> list[int] | None:
    """The constant integers behind a traced value, or None."""
    node = value.node()
    found = [item.toIValue() for item in node.inputs()] if node.kind() == "prim::ListConstruct" else value.toIValue()
    found = found if isinstance(found, list) or found is None else [found]
    return found if found and all(isinstance(item, int) for item in found) else None


def _correlate(inputs: list[Any], outputs: list[Any]) -> Counter:
    return Counter(macs=_numel(inputs[0]) * _shape(outputs[0])[2])


def _aggregate(inputs: list[Any], outputs: list[Any]) -> Counter:
    return Counter(macs=_numel(inputs[1]) * _shape(inputs[0])[2])


SOFTMAX = 5  # maximum, difference, exponential, sum, division

_FREE = [
    "Int",
    "ScalarImplicit",
    "__and__",
    "alias",
    "arange",
    "as_strided",
    "bitwise_not",
    "broadcast_tensors",
    "cat",
    "chunk",
    "clone",
    "concat",
    "conj",
    "_conj",
    "constant_pad_nd",
    "contiguous",
    "copy_",
    "detach",
    "dropout",
    "empty",
    "empty_like",
    "eq",
    "expand",
    "expand_as",
    "feature_dropout",
    "fill_",
    "flatten",
    "flip",
    "floor_divide",
    "floor_divide_",
    "full",
    "full_like",
    "gather",
    "ge",
    "gt",
    "index",
    "index_put_",
    "index_select",
    "le",
    "linspace",
    "lt",
    "masked_fill",
    "meshgrid",
    "moveaxis",
    "movedim",
    "narrow",
    "ne",
    "new_empty",
    "new_full",
    "new_ones",
    "new_zeros",
    "nonzero",
    "numel",
    "ones",
    "ones_like",
    "pad",
    "permute",
    "pixel_shuffle",
    "pixel_unshuffle",
    "real",
    "repeat",
    "repeat_interleave",
    "reshape",
    "resolve_conj",
    "resolve_neg",
    "roll",
    "select",
    "size",
    "slice",
    "split",
    "split_with_sizes",
    "squeeze",
    "squeeze_",
    "stack",
    "swapaxes",
    "t",
    "tensor_split",
    "to",
    "transpose",
    "transpose_",
    "type_as",
    "unbind",
    "unflatten",
    "unfold",
    "unsqueeze",
    "unsqueeze_",
    "view",
    "view_as",
    "view_as_real",
    "view_as_complex",
    "where",
    "zeros",
    "zeros_like",
    "zero_",
    "im2col",
]

_ELEMENTWISE = [
    "abs",
    "add",
    "add_",
    "ceil",
    "clamp",
    "clamp_",
    "clamp_max",
    "clamp_min",
    "cos",
    "cumsum",
    "erf",
    "exp",
    "floor",
    "hardtanh",
    "hardtanh_",
    "imag",
    "leaky_relu",
    "leaky_relu_",
    "log",
    "max",
    "maximum",
    "min",
    "minimum",
    "neg",
    "pow",
    "reciprocal",
    "relu",
    "relu_",
    "relu6",
    "remainder",
    "round",
    "rsqrt",
    "rsub",
    "sigmoid",
    "sign",
    "sin",
    "sqrt",
    "square",
    "sub",
    "sub_",
    "tanh",
]

HANDLES: dict[str, Callable] = {
    **{f"aten::{name}": _free for name in _FREE},
    **{f"aten::{name}": _per_output(1, 2) for name in _ELEMENTWISE},
    **{f"aten::{name}": _per_output(1, 6) for name in ("mul", "mul_", "div", "div_")},
    **{f"aten::{name}": _per_output(4) for name in ("gelu", "silu", "silu_", "softplus", "hardswish")},
    **{f"aten::{name}": _per_input(1) for name in ("sum", "mean", "amax", "amin", "argmax", "argmin", "prod")},
    **{f"aten::{name}": _per_input(2) for name in ("norm", "linalg_vector_norm", "frobenius_norm")},
    **{f"aten::{name}": _per_input(3) for name in ("var", "std")},
    **{f"aten::{name}": _per_output(SOFTMAX) for name in ("softmax", "log_softmax", "_softmax")},
    **{f"aten::{name}": _per_output(2) for name in ("batch_norm",)},  # a scale and a shift in evaluation
    **{f"aten::{name}": _per_output(5) for name in ("layer_norm", "group_norm", "instance_norm")},
    **{f"aten::{name}": _pool for name in ("max_pool2d", "max_pool3d", "avg_pool2d", "avg_pool3d")},
    **{
        f"aten::{name}": _per_input(1) for name in ("adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool2d")
    },
    **{
        f"aten::upsample_{name}": _per_output(price)
        for name, price in (("bilinear2d", 7), ("linear1d", 3), ("trilinear3d", 15))
    },
    "aten::upsample_nearest2d": _free,
    "aten::grid_sampler": _per_output(7),
    "aten::baddbmm": _baddbmm,
    "aten::_convolution_mode": _same_conv,
    "aten::scaled_dot_product_attention": _sdpa,
    **{
        f"aten::fft_{name}": _fft
        for name in ("rfft", "irfft", "rfft2", "irfft2", "rfftn", "irfftn", "fft", "ifft", "fftn", "ifftn")
    },
    "vidops::correlate": _correlate,
    "vidops::aggregate": _aggregate,
}
for _name in ("addmm", "bmm", "_convolution", "einsum", "matmul", "mm", "linear"):
    HANDLES[f"aten::{_name}"] = _macs(FlopCountAnalysis(nn.Identity(), torch.zeros(1))._op_handles[f"aten::{_name}"])


# --- what really runs -------------------------------------------------------------------------------------------------

_BODIES = {
    torch.ops.vidops.correlate.default: window._correlate._init_fn,
    torch.ops.vidops.aggregate.default: window._aggregate._init_fn,
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
