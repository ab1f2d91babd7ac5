"""SIFA-Net and the SIFA-Transformer."""

from __future__ import annotations

from .layout import Layout, Shapes
from .resnets import blocks_of, resnet

SIFA_SWINS = {(24, 6): "sifa_swin_mini", (96, 24): "sifa_swin_s", (128, 24): "sifa_swin_b"}


def sifa_net(shapes: Shapes) -> Layout:
    """SIFA/model/c2d_sifa_resnet.py; def_cor.weight is the constant 1 / C, of the clip's length."""
    network = resnet(shapes, "").replace("resnet", "sifa_net")
    at: dict[str, list[str]] = {"sifa": [], "global_context": []}
    keys, idle = {}, []
    for block in blocks_of(shapes):
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
    if (width, len(blocks)) not in SIFA_SWINS:
        told = f"no Swin of ours has {width} channels and {len(blocks)} blocks"
        raise ValueError(told, f"known: {', '.join(SIFA_SWINS.values())}")
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
    return Layout(SIFA_SWINS[width, len(blocks)], shapes["fc.weight"][0], ops, keys, tuple(idle))
