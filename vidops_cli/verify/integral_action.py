"""Cases of IntegralAction: common/nets/module.py (Aggregator, Pose2Feat) and the renderings of main/model.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vidops_cli.models.released.layout import prefixed
from vidops_cli.models.released.poses import AGGREGATOR_KEYS
from vidops_cli.ops.integral_action import IntegralAction
from vidops_cli.ops.pose_maps import Limbs, Skeleton, bands, fields, heatmaps, mean_direction
from vidops_cli.ops.pose_to_feature import PoseToFeature

from .adapter import Adapted, Tensors, arguments, clips, frames_of, nothing, options
from .cases import TOLERANCE, Case

BORDER = 1e-4  # pixels; closer to the border of a limb's band, rounding decides who is inside

AGGREGATOR = {
    "pose_gate": lambda on: {"gate": "pose" if on else "none"},
    "pose_frame_factor": "pose_frame_factor",
    "agg_feat_dim": "features",
    "pose_dim": "pose_channels",
    "img_dim": nothing,
    "frame_per_seg": nothing,
}


def aggregator(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    given = {"pose_gate": True, "pose_frame_factor": 1, "frame_per_seg": 8, **case.meta["cfg"]}
    cfg = {name: value for name, value in given.items() if name in AGGREGATOR}  # the rest is of the whole network
    T, factor = cfg["frame_per_seg"], cfg["pose_frame_factor"]
    op = IntegralAction(inputs["video_feat"].shape[1], **options(cfg, AGGREGATOR))
    idle = [] if factor > 1 else ["aggregator.pose_temporal_conv."]
    if not cfg["pose_gate"]:
        idle += ["aggregator.pose_gate_fc.", "aggregator.img_norm.", "aggregator.pose_norm."]

    def run(given: Tensors) -> Tensors:
        vectors = op.vectors(clips(given["video_feat"], T), clips(given["pose_feat"], factor * (T - 1) + 1))
        found = {"feat": frames_of(op.integrate(*vectors))}
        if cfg["pose_gate"]:
            found["gate"] = op.gate(*vectors).flatten(0, 1)[..., None, None]
        return found

    return Adapted(op, run, prefixed(AGGREGATOR_KEYS, "aggregator.", ""), tuple(idle))


def pose_to_feature(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    ctor = arguments(case)
    skeleton = Skeleton(ctor["joint_num"], limbs_of(ctor))
    op = PoseToFeature(weights["conv.0.weight"].shape[0], skeleton=skeleton)

    def run(given: Tensors) -> Tensors:
        return {"out": frames_of(op.feature(clips(given["heatmap"], 1), clips(given["paf"], 1)))}

    return Adapted(op, run)


def limbs_of(told: Mapping[str, Any]) -> Limbs:
    return tuple((int(a), int(b)) for a, b in told["skeleton"])


def rendering(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    """No weights. A field may differ from ours as it would if a pixel on the border were counted the other way."""
    meta = case.meta
    size, threshold = tuple(meta["hm_shape"]), float(meta.get("pose_score_thr", 0.1))
    limbs = limbs_of(meta) if "skeleton" in meta else ()
    in_band = {"sigma": float(meta.get("paf_sigma", 1)), "threshold": threshold}

    def poses(given: Tensors) -> tuple[Tensor, Tensor]:
        return given["coord"][:, None], given["score"][:, None]

    def run(given: Tensors) -> Tensors:
        heat = heatmaps(*poses(given), size, sigma=float(meta.get("hm_sigma", 0.5)), threshold=threshold)
        return {"heatmap": heat[:, :, 0], "paf": fields(*poses(given), limbs, size, **in_band)[:, :, 0]}

    def leave_out(given: Tensors, expected: Tensors) -> Tensors:
        if "paf" not in expected:
            return {}
        coords, scores = poses(given)
        unit, depth = bands(coords.double(), scores, limbs, size, **in_band)

        def same(paf: Tensor) -> Tensor:
            """Where x and y of a limb are both those expected."""
            close = (paf[:, :, 0] - expected["paf"]).abs() < TOLERANCE
            return close.unflatten(1, (-1, 2)).all(2).repeat_interleave(2, dim=1)

        wide, narrow = (same(mean_direction(unit, depth >= border)) for border in (-BORDER, BORDER))
        return {"paf": (wide | narrow) & ~same(fields(coords, scores, limbs, size, **in_band))}

    return Adapted(nn.Identity(), run, leave_out=leave_out, pixels=True)
