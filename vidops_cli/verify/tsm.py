"""Cases of tsm_util.py, which MotionSqueeze, SELFY and IntegralAction have each."""

from __future__ import annotations

import re

from safetensors import safe_open
from torch import nn

from vidops_cli.ops.tsm import TemporalShift

from .adapter import Adapted, Tensors, clips, frames_of
from .cases import Case

PADDING = {"zero": "zero", "circulant": "circular"}
STEP = {"+": "next", "-": "previous"}


def shift(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    """Outputs are called PADDING_INPUT or PADDING_INPUT_Tn, n frames; without, `duration` of them.

    The released "circulant" takes t - 1 first in every repository, "zero" only in IntegralAction.
    """
    integral = "integralaction" in f"{case.official} {case.name}".lower()
    divided = re.search(r"C//(\d+)", str(case.meta.get("split", "")))
    fold_div = int(divided[1]) if divided else 4 if integral else 8
    first = {"zero": "previous" if integral else "next", "circulant": "previous"}
    for word, prose in (("zero", case.meta.get("direction")), ("circulant", case.meta.get("circulant"))):
        if found := re.search(r"first[^;]*?in\[t([+-])1\]", str(prose)):
            first[word] = STEP[found[1]]

    told = case.meta | (case.meta.get("args") or case.meta.get("ctor") or {})
    ops, calls = nn.ModuleDict(), {}
    for name in _outputs(case):
        words = name.split("_")
        word = next((word for word in words if word in PADDING), str(told.get("version", "zero")))
        length = next((word for word in words if re.fullmatch(r"T\d+", word)), None)
        rest = "_".join(part for part in words if part not in (word, length))
        source = rest if rest in inputs else next(iter(inputs)) if len(inputs) == 1 else None
        if word not in PADDING or source is None:
            raise ValueError(f"output {name!r} does not say which of {', '.join(inputs)} it is the shift of")
        options = {"fold_div": fold_div, "first": first[word], "padding": PADDING[word]}
        ops[name] = TemporalShift(inputs[source].shape[1], **options)
        calls[name] = source, int(length[1:]) if length else int(told["duration"])

    def run(given: Tensors) -> Tensors:
        return {name: frames_of(ops[name](clips(given[x], frames))) for name, (x, frames) in calls.items()}

    return Adapted(ops, run)


def _outputs(case: Case) -> list[str]:
    """Names of a case's outputs, as a run gives them: a float64 run of `y` is stored as `y64`."""
    with safe_open(case.path, framework="np") as file:
        names = [name for name in file.keys() if name.startswith("output.")]  # noqa: SIM118
        exact = {name for name in names if file.get_slice(name).get_dtype() == "F64"}
    found = (name.removesuffix("64") if name in exact else name for name in names)
    return sorted({name.removeprefix("output.") for name in found})
