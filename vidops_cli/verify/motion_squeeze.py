"""Cases of MotionSqueeze/resnet_TSM.py: matching, displacement and refinement are run one by one."""

from __future__ import annotations

from typing import Any

from vidops_cli.functional import l2norm
from vidops_cli.models.released.clips import MS_KEYS
from vidops_cli.ops.motion_squeeze import MotionSqueeze

from .adapter import Adapted, Tensors, arguments, clips, exactly, frames_of, nothing, only, options
from .cases import Case

MARGIN = 1e-5  # below it the two best matches are as good, and rounding chooses


def radius(patch: int) -> dict[str, Any]:
    if patch % 2 == 0:
        raise ValueError(f"patch must be odd, got {patch}")
    return {"max_displacement": (patch - 1) // 2}


OPTIONS = {
    "patch": radius,
    "patch_dilation": nothing,  # what it was meant for is never done
    "ks": exactly("ks", 1),
    "stride": exactly("stride", 1),
    "pad": exactly("pad", 0),
    "temperature": lambda factor: {"temperature": 1 / factor},
    "sigma": "sigma",
    "num_segments": nothing,
    "red_in": nothing,
    "expansion": nothing,
    "pos": nothing,
}

REDUCTION = {key: ours for key, ours in MS_KEYS.items() if key.startswith("chnl_reduction.")}
REFINEMENT = {key.removeprefix("flow_refinement."): ours for key, ours in MS_KEYS.items() if key not in REDUCTION}


def told_by(case: Case) -> dict[str, Any]:
    """Constructor arguments; cases of a method tell them beside their notes."""
    told = {name: case.meta[name] for name in OPTIONS if name in case.meta}
    return told | arguments(case)


def correlation(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    op = only(MotionSqueeze(inputs["feature1"].shape[1], **options(told_by(case), OPTIONS)))

    def run(given: Tensors) -> Tensors:
        f1, f2 = (l2norm(given[name]).unsqueeze(2) for name in ("feature1", "feature2"))
        return {"out": op.match(f1, f2).flatten(2)}

    return Adapted(op, run)


def displacement(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    told = told_by(case)
    channels = inputs["x"].shape[1]
    reduction = weights.get("chnl_reduction.0.weight")
    if reduction is not None:
        op = only(MotionSqueeze(channels, reduced=len(reduction), **options(told, OPTIONS)), "reduction")
    else:
        op = only(MotionSqueeze(channels, **options(told, OPTIONS)))
    scale = told.get("patch_dilation", 1) / op.max_displacement

    def run(given: Tensors) -> Tensors:
        (volume,) = op.correlation(clips(given["x"], told.get("num_segments", 8)))
        flow, confidence = op.read(volume)
        best, index = volume.topk(2, dim=1)
        found = {"flow": flow * scale, "confidence": confidence, "argmax_margin": best[:, :1] - best[:, 1:]}
        return {name: frames_of(value) for name, value in (found | {"argmax_index": index[:, :1]}).items()}

    def leave_out(given: Tensors, expected: Tensors) -> Tensors:
        if "argmax_margin" not in expected:
            return {}
        close = expected["argmax_margin"] < MARGIN
        return {"flow": close, "argmax_index": close}

    return Adapted(op, run, keys=REDUCTION, leave_out=leave_out)


def refinement(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    told = told_by(case)
    op = only(MotionSqueeze(inputs["res"].shape[1], **options(told, OPTIONS)), "refine")

    def run(given: Tensors) -> Tensors:
        frames = told.get("num_segments", 8)
        motion, confidence = (clips(given[name], frames - 1) for name in ("x", "match_v"))
        return {"out": frames_of(op.refinement(clips(given["res"], frames), motion, confidence))}

    return Adapted(op, run, keys=REFINEMENT)
