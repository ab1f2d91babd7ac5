"""Checkpoints of the papers' released code: which network of ours one is, and where each of its weights goes.

A layout is read of names and shapes alone. Its `keys` turn prefixes of official names into ours; the longest that fits
counts, others stay. What they leave equal is equal: our networks are named as the common image checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from . import MODELS

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layout:
    """One released network in our terms.

    `ops` are mappings of op, at, slot and options, as in a recipe. `idle` are prefixes of official names that compute
    nothing. `classes` is None where the network has no classifier.
    """

    network: str
    classes: int | None
    ops: tuple[Mapping[str, Any], ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    idle: tuple[str, ...] = ()

    def build(self) -> nn.Module:
        return MODELS[self.network].build(classes=self.classes or 1, ops=[dict(op) for op in self.ops])

    def key(self, official: str) -> str | None:
        """Our name of an official weight; None if it computes nothing."""
        return None if official.startswith(self.idle) else renamed(official, self.keys)


def renamed(name: str, prefixes: Mapping[str, str]) -> str:
    """The name with the longest of these prefixes that it has put out for ours."""
    longest = max((prefix for prefix in prefixes if name.startswith(prefix)), key=len, default="")
    return prefixes.get(longest, "") + name[len(longest) :]


def prefixed(keys: Mapping[str, str], official: str, ours: str) -> dict[str, str]:
    return {official + key: ours + value for key, value in keys.items()}


def check(shapes: Shapes, layout: Layout) -> dict[str, str]:
    """Official name -> ours of each weight that counts.

    ValueError on a weight without a place, one of another size (axes of size 1 may stand elsewhere), and a missing one.
    """
    with torch.device("meta"):
        ours = {key: tuple(value.shape) for key, value in layout.build().state_dict().items()}
    found: dict[str, str] = {}
    for official, shape in shapes.items():
        key = layout.key(official)
        if key is None:
            continue
        if key not in ours:
            raise ValueError(f"{official} has no place in {layout.network} (looked for {key})")
        if [n for n in shape if n != 1] != [n for n in ours[key] if n != 1]:
            raise ValueError(f"{official} {shape} does not fit ours {ours[key]}")
        found[official] = key
    there = set(found.values())
    spare = ("num_batches_tracked",)  # old files lack them
    spare += ("fc.weight", "fc.bias") if layout.classes is None else ()
    missing = [key for key in ours if key not in there and not key.endswith(spare)]
    if missing:
        raise ValueError(f"no weight for {len(missing)} of ours: {', '.join(missing[:3])}")
    return found


def convert(state: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """Official weights under our names and in our shapes. ValueError as `check`."""
    names = check({key: tuple(value.shape) for key, value in state.items()}, layout)
    ours = layout.build().state_dict()
    counters = {key: value for key, value in ours.items() if key.endswith("num_batches_tracked")}
    return counters | {key: state[official].reshape(ours[key].shape) for official, key in names.items()}


# --- parts of operators -----------------------------------------------------------------------------------------------

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
SCR_KEYS = {"conv1x1_in.": "reduce.", "conv1.": "shrink.0.", "conv2.": "shrink.1.", "conv1x1_out.": "expand."}
SE_KEYS = {"conv1x1_in.": "conv_in.", "fc.": "excitation.", "conv1x1_out.": "conv_out."}
SCE_KEYS = {"conv1x1_in.": "conv_in.", "embeddingFea.": "embed.", "conv1x1_out.": "conv_out."}
LSA_KEYS = {"query_conv.": "query.", "key_conv.": "key.", "value_conv.": "value.", "agg.": "output."}
SEPARABLE_KEYS = {"conv2.": "first.", "conv1.": "second.", "proj.": "project."}
AGGREGATOR_KEYS = {
    "img_conv.": "rgb_block.",
    "img_norm.": "rgb_norm.",
    "pose_conv.": "pose_block.",
    "pose_norm.": "pose_norm.",
    "pose_gate_fc.0.": "gate_conv.",
    "pose_temporal_conv.": "pose_fusion.",
}


def matching_keys(shapes: Shapes, official: str, ours: str) -> dict[str, str]:
    """Of CCA's convolutions, which are as many as the checkpoint has."""
    layers = {key.removeprefix(official).split(".")[0] for key in shapes if key.startswith(official)}
    found: dict[str, str] = {}
    for layer in layers:
        found |= prefixed(SEPARABLE_KEYS, f"{official}{layer}.", f"{ours}{layer}.")
    return found


# --- ResNets on clips -------------------------------------------------------------------------------------------------

DEPTHS = {(2, 2, 2, 2, False): "resnet18", (3, 4, 6, 3, False): "resnet34"}
DEPTHS |= {(3, 4, 6, 3, True): "resnet50", (3, 4, 23, 3, True): "resnet101"}
CLASSIFIER = {"new_fc.": "fc."}


def resnet(shapes: Shapes, prefix: str) -> str:
    """Our network with as many blocks in each stage; ValueError if there is none."""
    blocks = [
        {key.split(".")[1] for key in inside(shapes, prefix) if key.startswith(f"layer{i}.")} for i in range(1, 5)
    ]
    told = (*map(len, blocks), f"{prefix}layer1.0.conv3.weight" in shapes)
    if told not in DEPTHS:
        raise ValueError(
            f"no ResNet of ours has {told[:4]} blocks in its stages", f"known: {', '.join(DEPTHS.values())}"
        )
    return DEPTHS[told]


def inside(shapes: Shapes, prefix: str) -> list[str]:
    return [key.removeprefix(prefix) for key in shapes if key.startswith(prefix)]


def torchvision(shapes: Shapes) -> Layout:
    """torchvision's ResNets, whose names ours are."""
    return Layout(resnet(shapes, ""), shapes["fc.weight"][0])


def tsm(shapes: Shapes) -> Layout:
    """MotionSqueeze/models.py and SELFY/ops/models.py::TSN with shifts alone."""
    idle = ("base_model.bn2.",)  # MotionSqueeze's has a norm that is never called
    return Layout(
        resnet(shapes, "base_model."),
        shapes["new_fc.weight"][0],
        ({"op": "tsm"},),
        {"base_model.": "", **CLASSIFIER},
        idle,
    )


def motionsqueeze(shapes: Shapes) -> Layout:
    """MotionSqueeze/models.py::TSN: the module stands after layer2; base_model.bn2 is never called."""
    reduced = shapes["base_model.chnl_reduction.0.weight"][0]
    keys = {"base_model.": "", **CLASSIFIER, **prefixed(MS_KEYS, "base_model.", "after_res3.")}
    ops = ({"op": "tsm"}, {"op": "motion_squeeze", "at": "res3", "options": {"reduced": reduced}})
    return Layout(resnet(shapes, "base_model."), shapes["new_fc.weight"][0], ops, keys, ("base_model.bn2.",))


def selfy(shapes: Shapes) -> Layout:
    """SELFY/ops/models.py::TSN: the block stands after layer2, in a TSM."""
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
    ops = ({"op": "tsm"}, {"op": "selfy", "at": "res3", "options": options})
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


# --- few-shot ---------------------------------------------------------------------------------------------------------


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
    return Layout("renet", shapes["fc.weight"][0], tuple(ops), keys, idle)


# --- poses ------------------------------------------------------------------------------------------------------------

SHIFT = {"op": "tsm", "options": {"fold_div": 4, "first": "previous"}}
STREAMS = {("resnet18", "resnet18"): "two_stream18", ("resnet50", "resnet50"): "two_stream50"}
STREAMS |= {("resnet50", "resnet18"): "two_stream50_18"}


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


# --- SIFA -------------------------------------------------------------------------------------------------------------

SWINS = {(24, 6): "sifa_swin_mini", (96, 24): "sifa_swin_s", (128, 24): "sifa_swin_b"}


def sifa_net(shapes: Shapes) -> Layout:
    """SIFA/model/c2d_sifa_resnet.py; def_cor.weight is the constant 1 / C, of the clip's length."""
    network = resnet(shapes, "").replace("resnet", "sifa_net")
    blocks = list(dict.fromkeys(".".join(key.split(".")[:2]) for key in shapes if key.startswith("layer")))
    at: dict[str, list[str]] = {"sifa": [], "global_context": []}
    keys, idle = {}, []
    for block in blocks:
        stage, number = block.split(".")
        place = f"res{int(stage[5]) + 1}{stage[6:]}.{number}"
        if f"{block}.conv_offset.weight" in shapes:
            at["sifa"].append(place)
        if f"{block}.fc1.weight" in shapes:
            at["global_context"].append(place)
        keys[f"{block}.conv_offset."] = f"{block}.after_conv2.conv_offset."
        keys |= {f"{block}.{fc}.": f"{block}.block_output.{fc}." for fc in ("fc1", "fc2")}
        idle.append(f"{block}.def_cor.")
    ops = tuple({"op": op, "at": places} for op, places in at.items() if places)
    return Layout(network, shapes["fc.weight"][0], ops, keys, tuple(idle))


def sifa_swin(shapes: Shapes) -> Layout:
    """SIFA/model/c2d_sifa_swin.py: each block owns a temporal convolution and SIFA's norm, and uses one of the two.

    SIFA, of a fixed window, stands in blocks that do not shift; in the last stage, whose map is one window, in all.
    """
    blocks = list(dict.fromkeys(key.split(".attn.")[0] for key in shapes if key.endswith("attn.qkv.weight")))
    width, stages = shapes["patch_embed.proj.weight"][0], max(int(block.split(".")[1]) for block in blocks)
    if (width, len(blocks)) not in SWINS:
        told = f"no Swin of ours has {width} channels and {len(blocks)} blocks"
        raise ValueError(told, f"known: {', '.join(SWINS.values())}")
    at: dict[str, list[str]] = {"sifa": [], "temporal_conv": []}
    keys = {"patch_embed.proj.": "patch_embed.", "fc.": "head."}
    idle = []
    for block in blocks:
        _, stage, _, number = block.split(".")
        shifts = int(number) % 2 == 1 and int(stage) < stages
        at["temporal_conv" if shifts else "sifa"].append(f"stage{int(stage) + 1}.{number}")
        used, unused = ("conv.", "tda_norm.") if shifts else ("tda_norm.", "conv.")
        keys[f"{block}.{used}"] = f"{block}.after_mixer.{'conv.' if shifts else 'norm.'}"
        idle += [f"{block}.{name}" for name in (unused, "def_cor.", "attn_mask", "attn.relative_position_index")]
    bias = any(key.endswith(".conv.bias") for key in shapes)
    ops = (
        {"op": "sifa", "slot": "after_mixer", "at": at["sifa"], "options": {"offsets": "regular", "norm": True}},
        {"op": "temporal_conv", "slot": "after_mixer", "at": at["temporal_conv"], "options": {"bias": bias}},
    )
    return Layout(SWINS[width, len(blocks)], shapes["fc.weight"][0], ops, keys, tuple(idle))
