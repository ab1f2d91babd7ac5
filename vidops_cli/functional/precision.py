"""Where half precision would not do."""

import contextlib

import torch
from torch import Tensor


def autocasting(x: Tensor) -> bool:
    """Whether operations on the device of x are cast to half precision."""
    kind = x.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def full_precision(x: Tensor) -> contextlib.AbstractContextManager:
    """No autocast on the device of x; devices that know none, such as meta, are left alone."""
    known = torch.amp.is_autocast_available(x.device.type)
    return torch.autocast(x.device.type, enabled=False) if known else contextlib.nullcontext()
