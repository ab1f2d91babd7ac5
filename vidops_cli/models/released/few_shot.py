"""RENet with any of its self-relational modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .layout import Layout, Shapes, inside, prefixed

SCR_KEYS = {"conv1x1_in.": "reduce.", "conv1.": "shrink.0.", "conv2.": "shrink.1.", "conv1x1_out.": "expand."}
SE_KEYS = {"conv1x1_in.": "conv_in.", "fc.": "excitation.", "conv1x1_out.": "conv_out."}
SCE_KEYS = {"conv1x1_in.": "conv_in.", "embeddingFea.": "embed.", "conv1x1_out.": "conv_out."}
LSA_KEYS = {"query_conv.": "query.", "key_conv.": "key.", "value_conv.": "value.", "agg.": "output."}
SEPARABLE_KEYS = {"conv2.": "first.", "conv1.": "second.", "proj.": "project."}


def matching_keys(shapes: Shapes, official: str, ours: str) -> dict[str, str]:
    """Of CCA's convolutions, which are as many as the checkpoint has."""
    layers = {key.removeprefix(official).split(".")[0] for key in shapes if key.startswith(official)}
    found: dict[str, str] = {}
    for layer in layers:
        found |= prefixed(SEPARABLE_KEYS, f"{official}{layer}.", f"{ours}{layer}.")
    return found


def renet(shapes: Shapes) -> Layout:
    """renet/models/renet.py::RENet, with any of its self-relational modules."""
    part = next((f"scr_module.{i}." for i in (0, 1) if any(key.startswith(f"scr_module.{i}.") for key in shapes)), "")
    told = set(inside(shapes, part)) if part else set()
    ours, idle = "encoder.after_res5.", ()
    ops: list[Mapping[str, Any]] = []
    keys = {}
    if "conv1x1_in.0.weight" in told and "conv1.0.weight" in told:
        planes = [shapes[f"{part}{name}.0.weight"][0] for name in ("conv1x1_in", "conv1", "conv2")]
        ops.append({"op": "scr", "at": "res5", "options": {"planes": planes}})
        keys = prefixed(SCR_KEYS, part, f"{ours}g.")
    elif "embeddingFea.0.weight" in told:
        planes = [shapes[f"{part}{name}.0.weight"][0] for name in ("conv1x1_in", "embeddingFea")]
        ops.append({"op": "sce", "at": "res5", "options": {"planes": planes}})
        keys = prefixed(SCE_KEYS, part, ours)
    elif "fc.0.weight" in told:
        planes, hidden = shapes[f"{part}conv1x1_in.0.weight"][0], shapes[f"{part}fc.0.weight"][0]
        ops.append({"op": "se", "at": "res5", "options": {"planes": planes, "reduction": planes // hidden}})
        keys = prefixed(SE_KEYS, part, ours)
    elif "query_conv.weight" in told:  # built without padding: a softmax over one number
        ops.append({"op": "local_attention", "at": "res5", "options": {"attention": False}})
        keys = prefixed(LSA_KEYS, part, ours)
        idle = tuple(f"{part}{name}" for name in ("query_conv.", "key_conv.", "rel_"))
    elif "theta.weight" in told:
        ops.append({"op": "non_local", "at": "res5"})
        keys = {part: ours}
    elif told:
        raise ValueError(f"the module {part} is none of RENet's", "scr, sce, se, lsa, nlsa")
    cca = sorted({int(key.split(".")[1]) for key in inside(shapes, "cca_module.") if key.startswith("conv.")})
    planes = [shapes[f"cca_module.conv.{i}.proj.0.weight"][0] for i in cca]
    ops.append({"op": "cca", "options": {"reduced": shapes["cca_1x1.0.weight"][0], "planes": planes}})
    keys |= {"cca_1x1.": "head.reduction.", **matching_keys(shapes, "cca_module.conv.", "head.matching.conv.")}
    untold = ("attention_temperature", "temperature")
    return Layout("renet", shapes["fc.weight"][0], tuple(ops), keys, idle, untold)
