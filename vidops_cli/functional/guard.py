"""A fast form is trusted on a device only after it gave there, once, what the plain form gives."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

TOLERANCE = 1e-4


def guarded(
    name: str, fast: Callable[..., Tensor], plain: Callable[..., Tensor], probe: Callable[[], tuple]
) -> Callable:
    """`fast`, tested on `probe()` at the first call on each device; where it fails, `plain`, after one warning."""
    trusted: dict[torch.device, bool] = {}

    def call(*args: Any) -> Tensor:
        device = args[0].device
        if device not in trusted:
            trusted[device] = _agree(name, fast, plain, probe, device)
        return (fast if trusted[device] else plain)(*args)

    return call


def _agree(name: str, fast: Callable, plain: Callable, probe: Callable, device: torch.device) -> bool:
    args = [value.to(device) if torch.is_tensor(value) else value for value in probe()]
    allowed, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, False
    try:
        expected = plain(*args)
        error = ((fast(*args) - expected).abs().max() / expected.abs().max().clamp(min=1)).item()
        told = f"differs from its reference by {error:.1e}"
    except RuntimeError as failure:  # a kernel that cannot be launched is as bad as a wrong one
        error, told = float("nan"), f"failed ({(str(failure).splitlines() or [''])[0][:120]})"
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed
    if not error <= TOLERANCE:
        warnings.warn(f"kernel {name} {told} on {device}: the plain form is used, slower", RuntimeWarning, stacklevel=3)
    return error <= TOLERANCE
