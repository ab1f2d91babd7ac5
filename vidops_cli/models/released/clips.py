"""ResNets on clips with motion modules: TSM, MotionSqueeze, SELFY, RSA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .layout import Layout, Shapes, prefixed
from .resnets import resnet

CLASSIFIER = {"new_fc.": "fc."}
MS_KEYS = {"chnl_reduction.": "reduction."} | {
    f"flow_refinement.conv{stage + 1}.{official}.": f"refine.{2 * stage + part}.{layer}."
    for stage in range(4)
    for official, part, layer in ((0, 0, 0), (1, 0, 1), (3, 1, 0), (4, 1, 1))
}
SELFY_KEYS = {
    "stss_transformation.": "",
    **{f"stss_extraction.conv{i}.": f"extraction.{i}." for i in range(4)},
    **{f"stss_integration.conv{i}.": f"integration.{i}." for i in range(3)},
    "stss_integration.conv3_fuse.1.": "fuse.0.",
    "stss_integration.conv3_fuse.2.": "fuse.1.",
    "stss_integration.upsample.0.": "upsample.",
    "stss_integration.upsample.1.": "norm.",
}
TSM: Mapping[str, Any] = {"op": "tsm"}


def shifted(shift: bool) -> tuple[Mapping[str, Any], ...]:
    """TSM's operator, of which weights do not tell: without it the network is a TSN."""
    return (TSM,) if shift else ()


def tsm(shapes: Shapes, *, shift: bool = True) -> Layout:
    """MotionSqueeze/models.py and SELFY/ops/models.py::TSN with shifts alone, or without."""
    idle = ("base_model.bn2.",)  # MotionSqueeze's has a norm that is never called
    return Layout(
        resnet(shapes, "base_model."),
        shapes["new_fc.weight"][0],
        shifted(shift),
        {"base_model.": "", **CLASSIFIER},
        idle,
    )


def motionsqueeze(shapes: Shapes, *, shift: bool = True) -> Layout:
    """MotionSqueeze/models.py::TSN: the module stands after layer2; base_model.bn2 is never called."""
    reduced = shapes["base_model.chnl_reduction.0.weight"][0]
    keys = {"base_model.": "", **CLASSIFIER, **prefixed(MS_KEYS, "base_model.", "after_res3.")}
    ops = (*shifted(shift), {"op": "motion_squeeze", "at": "res3", "options": {"reduced": reduced}})
    return Layout(resnet(shapes, "base_model."), shapes["new_fc.weight"][0], ops, keys, ("base_model.bn2.",))


def selfy(shapes: Shapes, *, shift: bool = True) -> Layout:
    """SELFY/ops/models.py::TSN: the block stands after layer2, in a TSM or a TSN."""
    part = "base_model.selfy.stss_"
    fuse, fused = shapes[f"{part}integration.conv3_fuse.1.weight"][:2]
    integration = [shapes[f"{part}integration.conv{i}.0.weight"][0] for i in range(3)]
    radius = fused // integration[-1] // 2
    options = {
        "hidden": shapes[f"{part}transformation.downsample.0.weight"][0],
        "offsets": list(range(-radius, radius + 1)),
        "ext_channels": [shapes[f"{part}extraction.conv{i}.0.weight"][0] for i in range(4)],
        "int_channels": [*integration, fuse],
    }
    keys = {"base_model.": "", **CLASSIFIER, **prefixed(SELFY_KEYS, "base_model.selfy.", "after_res3.")}
    ops = (*shifted(shift), {"op": "selfy", "at": "res3", "options": options})
    return Layout(resnet(shapes, "base_model."), shapes["new_fc.weight"][0], ops, keys)


def rsa(shapes: Shapes) -> Layout:
    """RSA/ops/models.py::TSN: RSA in the place of conv2 in some blocks, of one form all; no shift."""
    found = [key.removesuffix("H2.weight") for key in shapes if key.endswith("conv2.H2.weight")]
    if not found:
        raise ValueError("no block has an RSA", "the checkpoint is of another network")
    places = sorted(f"res{int(key.split('.')[1][-1]) + 1}.{key.split('.')[2]}" for key in found)
    first = found[0]
    values, _, *window = shapes[f"{first}H2.weight"]
    # without relations the latent is as wide as the keys, which are as wide as the values
    kernel = "basic" if f"{first}H1.weight" not in shapes else "both" if f"{first}P1" in shapes else "relational"
    context = "basic" if f"{first}G.weight" not in shapes else "both" if f"{first}I" in shapes else "relational"
    shared = values if kernel == "basic" else 2 * values
    heads = (shapes[f"{first}projection.weight"][0] - shared) // values
    options = {"heads": heads, "window": window, "kernel": kernel, "context": context}
    ops = ({"op": "rsa", "at": places, "options": options},)
    return Layout(resnet(shapes, "base_model."), shapes["new_fc.weight"][0], ops, {"base_model.": "", **CLASSIFIER})
