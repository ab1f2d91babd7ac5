"""Cases of RSA/ops/rsa.py."""

from __future__ import annotations

from typing import Any

from vidops_cli.ops.rsa import RSA

from .adapter import Adapted, Tensors, arguments, options
from .cases import Case

KINDS = {"V": "basic", "R": "relational", "VplusR": "both"}
# defaults of the released class
RELEASED = {"nh": 8, "dk": 16, "dv": 0, "dd": 0, "kernel_size": (3, 7, 7), "stride": 1}


def _stride(value: Any) -> dict[str, int]:
    frames, height, width = (1, value, value) if isinstance(value, int) else value
    if frames != 1 or height != width:
        raise ValueError(f"stride {value!r} is not one of space alone")
    return {"stride": height}


OPTIONS = {
    "d_in": "channels",
    "d_out": "out_channels",
    "nh": "heads",
    "dk": "key_channels",
    "dv": "value_channels",
    "dd": "latent",
    "kernel_size": "window",
    "stride": _stride,
    "kernel_type": lambda value: {"kernel": KINDS[value]},
    "feat_type": lambda value: {"context": KINDS[value]},
}


def _kind(weights: Tensors, relational: str, basic: str) -> str:
    """What a case built, where its arguments do not tell."""
    if relational not in weights:
        return "V"
    return "VplusR" if basic in weights else "R"


def layer(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    built = {"kernel_type": _kind(weights, "H1.weight", "P1"), "feat_type": _kind(weights, "G.weight", "I")}
    chosen = options({**RELEASED, **built, **arguments(case)}, OPTIONS)
    # a size of 0 is the one before it; what the values' is makes the output, whatever d_out says
    channels, out = chosen.pop("channels"), chosen.pop("out_channels")
    chosen["value_channels"] = chosen["value_channels"] or out // chosen["heads"]
    chosen["key_channels"] = chosen["key_channels"] or chosen["value_channels"]
    chosen["latent"] = chosen["latent"] or chosen["key_channels"]
    module = RSA(channels, **chosen)
    return Adapted(module, lambda given: {"out": module(given["x"])})
