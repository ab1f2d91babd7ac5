"""What fvcore is told about operations that it does not see: handles from a traced node to its macs or other FLOPs.

A handle takes a node's inputs and outputs and returns Counter(macs=...) or Counter(other=...); shapes are all it reads.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from vidops_cli.ops.cost import ACTIVATION, BATCH_NORM, LAYER_NORM, SOFTMAX, bilinear

from .counter import attention, sampled


def _shape(value: Any) -> list[int]:
    return value.type().sizes() or []


def _numel(value: Any) -> int:
    shape = _shape(value)
    return math.prod(shape) if shape else 0  # scalars are bookkeeping


def _is_complex(value: Any) -> bool:
    kind = value.type()
    return kind.kind() == "TensorType" and kind.scalarType() in ("ComplexFloat", "ComplexDouble", "ComplexHalf")


def _is_index(value: Any) -> bool:
    kind = value.type()
    return kind.kind() == "TensorType" and kind.scalarType() in ("Bool", "Int", "Long")


def _per_output(each: int, each_complex: int | None = None) -> Callable:
    def handle(inputs: list[Any], outputs: list[Any]) -> Counter:
        price = each_complex if each_complex is not None and _is_complex(outputs[0]) else each
        return Counter() if _is_index(outputs[0]) else Counter(other=price * _numel(outputs[0]))

    return handle


def _per_input(each: int) -> Callable:
    return lambda inputs, outputs: Counter(other=each * _numel(inputs[0]))


def _extreme(inputs: list[Any], outputs: list[Any]) -> Counter:
    """A maximum over an axis reads its input, one of two tensors makes its output."""
    return Counter(other=max(_numel(inputs[0]), _numel(outputs[0])))


def _norm(inputs: list[Any], outputs: list[Any]) -> Counter:
    """Squares, their sums, and a root of each."""
    return Counter(other=2 * _numel(inputs[0]) + _numel(outputs[0]))


def _free(inputs: list[Any], outputs: list[Any]) -> Counter:
    return Counter()


def _pool(inputs: list[Any], outputs: list[Any]) -> Counter:
    before, after = (_shape(value)[2:] for value in (inputs[0], outputs[0]))
    kernel = _ints(inputs[1]) or [a // b for a, b in zip(before, after, strict=True)]  # a computed one tiles the map
    return Counter(other=_numel(outputs[0]) * math.prod(kernel if len(kernel) > 1 else kernel * len(after)))


def _macs(handle: Callable) -> Callable:
    """An fvcore handle, whose unit is multiply-adds, as ours; of complex numbers each is four."""

    def ours(inputs: list[Any], outputs: list[Any]) -> Counter:
        told = handle(inputs, outputs)
        real = sum(told.values()) if isinstance(told, Counter) else told
        return Counter(macs=real * (4 if _is_complex(outputs[0]) else 1))

    return ours


def _is_mask(value: Any) -> bool:
    return value.type().kind() == "TensorType" and value.type().scalarType() == "Bool"


def _is_product_to_sum(node: Any) -> bool:
    """a * b of two different maps, read by one sum or mean: a correlation."""
    if node.kind() not in ("aten::mul", "aten::mul_") or any(map(_is_mask, node.inputs())):
        return False
    (a, b), users = list(node.inputs())[:2], node.output().uses()
    maps = _numel(a) > 1 and _numel(b) > 1 and a.debugName() != b.debugName() and not _is_complex(node.output())
    return maps and len(users) == 1 and users[0].user.kind() in ("aten::sum", "aten::mean")


def _mul(inputs: list[Any], outputs: list[Any]) -> Counter:
    if any(map(_is_mask, inputs)) or _is_index(outputs[0]):
        return Counter()
    if _is_product_to_sum(outputs[0].node()):
        return Counter(macs=_numel(outputs[0]))
    return Counter(other=(6 if _is_complex(outputs[0]) else 1) * _numel(outputs[0]))


def _sum(inputs: list[Any], outputs: list[Any]) -> Counter:
    return Counter(other=0 if _is_product_to_sum(inputs[0].node()) else _numel(inputs[0]))


def _mean(inputs: list[Any], outputs: list[Any]) -> Counter:
    return Counter(other=_numel(outputs[0] if _is_product_to_sum(inputs[0].node()) else inputs[0]))


def _grid_sampler(inputs: list[Any], outputs: list[Any]) -> Counter:
    cost = sampled(_shape(outputs[0]), inputs[2].toIValue())
    return Counter(macs=cost.macs, other=cost.other_flops)


def _bilinear(inputs: list[Any], outputs: list[Any]) -> Counter:
    """nn.Bilinear: every product of two features with a weight."""
    x, weight = _shape(inputs[0]), _shape(inputs[2])
    return Counter(macs=math.prod(x[:-1]) * math.prod(weight))


def _baddbmm(inputs: list[Any], outputs: list[Any]) -> Counter:
    return Counter(macs=_numel(outputs[0]) * _shape(inputs[1])[-1])


def _same_conv(inputs: list[Any], outputs: list[Any]) -> Counter:
    return Counter(macs=_numel(outputs[0]) * math.prod(_shape(inputs[1])[1:]))


def _einsum(inputs: list[Any], outputs: list[Any]) -> Counter:
    """Operands joined from left to right; a pair whose product is not summed makes no multiply-adds."""
    left, arrow, result = inputs[0].toIValue().replace(" ", "").partition("->")
    terms, shapes = left.split(","), [_shape(operand) for operand in inputs[1].node().inputs()]
    if "." in left or not arrow:
        return _macs(_FVCORE["aten::einsum"])(inputs, outputs)
    pairs = (pair for term, shape in zip(terms, shapes, strict=True) for pair in zip(term, shape, strict=True))
    sizes = dict(sorted(pairs))  # the larger of two, where one is broadcast
    cost, joined = Counter(), set(terms[0])
    for last, term in enumerate(terms[1:], start=2):
        letters = joined | set(term)
        joined = letters & set(result).union(*terms[last:])
        summed = any(sizes[letter] > 1 for letter in letters - joined)
        cost["macs" if summed else "other"] += math.prod(sizes[letter] for letter in letters)
    return cost


def _sdpa(inputs: list[Any], outputs: list[Any]) -> Counter:
    """An additive mask is one operation for each pair."""
    q, k, v = (_shape(value) for value in inputs[:3])
    cost, pairs = attention(q, k, v, scaled=inputs[6].toIValue() != 1), math.prod(q[:-1]) * k[-2]
    mask = 0 if inputs[3].node().mustBeNone() or inputs[3].type().scalarType() == "Bool" else pairs
    return Counter(macs=cost.macs, other=cost.other_flops + mask)


def _fft(inputs: list[Any], outputs: list[Any]) -> Counter:
    """2.5 n log2 n for each real transform of n points, 5 n log2 n for each complex one; n includes padding."""
    out, last = _shape(outputs[0]), outputs[0].node().kind()[-1]
    dims = _ints(inputs[2]) or {"n": list(range(len(out))), "2": [-2, -1]}.get(last, [-1])
    from_real, to_real = not _is_complex(inputs[0]), not _is_complex(outputs[0])
    lengths = _ints(inputs[1])
    if lengths is None and from_real and inputs[1].node().mustBeNone():
        lengths = [_shape(inputs[0])[dim] for dim in dims]
    elif lengths is None:  # a computed length: read off the result, of which a real input left one half
        lengths = [out[dim] for dim in dims]
        lengths[-1] = max(1, 2 * (lengths[-1] - 1)) if from_real else lengths[-1]
    n, transforms = math.prod(lengths), math.prod(out) // math.prod(out[dim] for dim in dims)
    return Counter(other=(2.5 if from_real or to_real else 5.0) * n * math.log2(max(n, 2)) * transforms)


def _ints(value: Any) -> list[int] | None:
    """The constant integers behind a traced value, or None."""
    node = value.node()
    found = [item.toIValue() for item in node.inputs()] if node.kind() == "prim::ListConstruct" else value.toIValue()
    found = found if isinstance(found, list) or found is None else [found]
    return found if found and all(isinstance(item, int) for item in found) else None


def _correlate(inputs: list[Any], outputs: list[Any]) -> Counter:
    terms = _shape(inputs[0])[1] // _shape(outputs[0])[1]
    return Counter(macs=_numel(outputs[0]) * terms) if terms > 1 else Counter(other=_numel(outputs[0]))


def _aggregate(inputs: list[Any], outputs: list[Any]) -> Counter:
    terms = _shape(inputs[0])[2]
    return Counter(macs=_numel(inputs[1]) * terms) if terms > 1 else Counter(other=_numel(inputs[1]))


def _sample(inputs: list[Any], outputs: list[Any]) -> Counter:
    """Each place has a row and a column; offsets that are made as zeros leave whole pixels, which are copied."""
    if inputs[1].node().kind() == "aten::new_zeros":
        return Counter()
    cost = bilinear(_numel(outputs[0]), _numel(inputs[1]) // 2)
    return Counter(macs=cost.macs, other=cost.other_flops)


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
    "empty_permuted",
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
    "mT",
    "numpy_T",
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
    "maximum",
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

_FVCORE = FlopCountAnalysis(nn.Identity(), torch.zeros(1))._op_handles
HANDLES: dict[str, Callable] = {
    **{f"aten::{name}": _free for name in _FREE},
    **{f"aten::{name}": _per_output(1, 2) for name in _ELEMENTWISE},
    **{f"aten::{name}": _per_output(1, 6) for name in ("div", "div_")},
    **{f"aten::{name}": _per_output(ACTIVATION) for name in ("elu", "gelu", "silu", "silu_", "softplus", "hardswish")},
    **{f"aten::{name}": _per_input(1) for name in ("amax", "amin", "argmax", "argmin", "prod")},
    **{f"aten::{name}": _norm for name in ("norm", "linalg_vector_norm", "frobenius_norm")},
    "aten::logaddexp": _per_output(2),
    **{f"aten::{name}": _per_input(3) for name in ("var", "std")},
    **{f"aten::{name}": _per_output(SOFTMAX) for name in ("softmax", "log_softmax", "_softmax")},
    **{f"aten::{name}": _per_output(BATCH_NORM) for name in ("batch_norm",)},
    **{f"aten::{name}": _per_output(LAYER_NORM) for name in ("layer_norm", "group_norm", "instance_norm")},
    **{f"aten::{name}": _pool for name in ("max_pool2d", "max_pool3d", "avg_pool2d", "avg_pool3d")},
    **{
        f"aten::{name}": _per_input(1) for name in ("adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool2d")
    },
    **{
        f"aten::upsample_{name}": _per_output(price)
        for name, price in (("bilinear2d", 7), ("linear1d", 3), ("trilinear3d", 15))
    },
    "aten::max": _extreme,
    "aten::min": _extreme,
    "aten::upsample_nearest2d": _free,
    "aten::mul": _mul,
    "aten::mul_": _mul,
    "aten::sum": _sum,
    "aten::mean": _mean,
    "aten::bilinear": _bilinear,
    **{f"aten::{name}": _grid_sampler for name in ("grid_sampler", "grid_sampler_2d", "grid_sampler_3d")},
    "aten::einsum": _einsum,
    "aten::baddbmm": _baddbmm,
    "aten::_convolution_mode": _same_conv,
    "aten::scaled_dot_product_attention": _sdpa,
    **{
        f"aten::fft_{name}": _fft
        for name in ("rfft", "irfft", "rfft2", "irfft2", "rfftn", "irfftn", "fft", "ifft", "fftn", "ifftn")
    },
    "vidops::correlate": _correlate,
    "vidops::aggregate": _aggregate,
    "vidops::sample": _sample,
}
for _name in ("addmm", "bmm", "_convolution", "matmul", "mm", "linear"):
    HANDLES[f"aten::{_name}"] = _macs(_FVCORE[f"aten::{_name}"])
