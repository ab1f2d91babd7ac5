"""IntegralAction in its three modes."""

from __future__ import annotations

from .layout import Layout, Shapes, prefixed
from .resnets import resnet

SHIFT = {"op": "tsm", "options": {"fold_div": 4, "first": "previous"}}
STREAMS = {("resnet18", "resnet18"): "two_stream18", ("resnet50", "resnet50"): "two_stream50"}
STREAMS |= {("resnet50", "resnet18"): "two_stream50_18"}
AGGREGATOR_KEYS = {
    "img_conv.": "rgb_block.",
    "img_norm.": "rgb_norm.",
    "pose_conv.": "pose_block.",
    "pose_norm.": "pose_norm.",
    "pose_gate_fc.0.": "gate_conv.",
    "pose_temporal_conv.": "pose_fusion.",
}


def integral_action(shapes: Shapes, mode: str = "rgb+pose", *, gate: bool = True, factor: int = 1) -> Layout:
    """IntegralAction main/model.py::Model, which holds all of its parts in every mode: rgb_only, pose_only, rgb+pose.

    `gate` and `factor`, the frame rate of poses over that of frames, are not told by the weights.
    """
    rgb, pose = resnet(shapes, "img_backbone."), resnet(shapes, "pose_backbone.")
    classes = shapes["classifier.fc.0.weight"][0]
    unseen = ("pose_backbone.conv1.", "pose_backbone.bn1.")
    stem = {"pose2feat.": "pose_input."}
    if mode == "rgb_only":
        keys = {"img_backbone.": "", "classifier.fc.0.": "fc."}
        return Layout(rgb, classes, (SHIFT,), keys, ("pose_backbone.", "pose2feat.", "aggregator."))
    if mode == "pose_only":
        keys = {"pose_backbone.": "pose.resnet.", "classifier.fc.0.": "fc.", **prefixed(stem, "", "pose.")}
        return Layout(
            pose.replace("resnet", "pose"), classes, (SHIFT,), keys, ("img_backbone.", "aggregator.", *unseen)
        )
    if mode != "rgb+pose":
        raise ValueError(f"no mode {mode!r}", "rgb_only, pose_only, rgb+pose")
    if (rgb, pose) not in STREAMS:
        raise ValueError(f"no network of ours has streams {rgb} and {pose}", f"known: {', '.join(STREAMS.values())}")
    idle = () if factor > 1 else ("aggregator.pose_temporal_conv.",)
    if not gate:
        idle += ("aggregator.pose_gate_fc.", "aggregator.img_norm.", "aggregator.pose_norm.")
    op = {"op": "integral_action", "options": {"gate": "pose" if gate else "none", "pose_frame_factor": factor}}
    keys = {"img_backbone.": "rgb.", "pose_backbone.": "pose.resnet.", "classifier.fc.0.": "fc."}
    keys |= {**prefixed(stem, "", "pose."), **prefixed(AGGREGATOR_KEYS, "aggregator.", "two_stream.")}
    return Layout(STREAMS[rgb, pose], classes, (SHIFT, op), keys, (*unseen, *idle))
