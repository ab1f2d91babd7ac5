"""Operations counted while they run, by a dispatch mode that knows aten and nothing else.

On a textbook form it is the cross-check of an operator's formula; on the form that is timed, with our primitives
opened, it gives `flops_executed`. Tensors on the meta device are counted without being computed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from vidops_cli.functional import deformable, window
from vidops_cli.ops.cost import BILINEAR, PLACE, SOFTMAX, Cost, each, products

from .prices import ADDED, FREE, INPUT, OUTPUT

_BODIES = {
    torch.ops.vidops.correlate.default: window._correlate._init_fn,
    torch.ops.vidops.aggregate.default: window._aggregate._init_fn,
    torch.ops.vidops.sample.default: deformable._sample._init_fn,
}

_LEAVES = ("numpy", "__array__", "data_ptr", "__dlpack__", "tolist")


@dataclass(frozen=True)
class Counted:
    """Operations that ran, and the names of those that have no price."""

    cost: Cost
    uncounted: tuple[str, ...] = ()
    outputs: int = 0  # numbers in the result


class Counter(TorchDispatchMode):
    """Sums the cost of every aten call. `opened`: count inside our own primitives; else they have no price."""

    def __init__(self, *, opened: bool = False) -> None:
        super().__init__()
        self.opened = opened
        self.cost = Cost()
        self.uncounted: set[str] = set()
        self.written = 0  # bytes of all results that are no views
        self._products: dict[int, tuple[int, float]] = {}  # storage of an elementwise product -> elements, price

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self.opened and function in _BODIES:
            with self:
                return _BODIES[function](*args, **kwargs)
        if not _has_price(function):
            with self:
                parts = function.decompose(*args, **kwargs)  # what aten itself makes of other operations
            if parts is not NotImplemented:
                return parts
        out = function(*args, **kwargs)
        price = self._price(function, args, kwargs, out)
        if price is None:
            self.uncounted.add(function.overloadpacket._qualified_op_name)
        else:
            self.cost = self.cost + price
        if not function.is_view:
            made = out if isinstance(out, (tuple, list)) else (out,)
            self.written += sum(x.nbytes for x in made if isinstance(x, Tensor))
        return out

    def _price(self, function, args, kwargs, out) -> Cost | None:
        space, _, name = function.overloadpacket._qualified_op_name.partition("::")
        first = next((x for x in args if isinstance(x, Tensor)), None)
        made = out if isinstance(out, (tuple, list)) else (out,)
        result = next((x for x in made if isinstance(x, Tensor)), None)
        if result is not None and not function.is_view:
            self._products.pop(_storage(result), None)  # new contents, or the address of what was freed
        if name in ("clone", "_reshape_copy") and (kept := self._products.get(_storage(first))):
            self._products[_storage(result)] = kept  # the same products, in another order
        if function.is_view or (space == "aten" and name in FREE) or space in ("prim", "profiler", "debugprims"):
            if name in ("index_put", "index_put_") and len(args) > 3 and args[3]:
                return each(args[2].numel())  # accumulates
            return Cost()
        if space != "aten":
            return None
        if result is None:
            return Cost()
        if name in ("sum", "mean") and (found := self._sum_of_products(first, name, result)):
            return found
        if name in ("mul", "mul_") and any(isinstance(x, Tensor) and x.dtype == torch.bool for x in args[:2]):
            return Cost()  # a mask
        if name in ("mul", "mul_") and _is_product(args):
            self._products[_storage(result)] = (result.numel(), result.numel())
        if name.startswith("_scaled_dot_product_") and "backward" not in name:
            return attention(*(x.shape for x in args[:3]))
        if function.overloadpacket in flop_registry:
            return self._registered(function, args, kwargs, out)
        if name in ("_fft_r2c", "_fft_c2r", "_fft_c2c"):
            real = out if name == "_fft_c2r" else args[0]
            n = math.prod(real.shape[dim] for dim in args[1])
            return each(real.numel() * math.log2(max(n, 2)), 5.0 if name == "_fft_c2c" else 2.5)
        if name in ("grid_sampler_2d", "grid_sampler_3d"):
            return sampled(result.shape, args[2])
        if name in ("grid_sampler_2d_backward", "grid_sampler_3d_backward"):
            return 2 * sampled(args[0].shape, args[3])  # to the values and to the places
        if name in ("mv", "dot", "vdot", "addmv"):
            return products(math.prod(args[-2].shape))
        if name == "_trilinear":
            return products(math.prod(torch.broadcast_shapes(*map(_expanded, args[:3], args[3:6]))))
        if name in ("max_pool2d_with_indices", "max_pool3d_with_indices", "avg_pool2d", "avg_pool3d"):
            kernel = args[1] if len(args[1]) > 1 else list(args[1]) * int(name.partition("pool")[2][0])
            return each(result.numel(), math.prod(kernel))
        if name.startswith("_embedding_bag"):
            return each(args[1].numel() * args[0].shape[1], 2)
        if name in ("linalg_vector_norm", "norm"):
            return each(first.numel(), 2) + each(result.numel())
        if name in INPUT:
            return each(args[ADDED.get(name, 0)].numel(), INPUT[name])
        if name in OUTPUT:
            return each(result.numel(), OUTPUT[name])
        if torch.Tag.pointwise in function.tags:
            indices = not (result.is_floating_point() or result.is_complex())
            return Cost() if indices else each(result.numel(), _complex(name, result))
        if torch.Tag.reduction in function.tags:
            return each(first.numel())
        return None

    def _registered(self, function, args, kwargs, out) -> Cost:
        if function is torch.ops.aten.convolution_backward.default:  # torch's own formula forgets the groups
            grad, x, weight, transposed, wanted = args[0], args[1], args[2], args[7], args[10]
            return products((x if transposed else grad).numel() * math.prod(weight.shape[1:]), sum(wanted[:2]))
        macs = flop_registry[function.overloadpacket](*args, **kwargs, out_val=out) / 2
        result = out if isinstance(out, Tensor) else out[0]
        complex_product = result.is_complex() and "convolution" not in str(function)  # convolutions are taken apart
        return Cost(macs * (4 if complex_product else 1))

    def _sum_of_products(self, x: Tensor, name: str, result: Tensor) -> Cost | None:
        """A correlation written as (a * b).sum(): the products were other operations, and become multiply-adds."""
        elements, price = self._products.get(_storage(x), (0, 0.0))
        if not elements or x.numel() != elements:
            return None
        if result.numel() == elements:
            return Cost()  # of a single product there is no sum
        del self._products[_storage(x)]
        return Cost(elements, -price) + each(result.numel() if name == "mean" else 0)


def _has_price(function: Any) -> bool:
    """Whether a call is priced as a whole; aten would make other operations of some that are."""
    name = function.overloadpacket._qualified_op_name.removeprefix("aten::")
    return function.overloadpacket in flop_registry or name in FREE or name in INPUT or name in OUTPUT


def _storage(x: Tensor) -> int | None:
    try:
        return x.untyped_storage()._cdata
    except NotImplementedError:  # sparse
        return None


def _expanded(x: Tensor, axes: list[int]) -> list[int]:
    """Its shape, with an axis of length 1 at each of `axes`."""
    shape = list(x.shape)
    for axis in sorted(axes):
        shape.insert(axis, 1)
    return shape


def _is_product(args: Any) -> bool:
    """Of two different maps: neither a square, nor a scale by one number."""
    a, b = args[:2]
    both = isinstance(a, Tensor) and isinstance(b, Tensor) and not (a.is_complex() or b.is_complex())
    return both and a.numel() > 1 and b.numel() > 1 and a is not b


def _complex(name: str, result: Tensor) -> int:
    if not result.is_complex():
        return 1
    return 6 if "mul" in name or "div" in name else 2


def attention(q: Any, k: Any, v: Any, *, scaled: bool = True) -> Cost:
    """Scaled dot product attention of shapes (..., N, c), (..., M, c), (..., M, d); the queries are scaled."""
    pairs = math.prod(q[:-2]) * q[-2] * k[-2]
    return products(pairs, q[-1] + v[-1]) + each(pairs, SOFTMAX) + each(math.prod(q) * scaled)


def sampled(shape: Any, mode: int) -> Cost:
    """grid_sample of (B, C, *places) values, read at places between pixels: 0 linear, 1 nearest, 2 cubic."""
    values, linear = math.prod(shape), {4: BILINEAR, 5: 2 * BILINEAR}[len(shape)]
    return Cost() if mode == 1 else products(values, linear if mode == 0 else 16) + each(values // shape[1], PLACE)


# --- what would go by unseen -----------------------------------------------------------------------------------------


class _Leaving(TorchFunctionMode):
    """Names the ways by which data leave torch: what is computed there nobody sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in _LEAVES:
            self.seen.add(f"Tensor.{name}")
        return function(*args, **(kwargs or {}))


class _Context:
    """What a Function's forward is handed when it is called as a plain function."""

    def __init__(self, inputs: tuple) -> None:
        self.needs_input_grad = tuple(False for _ in inputs)

    def save_for_backward(self, *tensors: Tensor) -> None:
        self.saved_tensors = tensors

    def _ignored(self, *args: Any) -> None:
        pass

    save_for_forward = mark_dirty = mark_non_differentiable = set_materialize_grads = _ignored


@contextmanager
def opened_functions(watch: Callable[[type, Callable], Any] | None = None) -> Iterator[None]:
    """Calls the forward of every autograd.Function as a plain function, so that tracers see the operations inside."""

    def apply(cls, *args, **kwargs):
        old = cls.setup_context is Function.setup_context
        given = (_Context(args), *args) if old else args
        if watch is None:
            return cls.forward(*given, **kwargs)
        return watch(cls, lambda: cls.forward(*given, **kwargs))

    kept = Function.__dict__["apply"]
    Function.apply = classmethod(apply)
    try:
        yield
    finally:
        Function.apply = kept


@contextmanager
def eager() -> Iterator[None]:
    """Eager, no fused path: what is compiled or fused hides what it does."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def count_forward(form: Callable[..., Any], *inputs: Tensor, opened: bool = False) -> Counted:
    """Operations of `form(*inputs)`, with a name for each that has no price or leaves torch."""
    mode, leaving, hidden = Counter(opened=opened), _Leaving(), set()

    def watch(cls: type, forward: Callable[[], Any]) -> Any:
        before = mode.cost
        out = forward()
        if mode.cost == before:
            hidden.add(f"autograd.Function {cls.__name__}")
        return out

    with torch.no_grad(), eager(), opened_functions(watch), mode, leaving:
        y = form(*inputs)
    if not isinstance(y, Tensor):
        raise ValueError(f"forward returns one tensor, got {type(y).__name__}", "wrap it in a module that returns one")
    return Counted(mode.cost, tuple(sorted(mode.uncounted | leaving.seen | hidden)), y.numel())


def count_backward(
    form: Callable[..., Any], parameters: list[Tensor], *inputs: Tensor, opened: bool = False
) -> Counted:
    """Operations of the backward pass alone of `form(*inputs)`, to its inputs and the parameters."""
    leaves = [x.detach().requires_grad_(x.is_floating_point()) for x in inputs]
    mode = Counter(opened=opened)
    with eager(), mode:
        y = form(*leaves)
        forward, mode.uncounted = mode.cost, set()
        wanted = [x for x in (*leaves, *parameters) if x.requires_grad]
        torch.autograd.grad(y, wanted, torch.ones_like(y), allow_unused=True)
    return Counted(mode.cost + -1 * forward, tuple(sorted(mode.uncounted)))


def on_meta(module: nn.Module, inputs: list[Tensor]) -> tuple[nn.Module, list[Tensor]]:
    """The same module and inputs as shapes alone: nothing is computed, nothing allocated."""
    return copy.deepcopy(module).to("meta"), [x.to("meta") for x in inputs]
